"""A site's slices as the stages see them: one row a slice, patients numbered, folds drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from client.cohort.folds import draw_folds, draw_private_folds
from client.cohort.patients import Case, Patient
from client.cohort.second_masks import enough, second_features
from client.cohort.site_folder import SiteFolder
from client.imaging import cache
from client.imaging import extract as imaging
from client.imaging.recipes import preprocessing_of, radiomics_of
from common.errors import CohortError, Fault
from common.feature_names import all_names
from common.study import Study


@dataclass(frozen=True, eq=False)
class SiteRows:
    """Everything a site knows of its n slices and its P patients, in the order of patient ids.

    Attributes
    ----------
    patient_ids : P texts, which never leave the site
    patient_labels : (P,) 0/1
    folds : (P,) the fold in which a patient validates; -1 at an external site or for none
    patient : (n,) the patient of each slice, as a number
    labels : (n,) 0/1 of each slice
    features : (n, p) radiomics, transformed as the study says: all 939, or the bounded few of a
        study that hides each patient
    images, masks : (n, crop, crop) float32
    batch : n names of ComBat batches
    covariates : the study's covariates, n values each; blank where missing
    origin : n pairs of a case and the index z of the slice in its files
    described : the variables of the study's report, P values each; blank where missing
    second : (n, p) the same radiomics by a second mask, rows of NaN where there is none; None
        where the study does not ask for it, or too few patients have one
    """

    site: str
    patient_ids: tuple[str, ...]
    patient_labels: npt.NDArray[np.int64]
    folds: npt.NDArray[np.int64]
    patient: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    features: npt.NDArray[np.float64]
    images: npt.NDArray[np.float32]
    masks: npt.NDArray[np.float32]
    batch: tuple[str, ...]
    covariates: dict[str, list[str]]
    origin: tuple[tuple[Case, int], ...] = ()
    described: dict[str, list[str]] = field(default_factory=dict)
    second: npt.NDArray[np.float64] | None = None

    def validates(self, fold: int) -> npt.NDArray[np.bool_]:
        """Say which slices belong to the fold's validation patients (n,)."""
        return np.asarray(self.folds[self.patient] == fold)

    def trains(self, fold: int) -> npt.NDArray[np.bool_]:
        """Say which slices belong to the fold's training patients (n,)."""
        return ~self.validates(fold)

    @property
    def paired(self) -> npt.NDArray[np.bool_]:
        """Say which slices were measured with two masks (n,)."""
        if self.second is None:
            return np.zeros(self.labels.size, dtype=np.bool_)
        return np.asarray(np.isfinite(self.second).all(axis=1))


@dataclass(frozen=True)
class Source:
    """Where a site's cases come from: its name, its cache, and the label of the myocardium."""

    name: str
    cache: Path
    myocardium: int


def cases_of(source: Source, patients: Sequence[Patient], study: Study) -> list[imaging.Case]:
    """List what has to be measured: every case of the study's phases."""
    return [
        imaging.Case(
            case_id=f"{patient.patient_id}/{case.phase}",
            image=case.image,
            mask=case.mask,
            frame=case.frame,
            myocardium=source.myocardium,
            slices=tuple(sorted(case.slice_labels)) or None,
        )
        for patient, case in _cases(patients, study)
    ]


def load_rows(
    site: SiteFolder,
    study: Study,
    *,
    external: bool,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SiteRows:
    """Measure a site's cases, or take them from its cache, and lay their slices out as rows.

    Raises
    ------
    CohortError
        A case cannot be used (all are listed), or no patient is left.
    """
    patients = sorted(site.patients(), key=lambda patient: patient.patient_id)
    source = Source(site.name, site.cache, site.myocardium)
    return lay_out(source, patients, study, external=external, workers=workers, progress=progress)


def lay_out(
    source: Source,
    patients: Sequence[Patient],
    study: Study,
    *,
    external: bool,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SiteRows:
    """As `load_rows`, for patients already gathered."""
    pairs = _cases(patients, study)
    measured = imaging.extract_cases(
        cases_of(source, patients, study),
        preprocessing_of(study.preprocessing),
        radiomics_of(study.radiomics),
        source.cache,
        workers=workers,
        progress=progress,
    )
    _refuse_faults([result.fault for result in measured if result.fault is not None])
    if not measured:
        phases = ", ".join(study.cohort.phases)
        raise CohortError(
            f"Site {source.name} has no case of the study's phases ({phases}).",
            "Correct the column phase, or the study's cohort.phases.",
        )
    again = None
    if study.reduction.measures_icc and not external:
        first = cases_of(source, patients, study)
        cases = [case for _, case in pairs]
        again = second_features(first, cases, measured, study, source.cache, workers)
    number = {patient.patient_id: index for index, patient in enumerate(patients)}
    owners, labels, features, images, masks = [], [], [], [], []
    origin: list[tuple[Case, int]] = []
    for (patient, case), result in zip(pairs, measured, strict=True):
        chosen = _chosen(len(result.slices), study)
        entry = cache.read_entry(result.entry) if result.entry else None
        assert entry is not None  # a result without a fault has an entry
        owners += [number[patient.patient_id]] * len(chosen)
        origin += [(case, result.slices[i]) for i in chosen]
        labels += [case.slice_labels.get(result.slices[i], patient.label) for i in chosen]
        features.append(result.features[chosen])
        images.append(entry.images[chosen])
        masks.append(entry.masks[chosen].astype(np.float32))
    owner = np.array(owners, dtype=np.int64)
    patient_labels = np.array([patient.label for patient in patients], dtype=np.int64)
    patient_ids = tuple(patient.patient_id for patient in patients)
    folds = np.full(len(patients), -1, dtype=np.int64)
    if not external and study.privacy.on:
        folds = draw_private_folds(patient_ids, study, source.name)
    elif not external:
        folds = draw_folds(patient_labels, study, source.name)
    second = None
    if again is not None:
        second = np.concatenate([own[_chosen(len(own), study)] for own in again])
        second = enough(_transformed(second, study), owner, folds, study)
    return SiteRows(
        site=source.name,
        patient_ids=patient_ids,
        patient_labels=patient_labels,
        folds=folds,
        patient=owner,
        labels=np.array(labels, dtype=np.int64),
        features=_transformed(np.concatenate(features), study),
        images=np.concatenate(images).astype(np.float32),
        masks=np.concatenate(masks),
        batch=tuple(_batch(source.name, patients[index], study) for index in owner),
        covariates={
            covariate.name: [patients[index].covariates.get(covariate.name, "") for index in owner]
            for covariate in study.harmonization.covariates
        },
        origin=tuple(origin),
        described={
            variable.name: [patient.covariates.get(variable.name, "") for patient in patients]
            for variable in study.report.variables
        },
        second=second,
    )


def _cases(patients: Sequence[Patient], study: Study) -> list[tuple[Patient, Case]]:
    phases = study.cohort.phases
    return [
        (patient, case) for patient in patients for case in patient.cases if case.phase in phases
    ]


def _chosen(count: int, study: Study) -> list[int]:
    """Of `count` slices in the order of z: all, or the middle half (at least one)."""
    if study.cohort.slices == "all":
        return list(range(count))
    edge = count // 4
    return list(range(edge, max(count - edge, edge + 1)))


def _transformed(features: npt.NDArray[np.float64], study: Study) -> npt.NDArray[np.float64]:
    if study.privacy.everything:
        return bounded(features, study.privacy.features)
    return np.arcsinh(features) if study.harmonization.transform == "asinh" else features


def bounded(
    features: npt.NDArray[np.float64], bounds: Mapping[str, tuple[float, float]]
) -> npt.NDArray[np.float64]:
    """Take the named ones of all radiomics (n, 939), clipped and scaled to -1/2 and 1/2: (n, p)."""
    columns = [all_names().index(name) for name in bounds]
    low, high = np.array(list(bounds.values()), dtype=np.float64).T
    return np.asarray(np.clip((features[:, columns] - low) / (high - low), 0.0, 1.0) - 0.5)


def _batch(site: str, patient: Patient, study: Study) -> str:
    if study.harmonization.batch == "site":
        return site
    scanner = patient.covariates.get("scanner", "")
    if not scanner:
        raise CohortError(
            f"Patient {patient.patient_id} has no scanner, and the study harmonises by scanner.",
            "Fill the column scanner for every patient, or set harmonization.batch to 'site'.",
        )
    return f"{site}/{scanner}"


def _refuse_faults(faults: Sequence[Fault]) -> None:
    if faults:
        raise CohortError(
            "\n".join(str(fault) for fault in faults),
            f"{len(faults)} case(s) cannot be used: correct or remove them, then run "
            "'myofed site check'.",
        )
