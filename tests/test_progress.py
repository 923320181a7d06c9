"""The bar: silent away from a terminal, and on one it says how many, how fast, and how long still."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colorcapsnet import progress

PROGRAM = """
import time
from colorcapsnet import progress
with progress.bar("coloring", 4, start=1) as advance:
    for share in (0.5, 0.25, 0.25, 1, 0.1, 0.2, 0.7):
        time.sleep(0.05)
        advance(share, note="half way")
"""


def on_a_terminal(program):
    """What a person sees: standard error is a pseudo-terminal."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen([sys.executable, "-c", program], stderr=theirs, stdout=subprocess.PIPE, env=environment)
    os.close(theirs)
    seen = b""
    while True:
        try:
            seen += os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    out, _ = process.communicate()
    assert process.returncode == 0, seen
    return seen.decode(), out


def test_a_terminal_shows_count_rate_time_and_note_and_parts_add_up():
    seen, out = on_a_terminal(PROGRAM)
    last = seen.rsplit("coloring", 1)[1]
    assert "4/4" in last
    assert "pictures/s" in last
    assert "half way" in last
    assert out == b""


def test_nothing_is_shown_where_nobody_looks():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


@given(st.floats(0, 1e6))
def test_a_duration_is_said_to_its_leading_units(seconds):
    words = progress.duration(seconds).replace(" h", " 3600").replace(" min", " 60").replace(" s", " 1").split()
    said = sum(float(number) * float(unit) for number, unit in zip(words[::2], words[1::2], strict=True))
    assert said == pytest.approx(seconds, abs=60 if seconds > 3600 else 0.6)
