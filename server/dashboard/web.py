"""The dashboard's application: pages, the stream of changes, curves of a site, and metrics."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection
from importlib.resources import files

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from server.dashboard import pages
from server.dashboard.assembly import site_curves
from server.dashboard.door import COOKIE, Door, pass_of, same
from server.dashboard.live import LOOK_SECONDS, Live
from server.dashboard.metrics import metrics_of
from server.dashboard.runs import Runs

SHOWN_RUNS = 50
MOST_STREAMS = 100
STILL_SECONDS = 12.0
"""How often a stream without news says that it is still there."""
LONGEST_TOKEN = 4096


def application(runs: Runs, hosts: Collection[str], token: str, secure: bool) -> ASGIApp:
    """Make the application.

    Parameters
    ----------
    hosts
        Names under which it may be asked for.
    token
        What a visitor must show; empty for nothing.
    secure
        Whether it is served over TLS: the cookie is then sent over nothing else.
    """
    streams: set[object] = set()

    def live_of(request: Request) -> Live:
        found = runs.find(request.path_params["identity"])
        if found is None:
            raise HTTPException(404, "There is no such run.")
        return found

    def front(request: Request) -> Response:
        known = runs.identities()
        if len(known) == 1:
            return RedirectResponse(f"/runs/{known[0]}", 303)
        shown = [one.look() for one in map(runs.find, known[:SHOWN_RUNS]) if one is not None]
        return HTMLResponse(pages.page("runs.html", runs=shown, place=runs.place))

    def run_page(request: Request) -> Response:
        live = live_of(request)
        shown, body, version = live.body()
        held = pages.island(
            {
                "mark": f"{live.mark}.{version}",
                "at": shown.at,
                "curves": [pages.drawn(curve) for curve in shown.curves],
            }
        )
        html = pages.page("run.html", s=shown, body=_safe(body), held=_safe({"": held})[""],
                          place=runs.place, several=len(runs.identities()) > 1)  # fmt: skip
        return HTMLResponse(html)

    def snapshot(request: Request) -> Response:
        return JSONResponse(live_of(request).look().as_dict())

    def of_site(request: Request) -> Response:
        live = live_of(request)
        live.look()
        found = site_curves(live.reader.told, request.path_params["site"])
        return JSONResponse([pages.drawn(curve) for curve in found])

    async def stream(request: Request) -> Response:
        live = await run_in_threadpool(live_of, request)
        if len(streams) >= MOST_STREAMS:
            raise HTTPException(503, "Too many pages are open.")
        seen = request.headers.get("last-event-id") or request.query_params.get("from", "")
        changes = _changes(live, seen, streams)
        return StreamingResponse(changes, media_type="text/event-stream")

    def metrics(request: Request) -> Response:
        content, kind = metrics_of(runs)
        return Response(content, headers={"Content-Type": kind})

    def sign_in(request: Request) -> Response:
        return HTMLResponse(pages.page("sign_in.html", place="", refused=False))

    async def signed_in(request: Request) -> Response:
        if int(request.headers.get("content-length") or LONGEST_TOKEN + 1) > LONGEST_TOKEN:
            raise HTTPException(413, "Too large.")
        shown = str(_form(await request.body()).get("token", ""))
        if not token or not same(shown.strip(), token):
            page = pages.page("sign_in.html", place="", refused=True)
            return HTMLResponse(page, 403)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            COOKIE, pass_of(token), httponly=True, secure=secure, samesite="strict", path="/"
        )
        return answer

    def not_found(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        words = error.detail if isinstance(error, HTTPException) else "The dashboard failed."
        return HTMLResponse(pages.page("error.html", words=words, place=""), status)

    static = StaticFiles(directory=str(files("server.dashboard").joinpath("static")))
    app = Starlette(
        routes=[
            Route("/", front),
            Route("/runs/{identity}", run_page),
            Route("/runs/{identity}/snapshot.json", snapshot),
            Route("/runs/{identity}/live", stream),
            Route("/runs/{identity}/sites/{site}", of_site),
            Route("/metrics", metrics),
            Route("/sign-in", sign_in, methods=["GET"]),
            Route("/sign-in", signed_in, methods=["POST"]),
            Mount("/static", static),
        ],
        exception_handlers={HTTPException: not_found},
    )
    return Door(app, hosts, token)


async def _changes(live: Live, seen: str, streams: set[object]) -> AsyncIterator[str]:
    """Send what changes, as long as somebody listens."""
    mark, _, number = seen.partition(".")
    version = int(number) if mark == live.mark and number.isdigit() else -1
    own, quiet = object(), 0.0
    streams.add(own)
    try:
        yield "retry: 2000\n\n"
        if seen and version < 0:
            # The dashboard was started anew: its page may be another one too.
            yield "event: afresh\ndata: {}\n\n"
            return
        while True:
            latest, changed = await run_in_threadpool(live.since, version)
            if latest != version:
                version, quiet = latest, 0.0
                data = json.dumps(changed, separators=(",", ":"))
                yield f"id: {live.mark}.{version}\nevent: parts\ndata: {data}\n\n"
            elif quiet >= STILL_SECONDS:
                quiet = 0.0
                yield "event: still\ndata: {}\n\n"
            await asyncio.sleep(LOOK_SECONDS)
            quiet += LOOK_SECONDS
    finally:
        streams.discard(own)


def _form(body: bytes) -> dict[str, str]:
    from urllib.parse import parse_qsl

    return dict(parse_qsl(body.decode("utf-8", "replace")))


def _safe(parts: dict[str, str]) -> dict[str, object]:
    """Mark what was rendered here as HTML that needs no further escaping."""
    from markupsafe import Markup

    return {name: Markup(html) for name, html in parts.items()}
