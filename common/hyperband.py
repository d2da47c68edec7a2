"""Hyperband: which trials are trained for how long, decided before the first of them begins.

L. Li, K. Jamieson, G. DeSalvo, A. Rostamizadeh, A. Talwalkar, J Mach Learn Res 2018;18(185):1-52,
algorithm 1. The resource is a federated round. A bracket starts many trials for few rounds each,
or few for many; after each rung the best of `eta` go on, where they stopped. The paper counts each
rung from the beginning; here a trial that goes on costs only the rounds that it has not had.

Which trials go on is known only as they are measured, but how many, and from which round to which,
is not: so a study's rounds can be added up, and agreed to, beforehand.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rung:
    """One step of successive halving.

    Attributes
    ----------
    number
        Of all rungs of the search, from 0.
    bracket
        The paper's s: how many rungs follow the first of the bracket.
    first, last
        Numbers of the bracket's trials, from 1 over the whole search.
    places
        How many of them are trained in this rung.
    begins, rounds
        After how many rounds they begin, and how many they have had when they are measured.
    """

    number: int
    bracket: int
    first: int
    last: int
    places: int
    begins: int
    rounds: int

    @property
    def opens(self) -> bool:
        """Whether the bracket begins here, with all of its trials."""
        return self.begins == 0

    @property
    def cost(self) -> int:
        """Federated rounds that it takes."""
        return self.places * (self.rounds - self.begins)


def brackets(most_rounds: int, eta: int) -> list[list[tuple[int, int]]]:
    """List the brackets of the paper, each as (trials, rounds of each) rung by rung.

    >>> brackets(9, 3)
    [[(9, 1), (3, 3), (1, 9)], [(5, 3), (1, 9)], [(3, 9)]]
    """
    most = 0
    while eta ** (most + 1) <= most_rounds:
        most += 1
    found = []
    for s in range(most, -1, -1):
        trials = -(-(most + 1) * eta**s // (s + 1))
        found.append([(trials // eta**i, most_rounds // eta ** (s - i)) for i in range(s + 1)])
    return found


def schedule(most_rounds: int, eta: int, budget: int) -> tuple[Rung, ...]:
    """Lay out the brackets that a budget of rounds pays for.

    In the paper's order, those of many short trials first; one that does not fit into what is left
    of the budget is left out whole.
    """
    rungs: list[Rung] = []
    first = 1
    for one in brackets(most_rounds, eta):
        if _cost(one) > budget:
            continue
        budget -= _cost(one)
        begins, last = 0, first + one[0][0] - 1
        for trials, rounds in one:
            rungs.append(Rung(len(rungs), len(one) - 1, first, last, trials, begins, rounds))
            begins = rounds
        first = last + 1
    return tuple(rungs)


def cheapest(most_rounds: int, eta: int) -> int:
    """Give the rounds of the bracket that takes the fewest."""
    return min(_cost(one) for one in brackets(most_rounds, eta))


def _cost(bracket: list[tuple[int, int]]) -> int:
    before, found = 0, 0
    for trials, rounds in bracket:
        found += trials * (rounds - before)
        before = rounds
    return found
