"""Findings that contradict anatomy or the cardiac cycle."""

import math

import numpy as np
import pytest

from napari_bayes_nnunet.core.heart.plausibility import (
    MASS_PATIENTS,
    Fault,
    MassRange,
    fit_mass_range,
    relative_change,
    slice_findings,
    volume_findings,
)
from napari_bayes_nnunet.core.heart.slice_volumes import PhaseVolumes

STRUCTURES = {"right ventricle": 1, "myocardium": 2, "left ventricle": 3}
RV, MYO, LV = STRUCTURES.values()
SPACING = (1.5, 1.5)
USUAL = MassRange(low=-0.05, high=0.3)


def heart() -> np.ndarray:
    """Return a (Y, X) slice with an LV inside its myocardium, and an RV."""
    y, x = np.mgrid[:60, :80]
    labels = np.zeros((60, 80), np.uint8)
    labels[np.hypot(y - 30, x - 25) < 12] = RV
    labels[np.hypot(y - 30, x - 45) < 14] = MYO
    labels[np.hypot(y - 30, x - 45) < 9] = LV
    return labels


def found_in(labels: np.ndarray) -> list[tuple[Fault, str]]:
    findings = slice_findings(labels, SPACING, STRUCTURES, (1, 4))
    assert all(finding.place == (1, 4) for finding in findings)
    return [(finding.fault, finding.structure) for finding in findings]


@pytest.mark.parametrize("labels", [heart(), np.zeros((9, 9), np.uint8)])
def test_a_whole_heart_and_an_empty_slice_have_no_finding(labels):
    assert found_in(labels) == []


def test_separate_piece_counts_from_its_area():
    labels = heart()
    labels[50:52, 70:73] = RV  # 6 voxels, 13.5 mm²
    assert found_in(labels) == []
    labels[50:52, 73] = RV
    assert found_in(labels) == [(Fault.PIECES, "RV")]


def test_pieces_that_touch_at_a_corner_are_one():
    labels = heart()
    labels[labels == RV] = 0
    labels[10:20, 5:15] = labels[20:30, 15:25] = RV
    assert found_in(labels) == []


def test_cavity_without_wall_is_open():
    labels = heart()
    labels[labels == MYO] = 0
    (finding,) = slice_findings(labels, SPACING, STRUCTURES, (None, 0))
    assert (finding.fault, finding.structure, finding.amount) == (Fault.OPEN_WALL, "LV", 1)
    open_to_the_right = heart()
    open_to_the_right[:, 53:] = 0
    assert found_in(open_to_the_right) == [(Fault.OPEN_WALL, "LV")]


def test_cavity_at_the_border_of_the_image_is_not_open_there():
    assert found_in(heart()[30:, :]) == [(Fault.OPEN_WALL, "LV")]  # one row of the border is cut
    walled = np.full((20, 20), MYO, np.uint8)
    walled[5:15, 5:15] = LV
    assert found_in(walled) == []


def volumes(lv=(), rv=(), myo=()) -> PhaseVolumes:
    """Return the volumes of one phase, mL per slice."""
    labels = {"LV": np.array(lv, float), "RV": np.array(rv, float), "MYO": np.array(myo, float)}
    known = {name: values for name, values in labels.items() if len(values)}
    depth = max(map(len, known.values()))
    members = {name: np.zeros((0, depth)) for name in known}
    return PhaseVolumes(labels=known, members=members, reviewed=np.zeros(depth, bool))


def faults(findings) -> list[tuple[Fault, tuple, str]]:
    return [(finding.fault, finding.place, finding.structure) for finding in findings]


def test_gap_leads_to_its_first_slice():
    found = volume_findings({None: volumes(lv=[0, 5, 0, 0, 4, 0, 3, 0])})
    assert faults(found) == [(Fault.GAP, (None, 2), "LV"), (Fault.GAP, (None, 5), "LV")]
    assert [finding.amount for finding in found] == [2, 1]


def test_mass_is_compared_with_the_usual_range():
    phases = {1: volumes(myo=[50, 50]), 5: volumes(myo=[50, 10])}
    assert volume_findings(phases, ed=1, es=5) == []  # without a range
    (finding,) = volume_findings(phases, ed=1, es=5, mass_range=USUAL)
    assert (finding.fault, finding.place) == (Fault.MASS, (5, 1))
    assert finding.amount == pytest.approx(relative_change(100, 60))
    assert volume_findings({**phases, 5: volumes(myo=[60, 60])}, ed=1, mass_range=USUAL) == []


def test_mass_of_one_phase_is_not_compared_with_itself():
    usual = MassRange(low=0.02, high=0.2)
    phases = {1: volumes(myo=[60, 60])}
    assert volume_findings(phases, ed=1, es=1, mass_range=usual) == []


def test_phases_between_may_differ_by_the_wider_end():
    phases = {1: volumes(myo=[100]), 2: volumes(myo=[80]), 3: volumes(myo=[105])}
    assert volume_findings(phases, ed=1, es=3, mass_range=USUAL) == []
    (finding,) = volume_findings(phases, ed=1, es=2, mass_range=USUAL)
    assert finding.place == (2, 0)


def cine(count: int = 20) -> dict[int, list[float]]:
    """Return the LV of each phase in three slices, mL: ED is phase 1, ES phase 9."""
    curve = [1 + 0.4 * math.cos(2 * math.pi * t / 16) if t <= 16 else 1.4 for t in range(count)]
    return {t + 1: [40 * v, 30 * v, 20 * v] for t, v in enumerate(curve)}


def curve_faults(slices: dict[int, list[float]], **ends: int) -> list:
    phases = {phase: volumes(lv=values) for phase, values in slices.items()}
    return faults(volume_findings(phases, **ends))


def test_smooth_curve_has_no_finding():
    assert curve_faults(cine(), ed=1, es=9) == []


def test_jump_leads_to_the_phase_and_slice_that_caused_it():
    slices = cine()
    slices[5] = [slices[5][0], 0.0, slices[5][2]]
    found = curve_faults(slices)
    assert (Fault.JUMP, (5, 1), "LV") in found
    assert (Fault.GAP, (5, 1), "LV") in found
    assert [place for fault, place, _ in found if fault is Fault.JUMP] == [(5, 1)]


def test_few_or_missing_phases_are_no_curve():
    slices = cine()
    slices[5][1] = 0.0
    apart = {phase: slices[phase] for phase in (1, 3, 5, 7, 9, 11, 13)}
    few = {phase: slices[phase] for phase in range(3, 8)}
    for part in (apart, few):
        assert [fault for fault, *_ in curve_faults(part)] == [Fault.GAP]


def test_other_extremes_than_ed_and_es_are_found():
    assert curve_faults(cine(), ed=1, es=10) == []  # nearly the same volume
    found = curve_faults(cine(), ed=4, es=12)
    assert [(fault, place[0]) for fault, place, _ in found] == [
        (Fault.NOT_ED, 1),
        (Fault.NOT_ES, 9),
    ]


def test_usual_range_holds_most_training_patients():
    masses = [(100.0, 100.0 + n) for n in range(41)]
    usual = fit_mass_range(masses)
    assert usual is not None
    inside = [usual.low <= relative_change(*pair) <= usual.high for pair in masses]
    assert sum(inside) == 39  # without one at either end
    assert fit_mass_range(masses[: MASS_PATIENTS - 1]) is None
