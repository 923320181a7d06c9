"""What a person decided about the colors of a picture, and the small JSON file that holds it.

::

    {
     "version": 1,
     "size": [451, 300],
     "points": [{"pixel": [120, 34], "color": "#a03020"}, {"relative": [0.5, 0.25], "color": [40, 30]}],
     "recolor": [{"capsule": 3, "color": "#a03020"}, {"pixel": [120, 34], "color": "#a03020"}],
     "reference": "other.jpg",
     "candidate": {"seed": 1, "of": 4, "number": 2},
     "strength": 1.2,
     "do_no_harm": 0.8,
     "time": 12.5
    }

Only ``version`` must be there, and nothing else may be. Places are x from the left and y from the top of the upright
picture: of a pixel, from 0, or relative, 0 to 1. A color is sRGB as ``"#rrggbb"``, or a and b of CIE Lab; hue and
chroma count, lightness is the picture's own. A point whose color is ``null`` waits for one and changes nothing. Time
is for films: the frame shown so many seconds after the beginning, and its shot.

Spots of color on a transparent picture of the same size say the same as points do (:func:`from_spots`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import cv2
import numpy as np

from colorcapsnet import color as colors
from colorcapsnet import pictures
from colorcapsnet.errors import HintError
from colorcapsnet.paint import DRAWS

Color: TypeAlias = str | tuple[float, float]

VERSION = 1
MOST_POINTS = 1000

_LARGEST_FILE = 2**20
_NUMBERS = (int, float, np.integer, np.floating)
_ONE_COLOR = 25.0  # how far from a spot's middle color, in ab, its pixels may be
_HEX = re.compile(r"#[0-9a-f]{6}", re.IGNORECASE)
_RECOLOR = re.compile(r"(\d{1,9})(?:,(\d{1,9}))?=(.*)", re.DOTALL)


@dataclass(frozen=True)
class Point:
    """A place in a picture and the color there.

    Attributes:
        x: from the left: pixels from 0, or 0..1.
        y: from the top, likewise.
        color: ``"#rrggbb"``, or ab in -128..127; None where it is still to be given.
        relative: whether x and y are 0..1.

    Raises:
        HintError: a value is out of range, or no color.
    """

    x: float
    y: float
    color: Color | None
    relative: bool = False

    def __post_init__(self) -> None:
        for axis in ("x", "y"):
            object.__setattr__(self, axis, _number(getattr(self, axis), axis, 0, 1 if self.relative else 1e9))
        if self.color is not None:
            object.__setattr__(self, "color", _color(self.color))

    def pixel(self, width: int, height: int) -> tuple[int, int]:
        """x and y of the pixel in a picture of this size.

        Raises:
            HintError: it is outside the picture.
        """
        if self.relative:
            return min(int(self.x * width), width - 1), min(int(self.y * height), height - 1)
        if self.x >= width or self.y >= height:
            raise HintError(f"the point {self.x}, {self.y} is outside the picture of {width}×{height}")
        return int(self.x), int(self.y)


@dataclass(frozen=True)
class Capsule:
    """A new color for all that belongs to one capsule: a kind of thing, by its number on the map of capsules.

    Attributes:
        number: 0 or more.
        color: ``"#rrggbb"``, or ab in -128..127.

    Raises:
        HintError: a value is out of range, or no color.
    """

    number: int
    color: Color

    def __post_init__(self) -> None:
        object.__setattr__(self, "number", _whole(self.number, "the number of a capsule", 0))
        object.__setattr__(self, "color", _color(self.color))


@dataclass(frozen=True)
class Candidate:
    """One of several ways in which a picture may be true (:func:`colorcapsnet.paint.candidates`).

    Attributes:
        seed: 0 or more; the same seed gives the same candidates.
        of: how many there are to choose from, 1..128.
        number: which of them, from 0, the likeliest.

    Raises:
        HintError: a value is out of range.
    """

    seed: int
    of: int
    number: int

    def __post_init__(self) -> None:
        for name, low, high in (("seed", 0, 2**53), ("of", 1, DRAWS)):
            object.__setattr__(self, name, _whole(getattr(self, name), f"{name} of a candidate", low, high))
        object.__setattr__(self, "number", _whole(self.number, "the number of a candidate", 0, self.of - 1))


@dataclass(frozen=True)
class Hints:
    """All that a person decided about a picture, or about many.

    Attributes:
        points: colors that spread from a place as far as things belong together; applied last.
        recolor: new colors of whole capsules, or of the connected part around a place; one after the other.
        reference: path of a picture in color; what is in both is colored as there.
        candidate: which of several pictures that may be true; None for what is likely.
        strength: 0 is gray, 1 what is likely, 2 vivid.
        do_no_harm: 0..1; colors less sure than this fade to gray.
        size: width and height of the only picture that they fit, or None.
        time: seconds, of the frame of a film that they are for, or None for all; pictures have none.

    Raises:
        HintError: a value is out of range, or there are more than 1,000 points.
    """

    points: Sequence[Point] = ()
    recolor: Sequence[Capsule | Point] = ()
    reference: str | Path | None = None
    candidate: Candidate | None = None
    strength: float = 1.0
    do_no_harm: float = 0.0
    size: tuple[int, int] | None = None
    time: float | None = None

    def __post_init__(self) -> None:
        for name in ("points", "recolor"):
            given = tuple(getattr(self, name))
            object.__setattr__(self, name, given)
            if len(given) > MOST_POINTS:
                raise HintError(f"{name} are {len(given):,}: give {MOST_POINTS:,} at most")
        if any(isinstance(each, Point) and each.color is None for each in self.recolor):
            raise HintError('a part to recolor has no color: write one like "#a03020"')
        if self.reference is not None:
            object.__setattr__(self, "reference", _path(self.reference))
        object.__setattr__(self, "strength", _number(self.strength, "strength", 0, 2))
        object.__setattr__(self, "do_no_harm", _number(self.do_no_harm, "do_no_harm", 0, 1))
        if self.time is not None:
            object.__setattr__(self, "time", _number(self.time, "time", 0, 1e6))
        if self.size is not None:
            width, height = _pair(self.size, "size")
            object.__setattr__(self, "size", (_whole(width, "the width", 1), _whole(height, "the height", 1)))

    @property
    def given(self) -> list[Point]:
        """The points that have a color."""
        return [point for point in self.points if point.color is not None]

    @property
    def of_one_picture(self) -> bool:
        """Whether they speak of places, which differ from picture to picture."""
        return bool(self.points or self.size or any(isinstance(each, Point) for each in self.recolor))

    def check_size(self, width: int, height: int) -> None:
        """Refuse a picture of another size.

        Raises:
            HintError: they were made for another.
        """
        if self.size is not None and self.size != (width, height):
            made_for = f"{self.size[0]}×{self.size[1]}"
            raise HintError(f"the hints are for a picture of {made_for} pixels, and this one is {width}×{height}")

    def to_json(self) -> str:
        """The JSON file's text, a line for each point; what was not decided is left out."""
        told: dict[str, Any] = {"version": VERSION}
        if self.size:
            told["size"] = self.size
        lines = {"points": [*map(_told, self.points)], "recolor": [*map(_told, self.recolor)]}
        told |= {name: value for name, value in lines.items() if value}
        usual = asdict(Hints())
        single = {n: getattr(self, n) for n in ("reference", "candidate", "strength", "do_no_harm", "time")}
        told |= {name: value for name, value in single.items() if value != usual[name]}
        parts = (f' "{name}": {_laid_out(value)}' for name, value in told.items())
        return "{\n" + ",\n".join(parts) + "\n}\n"


def _told(decided: Point | Capsule) -> dict[str, Any]:
    if isinstance(decided, Capsule):
        return {"capsule": decided.number, "color": decided.color}
    return {"relative" if decided.relative else "pixel": [decided.x, decided.y], "color": decided.color}


def _laid_out(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, Candidate):
        return json.dumps(asdict(value))
    if isinstance(value, list):
        return "[\n" + ",\n".join(f"  {json.dumps(each)}" for each in value) + "\n ]"
    return json.dumps(value)


# Colors


def ab_of(color: Color) -> tuple[float, float]:
    """a and b of CIE Lab of ``"#rrggbb"``, or the pair that was given.

    >>> ab_of("#808080"), ab_of((40, -3))
    ((0.0, 0.0), (40, -3))

    Raises:
        HintError: it is no color.
    """
    color = _color(color)
    if not isinstance(color, str):
        return color
    rgb = np.frombuffer(bytes.fromhex(color[1:]), np.uint8)
    _, a, b = colors.srgb_to_lab(rgb[None, None])[0, 0].tolist()
    return a, b


def hex_of(rgb: Iterable[int]) -> str:
    """``"#rrggbb"`` of three codes 0..255.

    >>> hex_of((160, 48, 32))
    '#a03020'
    """
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def recolor_of(text: str) -> Capsule | Point:
    """``3=#a03020``: a capsule in red; ``120,340=#a03020``: the part around a pixel.

    >>> recolor_of("3=#a03020"), recolor_of("120,340=#a03020")
    (Capsule(number=3, color='#a03020'), Point(x=120, y=340, color='#a03020', relative=False))

    Raises:
        HintError: it has another form.
    """
    found = _RECOLOR.fullmatch(text)
    if not found:
        raise HintError(f"{_shown(text)} recolors nothing: write CAPSULE=#a03020, or X,Y=#a03020 with a pixel")
    first, second, color = found.groups()
    return Capsule(int(first), color) if second is None else Point(int(first), int(second), color)


# Files


def read(path: str | Path) -> Hints:
    """Hints from a JSON file (``.json``), or from a transparent picture with spots of color.

    A reference is looked for from the folder of the JSON file.

    Raises:
        HintError: the file is missing, damaged, or holds something else; or no color was filled in yet.
        PictureError: a picture cannot be read.
    """
    path = Path(path)
    if path.suffix.lower() != ".json":
        return from_spots(pictures.read(path))
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
        text = content.decode("utf-8-sig")
    except FileNotFoundError:
        raise HintError(f"{path} does not exist: check the name") from None
    except (OSError, ValueError) as problem:
        raise HintError(f"{path} cannot be read ({problem}): give a JSON file, or a picture with spots") from None
    if len(content) > _LARGEST_FILE:
        raise HintError(f"{path} is larger than a megabyte: it is no file of hints")
    hints = from_json(text, str(path))
    if hints.points and replace(hints, points=hints.given, size=None, time=None) == NOTHING:
        raise HintError(f'{path} gives no color yet: write one like "#a03020" in place of a null')
    return hints if hints.reference is None else replace(hints, reference=(path.parent / hints.reference).absolute())


def write(hints: Hints, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a JSON file that :func:`read` reads, whole or not at all.

    Raises:
        OutputError: something stands there, or the file cannot be written.
    """
    with pictures.placed(Path(path), overwrite) as descriptor, open(descriptor, "wb", closefd=False) as file:
        file.write(hints.to_json().encode())


def from_json(text: str, name: str = "the hints") -> Hints:
    """Hints from the text of a JSON file.

    Args:
        text: see the head of this module.
        name: of the file, for messages.

    Raises:
        HintError: it is no JSON, of another version, or has a key or a value that it must not have.
    """
    try:
        told = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse_constant)
        _refuse_unknown(told, {"version", *Hints.__dataclass_fields__})
        if told.pop("version", None) != VERSION:
            raise HintError(f'they need "version": {VERSION}')
        if told.get("candidate") is not None:
            told["candidate"] = _candidate_from(told["candidate"])
        for key, read_one in (("points", _point_from), ("recolor", _recolor_from)):
            if key in told:
                told[key] = [_numbered(key, n, one, read_one) for n, one in enumerate(_items(told[key], key), 1)]
        return Hints(**told)
    except HintError as problem:
        raise HintError(f"{name}: {problem}") from None
    except (ValueError, RecursionError) as problem:
        raise HintError(f"{name} is no JSON ({problem}): mend it, or begin anew") from None


def from_spots(picture: pictures.Picture) -> Hints:
    """Points from a picture that is transparent but for spots of color.

    Each connected spot, opaque by half or more, becomes a point: the pixel of it that is nearest to its middle, with
    the mean of its color.

    Raises:
        HintError: nothing in it is transparent or nothing is opaque, a spot has several colors, or there are more than
            1,000 spots.
    """
    name, rgb, alpha = picture.name, colors.eight_bits(picture.array), picture.alpha
    if alpha is None:
        raise HintError(f"{name} has no transparency: leave all of it transparent but for spots of color")
    opaque = (alpha >= np.iinfo(alpha.dtype).max / 2).astype(np.uint8)
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(opaque, connectivity=8)
    if count == 1:
        raise HintError(f"{name} is transparent everywhere: paint a spot where you know the color")
    if count - 1 > MOST_POINTS:
        raise HintError(f"{name} has {count - 1:,} spots: paint {MOST_POINTS:,} at most")
    points = []
    for label, (left, top, width, height, _) in enumerate(boxes[1:].tolist(), 1):
        window = slice(top, top + height), slice(left, left + width)
        inside = labels[window] == label
        spot = rgb[window][inside]
        points.append(_spot(np.argwhere(inside)[:, ::-1] + (left, top), spot if rgb.ndim == 3 else None, name))
    return Hints(points=points, size=(picture.width, picture.height))


def _spot(pixels: colors.Float, rgb: Any, name: str) -> Point:  # noqa: ANN401
    """A spot of pixels ``(n, 2)``, x and y, with colors ``(n, 3)``, or gray."""
    x, y = pixels[((pixels - pixels.mean(axis=0)) ** 2).sum(axis=1).argmin()].tolist()
    if rgb is None:
        return Point(x, y, (0.0, 0.0))
    ab = colors.srgb_to_lab(rgb[None])[0, :, 1:]
    if np.hypot(*(ab - ab.mean(axis=0)).T).max() > _ONE_COLOR:
        raise HintError(f"{name} has a spot of several colors around {x}, {y}: leave a gap between colors")
    return Point(x, y, hex_of(np.rint(rgb.mean(axis=0)).astype(int)))


def over(hints: Hints, new: Hints) -> Hints:
    """Both, of any size and time; the new ones where only one can hold."""
    return Hints(
        points=[*hints.points, *new.points],
        recolor=[*hints.recolor, *new.recolor],
        reference=new.reference or hints.reference,
        candidate=new.candidate or hints.candidate,
        strength=hints.strength if new.strength == NOTHING.strength else new.strength,
        do_no_harm=new.do_no_harm or hints.do_no_harm,
    )


# What is refused


def _number(value: Any, what: str, low: float, high: float) -> float:  # noqa: ANN401
    if isinstance(value, bool) or not isinstance(value, _NUMBERS) or not low <= value <= high:
        raise HintError(f"{what} is a number from {low:g} to {high:g}, not {_shown(value)}")
    return int(value) if isinstance(value, int | np.integer) else float(value)


def _whole(value: Any, what: str, low: int, high: int | None = None) -> int:  # noqa: ANN401
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        reach = f"from {low} on" if high is None else f"from {low} to {high}"
        raise HintError(f"{what} is a whole number {reach}, not {_shown(value)}")
    return int(value)


def _pair(value: Any, what: str) -> tuple[Any, Any]:  # noqa: ANN401
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise HintError(f"{what} is two numbers, not {_shown(value)}")
    return value[0], value[1]


def _color(value: Any) -> Color:  # noqa: ANN401
    if isinstance(value, str) and _HEX.fullmatch(value):
        return value.lower()
    if isinstance(value, list | tuple) and len(value) == 2:
        a, b = (_number(part, name, -128, 127) for part, name in zip(value, "ab", strict=True))
        return a, b
    raise HintError(f'{_shown(value)} is no color: write "#rrggbb", or a and b of CIE Lab as [40, 30]')


def _path(value: Any) -> str:  # noqa: ANN401
    if not isinstance(value, str | Path) or not str(value):
        raise HintError(f"the reference is the path of a picture, not {_shown(value)}")
    return str(value)


def _shown(value: Any) -> str:  # noqa: ANN401
    try:
        text = ascii(value)
    except (RecursionError, ValueError):
        return "something deep"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for key, value in pairs:
        if key in told:
            raise HintError(f"{_shown(key)} stands there twice")
        told[key] = value
    return told


def _refuse_constant(name: str) -> NoReturn:
    raise HintError(f"{name} is no number")


def _refuse_unknown(told: Any, known: set[str]) -> None:  # noqa: ANN401
    if not isinstance(told, Mapping):
        raise HintError(f"{{…}} is needed, not {_shown(told)}")
    for key in told:
        if key not in known:
            raise HintError(f"there is no {_shown(key)}: choose from {', '.join(sorted(known))}")


def _items(told: Any, key: str) -> list[Any]:  # noqa: ANN401
    if not isinstance(told, list):
        raise HintError(f"{key} is a list, not {_shown(told)}")
    return told


def _numbered(key: str, number: int, told: Any, read_one: Any) -> Any:  # noqa: ANN401
    try:
        return read_one(told)
    except HintError as problem:
        raise HintError(f"number {number} of {key}: {problem}") from None


def _point_from(told: Any) -> Point:  # noqa: ANN401
    _refuse_unknown(told, {"pixel", "relative", "color"})
    if ("pixel" in told) == ("relative" in told) or "color" not in told:
        raise HintError('a point has a color, and either "pixel" or "relative" for its place')
    relative = "relative" in told
    return Point(*_pair(told["relative" if relative else "pixel"], "a place"), told["color"], relative)


def _candidate_from(told: Any) -> Candidate:  # noqa: ANN401
    needed = {"seed", "of", "number"}
    _refuse_unknown(told, needed)
    if set(told) != needed:
        raise HintError(f'a candidate is {{"seed": 1, "of": 4, "number": 2}}, not {_shown(told)}')
    return Candidate(**told)


def _recolor_from(told: Any) -> Capsule | Point:  # noqa: ANN401
    if not isinstance(told, Mapping) or "capsule" not in told:
        return _point_from(told)
    _refuse_unknown(told, {"capsule", "color"})
    return Capsule(told["capsule"], told.get("color"))  # type: ignore[arg-type]


NOTHING = Hints()
"""Of a person who decided nothing."""
