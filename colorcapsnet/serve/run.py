"""Start the server."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from colorcapsnet.errors import OutputError

_CONNECTIONS = 256


def run(app: FastAPI, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until Ctrl-C.

    Args:
        app: from :func:`app.application`.
        host: address to listen at.
        port: 0 for any that is free.
        ready: called with the address of the page, when requests are heard.

    Raises:
        OutputError: the address or the port cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as problem:
        told = getattr(problem, "strerror", None) or problem
        raise OutputError(
            f"nothing can listen at {host}, port {port} ({told}): choose another --port or --host"
        ) from None
    shown = f"[{host}]" if ":" in host else host
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        log_level="error",
        access_log=False,  # ids are secrets
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=5,
    )
    with listening:
        ready(f"http://{shown}:{listening.getsockname()[1]}/")
        with contextlib.suppress(KeyboardInterrupt):  # which it passes on when all is over
            uvicorn.Server(config).run(sockets=[listening])
