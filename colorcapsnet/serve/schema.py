"""What is sent, for the OpenAPI description: a picture's bytes, or the JSON of :mod:`colorcapsnet.hints`."""

from __future__ import annotations

from typing import Any

from colorcapsnet import hints
from colorcapsnet.paint import DRAWS

_COLOR: dict[str, Any] = {
    "description": "sRGB, or a and b of CIE Lab; hue and chroma count",
    "oneOf": [
        {"type": "string", "pattern": "^#[0-9a-fA-F]{6}$"},
        {"type": "array", "items": {"type": "number", "minimum": -128, "maximum": 127}, "minItems": 2, "maxItems": 2},
    ],
}


def _object(needed: list[str], **properties: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"type": "object", "required": needed, "properties": properties, "additionalProperties": False}


def _pair(kind: str, low: int, high: int, what: str) -> dict[str, Any]:
    item = {"type": kind, "minimum": low, "maximum": high}
    return {"description": what, "type": "array", "items": item, "minItems": 2, "maxItems": 2}


_PIXEL = _pair("number", 0, 10**9, "x from the left and y from the top, in pixels of the upright picture")
_RELATIVE = _pair("number", 0, 1, "x and y as shares of the width and the height")
_WAITING = {"oneOf": [*_COLOR["oneOf"], {"type": "null"}], "description": "null where it is still to be given"}


def _places(color: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        _object(["pixel", "color"], pixel=_PIXEL, color=color),
        _object(["relative", "color"], relative=_RELATIVE, color=color),
    ]


_WHOLE = {"type": "integer", "minimum": 0}
_HINTS = _object(
    ["version"],
    version={"const": hints.VERSION},
    size=_pair("integer", 1, 10**9, "width and height of the only picture that the hints fit"),
    points={"type": "array", "items": {"oneOf": _places(_WAITING)}, "description": "colors that spread from a place"},
    recolor={
        "type": "array",
        "items": {"oneOf": [_object(["capsule", "color"], capsule=_WHOLE, color=_COLOR), *_places(_COLOR)]},
        "description": "new colors of whole capsules, or of the connected part around a place",
    },
    candidate=_object(
        ["seed", "of", "number"],
        seed={"type": "integer", "minimum": 0, "maximum": 2**53},
        of={"type": "integer", "minimum": 1, "maximum": DRAWS},
        number={"type": "integer", "minimum": 0, "maximum": DRAWS - 1, "description": "below `of`; 0 is the likeliest"},
    ),
    strength={"type": "number", "minimum": 0, "maximum": 2, "default": 1, "description": "0 gray, 1 likely, 2 vivid"},
    do_no_harm={"type": "number", "minimum": 0, "maximum": 1, "default": 0, "description": "fade what is less sure"},
)
_EXAMPLE = {"version": 1, "points": [{"relative": [0.5, 0.25], "color": "#a03020"}], "strength": 1.2}

HINTS = {
    "required": True,
    "description": "what a person decided: the file of `colorcapsnet colorize --hints`, without a reference",
    "content": {"application/json": {"schema": _HINTS, "example": _EXAMPLE}},
}
PICTURE = {
    "required": True,
    "description": "the bytes of a JPEG, PNG, TIFF, WebP, AVIF, HEIC or GIF file",
    "content": {
        kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("image/*", "application/octet-stream")
    },
}
