"""How long to wait before looking for answers again.

Every look costs the coordinator and the SuperLink processor time, which the sites may need if they
share a machine. A question takes about as long as the one of its kind before, so while no answer is
to be expected there is hardly a look, and from then on there are many.
"""

from __future__ import annotations

from dataclasses import dataclass, field

SHORT_SECONDS, LONG_SECONDS = 0.02, 0.5
"""Between two looks when an answer may come, and before. Failures are seen after `LONG_SECONDS`."""
EXPECTED = 0.7
"""The share of what the last first answer took, before which none is expected."""


@dataclass
class Patience:
    """Learns by kind of question when the first answer comes."""

    _first: dict[str, float] = field(default_factory=dict)

    def learn(self, kind: str, seconds: float) -> None:
        """Note how long the first answer to a question took."""
        self._first[kind] = seconds

    def pause(self, kind: str, elapsed: float) -> float:
        """Give the seconds until the next look; `elapsed` since the question was put."""
        early = EXPECTED * self._first.get(kind, 0.0) - elapsed
        return min(max(early, SHORT_SECONDS), LONG_SECONDS)
