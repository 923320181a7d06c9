"""Turns gray photographs into color with capsule networks.

>>> import colorcapsnet
>>> colorcapsnet.__all__
['ColorCapsNetError', 'Colorizer', 'Picture', '__version__']
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from colorcapsnet.errors import ColorCapsNetError

if TYPE_CHECKING:
    from colorcapsnet.colorizer import Colorizer
    from colorcapsnet.pictures import Picture

__all__ = ["ColorCapsNetError", "Colorizer", "Picture", "__version__"]
__version__ = version("colorcapsnet")


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name == "Colorizer":
        from colorcapsnet.colorizer import Colorizer

        return Colorizer
    if name == "Picture":
        from colorcapsnet.pictures import Picture

        return Picture
    raise AttributeError(f"module 'colorcapsnet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
