"""Who may speak to the server, and what browsers are told about it.

A page of another site can make a browser send requests here, and by a name of its own that it points to this machine
(DNS rebinding) it could read the answers. So a request must name the server by an address, as localhost or as one of
its own names, and one that changes something must come from the server's own page, or from no page at all.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_READING = {"GET", "HEAD", "OPTIONS"}


class Guard:
    """Refuses what :mod:`guard` speaks of, and adds :data:`HEADERS` to every answer.

    Args:
        app: what is guarded.
        names: of the server, besides addresses and localhost.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str] = ()) -> None:
        self.app, self.names = app, {"localhost", *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let it through."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store" if scope["path"].startswith("/api/") else "no-cache")
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope))
        await (self.app if refusal is None else refusal)(scope, receive, guarded)

    def _refusal(self, method: str, headers: Headers) -> JSONResponse | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._is_ours(host):
            told = f"this server is not known as {host[:100]!r}: use its address, or start it with --domain"
            return JSONResponse({"detail": told}, 421)
        if method not in _READING and origin is not None and origin.lower().partition("://")[2] != host.lower():
            told = f"a page of {origin[:100]} may not change anything here: open this server's own page"
            return JSONResponse({"detail": told}, 403)
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            return name in self.names or bool(ipaddress.ip_address(name))
        except ValueError:
            return False
