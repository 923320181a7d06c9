"""Draw what a person may decide, as docs/decide.md shows it: python examples/decide.py samples docs"""

import sys
from pathlib import Path

from colorcapsnet import Colorizer
from colorcapsnet.hints import Hints, Point
from colorcapsnet.report import Cell, sheet

SUIT, WALL, SKIN, SKY = (100, 300), (330, 60), (225, 150), (300, 60)
samples, folder = Path(sys.argv[1]), Path(sys.argv[2])
colorizer = Colorizer()

rows = []
for name, thing, paint in (("astronaut.png", SUIT, "#d06010"), ("china.jpg", SKY, "#e08040")):
    canvas = colorizer.open(samples / name)
    recolored, careful = canvas.recolor(thing, paint).color(), canvas.color(hints=Hints(do_no_harm=0.8))
    shown = [canvas.color().array, canvas.region_map(), recolored.array, canvas.confidence_map(), careful.array]
    rows.append([Cell(picture) for picture in shown])
headings = ("likely", "--capsules", "--recolor X,Y=#RRGGBB", "--confidence", "--do-no-harm 0.8")
sheet(headings, rows, folder / "decide.jpg", width=170)

canvas = colorizer.open(samples / "astronaut.png")
suit, wall, skin = Point(*SUIT, "#d06010"), Point(*WALL, "#b8b0b8"), Point(*SKIN, "#d09878")
hinted = [canvas.color(hints=Hints(points=points)) for points in ([suit], [suit, wall], [suit, wall, skin])]
other = canvas.reference(samples / "grace_hopper.jpg").color()
row = [Cell(picture.array) for picture in (canvas.color(), *hinted, other)]
headings = ("likely", "the suit by a point", "the wall, too", "and the skin", "--reference grace_hopper.jpg")
sheet(headings, [row], folder / "decide-hints.jpg", width=170)
