"""Contributions of slices to the spread of the EF."""

from dataclasses import replace

import numpy as np
import pytest

from napari_bayes_nnunet.core.heart.ef_contributions import ef_contributions
from napari_bayes_nnunet.core.heart.function import heart_function
from napari_bayes_nnunet.core.heart.slice_volumes import PhaseVolumes


def phase(labels: list[float], members: list[list[float]], structure: str = "LV") -> PhaseVolumes:
    return PhaseVolumes(
        labels={structure: np.array(labels, float)},  # type: ignore[dict-item]
        members={structure: np.array(members, float)},  # type: ignore[dict-item]
        reviewed=np.zeros(len(labels), np.bool_),
    )


ED = phase([60, 60, 10], [[52, 60, 10], [60, 58, 10], [66, 61, 10]])
ES = phase([30, 20, 5], [[30, 22, 5], [27, 20, 5], [31, 19, 5]])


def spread_of_ef(phases: dict[int | None, PhaseVolumes]) -> float:
    return heart_function(phases, ed=1, es=8)["LV EF"].spread


def reviewed(volumes: PhaseVolumes, z: int) -> PhaseVolumes:
    return replace(volumes, reviewed=volumes.reviewed | (np.arange(3) == z))


def test_it_is_what_review_of_slice_takes_away():
    phases: dict[int | None, PhaseVolumes] = {1: ED, 8: ES}
    found = ef_contributions(phases, ed=1, es=8)
    assert (found[0].phase, found[0].z) == (1, 0)
    for part in found:
        after = {**phases, part.phase: reviewed(phases[part.phase], part.z)}
        assert part.points == pytest.approx(spread_of_ef(phases) - spread_of_ef(after))
    assert [part.points for part in found] == sorted((p.points for p in found), reverse=True)


def test_sure_and_reviewed_slices_add_nothing():
    found = ef_contributions({1: reviewed(ED, 0), 8: ES}, ed=1, es=8)
    assert found
    assert all(part.z != 2 and (part.phase, part.z) != (1, 0) for part in found)


def test_compensating_slice_is_left_out():
    ed = phase([60, 60], [[50, 64], [60, 60], [70, 56]])
    es = phase([60, 60], [[30, 30]] * 3)
    found = ef_contributions({1: ed, 8: es}, ed=1, es=8)
    assert [(part.phase, part.z) for part in found] == [(1, 0)]


@pytest.mark.parametrize(
    "phases",
    [
        {1: ED},
        {1: ED, 8: phase([0, 0, 0], [[1, 1, 1]] * 3)},
        {1: ED, 8: phase([30, 20, 5], [[30, 22, 5]])},
        {1: phase([60, 60], [[50, 60], [60, 60]], "RV"), 8: phase([30], [[30], [30]], "RV")},
        {1: phase([60, 60], [[50, 60]]), 8: phase([30, 30], [[20, 30]])},
    ],
    ids=["no ES", "no LV at ES", "other members at ES", "no LV", "one member"],
)
def test_without_a_spread_nothing_adds_to_it(phases):
    assert ef_contributions(phases, ed=1, es=8) == []
