"""What every classifier of the comparison is: the two halves of its fit, and its scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from common.messages import Arrays

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class FoldRows:
    """A site's n training slices of one fold.

    Attributes
    ----------
    columns : (n, m) selected features, standardised by pooled means and sds
    labels : (n,) 0 or 1
    weights : (n,) of the rows' classes
    shares : (n,) one over the number of the patient's slices
    """

    columns: Floats
    labels: Ints
    weights: Floats
    shares: Floats


class Fit(Protocol):
    """Where the fit of one fold stands. Sites are asked for sums until it is `finished`."""

    @property
    def finished(self) -> bool:
        """Whether no further sums are needed."""
        ...

    def asked(self) -> Arrays:
        """Give what the sites need to know for the next sums."""
        ...

    def take(self, sums: Arrays) -> Self:
        """Take in the sums over sites."""
        ...

    def again(self) -> Self:
        """Go on where other sites answer than before; what was finished may be so no longer."""
        ...

    def model(self) -> Arrays:
        """Give what scores need."""
        ...


class Classifier(Protocol):
    """One classifier with its settings, for any fold."""

    @property
    def how(self) -> str:
        """In a sentence, how it is federated."""
        ...

    def shapes(self, asked: Arrays, features: int) -> Shapes:
        """Give the shapes of the sums that a site is asked for, over m selected features.

        Raises
        ------
        StatisticsError
            That is not what these settings ask for.
        """
        ...

    def sums(self, asked: Arrays, rows: FoldRows) -> Arrays:
        """Sum over a site's training rows, what `Fit.asked` asks for."""
        ...

    def begin(self, features: int, fold: int, class_weights: Floats) -> Fit:
        """Begin a fold's fit over m selected features; `class_weights` (2,)."""
        ...

    def scores(self, model: Arrays, columns: Floats) -> Floats:
        """Score rows (n, m): (n,) in [0, 1]."""
        ...
