"""Sums under masks over sites that refuse, are lost, come back and lie: right, or none at all."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coordinator_samples import (
    DEADLINE,
    FakeGrid,
    Killed,
    enrolled,
    federation_over,
    make_study,
    trained,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import Error, RecordDict

from client.cohort.site_folder import SiteFolder, SiteInfo
from client.context import SiteContext
from client.site_keys import SESSION_FILE, SiteKeys, session_key
from client.worker.hiding import hidden
from common.errors import MyoFedError, RunError
from common.messages import (
    CalibrateAnswer,
    CalibrateQuestion,
    EnrolAnswer,
    Hidden,
    Question,
    Refusal,
    TrainAnswer,
    TrainQuestion,
)
from common.records import digest_of, from_record, refusal_record, to_record
from common.secure_sum.session import announce
from common.study import Study
from server.firewall import require
from server.journal import Exchange
from server.plain_sum import plain_sum
from server.roster import Roster
from server.sum_sets import SumSets
from server.total import SETS_FILE, Total, total

pytestmark = pytest.mark.usefixtures("fast")

NAMES = ("a", "b", "c", "d")
STEP = 2.0**-28
SIZE = 40
NO = refusal_record(Refusal("internal", "No."))
Reply = RecordDict | Error | None
Change = Callable[[Hidden], Hidden]


def study_of(secure: bool = True, least: int = 3, changes: int = 4, **more: Any) -> Study:
    return make_study(
        NAMES,
        quorum={"min_sites": least} | more,
        secure_sum={"enabled": secure, "set_changes": changes},
    )


def training(study: Study, number: int) -> TrainQuestion:
    weights = np.full(SIZE, number / 8, np.float32)
    return TrainQuestion(study.fingerprint, 0, number, 40, np.ones(2), weights)


def said(site: str, question: Question) -> TrainAnswer | CalibrateAnswer:
    """What a site says to a question: decided by both, weights on the grid of what is sent."""
    # The fingerprint differs with and without masks; nothing of it enters an answer.
    plain = replace(question, fingerprint="")
    seed = sha256(f"{site}{digest_of(to_record(plain))}".encode()).digest()[:8]
    rng = np.random.default_rng(int.from_bytes(seed, "big"))
    within = rng.normal(size=(2, 3)) * 10.0 ** rng.uniform(-3, 5, (2, 3))
    if isinstance(question, CalibrateQuestion):
        return CalibrateAnswer(rng.integers(0, 9, (2, 2, 1001)), within)
    change = (rng.integers(-(2**27), 2**27, SIZE) * STEP).astype(np.float32)
    return trained(
        change, slices=int(rng.integers(5, 30)), loss=float(rng.uniform(0, 3)),
        validation=within[0, :2], histogram=rng.integers(0, 9, (2, 1001)),
    )  # fmt: skip


@dataclass
class Sites:
    """Four sites that hide what they say by their own code, and a run over them.

    Attributes
    ----------
    folder : the run's is below it, and each site's
    others : what a site replies instead, by its name
    changed : what is made of a site's answer on its way, by its name
    done : site, exchange and who takes part, of every answer that was computed
    """

    folder: Path
    study: Study = field(default_factory=study_of)
    others: dict[str, Reply] = field(default_factory=dict)
    changed: dict[str, Change] = field(default_factory=dict)
    done: list[tuple[str, str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.grid = FakeGrid({name: self.site(name) for name in NAMES})
        self.federation, self.told = federation_over(self.grid, self.folder / "run", self.study)
        own = {name: Ed25519PrivateKey.from_private_bytes(name.encode() * 32) for name in NAMES}
        roster = {name: key.public_key().public_bytes_raw() for name, key in own.items()}
        info = SiteInfo("", "test", 2, "scar", "none", "", {})
        self.contexts = {
            name: SiteContext(
                SiteFolder(self.folder / name, replace(info, name=name)),
                self.study,
                self.federation.run.identity,
                given_keys=SiteKeys(own[name], roster),
            )
            for name in NAMES
        }

    @property
    def roster(self) -> Roster:
        """The sites as they enrol now."""
        return Roster({name: self.enrolled(name) for name in NAMES}, NAMES, ())

    def enrolled(self, name: str) -> EnrolAnswer:
        answer, context = enrolled(name, self.study, slices=100, positive=20, negative=9000), (
            self.contexts[name]
        )  # fmt: skip
        if not context.hides:
            return answer
        made = announce(
            session_key(context.memory.folder),
            context.keys.own,
            context.run,
            self.study.fingerprint,
            name,
        )
        return replace(answer, session_key=made.key.hex(), signature=made.signature.hex())

    def site(self, name: str) -> Callable[[str, RecordDict], Reply]:
        def reply(stage: str, record: RecordDict) -> Reply:
            if name in self.others:
                return self.others[name]
            envelope = self.grid.envelope
            assert envelope is not None
            takes_part = "".join(one.site for one in envelope.announced)
            self.done.append((name, envelope.exchange, takes_part))
            kind = {"train": TrainQuestion, "calibrate": CalibrateQuestion}[stage]
            answer = said(name, from_record(kind, record))
            if not envelope.announced:
                return to_record(answer)
            try:
                sent = hidden(answer, digest_of(record), envelope, self.contexts[name])
            except MyoFedError as error:
                return refusal_record(Refusal(error.code, error.public))
            return to_record(self.changed.get(name, lambda one: one)(sent))

        return reply

    def ask(self, question: Question, **given: Any) -> Total[Any]:
        kind = CalibrateAnswer if isinstance(question, CalibrateQuestion) else TrainAnswer
        check = given.pop("check", lambda own, answer: None)
        return total(self.federation, question, self.roster, NAMES, kind, check, **given)

    def round(self, number: int) -> Total[TrainAnswer]:
        return self.ask(training(self.study, number))

    @property
    def changes(self) -> int:
        """How often the set of a sum has changed, by the coordinator's account."""
        return SumSets(self.folder / "run" / SETS_FILE, self.study).changes

    @property
    def failures(self) -> list[dict[str, str]]:
        """Who was missing, question by question."""
        return [one["failures"] for one in self.federation.run.events() if one["event"] == "asked"]


def is_the_sum(found: Total[Any], sites: str, question: Question) -> None:
    """Compare with the plain sum over these sites: exactly, but for floats of other sizes."""
    assert "".join(found.sites) == sites
    expected = plain_sum(type(found.answer), [said(name, question) for name in sites])
    for name, value in vars(expected).items():
        own = getattr(found.answer, name)
        assert type(own) is type(value)
        if isinstance(value, np.ndarray) and value.dtype != np.float64:
            assert own.dtype == value.dtype
            assert own.tobytes() == value.tobytes(), name
        elif isinstance(value, int):
            assert own == value
        else:
            terms = [np.abs(getattr(said(one, question), name)) for one in sites]
            assert (np.abs(own - value) <= 1e-12 * np.sum(terms, axis=0)).all(), name


@pytest.mark.parametrize("secure", [True, False])
def test_the_sum_is_that_of_what_the_sites_say(tmp_path: Path, secure: bool) -> None:
    sites = Sites(tmp_path, study_of(secure))
    for question in (training(sites.study, 1), CalibrateQuestion(sites.study.fingerprint, {})):
        is_the_sum(sites.ask(question), "abcd", question)
    assert sites.failures == [{}, {}]
    assert {who for _, _, who in sites.done} == ({"abcd"} if secure else {""})


def test_with_masks_and_without_the_weights_are_the_same_bits(tmp_path: Path) -> None:
    one, two = (Sites(tmp_path / str(secure), study_of(secure)) for secure in (True, False))
    for number in (1, 2):
        with_masks, without = (sites.round(number).answer for sites in (one, two))
        assert with_masks.change.tobytes() == without.change.tobytes()
        assert with_masks.histogram.tobytes() == without.histogram.tobytes()
        assert (with_masks.slices, with_masks.patients) == (without.slices, without.patients)


def test_nothing_that_is_kept_of_a_site_is_what_it_said(tmp_path: Path) -> None:
    sites = Sites(tmp_path)
    sites.round(1)
    said_by = {name: said(name, training(sites.study, 1)) for name in NAMES}
    kept = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert sum(path.suffix == ".answer" for path in kept) == len(NAMES)
    for answer in said_by.values():
        assert isinstance(answer, TrainAnswer)
        for part in (answer.change, answer.validation, answer.histogram):
            assert not [path for path, content in kept.items() if part.tobytes() in content]


def test_a_site_that_never_answers_is_left_out_and_the_others_are_asked_again(
    tmp_path: Path,
) -> None:
    sites = Sites(tmp_path, others={"c": None})
    found = sites.round(1)
    is_the_sum(found, "abd", training(sites.study, 1))
    assert sites.failures == [{"c": "did not answer in time"}, {}]
    assert sites.told[0] == ("train", "without c: did not answer in time")
    first, second = (e for e in sites.federation.run.events() if e["event"] == "asked")
    assert (list(first["sites"]), list(second["sites"])) == ([*NAMES], ["a", "b", "d"])
    assert first["seconds"] >= DEADLINE
    assert sites.changes == 1
    # In the rounds that follow nobody waits for it.
    is_the_sum(sites.round(2), "abd", training(sites.study, 2))
    assert sites.failures[2:] == [{}]
    assert sites.changes == 1
    assert Counter(sites.done) == {
        **dict.fromkeys([(name, "train.0.1", "abcd") for name in "abd"], 1),
        **dict.fromkeys([(name, "train.0.1", "abd") for name in "abd"], 1),
        **dict.fromkeys([(name, "train.0.2", "abd") for name in "abd"], 1),
    }


def test_a_site_that_refuses_is_left_out_in_the_rounds_of_the_stage(tmp_path: Path) -> None:
    sites = Sites(tmp_path, others={"b": NO})
    is_the_sum(sites.round(1), "acd", training(sites.study, 1))
    assert sites.failures == [{"b": "No. (internal)"}, {}]
    del sites.others["b"]
    is_the_sum(sites.round(2), "acd", training(sites.study, 2))
    question = CalibrateQuestion(sites.study.fingerprint, {})
    is_the_sum(sites.ask(question), "abcd", question)
    assert sites.changes == 1


def test_a_site_that_was_away_is_taken_back(tmp_path: Path) -> None:
    sites = Sites(tmp_path)
    sites.grid.away = {"d"}
    is_the_sum(sites.round(1), "abc", training(sites.study, 1))
    sites.grid.away = set()
    is_the_sum(sites.round(2), "abcd", training(sites.study, 2))
    is_the_sum(sites.round(3), "abcd", training(sites.study, 3))
    assert sites.failures == [{"d": "is not connected"}, {}, {}, {}]
    assert sites.changes == 2


def test_a_site_that_was_slow_is_taken_back_once_it_has_answered(tmp_path: Path) -> None:
    """What it says too late counts nowhere; the next sum is over all again."""
    sites = Sites(tmp_path, others={"d": None})
    is_the_sum(sites.round(1), "abc", training(sites.study, 1))
    is_the_sum(sites.round(2), "abc", training(sites.study, 2))
    del sites.others["d"]
    is_the_sum(sites.round(3), "abcd", training(sites.study, 3))
    is_the_sum(sites.round(4), "abcd", training(sites.study, 4))
    assert sites.changes == 2


def test_it_is_taken_back_as_well_if_its_answer_comes_during_another_question(
    tmp_path: Path,
) -> None:
    sites = Sites(tmp_path, others={"d": None})
    sites.round(1)
    del sites.others["d"]
    real = sites.federation._settle

    def settle(*given: Any) -> Any:
        sites.federation._hear_the_overdue()
        return real(*given)

    # The question was put to the three already when it comes.
    sites.grid.slow = {"d": 1}
    sites.federation._settle = settle  # type: ignore[method-assign]
    is_the_sum(sites.round(2), "abc", training(sites.study, 2))
    assert sites.federation.late == set()
    is_the_sum(sites.round(3), "abcd", training(sites.study, 3))


def test_a_second_loss_below_the_minimum_ends_the_run_and_it_can_go_on(tmp_path: Path) -> None:
    sites = Sites(tmp_path, others={"c": None})
    real = sites.grid.sites["b"]

    def refuses_without_c(stage: str, record: RecordDict) -> Reply:
        assert sites.grid.envelope is not None
        alone = len(sites.grid.envelope.announced) == 3
        return NO if alone else real(stage, record)

    sites.grid.sites["b"] = refuses_without_c
    with pytest.raises(RunError) as caught:
        sites.round(1)
    assert "2 training sites answered, at least 3 must" in caught.value.what
    assert "b: No. (internal)" in caught.value.what
    assert sites.changes == 1
    # Once b is well again only b is asked; c, which is back as well, stays out of this sum.
    again = Sites(tmp_path)
    is_the_sum(again.round(1), "abd", training(sites.study, 1))
    assert again.done == [("b", "train.0.1", "abd")]
    assert again.changes == 1
    # In a round that has not begun, it is asked where a run goes on.
    assert "".join(again.round(2).sites) == "abd"


@pytest.mark.parametrize("lost", ["c", "bc"])
def test_a_loss_that_the_quorum_does_not_allow_ends_the_run_at_once(
    tmp_path: Path, lost: str
) -> None:
    sites = Sites(tmp_path, study_of(least=4 if lost == "c" else 3))
    sites.grid.away = set(lost)
    with pytest.raises(RunError, match="training sites answered, at least"):
        sites.round(1)
    assert {who for _, _, who in sites.done} == {"abcd"}
    again = Sites(tmp_path, sites.study)
    is_the_sum(again.round(1), "abcd", training(sites.study, 1))
    assert sorted(name for name, _, _ in again.done) == list(lost)


def test_a_mandatory_site_is_not_left_out(tmp_path: Path) -> None:
    sites = Sites(tmp_path, study_of(mandatory=["c"]), others={"c": None})
    with pytest.raises(RunError, match="without c it must not go on"):
        sites.round(1)
    assert {who for _, _, who in sites.done} == {"abcd"}


@pytest.mark.parametrize("changes", [0, 1])
def test_a_budget_that_is_used_up_ends_the_run_and_names_who_is_missing(
    tmp_path: Path, changes: int
) -> None:
    sites = Sites(tmp_path, study_of(changes=changes))
    if changes:
        sites.others["d"] = NO
        sites.ask(CalibrateQuestion(sites.study.fingerprint, {}))
        del sites.others["d"]
    sites.others["b"] = None
    with pytest.raises(RunError) as caught:
        sites.round(1)
    assert "Without b the sum of train.0.1" in caught.value.what
    assert "b: did not answer in time" in caught.value.what
    assert sites.changes == changes


def test_who_is_known_to_be_away_is_waited_for_where_the_budget_is_used_up(tmp_path: Path) -> None:
    sites = Sites(tmp_path, study_of(changes=1))
    sites.grid.away = {"d"}
    is_the_sum(sites.round(1), "abc", training(sites.study, 1))
    sites.grid.away = {"d", "c"}
    with pytest.raises(RunError, match="c: is not connected"):
        sites.round(2)
    sites.grid.away = {"d"}
    is_the_sum(sites.round(2), "abc", training(sites.study, 2))
    assert sites.changes == 1


def longer(one: Hidden) -> Hidden:
    """An array that nobody else has."""
    layout = json.loads(one.layout)
    statistics = np.concatenate([one.statistics, one.statistics[:1]])
    return replace(one, layout=json.dumps([["more", "float64", [1]], *layout]),
                   statistics=statistics)  # fmt: skip


LIES: dict[str, tuple[Change, str]] = {
    "another layout": (longer, "its answer has another layout than those of the others"),
    "too short": (lambda one: replace(one, statistics=one.statistics[:-1]), "not as long as"),
    "too narrow": (lambda one: replace(one, statistics=one.statistics[:, :1]), "not as long as"),
    "no weights": (lambda one: replace(one, weights=one.weights[:0]), "not as long as"),
    "no layout": (lambda one: replace(one, layout="patients"), "A layout cannot be read"),
    "endless": (
        lambda one: replace(one, layout='[["x", "float64", [Infinity]]]'),
        "A layout cannot be read",
    ),
}


@pytest.mark.parametrize("case", LIES)
@pytest.mark.parametrize("liar", ["a", "d"])
def test_a_site_whose_answer_has_another_form_is_named_and_left_out(
    tmp_path: Path, case: str, liar: str
) -> None:
    change, reason = LIES[case]
    sites = Sites(tmp_path, changed={liar: change})
    left = "".join(name for name in NAMES if name != liar)
    is_the_sum(sites.round(1), left, training(sites.study, 1))
    assert list(sites.failures[0]) == [liar]
    assert reason in sites.failures[0][liar]
    assert sites.failures[0][liar].startswith("quarantined: ")


def test_an_answer_that_is_not_hidden_does_not_count(tmp_path: Path) -> None:
    plain = to_record(said("b", training(study_of(), 1)))
    sites = Sites(tmp_path, others={"b": plain})
    is_the_sum(sites.round(1), "acd", training(sites.study, 1))
    assert "answer-malformed" in sites.failures[0]["b"]


def test_a_sum_that_cannot_be_right_ends_the_run_and_names_all_its_sites(tmp_path: Path) -> None:
    def adds(one: Hidden) -> Hidden:
        return replace(one, statistics=one.statistics + np.uint32(2**31))

    sites = Sites(tmp_path, changed={"b": adds})

    def check(own: EnrolAnswer, answer: TrainAnswer) -> None:
        assert (own.site, own.slices, own.positive) == ("a, b, c, d", 400, 80)
        require(0 <= answer.slices <= own.slices, "its number of slices is not that of any rows")

    with pytest.raises(RunError) as caught:
        sites.ask(training(sites.study, 1), check=check)
    assert "The sum of train.0.1 over a, b, c, d cannot be right" in caught.value.what
    assert "its number of slices is not that of any rows" in caught.value.what
    assert "begin a new run" in caught.value.fix
    good = Sites(tmp_path / "good")
    is_the_sum(good.ask(training(good.study, 1), check=check), "abcd", training(good.study, 1))


def test_one_site_under_other_masks_makes_garbage_and_it_is_noticed(tmp_path: Path) -> None:
    """As where a site answers another question than the one that it was asked."""
    sites = Sites(tmp_path)
    noise = np.random.default_rng(0)

    def other(one: Hidden) -> Hidden:
        drawn = noise.integers(0, 2**32, one.statistics.shape, np.uint32)
        return replace(one, statistics=drawn)

    sites.changed["c"] = other
    check: Any = lambda own, answer: require(  # noqa: E731
        1 <= answer.slices <= own.slices, "its number of slices is not that of any rows"
    )
    with pytest.raises(RunError, match="cannot be right"):
        sites.ask(training(sites.study, 1), check=check)


def test_answers_are_compared_with_each_other_only_where_they_are_seen(tmp_path: Path) -> None:
    def odd(answers: Mapping[str, TrainAnswer]) -> dict[str, str]:
        assert all(isinstance(one, TrainAnswer) for one in answers.values())
        return {"b": "its update is odd"}

    plain = Sites(tmp_path / "plain", study_of(secure=False))
    found = plain.ask(training(plain.study, 1), judge=odd)
    is_the_sum(found, "acd", training(plain.study, 1))
    assert plain.failures == [{"b": "quarantined: its update is odd"}]
    sites = Sites(tmp_path / "masks")
    is_the_sum(sites.ask(training(sites.study, 1), judge=odd), "abcd", training(sites.study, 1))


def loses_key(sites: Sites, name: str) -> None:
    (sites.contexts[name].memory.folder / SESSION_FILE).unlink()


def test_a_site_that_lost_its_session_key_says_so_and_enrols_anew(tmp_path: Path) -> None:
    """What the others said under the old masks is of no use then: they are asked again."""
    sites = Sites(tmp_path, study_of(least=4))
    roster = sites.roster
    loses_key(sites, "d")
    with pytest.raises(RunError, match=r"d: .*\(lost-session-key\)"):
        total(sites.federation, training(sites.study, 1), roster, NAMES, TrainAnswer,
              lambda *_: None)  # fmt: skip
    again = Sites(tmp_path, sites.study)
    is_the_sum(again.round(1), "abcd", training(sites.study, 1))
    assert sorted(name for name, _, _ in again.done) == list(NAMES)
    assert again.changes == 0


def course(sites: Sites) -> list[bytes]:
    """Two rounds and a calibration, in which c refuses everything; all that comes out."""
    sites.others["c"] = NO
    found = []
    for question in (
        training(sites.study, 1),
        training(sites.study, 2),
        CalibrateQuestion(sites.study.fingerprint, {}),
    ):
        summed = sites.ask(question)
        is_the_sum(summed, "abd", question)
        found += [np.asarray(value).tobytes() for value in vars(summed.answer).values()]
    assert sites.changes == 2
    return found


def goes_on(folder: Path, broken: Sites, whole: Sites, bits: list[bytes]) -> None:
    """Take the run up again: the same bits, and nobody answers again what was answered."""
    rest = Sites(folder)
    assert course(rest) == bits
    assert Counter(broken.done + rest.done) == Counter(whole.done)


def test_it_may_die_at_any_message(tmp_path: Path) -> None:
    whole = Sites(tmp_path / "whole")
    bits = course(whole)
    assert len(whole.grid.asked) == 4 + 3 + 3 + 4 + 3
    assert len(whole.done) == 3 * 5
    for dies_at in range(1, len(whole.grid.asked) + 1):
        broken = Sites(tmp_path / str(dies_at))
        broken.grid.dies_at = dies_at
        with pytest.raises(Killed):
            course(broken)
        goes_on(tmp_path / str(dies_at), broken, whole, bits)


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(("kind", "name", "count"), [(Exchange, "settle", 5), (SumSets, "_save", 5),
                                                     (Exchange, "keep", 15)])  # fmt: skip
def test_it_may_die_beside_anything_that_it_writes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Any],
    name: str,
    count: int,
    before: bool,
) -> None:
    whole = Sites(tmp_path / "whole")
    bits = course(whole)
    real, written = getattr(kind, name), [0]

    def dies(*given: Any) -> None:
        written[0] += 1
        if written[0] == at and before:
            raise Killed
        real(*given)
        if written[0] == at:
            raise Killed

    for at in range(1, count + 1):
        written[0] = 0
        broken = Sites(tmp_path / str(at))
        with monkeypatch.context() as patch:
            patch.setattr(kind, name, dies)
            with pytest.raises(Killed):
                course(broken)
        # An answer that came and was not kept is computed again.
        lost = broken.done[-1:] if (name, before) == ("keep", True) else []
        broken.done = broken.done[: len(broken.done) - len(lost)]
        goes_on(tmp_path / str(at), broken, whole, bits)


def test_a_site_found_unfit_when_the_run_goes_on_is_asked_no_more(tmp_path: Path) -> None:
    """Though the question was put to it before."""
    sites = Sites(tmp_path)
    sites.round(1)
    sites.grid.dies_at = 7
    with pytest.raises(Killed):
        sites.round(2)
    again = Sites(tmp_path)
    fit = replace(again.roster, train=("a", "b", "d"))
    question = training(again.study, 2)
    for number in (2, 3):
        question = training(again.study, number)
        found = total(again.federation, question, fit, fit.train, TrainAnswer, lambda *_: None)
        is_the_sum(found, "abd", question)
    assert "c" not in {site for site, _ in again.grid.asked}
    assert {who for _, _, who in again.done} == {"abd"}
    assert again.changes == 1
    # What it said before in full is counted: that sum was settled.
    found = total(again.federation, training(again.study, 1), fit, fit.train, TrainAnswer,
                  lambda *_: None)  # fmt: skip
    is_the_sum(found, "abcd", training(again.study, 1))


@pytest.mark.parametrize("changes", [0, 4])
def test_where_too_few_fit_sites_are_left_the_run_does_not_go_on(
    tmp_path: Path, changes: int
) -> None:
    sites = Sites(tmp_path, study_of(changes=changes))
    sites.grid.dies_at = 3
    with pytest.raises(Killed):
        sites.round(1)
    again = Sites(tmp_path, sites.study)
    train = ("a", "b") if changes else ("a", "b", "d")
    fit = replace(again.roster, train=train)
    with pytest.raises(RunError) as caught:
        total(again.federation, training(again.study, 1), fit, fit.train, TrainAnswer,
              lambda *_: None)  # fmt: skip
    assert "c: " in caught.value.what
    assert again.grid.asked == []
    # Set right, they take part again.
    last = Sites(tmp_path, sites.study)
    is_the_sum(last.round(1), "abcd", training(last.study, 1))
