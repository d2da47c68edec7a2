"""A site that approved a study approved it without each of its sites in turn, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from site_samples import RUN, hold, identity_of, make_rows, make_study

from client.approved import ApprovalWithdrawn, approve, fingerprints, revoke
from client.approved_family import Asked, asked_study
from client.context import SiteContext
from client.identity_key import make_identity
from client.site_keys import session_key
from client.worker.hiding import SETS_FILE, SetsChanged, hidden
from common.errors import StudyError, StudyMismatch
from common.leave_one_out import left_out
from common.messages import FuseAnswer, Hidden
from common.records import Envelope
from common.secure_sum.session import announce
from common.study import Study

NAMES = ("a", "b", "c", "d", "e")
DIGEST = "ab" * 32
ANSWER = FuseAnswer({"x": np.arange(3.0)})


def parent_of(asks: bool = True, least: int = 3, changes: int = 1, **more: Any) -> Study:
    return make_study(
        dict.fromkeys(NAMES, "train") | {"x": "external"},
        leave_one_site_out=asks,
        quorum={"min_sites": least},
        secure_sum={"enabled": True, "set_changes": changes},
        **more,
    )


PARENT = parent_of()
DERIVED = left_out(PARENT)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    make_identity(tmp_path / "a")
    return tmp_path / "a"


def test_the_derived_studies_of_an_approved_one_are_found_and_belong_to_it(site: Path) -> None:
    approve(site, PARENT)
    for one in DERIVED.values():
        assert asked_study(site, one.fingerprint) == Asked(one, PARENT.fingerprint)
    assert asked_study(site, PARENT.fingerprint) == Asked(PARENT, PARENT.fingerprint)
    # Nothing was written down beside the one approval.
    assert fingerprints(site) == [PARENT.fingerprint]


def test_nothing_else_is_found(site: Path) -> None:
    approve(site, PARENT)
    silent = parent_of(asks=False)
    others = [
        silent,
        parent_of(seed=1),
        # Two sites left out, a site that is gone, one that changed its role the other way.
        DERIVED["a"].leaving_out("b"),
        Study.model_validate(DERIVED["a"].model_dump() | {"seed": 1}),
        Study.model_validate(
            DERIVED["a"].model_dump() | {"sites": DERIVED["a"].model_dump()["sites"][1:],
                                         "quorum": {"min_sites": 3}}
        ),
        Study.model_validate(
            PARENT.model_dump() | {"sites": [{"name": n, "role": "train"} for n in (*NAMES, "x")],
                                   "leave_one_site_out": False}
        ),
    ]  # fmt: skip
    for other in others:
        with pytest.raises(StudyMismatch, match="this site approved"):
            asked_study(site, other.fingerprint)


def test_a_study_that_does_not_ask_for_it_approves_itself_alone(site: Path) -> None:
    silent = parent_of(asks=False)
    approve(site, silent)
    assert asked_study(site, silent.fingerprint) == Asked(silent, "")
    for one in left_out(silent).values():
        with pytest.raises(StudyMismatch, match="this site approved"):
            asked_study(site, one.fingerprint)


def test_a_withdrawal_counts_for_all_of_them(site: Path) -> None:
    approve(site, PARENT)
    assert revoke(site, PARENT.fingerprint)
    for one in DERIVED.values():
        with pytest.raises(ApprovalWithdrawn):
            asked_study(site, one.fingerprint)
    # Approved for itself, a derived study stands on its own; its own withdrawal counts too.
    approve(site, DERIVED["b"])
    assert asked_study(site, DERIVED["b"].fingerprint) == Asked(DERIVED["b"], "")
    approve(site, PARENT)
    assert asked_study(site, DERIVED["b"].fingerprint).family == PARENT.fingerprint
    assert revoke(site, DERIVED["b"].fingerprint)
    with pytest.raises(ApprovalWithdrawn):
        asked_study(site, DERIVED["b"].fingerprint)
    assert asked_study(site, DERIVED["c"].fingerprint).family == PARENT.fingerprint


def test_a_study_that_somebody_put_there_derives_nothing(site: Path) -> None:
    path = site / "studies" / f"{PARENT.fingerprint}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(PARENT.canonical())
    with pytest.raises(StudyMismatch, match="bears no approval"):
        asked_study(site, DERIVED["a"].fingerprint)
    approve(site, PARENT)
    path.write_text(PARENT.canonical().replace('"seed":2026', '"seed":2027'))
    with pytest.raises(StudyMismatch, match="this site approved"):
        asked_study(site, DERIVED["a"].fingerprint)
    with pytest.raises(StudyError, match="was changed after"):
        asked_study(site, PARENT.fingerprint)


def context_of(folder: Path, study: Study, run: str, family: str) -> SiteContext:
    rows = make_rows("a", study, 1, patients=6, slices=2, with_images=False)
    return replace(hold(rows, study, folder), run=run, family=family)


def ask(context: SiteContext, names: str, exchange: str = "harmonize.features") -> object:
    """Let site a hide an answer in a sum over sites that are there by name."""
    study, run = context.study, context.run
    announced = []
    for name in names:
        folder = context.memory.folder if name == "a" else context.site.path / "peers" / name
        folder.mkdir(parents=True, exist_ok=True)
        key = session_key(folder)
        announced.append(announce(key, identity_of(name), run, study.fingerprint, name))
    return hidden(ANSWER, DIGEST, Envelope(run, exchange, tuple(announced)), context)


def test_the_whole_sets_of_the_family_are_agreed_to_and_all_others_counted(tmp_path: Path) -> None:
    contexts = {
        site: context_of(tmp_path, one, f"run-{site}", PARENT.fingerprint)
        for site, one in DERIVED.items()
        if site != "a"
    }
    whole = {site: "".join(name for name in NAMES if name != site) for site in contexts}
    for site, context in contexts.items():
        assert isinstance(ask(context, whole[site]), Hidden)
        assert isinstance(ask(context, whole[site], "train.0.1"), Hidden)
    parent = context_of(tmp_path, PARENT, "run-all", PARENT.fingerprint)
    assert isinstance(ask(parent, "abcde"), Hidden)
    # The first set of a run is not free here: it would be a sum over sites that no one agreed to.
    assert isinstance(ask(contexts["b"], "acd", "calibrate"), Hidden)
    for site, names in (("c", "abd"), ("d", "abe")):
        with pytest.raises(SetsChanged, match="the study allows 1 changes"):
            ask(contexts[site], names, "fuse.moments.0")
    # One account for the family; the whole sets are still answered, in other runs too.
    held = json.loads((contexts["b"].site.path / SETS_FILE).read_text())
    assert list(held) == [PARENT.fingerprint]
    assert held[PARENT.fingerprint]["changes"] == 1
    again = replace(contexts["c"], run="run-again")
    assert isinstance(ask(again, whole["c"]), Hidden)


def test_without_a_family_the_account_is_what_it_was(tmp_path: Path) -> None:
    study = parent_of(asks=False)
    context = context_of(tmp_path, study, RUN, "")
    assert isinstance(ask(context, "abcd"), Hidden)
    held = json.loads((context.site.path / SETS_FILE).read_text())
    assert held == {
        study.fingerprint: {
            "changes": 0,
            "scopes": {
                "harmonize.features": {
                    "run": RUN, "exchange": "harmonize.features", "sites": list("abcd"),
                }
            },
        }
    }  # fmt: skip
