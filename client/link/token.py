"""The secret that the two rooms share: a file in the link's folder, and the guard that asks for it.

Whoever comes first makes it. It is read anew for each call, so a site renews it by removing the
file. It is never logged.
"""

from __future__ import annotations

import hmac
import logging
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc

from client.link.place import LinkError, is_shared

TOKEN_FILE = "token"
KEY = "myofed-token"
_TOKEN = re.compile(r"[0-9a-f]{64}")


def token_of(folder: Path) -> str:
    """Read the folder's token; make it if there is none.

    Raises
    ------
    LinkError
        Others could read or change it, or it is not a token.
    """
    path = folder / TOKEN_FILE
    try:
        if not path.exists():
            _make(path)
        with path.open(encoding="ascii") as file:
            mode = os.fstat(file.fileno()).st_mode
            token = file.read(65).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text"
        raise LinkError(
            f"The token {path} cannot be read ({reason}).",
            "The node and the worker run as one user, or share a group that may write in there.",
        ) from None
    if mode & 0o037:
        raise LinkError(
            f"Others than its owner can read or change the token {path}.",
            f"Remove it, so that a new one is made, and chmod o-rwx {path.parent}.",
        )
    if not _TOKEN.fullmatch(token):
        raise LinkError(f"{path} holds no token.", "Remove it; a new one is made.")
    return token


def _make(path: Path) -> None:
    """Write a token whole or not at all; leave the one that came first."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))
        if is_shared(path.parent):
            os.chown(name, -1, path.parent.stat().st_gid)
            os.chmod(name, 0o640)
        os.link(name, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(name)


class Guard(grpc.ServerInterceptor):
    """Lets calls with the token through; of the others only health, which tells nothing."""

    def __init__(self, folder: Path, log: logging.Logger) -> None:
        self._folder = folder
        self._log = log

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Give the call's own handler, or one that refuses it."""
        method = handler_call_details.method
        if method.startswith("/grpc.health.v1.Health/"):
            return continuation(handler_call_details)
        sent = dict(handler_call_details.invocation_metadata).get(KEY)
        if self._is_right(sent):
            return continuation(handler_call_details)
        what = "no token" if sent is None else "a wrong token"

        def refuse(_: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
            self._log.warning("Refused a call from %s with %s.", context.peer(), what)
            context.abort(grpc.StatusCode.UNAUTHENTICATED, f"The call came with {what}.")

        return grpc.stream_stream_rpc_method_handler(refuse)

    def _is_right(self, sent: str | bytes | None) -> bool:
        try:
            token = token_of(self._folder)
        except LinkError as error:
            self._log.error("%s", error)
            return False
        held = sent.encode() if isinstance(sent, str) else sent or b""
        return hmac.compare_digest(held, token.encode())
