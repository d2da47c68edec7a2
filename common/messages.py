"""What a coordinator asks of a site, and what a site may answer: one pair of dataclasses a stage.

Read the answer of a stage here and you know what leaves a hospital at that stage. Fields are
numbers, short texts and NumPy arrays; `arrays` fields are dictionaries of arrays. F is the number
of folds, p the number of radiomic features, q = p + deep features, M the number of models.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Question:
    """What every question carries: the stage it belongs to (by class) and the study."""

    stage: ClassVar[str]
    fingerprint: str


@dataclass(frozen=True)
class EnrolQuestion(Question):
    """Who are you, and are you ready for this study? Carries nothing more."""

    stage: ClassVar[str] = "enrol"


@dataclass(frozen=True)
class EnrolAnswer:
    """Identity, versions and cohort size, never below the study's minimum cell.

    `session_key` is the public key for the masks of this run, and `signature` that of the site's
    identity key over it, both hexadecimal; empty where nothing of the site's is summed under masks.
    `machine` is processor, cores and memory, in words, for the methods section.
    """

    site: str
    fingerprint: str
    recipe: str
    self_test: str
    versions: str
    positive: int
    negative: int
    slices: int
    session_key: str = ""
    signature: str = ""
    machine: str = ""


@dataclass(frozen=True)
class DescribeQuestion(Question):
    """Describe the patients, for the flow diagram and table 1; only where the study asks for it.

    `step` is ``flow``; ``table``, of a site on its own, whose small cells the site withholds; or
    ``sums``, of the training sites together, under masks.
    """

    stage: ClassVar[str] = "describe"
    step: str


@dataclass(frozen=True)
class DescribeAnswer:
    """What became of the patients, or the study's variables by class; row 0 negatives, 1 positives.

    `flow`: see `common.patient_flow`. `table`: keys ``variable.name``; see `common.table_cells`.
    `sums`: the same variables, as `common.statistics.table_one` sums them; a class of which the
    site knows a variable of fewer patients than the minimum counts as missing there.
    """

    flow: Arrays = field(default_factory=dict)
    table: Arrays = field(default_factory=dict)
    sums: Arrays = field(default_factory=dict)


@dataclass(frozen=True)
class HarmonizeQuestion(Question):
    """Sums for ComBat over the training patients of each fold.

    `step` is ``covariates`` (sums for the mean of covariates that some patients lack; only where
    the study fills them), ``features``, or ``reproducibility`` (how features agree over two masks;
    only where the study has a minimum for that). `means` answers the first step: fold f's covariate
    means under the key ``f``.
    """

    stage: ClassVar[str] = "harmonize"
    step: str
    means: Arrays = field(default_factory=dict)


@dataclass(frozen=True)
class HarmonizeAnswer:
    """Sums over the site's training patients: keys ``fold.name``.

    Step ``covariates``: sum and count of the observed values of each covariate. Step
    ``features``: the ComBat sums of `harmonization`; ``classes`` (2,), the number of slices of each
    class; and ``filled``, how many values of each covariate the study's rule filled. Step
    ``reproducibility``: see `common.statistics.intraclass.PairSums`. Where a study hides each
    patient, the ComBat sums alone, over patients and with noise.
    """

    sums: Arrays


@dataclass(frozen=True)
class TrainQuestion(Question):
    """Train the fold's network from these weights, and measure it as received.

    How long and how is what the approved study says. `weights` is the network as one flat float32
    vector, `slices` the number by which sites reckon their shares: all training slices of the fold;
    or, where the study hides each patient, all patients that the sites enrolled. `trial` is the one
    by whose settings the network is trained, where the study searched for them, else 0. Where the
    study sends 8 bits, `weights` is empty and the network is `levels` and `scales`, see
    `common.coarse`.
    """

    stage: ClassVar[str] = "train"
    fold: int
    round: int
    slices: int
    class_weights: NDArray[np.float64]
    weights: NDArray[np.float32]
    trial: int = 0
    levels: NDArray[np.int8] = field(default_factory=lambda: np.zeros(0, np.int8))
    scales: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))


@dataclass(frozen=True)
class SearchQuestion(Question):
    """Train a trial's network for a round (step ``train``), or ``measure`` it as received.

    The trial's settings follow from the approved study and its number (`common.trials`). `rung` is
    where the search stands, `place` the trial's among those of the rung, from 0; `round` counts
    from the trial's beginning, and is that of the weights received where they are measured. The
    rest is as in `TrainQuestion`, and of the first fold. The answer is a `TrainAnswer`: of a
    measurement `validation` and `histogram` alone.
    """

    stage: ClassVar[str] = "search"
    step: str
    rung: int
    place: int
    trial: int
    round: int
    slices: int
    class_weights: NDArray[np.float64]
    weights: NDArray[np.float32]


@dataclass(frozen=True)
class TrainAnswer:
    """The change of the weights, and how the received ones did on the fold's validation patients.

    All of it can be summed over sites. `change` is that of the weights times the site's share of
    the question's `slices`; `loss` the mean training loss times the site's slices; `validation`
    (2,) the sums of class-weighted loss and of weights over validation slices; `histogram`
    (2, 1001) counts of validation patients by class and score in 1/1000. Where a study hides each
    patient, only `change` tells of the patients: slices and patients are those that the site
    enrolled, and the others are zeros. Where it sends 8 bits, `levels` takes the place of `change`.
    """

    slices: int
    patients: int
    loss: float
    change: NDArray[np.float32]
    validation: NDArray[np.float64]
    histogram: NDArray[np.int64]
    levels: NDArray[np.int8] = field(default_factory=lambda: np.zeros(0, np.int8))


@dataclass(frozen=True)
class FuseQuestion(Question):
    """Sums for selecting features (step ``moments``), heads (``heads``), their stack (``stack``).

    `model` holds for ``moments`` the reference and network of each fold, ``class_weights`` (F, 2)
    and ``network_weights`` (F, 2), those of the network's loss. For ``heads``, `problems` holds
    ``index`` (n, 2), fold and variant (0 harmonised, 1 not) of each logistic problem; ``offsets``
    (n+1,), the bounds of each problem's columns in ``features``; ``coefficients``, the problems'
    coefficients one after the other, intercept first; ``class_weights``; and for each fold and
    variant the columns' ``mean`` and ``sd``, and where the study reduces by principal components
    ``loadings`` (p, m), which make the first m columns of the p radiomic ones. For ``stack``,
    `model` holds each fold's chosen radiomics and deep heads, and ``class_weights``.
    """

    stage: ClassVar[str] = "fuse"
    step: str
    round: int = 0
    model: Arrays = field(default_factory=dict)
    problems: Arrays = field(default_factory=dict)


@dataclass(frozen=True)
class FuseAnswer:
    """Sums over the site's training patients: keys ``fold.variant.name``.

    Step ``moments``: see `common.statistics.moments.Moments`; and for each fold ``validation`` (2,)
    and ``histogram`` (2, 1001) of its finished network, as in `TrainAnswer`. Step ``heads``: loss,
    gradient and Hessian sums of the problems of that fold and variant, in their order
    (`common.statistics.logistic.LogisticBatch`), and ``validation`` (n, 2): the sums of
    class-weighted loss and of weights over the validation patients. Step ``stack``: for each
    variant, the moments of two logits, radiomics and deep, over all folds' validation slices.

    Where a study hides each patient there is the step ``moments`` only, and in it ``classes``
    (2, k): for each class sums of products of (1, features) over patients, upper triangle, noisy.
    """

    sums: Arrays


@dataclass(frozen=True)
class CalibrateQuestion(Question):
    """Scores of validation patients by the chosen heads of each fold."""

    stage: ClassVar[str] = "calibrate"
    heads: Arrays


@dataclass(frozen=True)
class CalibrateAnswer:
    """Histograms (M, 2, 1001) of the validation patients' scores, by model and class.

    `within` (M, 3) holds n AUC, n^2 variance and n of the site's own n validation patients, so that
    their sums give the mean within-site AUC; zeros where the site's AUC is undefined. Where a study
    hides each patient, only `noisy` (3, 2, 20) is filled: histograms of three models, with noise.
    """

    histograms: NDArray[np.int64]
    within: NDArray[np.float64]
    noisy: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2, 20)))


@dataclass(frozen=True)
class CompareQuestion(Question):
    """Sums for fitting the classifiers of the comparison (``fit``), or their scores (``scores``).

    `selected` holds of each fold the ``features`` that its heads selected, (m,) of all q, with
    their ``center`` and ``scale``; and ``class_weights`` (F, 2). `fits` holds under the keys
    ``fold.classifier.name`` what `common.classifiers` asks of those that are not finished yet; for
    ``scores`` all finished ones.
    """

    stage: ClassVar[str] = "compare"
    step: str
    round: int = 0
    selected: Arrays = field(default_factory=dict)
    fits: Arrays = field(default_factory=dict)


@dataclass(frozen=True)
class CompareAnswer:
    """Sums over the site's training slices of each fold, or histograms of validation patients.

    Step ``fit``: `sums` under ``fold.classifier.name``, and of each fold ``count``, its training
    slices. Logistic and SVM: loss, weight, gradient, Hessian. Perceptron: loss, weight, gradient.
    Trees: ``histograms`` of each open node, by feature and bin: two sums over slices (forest:
    slices of each class; boosting: gradient and Hessian) and the patients' shares. Step ``scores``:
    `histograms` (M, 2, 1001) and `within` (M, 3) as in `CalibrateAnswer`, M classifiers.
    """

    sums: Arrays = field(default_factory=dict)
    histograms: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2, 1001), np.int64))
    within: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3)))


@dataclass(frozen=True)
class CardQuestion(Question):
    """Compare the training sites' features before and after ComBat; only where the study asks.

    `step` is ``sums``: `model` then holds for each fold and variant ``center`` (p,) and ``axes``
    (p, k), the leading components of the pooled features; or ``held-out``: for each fold, variant
    and what is told apart, ``weights`` (C, k) and ``intercepts`` (C,) of a discriminant, and what
    each level's patients count for, ``share`` (C,).
    """

    stage: ClassVar[str] = "card"
    step: str
    model: Arrays = field(default_factory=dict)


@dataclass(frozen=True)
class CardAnswer:
    """Sums over the site's patients: keys ``fold.variant.name``.

    Step ``sums``: over the batches of the fold's training slices, ``between`` (p,) the sum of
    n mean^2, ``total`` and ``squares`` (p,), ``count`` (); and over its training patients, for each
    thing that is told apart, what `common.statistics.telling_apart` sums of their components. A
    training site fills the row of itself, or of its levels: rows tell of sites, so a study must ask
    for them. Step ``held-out``: ``right.variant.of`` (), the shares of the validation patients that
    were told right, added up.
    """

    sums: Arrays


@dataclass(frozen=True)
class ValidateQuestion(Question):
    """Score the patients of an external site with the finished release.

    `step` is ``scores``; ``placements``, which sends the pooled histograms of all external sites
    back, for the paired comparison over sites; ``subgroups``, over the scores and thresholds that
    the first step left at the site; ``attention``, which sends nothing; or ``classifiers``, those
    of the comparison, with `release` as in the step ``scores`` of `CompareQuestion`, and
    ``thresholds``. The last three only where the study asks for them.
    """

    stage: ClassVar[str] = "validate"
    step: str
    release: Arrays = field(default_factory=dict)
    histograms: Arrays = field(default_factory=dict)


@dataclass(frozen=True)
class ValidateAnswer:
    """An external site's results, all of them sums or two numbers a model.

    `histograms` (M, 2, 1001); `auc` (M,) and `covariance` (M, M) by DeLong within the site;
    `confusion` (M, 4) true and false positives, true and false negatives at the frozen
    thresholds; `fold_auc` (F, M) the AUC of each fold's model alone; `batches` (2,) how many
    batches were estimated from the site's images and how many were too small; `images` their
    number of slices. Step ``placements`` fills `placements` only, ``subgroups`` `subgroups`: see
    `common.subgroup_cells`. Step ``attention`` fills `attention` only: sums over the patients of
    each class of where the network looks, by segment of the myocardium
    (`common.aha.ATTENTION_SHAPES`). Step ``classifiers`` fills what is said of scores, over the
    classifiers of the comparison.
    """

    images: int = 0
    batches: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2, np.int64))
    histograms: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2, 1001), np.int64))
    auc: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    covariance: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    confusion: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 4), np.int64))
    fold_auc: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    placements: Arrays = field(default_factory=dict)
    attention: Arrays = field(default_factory=dict)
    subgroups: Arrays = field(default_factory=dict)


@dataclass(frozen=True)
class Hidden:
    """An answer under masks: only the sum over all sites of the question can be read.

    `layout` lists the answer's fields in their order (JSON: name, dtype and shape of each), and is
    the same at every site. `statistics` (n, 3) holds its numbers, `weights` (m, 1) its float32
    arrays and `levels` (k, 1) its int8 arrays, as elements of the rings of `common.secure_sum`.
    """

    layout: str
    statistics: NDArray[np.uint32]
    weights: NDArray[np.uint32]
    levels: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 1), np.uint8))


@dataclass(frozen=True)
class Refusal:
    """A site's answer when it cannot answer: a code and a fixed sentence, nothing else."""

    code: str
    public: str
