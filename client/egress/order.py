"""What became of the numbers of lines: which are in order, out of it, twice there, or gone."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


def longest_rise(numbers: Sequence[int]) -> list[int]:
    """Give the places of a longest strictly rising part of `numbers`, in order.

    What is not in it was moved: so one line that was moved is one fault, however far it went.

    >>> longest_rise([5, 1, 2, 3, 4])
    [1, 2, 3, 4]
    """
    ends: list[int] = []
    lowest: list[int] = []
    before: list[int] = []
    for place, number in enumerate(numbers):
        length = bisect_left(lowest, number)
        before.append(ends[length - 1] if length else -1)
        if length == len(ends):
            ends.append(place)
            lowest.append(number)
        else:
            ends[length], lowest[length] = place, number
    found: list[int] = []
    place = ends[-1] if ends else -1
    while place >= 0:
        found.append(place)
        place = before[place]
    return found[::-1]


def stretches(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Join rising numbers that follow each other to stretches (first, last).

    >>> stretches([3, 4, 5, 9])
    [(3, 5), (9, 9)]
    """
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found
