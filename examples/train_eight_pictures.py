"""Train the published network on a few pictures: python examples/train_eight_pictures.py FOLDER RUN_FOLDER"""

import sys
from pathlib import Path

from colorcapsnet.learn.paper import PaperConfig
from colorcapsnet.learn.shards import Preparation, prepare
from colorcapsnet.learn.train import Schedule, train

run = Path(sys.argv[2])
shards = prepare(Preparation(((sys.argv[1], 0),)), run / "shards", jobs=1)
final = train("eight", PaperConfig(), Schedule(epochs=3), shards, None, run)
for epoch in final.history:
    print(f"epoch {epoch['epoch']}: loss {epoch['loss']:.5f}")
