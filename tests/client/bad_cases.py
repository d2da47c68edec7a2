"""What a bad site may answer: the exchange, the change, and the reason that is to be given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from federation_samples import FEATURES

from common.statistics.sums import pack_symmetric

Change = Callable[[Any], Any]
Case = tuple[str, Change, str]
FUSED = FEATURES + 256


def put(name: str, value: float, index: Any = ..., dtype: Any = None) -> Change:
    """Set an element of an array, of the answer itself or of its `sums`."""

    def change(answer: Any) -> Any:
        held = getattr(answer, "sums", None)
        array = np.array(held[name] if held else getattr(answer, name), dtype)
        array[index if array.ndim else ...] = value
        return _with(answer, name, array)

    return change


def made(name: str, make: Callable[[Any], Any]) -> Change:
    """Replace an array, or a number, by what `make` makes of it."""

    def change(answer: Any) -> Any:
        held = getattr(answer, "sums", None)
        return _with(answer, name, make(held[name] if held else getattr(answer, name)))

    return change


def _with(answer: Any, name: str, value: Any) -> Any:
    if hasattr(answer, "sums"):
        return replace(answer, sums=answer.sums | {name: value})
    return replace(answer, **{name: value})


def placed(name: str, value: float) -> Change:
    """Set an element of a site's placement sums."""

    def change(answer: Any) -> Any:
        array = answer.placements[name].copy()
        array.flat[0] = value
        return replace(answer, placements=answer.placements | {name: array})

    return change


def without(name: str) -> Change:
    return lambda answer: replace(
        answer, sums={key: value for key, value in answer.sums.items() if key != name}
    )


def anywhere(name: str, what: str) -> dict[str, tuple[Change, str]]:
    """What is wrong with any array of sums."""
    return {
        f"{name} nan": (put(name, np.nan, 0), f"{name} is not finite"),
        f"{name} inf": (put(name, -np.inf, 0), f"{name} is not finite"),
        f"{name} huge": (put(name, 1e200, 0), f"{name} is too large for any sum"),
        f"{name} shape": (made(name, lambda a: a[None]), f"{name} has the shape"),
        f"{name} type": (made(name, lambda a: a.astype(np.uint8)), f"{name} does not hold numbers"),
        f"{name} absent": (without(name), f"{what} lack {name}"),
        "more": (lambda one: _with(one, "patients", np.ones(3)), f"{what} hold arrays that"),
    }


def cases(exchange: str, **by_name: tuple[Change, str]) -> dict[str, Case]:
    return {f"{exchange} {name}": (exchange, *case) for name, case in by_name.items()}


def overflowing(histogram: np.ndarray) -> np.ndarray:
    """As many patients more as make the sum overflow to a small one."""
    found = histogram.copy()
    found.reshape(-1, 1001)[0, :4] += 2**62
    return found


def turned(array: np.ndarray) -> np.ndarray:
    """A product of two features larger than their squares allow."""
    matrix = np.zeros((FUSED, FUSED))
    upper = np.triu_indices(FUSED)
    matrix[upper] = array
    matrix[0, 1] = 1e3 * np.sqrt(matrix[0, 0] * matrix[1, 1]) + 1.0
    return pack_symmetric(matrix)


CASES: dict[str, Case] = {
    **cases("harmonize.covariates", **anywhere("0.total", "its sums of covariates")),
    **cases(
        "harmonize.covariates",
        negative=(put("0.count", -1.0), "its number of values is not a whole"),
        many=(put("0.count", 21.0), "its number of values is not a whole number from 0 to 20"),
        broken=(put("0.count", 1.5), "its number of values is not a whole"),
    ),
    **cases("harmonize.features", **anywhere("0.sum_x", "its sums")),
    **cases(
        "harmonize.features",
        width=(made("0.sum_x", lambda a: a[:-1]), "0.sum_x has the shape"),
        negative=(put("0.count", -4.0), "its number of slices is not a whole"),
        none=(put("0.count", 0.0), "its number of slices is not a whole"),
        many=(put("0.count", 21.0), "its number of slices is not a whole number from 1 to 20"),
        classes=(put("0.classes", 1, 0), "its classes do not add up"),
        class_=(made("0.classes", lambda a: np.array([-1, a.sum() + 1])), "do not add up"),
        filled=(put("0.filled", 21, 0), "it filled more values than it has"),
        unfilled=(put("0.filled", -1, 0), "it filled more values than it has"),
        squares=(put("0.s_xx_diag", -1.0, 2), "a sum of squares is negative"),
        design=(put("0.s_zz", -1.0, (0, 0)), "a sum of squares is negative"),
        products=(put("0.s_zx", 1e9, (0, 3)), "its sums are not those of any rows"),
    ),
    **cases(
        "train.0.1",
        nan=(put("change", np.nan, 7), "change is not finite"),
        inf=(put("change", np.inf, 7), "change is not finite"),
        huge=(put("change", 1e30, 7), "its weights have moved further than so many steps"),
        scaled=(made("change", lambda a: a * np.float32(1e4)), "its weights have moved further"),
        faint=(made("change", lambda a: a * np.float32(1e-4)), "robust deviations"),
        untrained=(made("change", np.zeros_like), "robust deviations"),
        shape=(made("change", lambda a: a[:-1]), "change has the shape"),
        broadcasts=(made("change", lambda a: a[:1]), "change has the shape"),
        axis=(made("change", lambda a: a[None]), "change has the shape"),
        type=(made("change", lambda a: a.astype(float)), "change of a TrainAnswer is float64"),
        slices=(made("slices", lambda _: 0), "its number of slices is not"),
        negative=(made("slices", lambda _: -14), "its number of slices is not"),
        many=(made("slices", lambda _: 10**6), "its number of slices is not"),
        patients=(made("patients", lambda _: 11), "its number of patients is not"),
        loss=(made("loss", lambda _: float("nan")), "its loss is not a loss"),
        gain=(made("loss", lambda _: -1.0), "its loss is not a loss"),
        validation=(put("validation", np.nan, 0), "validation is not finite"),
        weight=(put("validation", -1.0, 1), "its validation loss is negative"),
        losses=(made("validation", lambda a: a[:1]), "validation has the shape"),
        counts=(put("histogram", -1, (0, 0)), "a histogram holds negative counts"),
        enrolled=(put("histogram", 6, (1, 0)), "more patients than the site enrolled"),
        overflow=(made("histogram", overflowing), "more patients than the site enrolled"),
        bins=(made("histogram", lambda a: a[:, :-1]), "histograms have the shape"),
    ),
    **cases("fuse.moments.0", **anywhere("0.1.wx", "its moments")),
    **cases(
        "fuse.moments.0",
        width=(made("0.0.xwx", lambda a: a[:-1]), "0.0.xwx has the shape"),
        none=(put("0.0.count", 0), "its number of slices is not a whole"),
        many=(put("0.1.count", 21), "its number of slices is not a whole"),
        weight=(put("0.0.weight", 1e6), "its slices do not weigh what slices"),
        weightless=(put("0.0.weight", 0.0), "its slices do not weigh what slices"),
        labels=(put("0.0.wy", -1.0), "the labels in its moments are not 0 and 1"),
        target=(put("0.0.ywy", 1e3), "the labels in its moments are not 0 and 1"),
        squares=(put("0.0.xwx", -1.0, 0), "a sum of squares is negative"),
        products=(made("0.0.xwx", turned), "its moments are not those of any rows"),
        means=(put("0.0.wx", 1e6, 3), "its moments are not those of any rows"),
        target_=(put("0.0.xwy", -1e6, 3), "its moments are not those of any rows"),
        loss=(put("0.validation", -1.0, 0), "its validation loss is negative"),
        counts=(put("0.histogram", -1, (0, 0)), "a histogram holds negative counts"),
        enrolled=(put("0.histogram", 6, (1, 0)), "more patients than the site enrolled"),
        real=(put("0.histogram", 0.5, (0, 0), float), "a histogram does not hold counts"),
    ),
    **cases("fuse.heads.1", **anywhere("0.0.gradients", "its sums of the heads")),
    **cases(
        "fuse.heads.2",
        width=(made("0.0.hessians", lambda a: a[:-1]), "0.0.hessians has the shape"),
        loss=(put("0.0.losses", -1.0, 0), "a loss or a weight in its sums is negative"),
        weight=(put("0.1.weights", -1.0, 0), "a loss or a weight in its sums is negative"),
        heavy=(put("0.1.weights", 1e6, 0), "its rows weigh more than those it enrolled"),
        validation=(put("0.0.validation", -1.0, (0, 0)), "a loss or a weight in its sums"),
        patients=(put("0.0.validation", 1e6, (0, 1)), "its rows weigh more than those"),
    ),
    **cases("fuse.stack.0", **anywhere("raw.wx", "its moments")),
    **cases(
        "fuse.stack.0",
        many=(put("raw.count", 21), "its number of slices is not a whole"),
        negative=(put("raw.count", -1), "its number of slices is not a whole"),
        weight=(put("harmonized.weight", 1e6), "its slices do not weigh what slices"),
        labels=(put("raw.wy", 1e3), "the labels in its moments are not 0 and 1"),
        products=(put("raw.xwx", 1e6, 1), "its moments are not those of any rows"),
    ),
    **cases(
        "calibrate",
        counts=(put("histograms", -1, (1, 0, 0)), "a histogram holds negative counts"),
        enrolled=(put("histograms", 6, (1, 1, 0)), "more patients than the site enrolled"),
        overflow=(made("histograms", overflowing), "more patients than the site enrolled"),
        models=(made("histograms", lambda a: a[:-1]), "histograms have the shape"),
        type=(made("histograms", lambda a: a.astype(float)), "histograms of a CalibrateAnswer is"),
        nan=(put("within", np.nan, (0, 0)), "within is not finite"),
        huge=(put("within", 1e200, (0, 1)), "within is too large"),
        shape=(made("within", lambda a: a[0]), "within has the shape"),
        many=(put("within", 11.0, (2, 2)), "it counts more patients than it has"),
        negative=(put("within", -1.0, (2, 2)), "it counts more patients than it has"),
        variance=(put("within", -1.0, (2, 1)), "a variance in its within-site sums is not"),
        spread=(put("within", 1e3, (2, 1)), "a variance in its within-site sums is not"),
        auc=(put("within", 1e3, (2, 0)), "an AUC of its is outside 0 to 1"),
        auc_=(put("within", -1.0, (2, 0)), "an AUC of its is outside 0 to 1"),
    ),
}
EXTERNAL: dict[str, Case] = {
    **cases(
        "validate.scores",
        nan=(put("auc", np.nan, 0), "auc is not finite"),
        huge=(put("covariance", 1e200, (0, 0)), "covariance is too large"),
        shape=(made("auc", lambda a: a[:-1]), "auc has the shape"),
        type=(made("auc", lambda a: a.astype(np.float32)), "auc of a ValidateAnswer is float32"),
        auc=(put("auc", 1.01, 0), "an AUC of its is outside 0 to 1"),
        fold=(put("fold_auc", -0.01, (0, 0)), "an AUC of its is outside 0 to 1"),
        folds=(made("fold_auc", lambda a: a[:0]), "fold_auc has the shape"),
        variance=(put("covariance", -1e-9, (1, 1)), "a sum of squares is negative"),
        spread=(put("covariance", 0.6, (1, 1)), "a variance of its is larger than any AUC's"),
        covariance=(put("covariance", 0.4, (0, 1)), "its covariances are not those of any rows"),
        counts=(put("histograms", -1, (0, 0, 0)), "a histogram holds negative counts"),
        patients=(made("histograms", np.zeros_like), "it scored other patients than it has"),
        models=(made("histograms", lambda a: a[:-1]), "histograms have the shape"),
        confusion=(put("confusion", 6, (0, 0)), "its confusion counts are not of its patients"),
        confused=(put("confusion", -1, (0, 0)), "a confusion count of its is negative"),
        columns=(made("confusion", lambda a: a[:, :3]), "its confusion counts have another shape"),
        batches=(put("batches", -1, 0), "its batches make no sense"),
        more_batches=(made("batches", lambda _: np.ones(3, int)), "its batches make no sense"),
        slices=(made("images", lambda _: 10**6), "its number of slices is not"),
        none=(made("images", lambda _: 0), "its number of slices is not"),
        more=(made("placements", lambda _: {"x": np.ones(1)}), "sums that nobody asked"),
        attention=(made("attention", lambda _: {"x": np.ones(1)}), "sums that nobody asked"),
        subgroups=(made("subgroups", lambda _: {"x": np.ones(1)}), "sums that nobody asked"),
    ),
}

PLACEMENTS: dict[str, Case] = {
    **cases(
        "validate.placements",
        nan=(placed("values", np.nan), "values is not finite"),
        huge=(placed("products", 1e200), "products is too large"),
        patients=(placed("counts", 6), "its placements are not of its patients"),
        outside=(placed("values", 5.1), "a placement of its is outside 0 to 1"),
        negative=(placed("products", -0.1), "a placement of its is outside 0 to 1"),
        absent=(made("placements", lambda _: {}), "its placements lack"),
    ),
}
