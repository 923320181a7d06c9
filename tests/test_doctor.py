"""The doctor, asked as a person asks: what is there, what is not and how to get it, and a non-zero exit when ill."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import colorcapsnet
from colorcapsnet import zoo
from tests.tiny import write_model

ROOT = Path(colorcapsnet.__file__).parents[1]


@pytest.fixture
def doctor(tmp_path):
    """Run it with a folder of things that come before the installed ones."""

    def run(code=0, **environment):
        path = os.pathsep.join([str(tmp_path / "first"), str(ROOT)])
        done = subprocess.run(
            [sys.executable, "-m", "colorcapsnet", "doctor"],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": path, **environment},
            timeout=120,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    (tmp_path / "first").mkdir()
    return run


@pytest.fixture
def pretend(tmp_path):
    """Install a distribution of another version, for whoever asks which version it is."""

    def pretend(name, version):
        info = tmp_path / "first" / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")

    return pretend


@pytest.mark.medium
def test_a_healthy_machine_is_described_with_versions_models_and_speed(doctor):
    told = doctor().stdout
    for name in ("colorcapsnet", "numpy", "onnxruntime", "pyvips", "pyvips-binary"):
        assert re.search(rf"^ok +{name} {re.escape(metadata.version(name))}", told, re.MULTILINE)
    for name in ("deep", "paper"):
        sha256 = hashlib.sha256(zoo.find(name).read_bytes()).hexdigest()
        assert re.search(rf"^ok +model {name}, .*{sha256[:12]}", told, re.MULTILINE)
    assert "reads and writes jpg, png, tiff, webp, avif; reads gif" in told
    assert re.search(r"^ok +colors 2 megapixels in [\d.]+ s, of that \d+% the network$", told, re.MULTILINE)
    assert "broken" not in told


@pytest.mark.medium
def test_an_extra_that_is_not_there_is_no_illness_and_its_install_line_is_told(doctor, pretend):
    pretend("matplotlib", "3.1")
    assert "missing  extra report lacks matplotlib: pip install 'colorcapsnet[report]'" in doctor().stdout


def test_a_library_that_is_too_old_is_named_with_what_is_needed(doctor, pretend):
    pretend("rich", "9.13.0")
    done = doctor(code=1)
    assert "broken   rich 9.13.0: pip install 'rich>=14'" in done.stdout
    assert "1 broken" in done.stderr
    assert "megapixels" not in done.stdout  # what needs it is not tried


def test_a_library_that_does_not_load_is_named_with_the_reason(doctor, tmp_path):
    (tmp_path / "first/pyvips.py").write_text("raise OSError('libvips.so.42: cannot open\\nshared object file')")
    told = doctor(code=1).stdout
    assert "does not load (libvips.so.42: cannot open shared object file): pip install --force-reinstall pyvips" in told


@pytest.mark.medium
def test_a_damaged_model_of_the_users_own_is_named_and_the_rest_is_still_looked_at(doctor, tmp_path):
    (tmp_path / "models").mkdir()
    mine = write_model(tmp_path / "models", "mine")
    whole = doctor(COLORCAPSNET_HOME=str(tmp_path)).stdout
    assert f"model mine, 0.0 MB, whole (SHA-256 {zoo.Card.load(mine.with_suffix('.json')).sha256[:12]})" in whole
    mine.write_bytes(mine.read_bytes()[:-1] + b"!")
    told = doctor(code=1, COLORCAPSNET_HOME=str(tmp_path)).stdout
    assert re.search(r"^broken .*mine\.onnx is damaged", told, re.MULTILINE)
    assert "colors 2 megapixels" in told
