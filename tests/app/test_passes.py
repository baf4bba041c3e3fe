"""How the members of a method are combined, and in which order they are asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_bayes_nnunet.app.passes import Pass, interleaved, passes_of
from napari_bayes_nnunet.io.ensemble_folder import Member


def member(epoch: int, *, cycle: int = 0) -> Member:
    return Member(
        path=Path(f"epoch_{epoch}.pth"),
        training="",
        fold="0",
        epoch=epoch,
        cycle=cycle,
        learning_rate=0.01,
        bytes=1,
    )


def test_combining() -> None:
    first, second = member(1), member(2)
    assert passes_of([first, second], "probabilities") == [Pass((first,)), Pass((second,))]
    assert passes_of([first, second], "weights") == [Pass((first, second))]
    assert passes_of([first, first], "dropout") == [Pass((first,), 0), Pass((first,), 1)]


def test_cycle_by_cycle_the_last_first() -> None:
    members = [member(10 * c + epoch, cycle=c) for c in (0, 1, 2) for epoch in (7, 9)]
    order = interleaved(passes_of(members, "probabilities"))
    assert [one.members[0].epoch for one in order] == [29, 19, 9, 27, 17, 7]


@pytest.mark.parametrize("of_cycle", [1, 3, 6, 10])
def test_spread_mirrors_are_dealt_out_evenly(of_cycle: int) -> None:
    members = [member(10 * c + epoch, cycle=c) for c in (0, 1, 2) for epoch in range(of_cycle)]
    passes = passes_of(members, "probabilities", mirroring="spread")
    seen = [one.turn % 4 for one in passes if one.turn is not None]
    assert len(seen) == len(members)
    for part in (seen, *(seen[c * of_cycle : (c + 1) * of_cycle] for c in (0, 1, 2))):
        counts = [part.count(mirror) for mirror in range(4)]
        assert max(counts) - min(counts) <= 1
    assert all(one.turn is None for one in passes_of(members, "dropout", mirroring="full"))
    (only,) = passes_of(members, "weights", mirroring="spread")
    assert only.turn == 0
