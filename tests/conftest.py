"""Hypothesis without deadlines: no test asserts a time."""

from hypothesis import settings

settings.register_profile("colorcapsnet", deadline=None)
settings.load_profile("colorcapsnet")
