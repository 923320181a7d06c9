"""Errors: one tree, one line, and the install line where a library is missing."""

from __future__ import annotations

import json

import pytest

from colorcapsnet import errors


def test_every_error_is_of_the_tree_and_has_an_exit_code():
    for name in ("PictureError", "TooLarge", "HintError", "OutputError", "ModelError", "DataError", "MissingExtra"):
        kind = getattr(errors, name)
        assert issubclass(kind, errors.ColorCapsNetError)
        assert kind.exit_code in (1, 2)
        assert name in errors.__doc__


def test_a_library_that_is_there_is_imported():
    assert errors.need("json", "train") is json


def test_a_missing_library_is_named_with_its_install_line():
    with pytest.raises(errors.MissingExtra, match=r"needs nolibrary.*pip install 'colorcapsnet\[video\]'"):
        errors.need("nolibrary.part", "video")


def test_a_library_that_lacks_one_of_its_own_needs_is_not_called_missing(tmp_path, monkeypatch):
    (tmp_path / "halflibrary.py").write_text("import nolibrary")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="nolibrary"):
        errors.need("halflibrary", "video")
