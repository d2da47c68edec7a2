"""One site's features under one fold's model: harmonised and raw radiomics, and deep features.

Both variants of the radiomics are expressed in the reference's units, (x - alpha) / sigma, so that
they are of order 1; the harmonised one has the batch effects taken out first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from client.cohort.rows import SiteRows
from client.network.slices import Slices
from common.covariates import covariate_spec
from common.messages import Arrays
from common.release import FoldModel
from common.study import Study
from common.study_tables import Harmonization
from common.trials import settings_of
from harmonization import (
    BatchEffect,
    DesignRows,
    Reference,
    design_matrix,
    estimate_batches,
    harmonize,
)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FoldFeatures:
    """Features of a site's n slices: `harmonized` and `raw` (n, 939), `deep` (n, 256).

    `logits` (n,) are the network's own scores; `effects` the batches' gamma and delta. These are
    not kept on disk, and the effects never leave the site.
    """

    harmonized: Floats
    raw: Floats
    deep: Floats
    logits: Floats
    effects: dict[str, BatchEffect]

    def columns(self, variant: str) -> Floats:
        """All q = 939 + 256 features of a variant, (n, q)."""
        radiomics = self.harmonized if variant == "harmonized" else self.raw
        return np.concatenate([radiomics, self.deep], axis=1)

    def arrays(self) -> Arrays:
        """Return the features by name, for the site's own disk."""
        return {"harmonized": self.harmonized, "raw": self.raw, "deep": self.deep}


def design(rows: SiteRows, study: Study, means: Floats) -> DesignRows:
    """Covariate design (n, q) of a site's slices; missing values by the study's rule, counted."""
    spec = covariate_spec(study)
    return design_matrix(
        spec,
        rows.covariates,
        study.harmonization.missing,
        means=means if means.size else None,
        rows=rows.labels.size,
    )


def fold_features(
    rows: SiteRows,
    model: FoldModel,
    fitted_on: npt.NDArray[np.bool_],
    study: Study,
    *,
    external: bool,
) -> FoldFeatures:
    """Compute a fold's features of all slices.

    Batch effects are estimated from the slices `fitted_on` (n,) and applied to all. At an external
    site they come from its own unlabelled slices; a batch below the study's minimum is then left
    as it is.
    """
    z = design(rows, study, model.means).z
    effects = _effects(rows, z, model.reference, fitted_on, study.harmonization, external=external)
    return features_with(rows, model, study, effects)


def features_with(
    rows: SiteRows, model: FoldModel, study: Study, effects: dict[str, BatchEffect]
) -> FoldFeatures:
    """Compute a fold's features of all slices, with batch effects that are known."""
    from client.network.inference import look

    z = design(rows, study, model.means).z
    clean = harmonize(rows.features, z, rows.batch, model.reference, effects)
    cnn = settings_of(study, model.trial).cnn
    view = look(model.weights, Slices(rows.images, rows.masks, rows.labels), cnn)
    return FoldFeatures(
        harmonized=_in_reference_units(clean, model.reference),
        raw=_in_reference_units(rows.features, model.reference),
        deep=view.deep,
        logits=view.logits,
        effects=effects,
    )


def _effects(
    rows: SiteRows,
    z: Floats,
    reference: Reference,
    fitted_on: npt.NDArray[np.bool_],
    rule: Harmonization,
    *,
    external: bool,
) -> dict[str, BatchEffect]:
    batch = np.array(rows.batch)
    effects = estimate_batches(
        rows.features[fitted_on],
        z[fitted_on],
        batch[fitted_on],
        reference,
        rule.mode,
        rule.minimum_rows,
        "identity" if external else rule.below_minimum,
    )
    # A scanner that only validation patients came from has no training rows to learn from.
    unseen = set(rows.batch) - set(effects)
    width = reference.alpha.size
    return effects | {name: BatchEffect.unchanged(width, 0, "identity") for name in unseen}


def _in_reference_units(x: Floats, reference: Reference) -> Floats:
    """(x - alpha) / sigma; 0 for features that do not vary within batches."""
    scaled = (x - reference.alpha) / reference.sigma
    return np.where(reference.keep, scaled, 0.0)
