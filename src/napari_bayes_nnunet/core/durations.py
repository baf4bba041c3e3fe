"""Durations in words, and estimates of the time left."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from statistics import fmean
from time import monotonic
from typing import Final

_UNITS: Final = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def duration_text(seconds: float) -> str:
    """Return a duration without needless detail: "45 s", "3 min 20 s", "1 h 20 min", "2 d 3 h".

    Seconds are named below ten minutes, minutes below a day.
    """
    precision = 1 if seconds < 600 else 60 if seconds < 86400 else 3600
    # Rounded before it is divided, so that no part becomes 60 s.
    rest = precision * round(seconds / precision)
    words = []
    for unit, length in _UNITS:
        count, rest = divmod(rest, length)
        if count:
            words.append(f"{count} {unit}")
    return " ".join(words) or "0 s"


class TimeLeft:
    """Estimate of the time left from the time that each step took.

    ``average`` of the ``latest`` steps, by default the mean of all, is the time of a step to come.
    """

    def __init__(
        self, *, latest: int | None = None, average: Callable[[Sequence[float]], float] = fmean
    ) -> None:
        self._average = average
        self._seconds: deque[float] = deque(maxlen=latest)
        self._last = monotonic()

    def restart(self) -> None:
        """Begin the next step now; the time since the last one belongs to no step."""
        self._last = monotonic()

    def step(self, count: int = 1) -> float:
        """Note that ``count`` more steps are done; return the seconds since the last ones."""
        now = monotonic()
        seconds, self._last = now - self._last, now
        # One entry for each step, so that the latest ones are counted in steps.
        self._seconds.extend([seconds / count] * count)
        return seconds

    def seconds(self, steps: int) -> float | None:
        """Return how long ``steps`` more will take, None before the first step."""
        return steps * self._average([*self._seconds]) if self._seconds else None
