"""What can go wrong in harmonization, each error in two sentences: what happened, what to do."""


class HarmonizationError(ValueError):
    """Base of every error this package raises.

    Parameters
    ----------
    what : str
        What was found, naming the batch or the column it was found in.
    fix : str
        What the caller can do about it.
    """

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what, fix)
        self.what = what
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.what} {self.fix}"


class ShapeError(HarmonizationError):
    """Two arrays that belong together do not fit each other."""


class NotFiniteError(HarmonizationError):
    """A value is NaN or infinite, in what came in or in what would go out."""


class CovariateError(HarmonizationError):
    """A covariate column is absent, incomplete, unreadable or outside its declared levels."""


class CollinearError(HarmonizationError):
    """The covariates cannot be told apart from each other, or from the batches."""


class BatchError(HarmonizationError):
    """A batch is unnamed, unknown or too small for what was asked of it."""


class ConvergenceError(HarmonizationError):
    """The empirical-Bayes iteration did not reach its fixed point."""


class SolveError(HarmonizationError):
    """The sums do not determine the reference parameters."""


def named(names: list[str], most: int = 5) -> str:
    """Quote names for a message, at most ``most`` of them, and say how many are left out.

    >>> named(["age", "sex", "bmi"], most=2)
    "'age', 'sex' and 1 more"
    """
    shown = ", ".join(f"'{name}'" for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
