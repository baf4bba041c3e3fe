"""Order of passes that visits all modes of the posterior early."""

from __future__ import annotations

from collections.abc import Hashable, Sequence


def interleaved(modes: Sequence[Hashable]) -> list[int]:
    """Return the indices of passes with these modes, starting with the last pass of each mode.

    The last mode comes first.

    >>> interleaved(["first cycle", "first cycle", "second cycle", "second cycle"])
    [3, 1, 2, 0]
    """
    counts: dict[Hashable, int] = {}
    ranks = []
    for index in reversed(range(len(modes))):
        counts[modes[index]] = counts.get(modes[index], 0) + 1
        ranks.append((counts[modes[index]], index))
    return [index for _, index in sorted(ranks, key=lambda rank: rank[0])]
