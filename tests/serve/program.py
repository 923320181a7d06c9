"""`colorcapsnet serve`, started as a person starts it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys


@contextlib.contextmanager
def serving(*options, **environment):
    """The address of a server in a process of its own; it must end with 0 on Ctrl-C, and complain of nothing."""
    command = [sys.executable, "-m", "colorcapsnet", "serve", "--port", "0", *map(str, options)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    ) as process:
        try:
            ready, _, _ = select.select([process.stdout], [], [], 120)
            told = process.stdout.readline() if ready else ""
            assert told.endswith("/ (Ctrl-C stops it)\n"), told + process.stderr.read()
            yield told.split("/ ")[0]
            process.send_signal(signal.SIGINT)
            _, complaints = process.communicate(timeout=60)
            assert (process.returncode, complaints) == (0, ""), complaints
        finally:
            process.kill()
