"""Write the pages that the program knows best: python docs/generate.py; with --check, say which have drifted."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from colorcapsnet import report, zoo
from colorcapsnet.cli import main

DOCS = Path(__file__).parent
WIDTH = 84


def commands() -> str:
    """Every verb's own help."""
    parts = ["# Every command", "What `--help` says, of each verb."]
    for name, text in _helps(main, "colorcapsnet"):
        parts.append(f"## {name}\n\n```text\n{text}\n```")
    return "\n\n".join(parts) + "\n"


def _helps(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[tuple[str, str]]:
    settings = command.context_settings | {"terminal_width": WIDTH}
    context = click.Context(command, parent, info_name=name.split()[-1], **settings)
    yield name, command.get_help(context)
    for verb, below in sorted(getattr(command, "commands", {}).items()):
        yield from _helps(below, f"{name} {verb}", context)


def models() -> str:
    """The cards of the networks that ship, less their losses."""
    paths = sorted((Path(zoo.__file__).parent / "models").glob("*.onnx"))
    cards = [(zoo.Card.load(path.with_suffix(".json")), path.stat().st_size) for path in paths]
    parts = ["# The networks that ship", "From their cards, `NAME.json`; every column of the scores is explained in "
             "[evaluation.md](evaluation.md)."]  # fmt: skip
    for card, size in cards:
        parts += [f"## {card.name}", _facts(card, size), f"**Limits.** {card.limits}", f"**License.** {card.license}."]
        for name, kept in card.scores.items():
            table = report.markdown_table({"summary": kept["rows"]})
            parts += [f"On `{name}` (set {kept['manifest'][:12]}):", table]
    return "\n\n".join(parts) + "\n"


def _facts(card: zoo.Card, size: int) -> str:
    sees = f"patches of {card.size}×{card.size}" if card.kind == "patch" else f"whole photographs, at {card.size}²"
    facts = {
        "sees": sees,
        "parameters": f"{card.parameters:,}",
        "file": f"{size / 1e6:.1f} MB, SHA-256 `{card.sha256}`",
        "learnt from": "; then ".join(card.trained_on),
        "made by": f"`{card.command}`",
        "graph against network": f"{card.parity:.2g}, of 1",
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {fact} |" for name, fact in facts.items())])


def pages() -> dict[Path, str]:
    """Page -> what should stand in it."""
    return {DOCS / "cli.md": commands(), DOCS / "models.md": models()}


if __name__ == "__main__":
    drifted = [page for page, text in pages().items() if not page.exists() or page.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv and drifted:
        sys.exit(f"{', '.join(page.name for page in drifted)} drifted from the program: make docs")
    for page in drifted:
        page.write_text(pages()[page], encoding="utf-8")
