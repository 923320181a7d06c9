"""Hypothesis without deadlines: no test asserts a time. Tests that load ONNX Runtime themselves tell nobody."""

import os

from hypothesis import settings

settings.register_profile("colorcapsnet", deadline=None)
settings.load_profile("colorcapsnet")
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
