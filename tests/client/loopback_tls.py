"""Loopback servers of every kind that a node may meet: certificates, TLS, clocks, proxies."""

from __future__ import annotations

import contextlib
import ipaddress
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from common.identity import certificate_fingerprint

DAY = timedelta(days=1)


def until(what: Callable[[], Any], seconds: float = 30.0, every: float = 0.05) -> Any:
    """Wait until `what` gives something true, and give that."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(every)
    return found


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


class Authority:
    """A throw-away certificate authority, and server certificates of it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"CA {folder.name}")])
        self.certificate = (
            self._builder(self.name, self.key.public_key(), -DAY, 30 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self.key, SHA256())
        )
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(self.certificate.public_bytes(Encoding.PEM))

    @property
    def fingerprint(self) -> str:
        return certificate_fingerprint(self.ca.read_text())

    def server(
        self,
        names: Sequence[str] = ("localhost", "127.0.0.1"),
        begins: timedelta = -DAY,
        ends: timedelta = 29 * DAY,
    ) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives: list[x509.GeneralName] = []
        for name in names:
            try:
                alternatives.append(x509.IPAddress(ipaddress.ip_address(name)))
            except ValueError:
                alternatives.append(x509.DNSName(name))
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "coordinator")])
        certificate = (
            self._builder(subject, key.public_key(), begins, ends)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .sign(self.key, SHA256())
        )
        paths = self.folder / "server.pem", self.folder / "server.key"
        paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        )
        return paths

    def _builder(
        self,
        subject: x509.Name,
        public: ec.EllipticCurvePublicKey,
        begins: timedelta,
        ends: timedelta,
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins)
            .not_valid_after(now + ends)
        )


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that do not trust the certificate hang up."""


@contextlib.contextmanager
def https_server(
    certificate: Path,
    key: Path,
    seconds_ahead: float = 0.0,
    status: int = 200,
    dated: bool = True,
    post: tuple[int, bytes] = (404, b"{}"),
) -> Iterator[int]:
    """Serve /health like a SuperLink whose clock is ahead; answer any POST with `post`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(status, b"")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self._answer(*post)

        def _answer(self, code: int, body: bytes) -> None:
            self.send_response_only(code)
            if dated:
                self.send_header("Date", formatdate(time.time() + seconds_ahead, usegmt=True))
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = _Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def proxy_server(refuses: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Serve as a CONNECT proxy; give its port and the list of what was asked of it."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            asked.append(f"{self.path} {self.headers.get('Proxy-Authorization', '')}".strip())
            if refuses:
                self.send_error(403)
                return
            host, _, port = self.path.rpartition(":")
            with socket.create_connection((host, int(port)), 5.0) as there:
                self.send_response_only(200)
                self.end_headers()
                _pump(self.connection, there)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = _Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server.server_address[1], asked
    finally:
        server.shutdown()
        server.server_close()


def _pump(here: socket.socket, there: socket.socket) -> None:
    while True:
        ready, _, _ = select.select([here, there], [], [], 5.0)
        if not ready:
            return
        for one in ready:
            data = one.recv(65536)
            if not data:
                return
            (there if one is here else here).sendall(data)
