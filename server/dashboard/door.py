"""Who may see the dashboard, and what a browser is told about it.

On this machine itself nothing is asked, unless a token is set. A browser shows the token once, in a
form, and keeps a cookie that it cannot read; a program shows it with each request
(``Authorization: Bearer``). Requests under a strange name are refused: a page of somebody else's
could have its own name point to this machine (DNS rebinding).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "myofed-dashboard"
OPEN_PATHS = ("/sign-in", "/static/")

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


class Door:
    """Wraps the dashboard's application.

    Parameters
    ----------
    hosts
        Names under which the dashboard may be asked for, without port.
    token
        What a visitor must show; empty for nothing.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str], token: str) -> None:
        self.app = app
        self.hosts = frozenset(host.lower() for host in hosts)
        self.token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with a refusal."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        refusal = self._refusal(Request(scope))
        await (refusal or self.app)(scope, receive, with_headers)

    def _refusal(self, request: Request) -> Response | None:
        if host_of(request.headers.get("host", "")) not in self.hosts:
            return PlainTextResponse("This dashboard is not known under that name.", 421)
        posts = request.method == "POST" and request.url.path == "/sign-in"
        if request.method not in ("GET", "HEAD") and not posts:
            return PlainTextResponse("The dashboard is read-only.", 405)
        if not self.token or request.url.path.startswith(OPEN_PATHS) or self._knows(request):
            return None
        if "text/html" in request.headers.get("accept", ""):
            return RedirectResponse("/sign-in", 303)
        return PlainTextResponse("Show the token.", 401, {"WWW-Authenticate": "Bearer"})

    def _knows(self, request: Request) -> bool:
        kind, _, shown = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and same(shown.strip(), self.token):
            return True
        return same(request.cookies.get(COOKIE, ""), pass_of(self.token))


def pass_of(token: str) -> str:
    """Give what the cookie holds: it follows from the token, and does not show it."""
    return hmac.new(token.encode(), b"myofed dashboard", hashlib.sha256).hexdigest()


def same(shown: str, expected: str) -> bool:
    """Compare secrets in a time that tells nothing about them."""
    return hmac.compare_digest(shown.encode(), expected.encode())


def host_of(header: str) -> str:
    """Take the port off a Host header; an IPv6 address loses its brackets."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower()
