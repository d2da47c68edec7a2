"""Who may see the dashboard: on this machine everybody, beyond it under TLS and with the token."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from run_samples import MadeRun, study_of
from starlette.testclient import TestClient

from common.errors import WrongUse
from server.dashboard.door import COOKIE, host_of
from server.dashboard.runs import Runs
from server.dashboard.serve import hosts_of, place_of
from server.dashboard.web import application
from server.network.folder import CoordinatorFolder, Settings

TOKEN = "0123456789abcdef" * 4
MYOFED = Path(sys.executable).parent / "myofed"


@pytest.fixture
def folder(tmp_path: Path) -> CoordinatorFolder:
    made = CoordinatorFolder.create(tmp_path / "coord", Settings(hosts=("hospital.example",)))
    for name in ("first", "second"):
        run = MadeRun.begin(made.runs / name, study_of(3, name=name))
        run.enrol()
        run.folder.path.rename(made.runs / run.folder.identity)
    return made


@pytest.fixture
def first(folder: CoordinatorFolder) -> str:
    """The page of the first run."""
    return f"/runs/{next(folder.runs.glob('first-*')).name}"


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    return path


def client(folder: CoordinatorFolder, token: str = "", **more: object) -> TestClient:
    app = application(Runs(folder, None), ("localhost", "127.0.0.1"), token, bool(token))
    scheme = "https" if token else "http"
    return TestClient(app, f"{scheme}://localhost:9445", follow_redirects=False, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("has_token", "tls", "lacking"),
    [(False, False, "--token-file and --tls"), (True, False, "Add --tls"),
     (False, True, "Add --token-file")],
)  # fmt: skip
@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::", "hospital.example"])
def test_beyond_this_machine_it_takes_both_token_and_tls(
    folder: CoordinatorFolder, token_file: Path, host: str, has_token: bool, tls: bool, lacking: str
) -> None:
    with pytest.raises(WrongUse, match="beyond this machine") as caught:
        place_of(host, 9445, token_file if has_token else None, tls, folder)
    assert lacking in caught.value.fix
    place = place_of(host, 9445, token_file, True, folder)
    assert (place.token, place.secure) == (TOKEN, True)
    assert "hospital.example" in hosts_of(place, folder)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.9.1"])
def test_on_this_machine_it_takes_nothing(folder: CoordinatorFolder, host: str) -> None:
    place = place_of(host, 9445, None, False, None)
    assert not place.secure
    assert "hospital.example" not in hosts_of(place, folder)


def test_tls_takes_a_coordinator(token_file: Path) -> None:
    with pytest.raises(WrongUse, match="takes a coordinator's certificate"):
        place_of("127.0.0.1", 9445, token_file, True, None)


def test_a_token_that_others_can_read_or_guess_is_refused(token_file: Path) -> None:
    token_file.chmod(0o640)
    with pytest.raises(WrongUse, match="read by others"):
        place_of("127.0.0.1", 9445, token_file, False, None)
    token_file.chmod(0o600)
    token_file.write_text("secret")
    with pytest.raises(WrongUse, match="6 characters"):
        place_of("127.0.0.1", 9445, token_file, False, None)
    with pytest.raises(WrongUse, match="cannot be read"):
        place_of("127.0.0.1", 9445, token_file.with_name("none"), False, None)


def test_the_command_refuses_with_what_to_do(folder: CoordinatorFolder) -> None:
    done = subprocess.run(
        [MYOFED, "coordinator", "dashboard", folder.path, "--host", "0.0.0.0"],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == 2
    assert "Add --token-file and --tls" in done.stderr


def test_without_the_token_nothing_is_shown(folder: CoordinatorFolder, first: str) -> None:
    paths = ("/", first, f"{first}/snapshot.json", f"{first}/live", "/metrics",
             f"{first}/sites/site-000", "/nothing")  # fmt: skip
    with client(folder, TOKEN) as visitor:
        for path in paths:
            answer = visitor.get(path)
            assert answer.status_code == 401, path
            assert "first" not in answer.text
            wrong = visitor.get(path, headers={"Authorization": "Bearer " + "x" * 64})
            assert wrong.status_code == 401, path
        browser = visitor.get("/", headers={"Accept": "text/html"})
        assert (browser.status_code, browser.headers["location"]) == (303, "/sign-in")
        assert visitor.get("/sign-in").status_code == 200


def test_a_browser_shows_the_token_once_and_a_program_each_time(
    folder: CoordinatorFolder, first: str
) -> None:
    with client(folder, TOKEN) as visitor:
        assert visitor.post("/sign-in", data={"token": "x" * 64}).status_code == 403
        assert visitor.get("/").status_code == 401
        given = visitor.post("/sign-in", data={"token": TOKEN})
        assert given.status_code == 303
        cookie = given.headers["set-cookie"]
        assert all(word in cookie for word in ("HttpOnly", "Secure", "SameSite=strict"))
        assert TOKEN not in cookie
        assert visitor.get(first).status_code == 200
        visitor.cookies.clear()
        visitor.cookies.set(COOKIE, "0" * 64)
        assert visitor.get("/").status_code == 401
        visitor.cookies.clear()
        scraped = visitor.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        assert scraped.status_code == 200
        assert visitor.post("/sign-in", content=b"token=" + b"x" * 9000).status_code == 413


def test_it_is_read_only(folder: CoordinatorFolder, first: str) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in folder.runs.rglob("*"))
    with client(folder) as visitor:
        for path in ("/", first, f"{first}/snapshot.json", "/metrics"):
            assert visitor.get(path).status_code == 200
            for method in ("POST", "PUT", "DELETE", "PATCH"):
                assert visitor.request(method, path).status_code == 405
    assert sorted((path, path.stat().st_mtime_ns) for path in folder.runs.rglob("*")) == before


def test_a_strange_name_is_refused(folder: CoordinatorFolder) -> None:
    with client(folder) as visitor:
        answer = visitor.get("/", headers={"Host": "evil.example:9445"})
        assert answer.status_code == 421
    assert host_of("[::1]:9445") == "::1"
    assert host_of("LocalHost:9445") == "localhost"


def test_no_path_leads_out_of_the_runs(folder: CoordinatorFolder) -> None:
    with client(folder) as visitor:
        for path in ("/runs/..%2f..%2fsecrets", "/runs/.new-abc", "/runs/none",
                     "/static/..%2f..%2fserve.py", "/static/../serve.py"):  # fmt: skip
            assert visitor.get(path).status_code == 404, path


def test_every_answer_forbids_what_the_page_does_not_need(
    folder: CoordinatorFolder, first: str
) -> None:
    with client(folder) as visitor:
        for path in ("/", first, "/static/page.js", "/metrics", "/none"):
            headers = visitor.get(path).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cache-control"] == "no-store"


def test_several_runs_are_listed_and_one_is_shown_at_once(
    folder: CoordinatorFolder, first: str
) -> None:
    with client(folder) as visitor:
        page = visitor.get("/").text
        assert page.count('href="/runs/') == 2
        assert f'href="{first}"' in page
    single = Runs.of(None, folder.runs / first.removeprefix("/runs/"))
    assert single.folder is not None, "a run's own coordinator lies beside it"
    with TestClient(application(single, ("localhost",), "", False), "http://localhost") as visitor:
        assert "<h1>first" in visitor.get("/").text


def test_a_broken_run_does_not_hide_the_others(folder: CoordinatorFolder, first: str) -> None:
    (folder.runs / "broken").mkdir()
    (folder.runs / "broken" / "run.json").write_text("{")
    with client(folder) as visitor:
        page = visitor.get("/")
        assert page.status_code == 200
        assert f'href="{first}"' in page.text
        assert visitor.get("/runs/broken").status_code == 404
        assert visitor.get("/metrics").status_code == 200
