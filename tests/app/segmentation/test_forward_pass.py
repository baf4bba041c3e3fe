"""Combination of a method's members, and the order of the passes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from napari_bayes_nnunet.app.segmentation.methods import (
    ForwardPass,
    interleave_passes,
    make_passes,
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


def test_passes_follow_the_way_of_combining() -> None:
    first, second = member(1), member(2)
    assert make_passes([first, second], "probabilities") == [
        ForwardPass((first,)),
        ForwardPass((second,)),
    ]
    assert make_passes([first, second], "weights") == [ForwardPass((first, second))]
    assert make_passes([first, first], "dropout") == [
        ForwardPass((first,), 0),
        ForwardPass((first,), 1),
    ]


def test_order_alternates_cycles_latest_first() -> None:
    members = [member(10 * c + epoch, cycle=c) for c in (0, 1, 2) for epoch in (7, 9)]
    order = interleave_passes(make_passes(members, "probabilities"))
    assert [one.members[0].epoch for one in order] == [29, 19, 9, 27, 17, 7]


@pytest.mark.parametrize("cycles", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("of_cycle", [1, 2, 3, 4, 6, 7, 8, 10])
def test_spread_mirrors_are_used_equally_often(cycles: int, of_cycle: int) -> None:
    members = [member(100 * c + e, cycle=c) for c in range(cycles) for e in range(of_cycle)]
    passes = make_passes(members, "probabilities", mirroring="spread")
    seen = [one.turn % 4 for one in passes if one.turn is not None]
    assert len(seen) == len(members)
    parts = (seen[c * of_cycle : (c + 1) * of_cycle] for c in range(cycles))
    for part in (seen, *parts):
        counts = [part.count(mirror) for mirror in range(4)]
        assert max(counts) - min(counts) <= 1
    first = {one.turn % 4 for one in interleave_passes(passes)[:3] if one.turn is not None}
    assert len(first) > 1 or len(members) == 1


def test_only_spread_mirroring_sets_turns() -> None:
    members = [member(1), member(2)]
    assert all(one.turn is None for one in make_passes(members, "dropout", mirroring="full"))
    (only,) = make_passes(members, "weights", mirroring="spread")
    assert only.turn == 0


def test_stability_interval_covers_all_modes() -> None:
    of_fold = [replace(member(1, cycle=c), fold=f) for f in "01234" for c in range(3)]
    assert stability_interval(of_fold) == 15
    assert stability_interval([member(1, cycle=c) for c in range(4)]) == 4
    assert stability_interval([member(1, cycle=c) for c in range(2)]) == 4
    assert stability_interval([member(1), member(2)]) == 3
