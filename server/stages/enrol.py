"""Enrol: meet the sites, compare what they run, and fix the cohort of the run."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping

from common.machine import MACHINE
from common.messages import EnrolAnswer, EnrolQuestion
from common.study import Study
from common.versions import in_common
from server.federation import Federation
from server.firewall import require, require_count
from server.roster import Roster
from server.run import RunFolder

MOST = 10**9
_HEX = re.compile("[0-9a-f]+")
_KEY_DIGITS = (64, 128)


def run(federation: Federation, run_folder: RunFolder) -> Roster:
    """Enrol the sites of the roster.

    A run that is gone on with asks anew who is there, since software may have changed meanwhile,
    but keeps to the cohort that it began with. A site that is not back yet is asked later; one
    that is not what it was is left out.

    Raises
    ------
    RunError
        The quorum does not hold: sites did not come, refuse, or run something else; each
        difference is named with its site.
    """
    study = run_folder.study
    begun = {name: EnrolAnswer(**held) for name, held in run_folder.cohort().items()}
    question = EnrolQuestion(study.fingerprint)
    federation.forget(question)
    answers = federation.ask(
        question,
        [site.name for site in study.sites if not begun or site.name in begun],
        EnrolAnswer,
        check=lambda site, answer: _check(study, site, answer),
        judge=lambda found: _unfit(begun, found),
    )
    # Of a site that enrolled anew, only the session key may be another one.
    cohort = {name: answers.get(name, held) for name, held in (begun or answers).items()}
    run_folder.keep_cohort({name: vars(answer) for name, answer in cohort.items()})
    asked = {name for name in cohort if name in answers or name in federation.late}
    return Roster(
        cohort,
        tuple(name for name in study.training_sites if name in asked),
        tuple(name for name in study.external_sites if name in asked),
    )


def _unfit(begun: Mapping[str, EnrolAnswer], now: Mapping[str, EnrolAnswer]) -> dict[str, str]:
    return compare(now, begun or now) | changed(begun, now)


def compare(
    answers: Mapping[str, EnrolAnswer], others: Mapping[str, EnrolAnswer]
) -> dict[str, str]:
    """Say where a site runs something else than most of the others do, by site."""
    recipe, self_test = (
        Counter(getattr(answer, name) for answer in others.values()).most_common(1)[0][0]
        for name in ("recipe", "self_test")
    )
    alike = Counter(_alike(answer) for answer in others.values()).most_common(1)[0][0]
    found: dict[str, str] = {}
    for name, answer in answers.items():
        own: dict[str, str] = json.loads(answer.versions)
        compared = in_common(own)
        other = [
            f"it runs {package} {own.get(package, 'absent')}, the others {version}"
            for package, version in alike
            if compared.get(package) != version
        ]
        if answer.recipe != recipe:
            other.append("its recipe is not that of the others")
        if answer.self_test != self_test:
            other.append("its radiomics self-test gives other values than at the others")
        if other:
            found[name] = "; ".join(other)
    return found


def _alike(answer: EnrolAnswer) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(in_common(json.loads(answer.versions)).items()))


def changed(begun: Mapping[str, EnrolAnswer], now: Mapping[str, EnrolAnswer]) -> dict[str, str]:
    """Say which sites have other patients than when the run began."""
    counts = ("positive", "negative", "slices")
    return {
        name: "its cohort has changed since the run began"
        for name, answer in now.items()
        if name in begun
        and any(getattr(answer, key) != getattr(begun[name], key) for key in counts)
    }


def _check(study: Study, site: str, answer: EnrolAnswer) -> None:
    require(answer.site == site, f"the node with the key of {site} says that it is another site")
    require(answer.fingerprint == study.fingerprint, "it approved another study")
    least = study.cohort.minimum_patients_per_class
    require_count("its number of positive patients", answer.positive, least, MOST)
    require_count("its number of negative patients", answer.negative, least, MOST)
    require_count("its number of slices", answer.slices, 1, MOST)
    hides = study.secure_sum.enabled and site in study.training_sites
    own = (answer.session_key, answer.signature)
    fits = all(_HEX.fullmatch(text) for text in own) and tuple(map(len, own)) == _KEY_DIGITS
    require(fits if hides else own == ("", ""), "its session key is none")
    require(re.fullmatch(MACHINE, answer.machine) is not None, "its machine is not in words")
    held = _texts(answer.versions)
    require(held is not None, "its package versions cannot be read")


def _texts(versions: str) -> dict[str, str] | None:
    try:
        held = json.loads(versions)
    except (ValueError, RecursionError):
        return None
    good = isinstance(held, dict) and all(isinstance(value, str) for value in held.values())
    return held if good else None
