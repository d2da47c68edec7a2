"""Each check of the way to the coordinator, in each of its verdicts, against local servers."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from loopback_tls import DAY, Authority, https_server, proxy_server

from client.doctor.admission import admission_check
from client.doctor.clock import clock_check, judge
from client.doctor.health import grpc_check, web_check
from client.doctor.name import name_check
from client.doctor.port import port_check
from client.doctor.proxies import proxy_check
from client.doctor.route import Address, Proxy, proxy_to
from client.doctor.tls import tls_check
from common.check import Check, Verdict
from common.errors import WrongUse
from common.identity import fingerprint, make_key

PASS, WARN, FAIL = Verdict.PASS, Verdict.WARN, Verdict.FAIL
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def closed() -> Iterator[int]:
    """A port that is bound and not listened on, so it refuses and nobody else takes it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@contextmanager
def silent_port() -> Iterator[int]:
    """A port that accepts connections and says nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def check_is(check: Check, verdict: Verdict, *words: str) -> None:
    assert check.verdict is verdict, check
    for word in words:
        assert word in f"{check.found} {check.fix}", check
    assert check.found.endswith(".")
    assert bool(check.fix) is (verdict is not PASS) or check.name == "admission"


def at(port: int, host: str = "localhost") -> Address:
    return Address(host, port)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("coordinator.example.org:9092", "coordinator.example.org", 9092),
        ("10.0.0.7:1", "10.0.0.7", 1),
        ("[::1]:65535", "::1", 65535),
    ],
)
def test_addresses_are_read_and_written(text: str, host: str, port: int) -> None:
    assert Address.parse(text) == Address(host, port)
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        "host:",
        ":9092",
        "::1:9092",
        "host:0",
        "host:65536",
        "host:x",
        "[a]:1:2",
        "a b:1",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(WrongUse, match="host:port"):
        Address.parse(text)


def test_name() -> None:
    check_is(name_check(at(1), None), PASS, "localhost is", "127.0.0.1")
    check_is(name_check(at(1, "nowhere.invalid"), None), FAIL, "nowhere.invalid cannot be resolved")
    proxy = Proxy("localhost", 1, {})
    check_is(name_check(at(1, "nowhere.invalid"), proxy), PASS, "it resolves nowhere.invalid")
    bad = Proxy("proxy.invalid", 1, {})
    check_is(name_check(at(1), bad), FAIL, "proxy.invalid cannot be resolved")


def test_port(closed: int) -> None:
    with silent_port() as port:
        check_is(port_check(at(port), None), PASS, f"localhost:{port} accepts")
    check_is(port_check(at(closed), None), FAIL, f"localhost:{closed} is refused", "firewall")
    check_is(
        port_check(at(1), Proxy("localhost", closed, {})), FAIL, f"the proxy localhost:{closed}"
    )


def test_port_that_drops_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    def drop(*_: Any, **__: Any) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr("client.doctor.port.socket.create_connection", drop)
    check_is(port_check(at(9092), None), FAIL, "Nothing answers at localhost:9092", "outgoing TCP")


def test_certificate_of_the_authority(authority: Authority) -> None:
    with https_server(*authority.server()) as port:
        check_is(tls_check(at(port), authority.ca, None), PASS, "the invitation's authority")
        check_is(tls_check(at(port, "127.0.0.1"), authority.ca, None), PASS)


def test_certificate_that_ends_soon(authority: Authority) -> None:
    with https_server(*authority.server(ends=3 * DAY)) as port:
        check_is(tls_check(at(port), authority.ca, None), WARN, "expires in 3 days", "renew")


def test_certificate_of_another_authority(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    with https_server(*other.server()) as port:
        check_is(
            tls_check(at(port), authority.ca, None),
            FAIL,
            "not signed by the authority of the invitation",
            "--replace",
        )


def test_certificate_that_is_too_old_or_too_new(authority: Authority) -> None:
    with https_server(*authority.server(begins=-2 * DAY, ends=-DAY / 24)) as port:
        check_is(tls_check(at(port), authority.ca, None), FAIL, "has expired", "renew", "clock")
    with https_server(*authority.server(begins=DAY)) as port:
        check_is(tls_check(at(port), authority.ca, None), FAIL, "is not valid yet", "clock")


def test_certificate_with_another_name(authority: Authority) -> None:
    with https_server(*authority.server(["coordinator.example.org", "10.1.2.3"])) as port:
        words = ("is for coordinator.example.org, 10.1.2.3, and not for localhost",)
        check_is(tls_check(at(port), authority.ca, None), FAIL, *words)
        check_is(tls_check(at(port, "127.0.0.1"), authority.ca, None), FAIL, "not for 127.0.0.1")


def test_what_speaks_no_tls_or_nothing(authority: Authority, closed: int) -> None:
    with proxy_server() as (port, _):
        check_is(tls_check(at(port), authority.ca, None), FAIL, "does not speak TLS")
    with silent_port() as port:
        check_is(tls_check(at(port), authority.ca, None, 0.3), FAIL, "Nothing answers")
    check_is(tls_check(at(closed), authority.ca, None), FAIL, "is refused")


def test_authority_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    check_is(tls_check(at(1), path, None), FAIL, "holds no certificate", "Join again")
    path.write_text("nonsense")
    check_is(tls_check(at(1), path, None), FAIL, "holds no certificate")


@pytest.mark.parametrize(
    ("ahead", "verdict", "words"),
    [
        (0.0, PASS, "agrees"),
        (-9.0, PASS, "agrees"),
        (2.0, PASS, "agrees"),
        (-30.0, WARN, "30 seconds behind"),
        (3.0, WARN, "3 seconds ahead"),
        (-90.0, FAIL, "90 seconds behind"),
        (6.0, FAIL, "6 seconds ahead"),
        (3600.0, FAIL, "3600 seconds ahead"),
    ],
)
def test_clock(authority: Authority, ahead: float, verdict: Verdict, words: str) -> None:
    check_is(judge(ahead), verdict, words)
    with https_server(*authority.server(), seconds_ahead=-ahead) as port:
        found = clock_check(at(port), authority.ca, None)
        assert found.verdict is verdict


def test_clock_that_cannot_be_compared(authority: Authority, closed: int) -> None:
    with https_server(*authority.server(), dated=False) as port:
        check_is(clock_check(at(port), authority.ca, None), WARN, "bears no date")
    check_is(clock_check(at(closed), authority.ca, None), FAIL, "could not be read", "refused")


def test_coordinator(authority: Authority, closed: int, tmp_path: Path) -> None:
    with https_server(*authority.server()) as port:
        check_is(web_check(at(port), authority.ca, None), PASS, "is well")
    with https_server(*authority.server(), status=503) as port:
        check_is(web_check(at(port), authority.ca, None), FAIL, "answers with 503")
    check_is(web_check(at(closed), authority.ca, None), FAIL, "refused")
    with proxy_server() as (port, _):
        check_is(web_check(at(port), authority.ca, None), FAIL)
    check_is(web_check(at(1), tmp_path / "none.pem", None), FAIL)


def test_coordinator_over_grpc(closed: int) -> None:
    from concurrent.futures import ThreadPoolExecutor

    import grpc
    from grpc_health.v1.health import HealthServicer
    from grpc_health.v1.health_pb2 import HealthCheckResponse
    from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

    health = HealthServicer()
    server = grpc.server(ThreadPoolExecutor(2))
    add_HealthServicer_to_server(health, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        health.set("", HealthCheckResponse.SERVING)
        check_is(grpc_check(f"127.0.0.1:{port}"), PASS, "is serving")
        health.set("", HealthCheckResponse.NOT_SERVING)
        check_is(grpc_check(f"127.0.0.1:{port}"), FAIL, "NOT_SERVING")
    finally:
        server.stop(None).wait(5)
    check_is(grpc_check(f"127.0.0.1:{closed}"), FAIL, "does not answer (unavailable)")
    with silent_port() as port:
        check_is(grpc_check(f"127.0.0.1:{port}", 0.3), FAIL, "deadline exceeded")


def refusal(code: int, extra: str | None = None) -> bytes:
    content: dict[str, Any] = {"code": code, "detail": "Public."}
    return json.dumps(content | ({"extra": extra} if extra else {})).encode()


def test_admission(authority: Authority, closed: int, tmp_path: Path) -> None:
    from flwr.supercore.error import ApiErrorCode

    key = tmp_path / "key"
    shown = fingerprint(make_key(key))
    known = refusal(int(ApiErrorCode.FLEET_INVALID_HEARTBEAT_INTERVAL))
    unknown = int(ApiErrorCode.FLEET_NODE_ACTIVATION_FAILED)
    own = "This site's clock is 40 seconds ahead of the coordinator's."
    for post, verdict, words in (
        ((400, known), PASS, f"knows this site's key {shown}"),
        ((412, refusal(unknown)), FAIL, f"does not know this site's key {shown}"),
        ((412, refusal(unknown, own)), FAIL, own),
        ((401, b'{"detail": "no"}'), FAIL, "refuses the signature"),
        ((503, b"busy"), FAIL, "answers with 503"),
    ):
        with https_server(*authority.server(), post=post) as port:
            check_is(admission_check(at(port), authority.ca, key), verdict, words)
    check_is(admission_check(at(closed), authority.ca, key), FAIL, "could not be asked")
    check_is(admission_check(at(1), authority.ca, tmp_path / "none"), FAIL, "not the key of a site")
    check_is(admission_check(at(1), tmp_path / "none", key), FAIL, "holds no certificate")


def test_the_way_through_a_proxy(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, closed: int
) -> None:
    """All checks take it, with its login, and a name that only the proxy resolves is no fault."""
    with https_server(*authority.server()) as port, proxy_server() as (proxy_port, asked):
        monkeypatch.setenv("https_proxy", f"http://user:pa%40ss@127.0.0.1:{proxy_port}")
        proxy = proxy_to(at(port))
        assert proxy is not None
        assert "pa@ss" not in str(proxy)
        check_is(
            proxy_check(at(port), proxy), WARN, f"127.0.0.1:{proxy_port}", "NO_PROXY=localhost"
        )
        check_is(tls_check(at(port), authority.ca, proxy), PASS)
        check_is(clock_check(at(port), authority.ca, proxy), PASS)
        check_is(web_check(at(port), authority.ca, proxy), PASS)
        assert asked == [f"localhost:{port} Basic dXNlcjpwYUBzcw=="] * 3
        monkeypatch.setenv("no_proxy", "localhost")
        assert proxy_to(at(port)) is None
        check_is(proxy_check(at(port), None), PASS, "no proxy")
    with proxy_server(refuses=True) as (proxy_port, _):
        refusing = Proxy("127.0.0.1", proxy_port, {})
        check_is(tls_check(at(closed), authority.ca, refusing), FAIL, "does not let", "403")


ENVIRONMENTS = [
    {},
    {"https_proxy": "http://p:1"},
    {"HTTPS_PROXY": "p:1"},
    {"all_proxy": "http://p:1"},
    {"http_proxy": "http://p:1"},
    *(
        {"https_proxy": "http://p:1", "no_proxy": excepted}
        for excepted in (
            "*",
            "example.org",
            ".example.org",
            "coordinator.example.org",
            "coordinator.example.org:9092",
            "coordinator.example.org:1",
            "ordinator.example.org",
            "COORDINATOR.EXAMPLE.ORG",
            "other.org, example.org",
            "10.0.0.7",
            "10.0.0.0/8",
            "localhost",
            "::1",
            "https://coordinator.example.org",
            "http://coordinator.example.org",
            "all://coordinator.example.org",
        )
    ),
]


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=str)
@pytest.mark.parametrize(
    "host", ["coordinator.example.org", "example.org", "10.0.0.7", "localhost", "::1"]
)
def test_the_way_is_the_one_that_flower_s_http_client_takes(
    environment: dict[str, str], host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    address = Address(host, 9092)
    with httpx.Client() as client:
        transport = client._transport_for_url(httpx.URL(f"https://{address}/"))
        through = transport is not client._transport
    assert (proxy_to(address) is not None) is through


def test_no_check_of_the_network_takes_longer_than_it_may(authority: Authority) -> None:
    with silent_port() as port:
        begun = time.monotonic()
        ended = []
        checks = (
            lambda: tls_check(at(port), authority.ca, None, 0.5),
            lambda: clock_check(at(port), authority.ca, None, 0.5),
            lambda: web_check(at(port), authority.ca, None, 0.5),
        )
        threads = [threading.Thread(target=lambda c=check: ended.append(c())) for check in checks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)
        assert [check.verdict for check in ended] == [FAIL] * 3
        assert time.monotonic() - begun < 4
