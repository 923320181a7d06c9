"""Color one photograph and say what was kept: python examples/one_picture.py PHOTOGRAPH OUTPUT.png"""

import sys

import numpy as np

from colorcapsnet import Colorizer, Picture, color, pictures

photograph: Picture = pictures.read(sys.argv[1])
colored: Picture = Colorizer().colorize(photograph)
colored.save(sys.argv[2])

kept = np.array_equal(color.gray_of(colored.array), photograph.gray)
print(f"{sys.argv[2]}: {colored.width}x{colored.height}, {colored.array.dtype}, every gray code kept: {kept}")
