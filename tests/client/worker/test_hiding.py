"""What a site puts under masks, and the sums that it takes no part in, whoever asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from site_samples import RUN, hold, identity_of, make_rows, make_study, roster_keys

from client.context import SiteContext
from client.network import local_training
from client.network.local_training import LocalResult
from client.site_keys import SESSION_FILE, SiteKeys, session_key
from client.stages import train
from client.worker.hiding import SETS_FILE, LostSessionKey, SetsChanged, hidden
from client.worker.worker import Worker
from common.cnn import initial_weights
from common.course import exchange_of
from common.errors import MyoFedError, RunError
from common.messages import (
    EnrolAnswer,
    EnrolQuestion,
    FuseAnswer,
    Hidden,
    Question,
    Refusal,
    TrainAnswer,
    TrainQuestion,
)
from common.records import Envelope, from_answer, refusal_record, to_record
from common.secure_sum.adding import Adding
from common.secure_sum.fixed_point import OutOfRange
from common.secure_sum.masks import TooFewToHide
from common.secure_sum.session import Announcement, ForgedKey, announce
from common.study import Study
from common.update import longest_change, share_of_change

NAMES = ("a", "b", "c", "d", "e")
ROLES = dict.fromkeys(NAMES, "train") | {"x": "external"}
DIGEST = "ab" * 32
ANSWER = FuseAnswer({"count": np.asarray(7), "x": np.linspace(-3, 3, 50)})


def study_of(changes: int = 2, least: int = 3, **more: Any) -> Study:
    return make_study(
        ROLES,
        quorum={"min_sites": least},
        secure_sum={"enabled": True, "set_changes": changes},
        **more,
    )


@dataclass
class Consortium:
    """The contexts of all sites of a study, by name."""

    study: Study
    contexts: dict[str, SiteContext]

    @classmethod
    def make(cls, folder: Path, study: Study) -> Consortium:
        rows = make_rows("a", study, 1, patients=6, slices=2, with_images=False)
        return cls(
            study, {name: hold(replace(rows, site=name), study, folder) for name in (*NAMES, "x")}
        )

    def announced(self, name: str, run: str = RUN, study: str = "") -> Announcement:
        """The session key of a site, as it signs it."""
        key = session_key(self.contexts[name].memory.folder)
        return announce(key, identity_of(name), run, study or self.study.fingerprint, name)

    def envelope(self, names: Sequence[str], exchange: str = "train.0.1") -> Envelope:
        return Envelope(RUN, exchange, tuple(self.announced(name) for name in names))

    def ask(
        self, names: Sequence[str], exchange: str = "train.0.1", site: str = "a", **changed: Any
    ) -> Hidden:
        """Let a site hide its answer among these sites, as a question in that place."""
        envelope = self.envelope(names, exchange)
        if changed:
            envelope = replace(
                envelope, announced=tuple(changed.get(one.site, one) for one in envelope.announced)
            )
        return hidden(ANSWER, DIGEST, envelope, self.contexts[site])


@pytest.fixture
def sites(tmp_path: Path) -> Consortium:
    return Consortium.make(tmp_path, study_of())


def test_the_sum_over_all_sites_that_were_named_is_that_of_what_they_say(
    sites: Consortium,
) -> None:
    for names in ("abcde", "bde"):
        adding = Adding()
        for site in names:
            adding.add(sites.ask(names, f"train.{len(names)}.1", site))
        total = adding.total(FuseAnswer).sums
        assert int(total["count"]) == 7 * len(names)
        np.testing.assert_allclose(total["x"], len(names) * ANSWER.sums["x"], atol=1e-15)


def test_the_same_question_for_the_same_sites_is_answered_with_the_same_bytes(
    sites: Consortium,
) -> None:
    first, again = sites.ask("abcd"), sites.ask("abcd")
    assert first.statistics.tobytes() == again.statistics.tobytes()
    later = sites.ask("abcd", "train.0.2")
    assert later.statistics.tobytes() != first.statistics.tobytes()


def refused(sites: Consortium, kind: type[MyoFedError], names: Sequence[str], **more: Any) -> str:
    """See that a sum is refused, and that nothing of it is counted; give what is logged."""
    path = sites.contexts["a"].site.path / SETS_FILE
    before = path.read_bytes() if path.exists() else b""
    with pytest.raises(kind) as caught:
        sites.ask(names, **more)
    assert (path.read_bytes() if path.exists() else b"") == before
    return caught.value.what


@pytest.mark.parametrize("least", [3, 4, 0])
def test_over_too_few_it_hides_nothing(tmp_path: Path, least: int) -> None:
    sites = Consortium.make(tmp_path, study_of(least=least))
    enough = least or len(NAMES)
    for names in (NAMES[:count] for count in range(1, enough)):
        assert f"this study needs {enough}" in refused(sites, TooFewToHide, names)
    assert isinstance(sites.ask(NAMES[:enough]), Hidden)


def test_over_no_sites_or_without_itself_it_hides_nothing(sites: Consortium) -> None:
    assert "over no sites" in refused(sites, TooFewToHide, ())
    for names in ("bcd", "bcde"):
        assert "this one among them" in refused(sites, TooFewToHide, names)


@pytest.mark.parametrize(
    "names", ["bacd", "dcba", "abdc", "aabc", "abca", "abbb", "abcc", "abcx", "xabc", "abcdex"]
)
def test_over_anything_but_training_sites_in_the_order_of_the_study_it_hides_nothing(
    sites: Consortium, names: str
) -> None:
    what = refused(sites, RunError, names)
    assert ", ".join(names) in what
    assert "the training sites of the study are a, b, c, d, e" in what


def test_among_strangers_it_hides_nothing(sites: Consortium) -> None:
    stranger = Announcement("mallory", bytes(32), bytes(64))
    for place in range(4):
        announced = list(sites.envelope("abc").announced)
        announced.insert(place, stranger)
        envelope = Envelope(RUN, "train.0.1", tuple(announced))
        with pytest.raises(RunError, match="mallory"):
            hidden(ANSWER, DIGEST, envelope, sites.contexts["a"])


def forged(sites: Consortium) -> Mapping[str, Announcement]:
    """What a coordinator could hand round as the key of c."""
    mine, signer = X25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    print_, good = sites.study.fingerprint, sites.announced("c")
    swapped = announce(mine, signer, RUN, print_, "c")
    return {
        "a key of its own": swapped,
        "a key of its own under a good signature": replace(swapped, signature=good.signature),
        "a good key under a signature of its own": replace(good, signature=swapped.signature),
        "a key of another site": replace(sites.announced("d"), site="c"),
        "another site's key, signed by it": announce(
            session_key(sites.contexts["d"].memory.folder), identity_of("d"), RUN, print_, "c"
        ),
        "one of another run": sites.announced("c", run="run-0"),
        "one of another study": sites.announced("c", study="0" * 64),
        "no signature": replace(good, signature=b""),
        "no key": replace(good, key=b""),
    }


@pytest.mark.parametrize("case", range(9))
def test_a_key_that_is_not_its_peer_s_is_refused_and_the_peer_is_named(
    sites: Consortium, case: int
) -> None:
    every = forged(sites)
    assert len(every) == 9
    key = list(every.values())[case]
    what = refused(sites, ForgedKey, "abcd", c=key)
    assert "as that of c is not signed with the key of c" in what
    # Nobody else than who is asked has to find it out: each of the peers does.
    with pytest.raises(ForgedKey, match="that of c"):
        sites.ask("abcd", site="d", c=key)
    assert isinstance(sites.ask("abcd"), Hidden)


def test_keys_of_two_peers_that_were_swapped_are_refused(sites: Consortium) -> None:
    b, c = sites.announced("b"), sites.announced("c")
    refused(sites, ForgedKey, "abcd", b=replace(c, site="b"), c=replace(b, site="c"))


def test_a_peer_that_the_study_has_no_key_of_is_not_trusted(sites: Consortium) -> None:
    keys = roster_keys(sites.study)
    del keys["c"]
    own = sites.contexts["a"]
    context = replace(own, given_keys=SiteKeys(own.keys.own, keys))
    with pytest.raises(ForgedKey, match="that of c"):
        hidden(ANSWER, DIGEST, sites.envelope("abcd"), context)


def test_its_own_key_must_be_the_one_that_it_holds(sites: Consortium) -> None:
    mine = announce(
        X25519PrivateKey.generate(), identity_of("a"), RUN, sites.study.fingerprint, "a"
    )
    assert "is not the one kept" in refused(sites, LostSessionKey, "abcd", a=mine)
    envelope = sites.envelope("abcd")
    (sites.contexts["a"].memory.folder / SESSION_FILE).unlink()
    with pytest.raises(LostSessionKey, match=f"the run {RUN}"):
        hidden(ANSWER, DIGEST, envelope, sites.contexts["a"])
    assert isinstance(sites.ask("abcd"), Hidden)


def test_the_session_key_is_the_site_s_alone(sites: Consortium) -> None:
    folder = sites.contexts["a"].memory.folder
    first = session_key(folder).private_bytes_raw()
    assert session_key(folder).private_bytes_raw() == first
    assert (folder / SESSION_FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in folder.iterdir()] == [SESSION_FILE]


@pytest.mark.parametrize("names", ["abcde", "abce", "acde", "abde"])
def test_the_same_question_is_not_answered_over_more_or_other_sites(
    sites: Consortium, names: str
) -> None:
    sites.ask("abcd")
    assert "before it was over a, b, c, d" in refused(sites, SetsChanged, names)
    # Over fewer it is, and then no longer over those that it was asked first.
    sites.ask("abc")
    assert "before it was over a, b, c" in refused(sites, SetsChanged, "abcd")
    assert isinstance(sites.ask("abc"), Hidden)


def test_sets_change_no_more_often_than_the_study_allows(sites: Consortium) -> None:
    sites.ask("abcde", "train.0.1")
    sites.ask("abcd", "train.0.1")
    for number in range(2, 5):
        sites.ask("abcd", f"train.0.{number}")
    sites.ask("abcde", "train.0.5")
    for names in ("abcd", "abc", "acde"):
        what = refused(sites, SetsChanged, names, exchange="train.0.6")
        assert "the study allows 2 changes" in what
    assert isinstance(sites.ask("abcde", "train.0.6"), Hidden)


def test_the_account_is_one_for_the_study_and_survives_worker_and_run(
    sites: Consortium, tmp_path: Path
) -> None:
    # What begins is free: sums of another stage or fold are other sums.
    for exchange, names in [
        ("harmonize.features", "abcd"), ("train.0.1", "abcde"), ("train.1.1", "abc"),
    ]:  # fmt: skip
        sites.ask(names, exchange)
    sites.ask("abc", "harmonize.features")
    sites.ask("abc", "train.0.2")
    again = Consortium.make(tmp_path, sites.study)
    refused(again, SetsChanged, "abcd", exchange="train.1.2")
    refused(again, SetsChanged, "ace", exchange="train.0.2")
    again.ask("abcd", "fuse.moments.0")
    again.ask("abcd", "fuse.heads.1")
    refused(again, SetsChanged, "abc", exchange="fuse.heads.1")
    # Another run goes on with it: its sums differ from those of the first by whoever is missing.
    other = {name: replace(one, run="run-2") for name, one in again.contexts.items()}
    fresh = Consortium(sites.study, other)
    announced = tuple(fresh.announced(name, run="run-2") for name in "abc")
    hidden(ANSWER, DIGEST, Envelope("run-2", "train.1.1", announced), other["a"])
    more = tuple(fresh.announced(name, run="run-2") for name in "abd")
    with pytest.raises(SetsChanged, match="before it was over a, b, c"):
        hidden(ANSWER, DIGEST, Envelope("run-2", "train.1.2", more), other["a"])
    # Another study is another approval, with an account of its own.
    study = study_of(seed=99)
    third = {name: replace(one, study=study, run="run-3") for name, one in other.items()}
    apart = Consortium(study, third)
    sums = tuple(apart.announced(name, run="run-3") for name in "abd")
    hidden(ANSWER, DIGEST, Envelope("run-3", "train.1.1", sums), third["a"])


def test_a_study_may_allow_no_change_at_all(tmp_path: Path) -> None:
    sites = Consortium.make(tmp_path, study_of(changes=0))
    sites.ask("abcde")
    refused(sites, SetsChanged, "abcd")
    refused(sites, SetsChanged, "abcd", exchange="train.0.2")
    assert isinstance(sites.ask("abcd", "train.1.1"), Hidden)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_a_number_that_does_not_fit_is_refused_and_not_told(sites: Consortium, bad: float) -> None:
    answer = FuseAnswer({"x": np.array([1.0, bad])})
    with pytest.raises(OutOfRange) as caught:
        hidden(answer, DIGEST, sites.envelope("abc"), sites.contexts["a"])
    assert "1e+300" not in str(caught.value)


ASKED = TrainQuestion("", 0, 1, 40, np.array([0.7, 1.9]), np.zeros(0, np.float32))


def training(study: Study, **changed: Any) -> TrainQuestion:
    weights = initial_weights(study.cnn.width, study.cnn.dropout, 128, 1)
    return replace(ASKED, fingerprint=study.fingerprint, weights=weights, **changed)


def asked(worker: Worker, question: Question, envelope: Envelope) -> Any:
    """What a worker says: an answer, one under masks, or a refusal."""
    kind = Hidden if envelope.announced else EnrolAnswer
    return from_answer(kind, worker.ask(question.stage, to_record(question), envelope))


def test_a_worker_hides_what_it_says_and_says_no_more_in_a_refusal(sites: Consortium) -> None:
    context = sites.contexts["a"]
    worker, question = Worker(context), training(sites.study)
    enrolled = asked(worker, EnrolQuestion(sites.study.fingerprint), Envelope(RUN, "enrol"))
    assert isinstance(enrolled, EnrolAnswer)
    made = sites.announced("a")
    assert (enrolled.session_key, enrolled.signature) == (made.key.hex(), made.signature.hex())
    where = exchange_of(question)
    first = asked(worker, question, sites.envelope("abcd", where))
    assert isinstance(first, Hidden)
    again = asked(Worker(context), question, sites.envelope("abcd", where))
    assert again.statistics.tobytes() == first.statistics.tobytes()
    assert again.weights.tobytes() == first.weights.tobytes()
    for names, kind in [
        ("", TooFewToHide),
        ("ab", TooFewToHide),
        ("bcd", TooFewToHide),
        ("abdc", RunError),
        ("abcde", SetsChanged),
    ]:
        record = worker.ask("train", to_record(question), sites.envelope(names, where))
        refusal = Refusal(kind.code, kind.public)
        assert from_answer(TrainAnswer, record) == refusal
        assert record == refusal_record(refusal)


def test_an_external_site_and_a_study_without_masks_hide_nothing(
    sites: Consortium, tmp_path: Path
) -> None:
    outside = Worker(sites.contexts["x"])
    answer = asked(outside, EnrolQuestion(sites.study.fingerprint), Envelope(RUN, "enrol"))
    assert (answer.session_key, answer.signature) == ("", "")
    assert not (sites.contexts["x"].memory.folder / SESSION_FILE).exists()
    bare = make_study(ROLES)
    context = hold(make_rows("a", bare, 1, patients=6, slices=2), bare, tmp_path / "bare")
    worker = Worker(context)
    answer = asked(worker, EnrolQuestion(bare.fingerprint), Envelope(RUN, "enrol"))
    assert (answer.session_key, answer.signature) == ("", "")
    question = training(bare)
    record = worker.ask("train", to_record(question), Envelope(RUN, "train.0.1"))
    assert isinstance(from_answer(TrainAnswer, record), TrainAnswer)
    assert not (context.memory.folder / SESSION_FILE).exists()


@pytest.fixture
def moves(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the training move every weight by so much, in the place of Adam."""

    def by(step: float, first: float | None = None, loss: float = 0.5) -> None:
        def trained(weights: np.ndarray, *_: Any) -> LocalResult:
            after = weights + np.float32(step)
            after[0] = after[0] if first is None else first
            return LocalResult(after, loss)

        monkeypatch.setattr(local_training, "train_locally", trained)

    return by


def test_a_site_sends_its_share_of_the_change(sites: Consortium, moves: Any) -> None:
    question, context = training(sites.study), sites.contexts["a"]
    moves(1e-3, loss=0.5)
    answer = train.answer(question, context)
    slices = int(context.rows.trains(0).sum())
    assert answer.slices == slices
    assert answer.loss == 0.5 * slices
    np.testing.assert_allclose(answer.change, 1e-3 * slices / 40, atol=1e-7)
    grid = answer.change.astype(np.float64) * 2.0**28
    assert (grid == np.rint(grid)).all()
    halved = train.answer(training(sites.study, slices=80), context)
    np.testing.assert_allclose(halved.change, answer.change / 2, atol=2.0**-28)


def longest_step(sites: Consortium) -> float:
    """By how much training can move each weight at most: Adam's bound, written out."""
    training_ = sites.study.training
    slices = int(sites.contexts["a"].rows.trains(0).sum())
    steps = training_.local_epochs * -(-slices // training_.batch_size)
    return float(steps * training_.learning_rate * 0.1 / np.sqrt(0.001))


def test_a_change_that_training_cannot_have_made_is_found_by_the_site_itself(
    sites: Consortium, moves: Any
) -> None:
    question, context = training(sites.study), sites.contexts["a"]
    longest = longest_step(sites)
    size = question.weights.size
    slices = int(context.rows.trains(0).sum())
    bound = longest_change(size, slices, sites.study.training)
    assert bound == pytest.approx(longest * np.sqrt(size))
    moves(0.99 * longest)
    assert isinstance(train.answer(question, context), TrainAnswer)
    moves(1.01 * longest)
    with pytest.raises(RunError, match="moved the weights by") as caught:
        train.answer(question, context)
    assert "fold 0, round 1" in caught.value.what
    # One weight that went astray is enough.
    moves(0.0, first=2.0 * bound)
    with pytest.raises(RunError, match="moved the weights by"):
        train.answer(question, context)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_found_by_the_site_itself(
    sites: Consortium, moves: Any, bad: float
) -> None:
    moves(0.0, first=bad)
    with pytest.raises(RunError, match="moved the weights by"):
        train.answer(training(sites.study), sites.contexts["a"])


def test_a_loss_that_is_not_finite_does_not_leave(sites: Consortium, moves: Any) -> None:
    moves(0.0, loss=float("nan"))
    worker, question = Worker(sites.contexts["a"]), training(sites.study)
    found = asked(worker, question, sites.envelope("abc", exchange_of(question)))
    assert isinstance(found, Refusal)


def test_a_share_is_rounded_to_the_step_of_the_sum() -> None:
    rng = np.random.default_rng(1)
    before = rng.normal(size=500).astype(np.float32)
    after = (before + 1e-3 * rng.normal(size=500)).astype(np.float32)
    exact = (after.astype(float) - before) * 0.37
    found = share_of_change(after, before, 0.37)
    assert found.dtype == np.float32
    assert np.abs(found - exact).max() <= 2.0**-29
    grid = found.astype(np.float64) * 2.0**28
    assert (grid == np.rint(grid)).all()
    assert (np.rint(exact * 2.0**28) == grid).all()
