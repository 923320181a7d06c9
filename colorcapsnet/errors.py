"""Everything that can go wrong and is not a mistake in this package.

::

    ColorCapsNetError          one line: what is wrong (with the value in it) and what to do
    ├── PictureError           a picture cannot be read, or is not one we can color
    │   └── TooLarge           it has more pixels than are allowed
    ├── HintError              what a person decided cannot be read, or does not fit the picture
    ├── PlaceError             a URL cannot be reached, or is of no known kind
    ├── OutputError            a result cannot be written, or would replace something
    ├── ModelError             a model, its card, or a checkpoint is missing, damaged, or of another version
    ├── DataError              a data set, shard, or manifest is missing, damaged, or of another version
    ├── ClusterError           a cluster cannot be reached, or cannot work
    └── MissingExtra           an optional library is not installed

The command line prints the message of any of these, without a traceback, and exits non-zero.
"""

from __future__ import annotations

import importlib
from types import ModuleType


class ColorCapsNetError(Exception):
    """Base of all errors that this package raises on purpose. ``exit_code`` is what the command line returns."""

    exit_code = 1


class PictureError(ColorCapsNetError):
    """A picture is missing, empty, damaged, too large, or of a kind that has no gray."""


class TooLarge(PictureError):
    """A picture has more pixels than are allowed; nothing of it was decoded."""


class HintError(ColorCapsNetError, ValueError):
    """A hint is no color, lies outside the picture, asks for an impossible value, or its file is damaged."""


class PlaceError(ColorCapsNetError):
    """A URL cannot be reached, or is of a kind that is not known."""


class OutputError(ColorCapsNetError):
    """A result cannot be written where it should go, or would overwrite what is there."""


class ModelError(ColorCapsNetError):
    """A model file, card or checkpoint is missing, damaged, or of another version."""


class DataError(ColorCapsNetError):
    """A data set, shard or manifest is missing, damaged, or of another version."""


class ClusterError(ColorCapsNetError):
    """A cluster is not where it should be, or its workers cannot begin."""


class MissingExtra(ColorCapsNetError):
    """An optional library is needed and not installed."""

    exit_code = 2


def need(module: str, extra: str) -> ModuleType:
    """Import ``module``, or say in one line how to install it.

    Raises:
        MissingExtra: the module is not there; the message holds the install line of ``extra``.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.split(".")[0] != module.split(".")[0]:
            raise
        raise MissingExtra(
            f"this needs {module.split('.')[0]}, which is not installed: pip install 'colorcapsnet[{extra}]'"
        ) from None
