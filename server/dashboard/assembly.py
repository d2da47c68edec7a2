"""From all that is known of a run to the snapshot of it: a pure function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from common.course import stages_asked
from common.privacy.accounting import PrivacyError
from common.study import Study
from common.study_tables import DEADLINES, ROBUST
from server.dashboard import budget
from server.dashboard.advice import fix_of, sentence_of
from server.dashboard.estimate import Earlier, left_of, pace_of
from server.dashboard.sites import Around, Cohort, Role, sites_now
from server.dashboard.snapshot import (
    Curve,
    Failure,
    Left,
    PrivacyNow,
    QuestionNow,
    QuorumNow,
    RunState,
    SiteNow,
    Snapshot,
    StageNow,
    SumsNow,
)
from server.dashboard.told import PACED, CurveTold, StageTold, Told, Trouble, epoch
from server.network.runs import FAILED, state_of, words

MASKED = (
    "The sites' answers are summed under masks, so loss and AUC of a single site are not known "
    "here: to nobody but the site itself."
)
NOISY = (
    "The study hides each patient by noise. It asks for no loss and no AUC of a round, of one site "
    "or of all; one noisy AUC comes at the end."
)


@dataclass(frozen=True)
class Files:
    """What a run's folder holds beside its events.

    `answered` names who has answered the question under way; `held` says whether a process works
    on the run, `finished` whether there are results. `earlier` is a run like it, if there is one.
    """

    marker: Mapping[str, Any]
    study: Study | None
    cohort: Cohort
    sets: Mapping[str, Any]
    answered: tuple[str, ...]
    finished: bool
    held: bool
    earlier: Earlier


def snapshot(told: Told, files: Files, online: Mapping[str, bool], now: float) -> Snapshot:
    """Say how a run stands at the time `now`.

    Parameters
    ----------
    online
        Whether sites are connected, by name, where that is known.
    """
    study = files.study
    state = _state(told, files)
    running = state in ("running", "starting")
    question = _question(told, files) if running else None
    stages = _stages(told, study, state)
    refused = told.refused if running else {}
    around = Around(state, question, refused, online, files.cohort, now)
    sites = tuple(sites_now(_roles(told, files), told, around))
    return Snapshot(
        at=now,
        identity=str(files.marker["identity"]),
        study=str(files.marker.get("study", "")),
        fingerprint=str(files.marker.get("fingerprint", "")),
        state=state,
        where=_where(told, question),
        started=epoch(files.marker.get("started")),
        last_event=told.last,
        progress=_progress(told, study, state),
        stages=stages,
        question=question,
        left=_left(told, files.earlier, stages, now) if running else None,
        sites=sites,
        curves=_curves(told.curves),
        sites_measured=tuple(told.site_curves),
        hidden=_hidden(study),
        failures=_failures(told, files, running, sites),
        quorum=_quorum(told, study),
        privacy=_privacy(told, study),
        sums=_sums(files),
        looks={site: told.looks.get(site, 0) for site, role in _roles(told, files)
               if role == "external"},
        messages=told.messages,
    )  # fmt: skip


def site_curves(told: Told, site: str) -> tuple[Curve, ...]:
    """Give the curves of one site; none where nothing is known of single sites."""
    return _curves(told.site_curves.get(site, {}))


def _state(told: Told, files: Files) -> RunState:
    last = str(told.life[-1].get("event")) if told.life else None
    # Whoever submits a run knows nothing of it until its process is there.
    return state_of(last, files.held, files.finished, waits=True)


def _roles(told: Told, files: Files) -> list[tuple[str, Role]]:
    if files.study is not None:
        return [(site.name, site.role) for site in files.study.sites]
    # Without a study a site that was validated is external, and all others train.
    names = dict.fromkeys([*files.cohort, *told.sites])
    return [(name, "external" if told.looks.get(name) else "train") for name in names]


def _question(told: Told, files: Files) -> QuestionNow | None:
    asking = told.question
    since = None if asking is None else epoch(asking.get("time"))
    if asking is None or since is None:
        return None
    return QuestionNow(
        str(asking["stage"]),
        words(dict(asking)),
        since,
        since + float(asking.get("deadline", 0.0)),
        tuple(asking.get("sites", ())),
        files.answered,
    )


def _where(told: Told, question: QuestionNow | None) -> str:
    if question is not None:
        return question.words
    last = next(reversed(told.settled.values()), None)
    return told.current if last is None else words(dict(last))


def _stages(told: Told, study: Study | None, state: RunState) -> tuple[StageNow, ...]:
    # A stage that is not among those of the study, or of a study unknown, stands where it began.
    names: list[str] = list(DEADLINES if study is None else stages_asked(study))
    before = ""
    for name in told.stages:
        if name not in names:
            names.insert(names.index(before) + 1 if before in names else 0, name)
        before = name
    found = []
    for name in names:
        own = told.stages.get(name, StageTold())
        if own.ended or (state == "finished" and own.began is not None):
            how = "done"
        else:
            how = "now" if name == told.current and own.began is not None else "next"
        count = _rounds_done(told) if name == "train" else own.questions
        found.append(
            StageNow(name, how, count, _questions(name, study), own.seconds, own.began)  # type: ignore[arg-type]
        )
    return tuple(found)


def _questions(stage: str, study: Study | None) -> int | None:
    """Say how many questions a stage has, where that is known beforehand."""
    if study is None:
        return None
    known = {
        "enrol": 1,
        "harmonize": 2 if study.harmonization.fills else 1,
        "train": study.folds * study.training.rounds,
        "calibrate": 1,
        "search": sum(rung.cost + rung.places for rung in study.search.rungs),
        "validate": (1 if len(study.external_sites) < 2 else 2)
        + bool(study.report.subgroups)
        + study.explain.attention
        + study.comparison.on,
    }
    return known.get(stage)


def _rounds_done(told: Told) -> int:
    return sum(told.rounds.values())


def _progress(told: Told, study: Study | None, state: RunState) -> float | None:
    """Give the share of the rounds of training that are done."""
    if state == "finished":
        return 1.0
    if study is None:
        return None
    return min(1.0, _rounds_done(told) / (study.folds * study.training.rounds))


def _left(told: Told, earlier: Earlier, stages: tuple[StageNow, ...], now: float) -> Left | None:
    begun = [number for number, stage in enumerate(stages) if stage.state == "now"]
    if not begun:
        return None
    still_open = [stage for stage in stages[begun[0] :] if stage.state != "done"]
    first, pace = still_open[0], None
    if first.name in PACED and first.of is not None:
        done = _rounds_done(told) if first.name == "train" else told.stages[first.name].places
        pace = pace_of(tuple(told.paces), first.of - done, now)
    elapsed = 0.0 if first.began is None else max(0.0, now - first.began)
    return left_of([stage.name for stage in still_open], pace, elapsed, earlier)


def _curves(told: Mapping[int, CurveTold]) -> tuple[Curve, ...]:
    return tuple(
        Curve(
            fold,
            tuple(own.rounds),
            tuple(own.training_loss),
            tuple(own.validation_loss),
            tuple(own.validation_auc),
        )
        for fold, own in sorted(told.items())
    )


def _hidden(study: Study | None) -> str:
    if study is None:
        return ""
    if study.privacy.on:
        return NOISY
    if study.secure_sum.enabled and study.training.strategy not in ROBUST:
        return MASKED
    return ""


def _failures(
    told: Told, files: Files, running: bool, sites: tuple[SiteNow, ...]
) -> tuple[Failure, ...]:
    """List what went wrong, what matters still first, the latest of it first."""
    # Of a site that is late the SuperLink may know by now that it is gone.
    gone = {site.name: site for site in sites if site.state == "gone"}
    found = [
        replace(one, what=gone[one.site].note, fix=gone[one.site].fix)
        if one.site in gone and not one.over
        else one
        for one in map(_failure, told.troubles)
    ]
    asking = told.question
    if running and asking is not None:
        when = epoch(asking.get("time")) or 0.0
        found += [
            Failure(site, sentence_of(reason), fix_of(reason), words(dict(asking)), when, when, 1,
                    False)
            for site, reason in told.refused.items()
            if not any(one.site == site and not one.over for one in found)
        ]  # fmt: skip
    last = told.life[-1] if told.life else {}
    for event in told.life:
        if event.get("event") == FAILED:
            when = epoch(event.get("time")) or 0.0
            over = files.held or files.finished or event is not last
            found.append(
                Failure("", str(event.get("what", "")), str(event.get("fix", "")), "the run", when,
                        when, 1, over)
            )  # fmt: skip
    return tuple(sorted(found, key=lambda one: (one.over, bool(one.site), -one.until)))


def _failure(trouble: Trouble) -> Failure:
    where = trouble.first
    if trouble.last != trouble.first:
        where = f"{trouble.first} to {trouble.last}"
    return Failure(
        trouble.site,
        sentence_of(trouble.reason),
        fix_of(trouble.reason),
        where,
        trouble.since,
        trouble.until,
        trouble.times,
        trouble.over,
    )


def _quorum(told: Told, study: Study | None) -> QuorumNow | None:
    if study is None:
        return None
    training, answered = set(study.training_sites), None
    for event in reversed(told.settled.values()):
        asked = set(event.get("sites", {})) & training
        if asked:
            answered = len(asked - set(event.get("failures", {})))
            break
    return QuorumNow(study.least_sites, study.mandatory_sites, answered, len(training))


def _privacy(told: Told, study: Study | None) -> PrivacyNow | None:
    if study is None or not study.privacy.on:
        return None
    summed = told.stages.get("harmonize", StageTold()).questions
    scored = told.stages.get("calibrate", StageTold()).questions
    try:
        return budget.spent(study, told.rounds, study.folds if summed else 0, scored > 0)
    except PrivacyError:
        return None


def _sums(files: Files) -> SumsNow | None:
    study = files.study
    if study is None or not study.secure_sum.enabled:
        return None
    return SumsNow(int(files.sets.get("changes", 0)), study.secure_sum.set_changes)
