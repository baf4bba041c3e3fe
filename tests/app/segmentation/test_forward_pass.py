"""How the members of a method are combined, and in which order they are asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from napari_bayes_nnunet.app.segmentation.forward_pass import (
    ForwardPass,
    interleaved,
    passes_of,
    stability_interval,
)
from napari_bayes_nnunet.io.ensemble.ensemble_folder import Member


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
    assert passes_of([first, second], "probabilities") == [
        ForwardPass((first,)),
        ForwardPass((second,)),
    ]
    assert passes_of([first, second], "weights") == [ForwardPass((first, second))]
    assert passes_of([first, first], "dropout") == [
        ForwardPass((first,), 0),
        ForwardPass((first,), 1),
    ]


def test_cycle_by_cycle_the_last_first() -> None:
    members = [member(10 * c + epoch, cycle=c) for c in (0, 1, 2) for epoch in (7, 9)]
    order = interleaved(passes_of(members, "probabilities"))
    assert [one.members[0].epoch for one in order] == [29, 19, 9, 27, 17, 7]


@pytest.mark.parametrize("cycles", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("of_cycle", [1, 2, 3, 4, 6, 7, 8, 10])
def test_spread_mirrors_are_dealt_out_evenly(cycles: int, of_cycle: int) -> None:
    members = [member(100 * c + e, cycle=c) for c in range(cycles) for e in range(of_cycle)]
    passes = passes_of(members, "probabilities", mirroring="spread")
    seen = [one.turn % 4 for one in passes if one.turn is not None]
    assert len(seen) == len(members)
    parts = (seen[c * of_cycle : (c + 1) * of_cycle] for c in range(cycles))
    for part in (seen, *parts):
        counts = [part.count(mirror) for mirror in range(4)]
        assert max(counts) - min(counts) <= 1
    first = {one.turn % 4 for one in interleaved(passes)[:3] if one.turn is not None}
    assert len(first) > 1 or len(members) == 1


def test_mirrors_are_dealt_out_where_they_are_spread_alone() -> None:
    members = [member(1), member(2)]
    assert all(one.turn is None for one in passes_of(members, "dropout", mirroring="full"))
    (only,) = passes_of(members, "weights", mirroring="spread")
    assert only.turn == 0


def test_a_look_is_worth_it_once_all_modes_were_asked() -> None:
    of_fold = [replace(member(1, cycle=c), fold=f) for f in "01234" for c in range(3)]
    assert stability_interval(of_fold) == 15
    assert stability_interval([member(1, cycle=c) for c in range(4)]) == 4
    assert stability_interval([member(1), member(2)]) == 3
