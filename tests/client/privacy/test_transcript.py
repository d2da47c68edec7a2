"""All that a coordinator gets in a run, searched for what a single site says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from flwr.supercore.task_identity import TaskIdentity
from scipy.stats import chisquare, kstest
from site_samples import Direct, federation_of, make_rows, make_study

from client.site_keys import session_key
from client.worker import receipts
from client.worker.hiding import hidden as really_hidden
from common.message_parts import parts_of
from common.messages import Hidden
from common.records import Envelope, digest_of, packed_arrays, to_record
from common.secure_sum.fixed_point import STATISTICS
from common.secure_sum.layout import flattened, layout_of
from common.secure_sum.masks import context_of, mask
from common.secure_sum.ring import Ring, add, negate
from common.secure_sum.session import secrets_with
from server.roster import Roster
from server.stages import calibrate, fuse, harmonize, train

FEATURES = 12
NAMES = ("a", "b", "c", "d")
Key = tuple[str, str]
"""A site and the place of a question in the run."""


@dataclass
class Transcript:
    """A whole run: what each site said before it was hidden, and what left it."""

    federation: Direct
    roster: Roster
    plain: dict[Key, Any] = field(default_factory=dict)
    contexts: dict[Key, bytes] = field(default_factory=dict)

    @property
    def hidden(self) -> dict[Key, Hidden]:
        return {(site, at): one for site, at, one in self.federation.seen}  # type: ignore[misc]

    def statistics(self, key: Key) -> np.ndarray:
        scalars, arrays = parts_of(self.plain[key])
        return flattened(layout_of(scalars, arrays), scalars, arrays)[0]

    def secrets(self, site: str) -> dict[str, bytes]:
        """What a site shares with each of the others; only it and they have it."""
        context = self.federation.contexts[site]
        peers = {one.site: one for one in self.roster.announced(NAMES) if one.site != site}
        session = session_key(context.memory.folder)
        fingerprint = context.study.fingerprint
        return secrets_with(peers, context.keys.roster, session, context.run, fingerprint)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Transcript:
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1
    study = make_study(
        NAMES,
        secure_sum={"enabled": True},
        quorum={"min_sites": 3},
        fusion={"sizes": [3, 5], "inverse_penalties": [0.3]},
    )
    sites = [make_rows(name, study, seed, shift=0.5 * seed) for seed, name in enumerate(NAMES)]
    federation, roster = federation_of(sites, study, tmp_path_factory.mktemp("run"))
    found = Transcript(federation, roster)

    def noted(answer: object, digest: str, envelope: Envelope, context: Any) -> Hidden:
        key = (context.site.name, envelope.exchange)
        names = [one.site for one in envelope.announced]
        found.plain[key] = answer
        found.contexts[key] = context_of(
            context.run, envelope.exchange, bytes.fromhex(digest), names
        )
        return really_hidden(answer, digest, envelope, context)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(receipts, "hidden", noted)
        harmonized = harmonize.run(federation, roster, study, FEATURES)  # type: ignore[arg-type]
        weights = train.run(federation, federation.run, roster, harmonized)  # type: ignore[arg-type]
        fused = fuse.run(federation, roster, study, harmonized, weights)  # type: ignore[arg-type]
        calibrate.run(federation, roster, fused.sites, study, fused.folds)  # type: ignore[arg-type]
    return found


def test_nothing_but_masked_answers_reaches_the_coordinator(run: Transcript) -> None:
    stages = {at.split(".")[0] for _, at, _ in run.federation.seen}
    assert stages == {"harmonize", "train", "fuse", "calibrate"}
    assert all(type(one) is Hidden for _, _, one in run.federation.seen)
    # The layout is one text at all sites: it cannot tell them apart.
    for at in {at for _, at, _ in run.federation.seen}:
        assert len({run.hidden[name, at].layout for name in NAMES}) == 1


def test_masked_vectors_are_uniform(run: Transcript) -> None:
    """Chi-square over the bytes of each; their p-values are those of chance."""
    chances = []
    for one in run.hidden.values():
        for vector in (one.statistics, one.weights):
            counts = np.bincount(np.frombuffer(vector.tobytes(), np.uint8), minlength=256)
            if counts.sum() >= 256 * 5:
                chances.append(chisquare(counts).pvalue)
    assert len(chances) > 20
    assert min(chances) > 1e-5 / len(chances)
    assert kstest(chances, "uniform").pvalue > 1e-4


def test_the_same_test_finds_what_is_not_masked(run: Transcript) -> None:
    for key in run.plain:
        encoded = STATISTICS.encode(run.statistics(key), len(NAMES))
        counts = np.bincount(np.frombuffer(encoded.tobytes(), np.uint8), minlength=256)
        assert chisquare(counts).pvalue < 1e-12


def test_no_number_of_a_site_is_anywhere_in_the_transcript(run: Transcript) -> None:
    """Neither as a float nor as fixed point, at any place of any message or file."""
    run_folder = run.federation.run.path
    parts = [packed_arrays(to_record(one)) for one in run.hidden.values()]
    parts += [packed_arrays(to_record(one)) for one in run.federation.questions]
    # Numbers in a message are aligned; in a file they may be anywhere.
    windows = [windows_of(part, 4) for part in parts]
    windows += [windows_of(one.read_bytes(), 1) for one in run_folder.rglob("*") if one.is_file()]
    transcript = np.unique(np.concatenate(windows))
    searched = 0
    for key in run.plain:
        values = run.statistics(key)
        telling = values[np.abs(values - np.rint(values)) > 1e-6]
        as_float = telling.view(np.uint64)
        low = np.ascontiguousarray(STATISTICS.encode(telling, len(NAMES))[:, :2])
        assert not is_among(as_float, transcript).any(), key
        assert not is_among(low.view(np.uint64)[:, 0], transcript).any(), key
        searched += telling.size
    assert searched > 5000
    # The search does find what is there: the coordinator's own question.
    asked = np.asarray(run.federation.questions[1].class_weights)  # type: ignore[attr-defined]
    assert is_among(asked.view(np.uint64), transcript).all()


def windows_of(content: bytes, stride: int) -> np.ndarray:
    """All eight bytes in a row that begin at a multiple of the stride, as whole numbers."""
    held = np.frombuffer(content, np.uint8)
    if held.size < 8:
        return np.zeros(0, np.uint64)
    rows = np.lib.stride_tricks.sliding_window_view(held, 8)[::stride]
    return np.ascontiguousarray(rows).view(np.uint64)[:, 0]


def is_among(values: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    places = np.searchsorted(ordered, values).clip(max=ordered.size - 1)
    return np.asarray(ordered[places] == values)


def without_masks(run: Transcript, key: Key, known: list[str]) -> Ring:
    """A site's masked statistics, less the masks that it shares with the sites named."""
    site, _ = key
    found: Ring = run.hidden[key].statistics
    for peer in known:
        context = run.contexts[key] + b"statistics"
        own = mask(run.secrets(site)[peer], context, found.shape)
        found = add(found, negate(own) if site < peer else own)
    return found


@pytest.mark.parametrize("site", NAMES)
def test_all_its_peers_but_one_together_cannot_unmask_a_site(run: Transcript, site: str) -> None:
    peers = [name for name in NAMES if name != site]
    keys = [key for key in run.plain if key[0] == site]
    for key in keys:
        truth = run.statistics(key)
        if truth.size < 50:
            continue
        # With the secrets of all of them it is laid open, so the attack itself is right.
        np.testing.assert_allclose(STATISTICS.decode(without_masks(run, key, peers)), truth)
        for missing in peers:
            known = [name for name in peers if name != missing]
            left = without_masks(run, key, known)
            counts = np.bincount(np.frombuffer(left.tobytes(), np.uint8), minlength=256)
            assert chisquare(counts).pvalue > 1e-9
            guessed = STATISTICS.decode(left)
            assert (np.abs(guessed - truth) > 1.0).mean() > 0.99


def test_no_two_messages_are_under_the_same_mask(run: Transcript) -> None:
    """The difference of two would be that of what they hide."""
    assert len(set(run.contexts.values())) == len({at for _, at in run.contexts})
    digests = [digest_of(to_record(one)) for one in run.hidden.values()]
    assert len(set(digests)) == len(digests)


def test_the_sums_are_those_of_the_plain_answers(run: Transcript) -> None:
    for at in {at for _, at in run.plain}:
        hidden = [run.hidden[name, at].statistics for name in NAMES]
        total = hidden[0]
        for one in hidden[1:]:
            total = add(total, one)
        plain = np.array([run.statistics((name, at)) for name in NAMES])
        size = np.abs(plain).sum(axis=0)
        error = np.abs(STATISTICS.decode(total) - plain.sum(axis=0))
        assert (error <= 1e-12 * np.maximum(size, 1e-3)).all()
