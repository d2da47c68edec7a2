"""`myofed coordinator` as a person calls it: files, exit codes, words, JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from network_samples import (
    free_ports,
    make_folder,
    make_study,
    myofed,
    new_identity,
    request_of,
    study_text,
)

import myofed as command_module
from common.console import console, to_person
from common.identity import (
    Invitation,
    JoinRequest,
    certificate_fingerprint,
    fingerprint,
    line_fingerprint,
)
from common.study import Study
from common.study_file import parse_study
from server.network import doctor as doctor_module
from server.network.admission import admit, admitted
from server.network.certificates import make_server_certificate
from server.network.doctor import doctor
from server.network.folder import CoordinatorFolder
from server.network.runs import FAILED, begin
from server.network.up import port_is_free


@dataclass
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def made(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["myofed", "coordinator", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            command_module.main()
        printed = capsys.readouterr()
        assert isinstance(left.value.code, int)
        assert "Traceback" not in printed.out + printed.err
        return Outcome(left.value.code, printed.out, printed.err)

    return made


def study_file(path: Path, study: Study) -> Path:
    path.write_text(study_text(*study.training_sites, name=study.name), encoding="utf-8")
    return path


def verdicts(found: str) -> dict[str, str]:
    return {one["check"]: one["verdict"] for one in json.loads(found)}


def test_a_coordinator_from_nothing_to_an_invitation(call: Any, tmp_path: Path) -> None:
    port, health = free_ports(2)
    made = call("init", tmp_path / "coord", "--host", "coordinator.example.org", "--host",
                "192.0.2.7", "--port", port, "--health-port", health)  # fmt: skip
    assert made.code == 0
    folder = CoordinatorFolder.open(tmp_path / "coord")
    authority = certificate_fingerprint(folder.authority.read_text())
    assert authority in made.out
    assert f"coordinator.example.org:{port}" in made.out
    assert call("init", tmp_path / "coord", "--host", "x").code == 2

    request = request_of(tmp_path, "tufts")
    request.save(tmp_path / "tufts.join.json")
    done = call("admit", folder.path, tmp_path / "tufts.join.json")
    assert done.code == 0
    assert f"node key:  {fingerprint(request.public_key)}" in done.out
    assert f"identity:  {line_fingerprint(request.identity)}" in done.out
    assert "telephone" in done.out
    assert "not up" in done.out
    assert admitted(folder)["tufts"] == request
    assert "admitted already" in call("admit", folder.path, tmp_path / "tufts.join.json").out

    file = study_file(tmp_path / "study.toml", make_study("tufts"))
    told = call("invite", folder.path, file, "--out", tmp_path / "to-tufts.json")
    assert told.code == 0
    invitation = Invitation.load(tmp_path / "to-tufts.json")
    assert invitation.address == folder.address
    assert invitation.ca_fingerprint == authority
    assert invitation.study_fingerprint in told.out
    text = (tmp_path / "to-tufts.json").read_text()
    assert "PRIVATE" not in text
    assert folder.token() not in text


def test_a_fingerprint_is_shown_letter_by_letter(capsys: pytest.CaptureFixture[str]) -> None:
    """Some pairs of letters between colons are names of pictures to the library that prints."""
    shown = "AB:CD:ID:UP:ON:12"
    console.print(f"authority: {shown}", markup=False)
    to_person.print(f"authority: {shown}")
    printed = capsys.readouterr()
    assert printed.out == printed.err == f"authority: {shown}\n"


def test_a_site_with_a_new_key_needs_replace(call: Any, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "coord")
    old, new = request_of(tmp_path, "tufts", "old"), request_of(tmp_path, "tufts", "new")
    admit(folder, old)
    new.save(tmp_path / "new.json")
    refused = call("admit", folder.path, tmp_path / "new.json")
    assert refused.code == 2
    assert "--replace" in refused.err
    done = call("admit", folder.path, tmp_path / "new.json", "--replace")
    assert done.code == 0
    assert f"withdrawn: {fingerprint(old.public_key)}" in done.out
    assert f"withdrawn: {line_fingerprint(old.identity)}" in done.out


def test_a_run_is_refused_by_the_names_of_the_sites_that_are_not_admitted(
    call: Any, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "coord")
    admit(folder, request_of(tmp_path, "tufts"))
    file = study_file(tmp_path / "study.toml", make_study("tufts", "bern", "rome"))
    refused = call("run", folder.path, file)
    assert refused.code == 2
    assert "bern, rome" in refused.err
    for name in ("bern", "rome"):
        admit(folder, request_of(tmp_path, name))
    down = call("run", folder.path, file)
    assert down.code == 1
    assert "myofed coordinator up" in down.err
    assert list(folder.runs.iterdir()) == []


def keyed(folder: CoordinatorFolder, call: Any, *external: str) -> str:
    """A study over all admitted sites, made from what `roster` prints."""
    options = [word for name in external for word in ("--external", name)]
    printed = call("roster", folder.path, *options)
    assert printed.code == 0
    return f'name = "tiny"\n{printed.out}'


def test_the_roster_is_printed_ready_for_a_study(call: Any, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "coord")
    assert call("roster", folder.path).code == 2
    requests = {name: request_of(tmp_path, name) for name in ("tufts", "bern", "rome", "oslo")}
    for request in requests.values():
        admit(folder, request)
    study = parse_study(keyed(folder, call, "oslo"))
    assert study.training_sites == ("bern", "rome", "tufts")
    assert study.external_sites == ("oslo",)
    assert {site.name: site.key for site in study.sites} == {
        name: request.identity for name, request in requests.items()
    }
    assert study.secure_sum.enabled
    refused = call("roster", folder.path, "--external", "olso")
    assert (refused.code, refused.out) == (2, "")
    assert "olso is not admitted" in refused.err


@pytest.mark.parametrize("command", ["invite", "run"])
def test_a_study_with_a_wrong_or_missing_key_is_refused_by_the_site_s_name(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = make_folder(tmp_path / "coord")
    names = ("tufts", "bern", "rome", "oslo")
    requests = {name: request_of(tmp_path, name) for name in names}
    for request in requests.values():
        admit(folder, request)
    good = keyed(folder, call, "oslo")
    file = tmp_path / "study.toml"
    off = "[secure_sum]\nenabled = false\n"

    def key_of(name: str) -> str:
        return f'key = "{requests[name].identity}"\n'

    def attempt(text: str) -> Outcome:
        file.write_text(text)
        found = call(command, folder.path, file)
        assert isinstance(found, Outcome)
        if found.code == 2:
            assert not list(folder.runs.iterdir())
            assert not list(tmp_path.glob("*.invitation.json"))
            assert "myofed coordinator roster" in found.err
        return found

    missing = attempt(good.replace(key_of("tufts"), "").replace(key_of("bern"), ""))
    assert missing.code == 2
    assert "bern has no key" in missing.err
    assert "tufts has no key" in missing.err
    assert "rome" not in missing.err.replace(str(tmp_path), "")

    stranger = new_identity()
    for name in ("rome", "oslo"):
        for more in ("", off):
            wrong = attempt(good.replace(requests[name].identity, stranger) + more)
            assert wrong.code == 2
            assert f"the key of {name} is {line_fingerprint(stranger)}" in wrong.err
            assert line_fingerprint(requests[name].identity) in wrong.err

    swapped = good.replace(requests["tufts"].identity, "x")
    swapped = swapped.replace(requests["bern"].identity, requests["tufts"].identity)
    swapped = swapped.replace('"x"', f'"{requests["bern"].identity}"')
    assert attempt(swapped).code == 2

    # An external site needs no key, and without secure summation none does. `run` finds it down.
    fine = 0 if command == "invite" else 1
    assert attempt(good.replace(key_of("oslo"), "")).code == fine
    bare = "".join(line for line in good.splitlines(True) if not line.startswith("key"))
    assert attempt(bare + off).code == fine
    assert attempt(good).code == fine


def test_a_key_of_a_site_that_is_not_admitted_cannot_be_right(call: Any, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "coord")
    admit(folder, request_of(tmp_path, "tufts"))
    file = tmp_path / "study.toml"
    text = study_text("tufts", "bern")
    file.write_text(text.replace('"bern"\n', f'"bern"\nkey = "{new_identity()}"\n'))
    refused = call("invite", folder.path, file, "--out", tmp_path / "i.json")
    assert refused.code == 2
    assert "bern has a key, but is not admitted" in refused.err
    file.write_text(text)
    assert call("invite", folder.path, file, "--out", tmp_path / "i.json").code == 0


def test_a_request_of_an_earlier_release_is_refused(call: Any, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "coord")
    request = request_of(tmp_path, "tufts")
    path = tmp_path / "tufts.join.json"
    for spoilt in (
        {key: value for key, value in asdict(request).items() if key != "identity"},
        asdict(replace(request, identity="")),
        asdict(replace(request, identity=request.public_key)),
        asdict(replace(request, identity=f"{request.identity} tufts")),
    ):
        path.write_text(json.dumps(spoilt))
        refused = call("admit", folder.path, path)
        assert refused.code == 2
    JoinRequest.of("tufts", request.public_key, request.identity).save(path)
    assert call("admit", folder.path, path).code == 0


@pytest.mark.parametrize("verb", ["stop", "resume", "watch"])
def test_a_run_that_is_not_there_is_named(call: Any, tmp_path: Path, verb: str) -> None:
    folder = make_folder(tmp_path / "coord")
    refused = call(verb, folder.path, "nothing")
    assert refused.code == 2
    assert "There is no run 'nothing'" in refused.err
    assert call(verb, tmp_path / "nowhere", "nothing").code == 2


def test_the_status_of_one_that_is_not_up(call: Any, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "coord")
    request = request_of(tmp_path, "tufts")
    admit(folder, request)
    run = begin(folder, make_study("tufts"))
    run.event(event=FAILED, code="run-failed", what="Too few sites.", fix="Wait for them.")
    held = json.loads(call("status", folder.path, "--json").out)
    assert held["up"] is False
    assert held["address"] == folder.address
    assert held["sites"] == [
        {"name": "tufts", "fingerprint": fingerprint(request.public_key), "online": None,
         "seen": ""}
    ]  # fmt: skip
    (one,) = held["runs"]
    assert (one["identity"], one["state"], one["study"]) == (run.identity, "failed", "tiny")
    assert (one["what"], one["fix"]) == ("Too few sites.", "Wait for them.")
    shown = call("status", folder.path)
    assert shown.code == 0
    assert "not up" in shown.out
    assert "Too few sites. Wait for them." in shown.out
    (run.path / "study.json").unlink()
    assert (
        "not a whole run"
        in json.loads(call("status", folder.path, "--json").out)["runs"][0]["what"]
    )


def test_a_finished_run_shows_its_results_and_is_not_gone_on_with(
    call: Any, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "coord")
    run = begin(folder, make_study("tufts"))
    results = {"study": "tiny", "external": {}, "seconds": {"enrol": 2.0}, "messages": 5}
    (run.path / "results.json").write_text(json.dumps(results))
    shown = call("watch", folder.path, run.identity)
    assert shown.code == 0
    assert "5 messages; enrol 2 s" in shown.out
    assert str(run.path / "release") in shown.out
    assert json.loads(call("watch", folder.path, "tiny", "--json").out) == results


def test_the_doctor_of_a_new_one_finds_it_down_and_nothing_wrong(call: Any, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "coord")
    found = call("doctor", folder.path, "--json")
    assert found.code == 0
    assert verdicts(found.out) == {
        "flower": "PASS", "certificate": "PASS", "authority": "PASS", "name (DNS)": "PASS",
        "port": "WARN", "health (gRPC)": "WARN", "clock": "PASS", "disk": "PASS",
        "database": "PASS", "sites": "WARN",
    }  # fmt: skip
    assert all(one["fix"] for one in json.loads(found.out) if one["verdict"] != "PASS")
    shown = call("doctor", folder.path)
    assert "certificate" in shown.out
    assert "WARN" in shown.out


def test_an_expired_certificate_is_found_and_renewed(call: Any, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "coord")
    make_server_certificate(folder.authority, folder.authority_key, folder.certificate,
                            folder.server_key, ["localhost"], days=-1)  # fmt: skip
    found = call("doctor", folder.path)
    assert found.code == 1
    assert "FAIL" in found.out
    assert "expired" in found.out
    assert "renew" in found.out
    refused = call("up", folder.path)
    assert refused.code == 2
    assert "expired" in refused.err
    assert call("renew", folder.path).code == 0
    assert call("doctor", folder.path).code == 0


def test_what_the_doctor_finds_at_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_folder(tmp_path / "coord")

    def verdict(name: str, of: CoordinatorFolder = folder) -> tuple[str, str]:
        (one,) = [check for check in doctor(of) if check.name == name]
        return one.verdict.value, one.found

    elsewhere = replace(folder, settings=folder.settings.model_copy(update={"hosts": ("a.test",)}))
    assert verdict("certificate", elsewhere) == ("FAIL", "It does not bear the name a.test.")
    assert verdict("name (DNS)", elsewhere)[0] == "WARN"

    folder.database.write_bytes(b"SQLite format 3\0" + b"\1" * 5000)
    assert verdict("database")[0] == "FAIL"
    folder.database.unlink()

    (folder.admitted / "broken.json").write_text("{")
    assert verdict("sites")[0] == "FAIL"
    (folder.admitted / "broken.json").unlink()

    monkeypatch.setattr(doctor_module, "FAIL_BYTES", 1 << 60)
    assert verdict("disk")[0] == "FAIL"
    monkeypatch.setattr(doctor_module, "version", lambda _: "1.99.0")
    assert verdict("flower")[0] == "FAIL"
    monkeypatch.setattr(doctor_module.time, "time", lambda: 1_000_000_000.0)
    assert verdict("clock")[0] == "FAIL"


def test_a_taken_port_is_found_by_doctor_and_up(call: Any, tmp_path: Path) -> None:
    import socket

    folder = make_folder(tmp_path / "coord")
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", folder.settings.port))
        taken.listen()
        assert not port_is_free("0.0.0.0", folder.settings.port)
        found = call("doctor", folder.path, "--json")
        assert found.code == 1
        assert verdicts(found.out)["port"] == "FAIL"
        refused = call("up", folder.path)
    assert refused.code == 1
    assert "taken by another program" in refused.err


def test_settings_given_wrongly_are_refused(call: Any, tmp_path: Path) -> None:
    for wrong in (["--host", "https://x"], ["--host", "x", "--port", "99999"],
                  ["--host", "x", "--bind", "anywhere"]):  # fmt: skip
        refused = call("init", tmp_path / "coord", *wrong)
        assert refused.code == 2
        assert not (tmp_path / "coord").exists()
    assert call("status", tmp_path).code == 2


def test_the_command_as_a_process(tmp_path: Path) -> None:
    made = myofed("coordinator", "init", tmp_path / "coord", "--host", "localhost")
    assert made.returncode == 0
    assert "authority: " in made.stdout
    again = myofed("coordinator", "init", tmp_path / "coord", "--host", "localhost")
    assert again.returncode == 2
    assert "never overwritten" in again.stderr
    assert "Traceback" not in again.stderr
