"""``python -m colorcapsnet``."""

from colorcapsnet.cli import main

main(prog_name="colorcapsnet")
