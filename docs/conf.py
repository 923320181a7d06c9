"""The site: the pages of this folder, which read on a code host as well, and the API from its docstrings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from colorcapsnet import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project, author, release = "colorcapsnet", "the authors of colorcapsnet", __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = f"colorcapsnet {release}"
html_show_copyright = False
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": False}
napoleon_use_ivar = True
suppress_warnings = ["ref.python"]  # attributes of the same name in several classes

_SOURCE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+colorcapsnet/([\w/]+)\.py(?:#L\d+)?\)")


def _link_sources(app: Sphinx, page: str, content: list[str]) -> None:
    """Links into the package lead to its source on the site."""
    modules = "../" * page.count("/") + "_modules/colorcapsnet"
    content[0] = _SOURCE.sub(rf'<a href="{modules}/\2.html">\1</a>', content[0])


def setup(app: Sphinx) -> None:
    """Ask Sphinx for each page as it is read."""
    app.connect("source-read", _link_sources)
