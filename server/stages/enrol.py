"""Enrol: meet the sites, compare what they run, and fix the cohort of the run."""

from __future__ import annotations

import json
from dataclasses import dataclass

from common.errors import StudyMismatch
from common.messages import EnrolAnswer, EnrolQuestion
from common.study import Study
from server.federation import Federation


@dataclass(frozen=True)
class Roster:
    """The sites of a run as they enrolled, in the order of the study."""

    answers: dict[str, EnrolAnswer]
    train: tuple[str, ...]
    external: tuple[str, ...]

    @property
    def versions(self) -> dict[str, str]:
        """Package versions, which are the same at all sites."""
        first = next(iter(self.answers.values()))
        found: dict[str, str] = json.loads(first.versions)
        return found


def run(federation: Federation, study: Study) -> Roster:
    """Enrol every site of the roster.

    Raises
    ------
    StudyMismatch
        A site holds another study, or runs another recipe or other versions; each difference is
        named with its site.
    RunError
        A site does not come or refuses.
    """
    answers = federation.meet(EnrolQuestion(study.fingerprint))
    differences = compare(study, answers)
    if differences:
        raise StudyMismatch(
            "\n".join(differences), "Install the same release of MyoFed at all sites."
        )
    return Roster(answers, study.training_sites, study.external_sites)


def compare(study: Study, answers: dict[str, EnrolAnswer]) -> list[str]:
    """Say where a site differs from the study, or from the first site of the roster."""
    first_name, first = next(iter(answers.items()))
    expected = json.loads(first.versions)
    found: list[str] = []
    for name, answer in answers.items():
        if answer.fingerprint != study.fingerprint:
            found.append(f"{name} approved the study {answer.fingerprint[:12]}, this run is of "
                         f"{study.fingerprint[:12]}.")  # fmt: skip
        if answer.recipe != first.recipe:
            found.append(f"{name} has another recipe than {first_name}.")
        if answer.self_test != first.self_test:
            found.append(f"The radiomics self-test of {name} gives other values than that of "
                         f"{first_name}.")  # fmt: skip
        own = json.loads(answer.versions)
        found += [
            f"{name} runs {package} {own.get(package, 'absent')}, {first_name} {version}."
            for package, version in expected.items()
            if own.get(package, "absent") != version
        ]
    return found
