"""Color a folder with all below it, and go on after a stop: python examples/folder.py FOLDER OUTPUT_FOLDER"""

import sys
from pathlib import Path

from colorcapsnet import Colorizer, batch

jobs = batch.plan([Path(sys.argv[1])], Path(sys.argv[2]))
outcomes = batch.colorize_all(jobs, Colorizer())
print(batch.summary(outcomes))
