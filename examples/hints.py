"""Color with what you know, and ask what else would help: python examples/hints.py PHOTOGRAPH OUTPUT X,Y=#RRGGBB ..."""

import sys

from colorcapsnet import Colorizer
from colorcapsnet.hints import Hints, Point


def point(text: str) -> Point:
    """Read ``120,340=#a03020``."""
    place, _, color = text.partition("=")
    x, y = map(int, place.split(","))
    return Point(x, y, color)


photograph, output, *known = sys.argv[1:]
hints = Hints(points=[point(text) for text in known])
canvas = Colorizer().open(photograph)
canvas.color(hints=hints).save(output)
(x, y), *_ = canvas.suggest(1, hints)
print(f"{output}: {len(known)} given; a color at {x},{y} would help most now")
