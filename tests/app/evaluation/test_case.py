"""Measures of a case, compared with plain NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_bayes_nnunet.app.evaluation.case import CaseEvaluation
from napari_bayes_nnunet.core.metrics.border import far_from_contours

from ...helpers.data.evaluations import (
    SPACING,
    STRUCTURES,
    answer,
    box_of,
    heart,
    made_case,
    plain_auroc,
    plain_brier,
    plain_dice,
    plain_distances,
    plain_ece,
    plain_nll,
)

CLOSE = {"rel": 0, "abs": 1e-6}


@pytest.fixture(scope="module")
def given() -> dict:
    """Return an answer with one gross error, in the middle of the LV."""
    given = answer(1)
    given["labels"][2, 12, 17] = 1
    return given


@pytest.fixture(scope="module")
def case(given: dict) -> CaseEvaluation:
    return made_case(1, **given)


@pytest.mark.parametrize("name", STRUCTURES)
def test_structure_has_overlap_distance_and_volume(case, given, name):
    predicted, true = given["labels"] == STRUCTURES[name], heart() == STRUCTURES[name]
    voxel_ml = np.prod(SPACING) / 1000
    distances = plain_distances(predicted, true)
    result = case.numbers[name]
    assert 0.5 < result["dice"] < 1
    assert result["dice"] == pytest.approx(plain_dice(predicted, true), **CLOSE)
    assert result["hausdorff95_mm"] == pytest.approx(np.percentile(distances, 95), **CLOSE)
    assert result["average_distance_mm"] == pytest.approx(distances.mean(), **CLOSE)
    assert result["volume_ml"] == pytest.approx(predicted.sum() * voxel_ml, **CLOSE)
    assert result["reference_ml"] == pytest.approx(true.sum() * voxel_ml, **CLOSE)
    assert result["volume_error_ml"] == pytest.approx(
        result["volume_ml"] - result["reference_ml"], **CLOSE
    )
    assert result["pairwise_dice"] == given["pairwise_dice"][name]


def test_calibration_equals_plain_numpy(case, given):
    p, reference = given["probabilities"], heart()
    assert case.number("ece") == pytest.approx(plain_ece(p, reference), **CLOSE)
    assert case.reliability.voxel_count == reference[box_of(reference)].size
    assert case.number("nll") == pytest.approx(plain_nll(p, reference), **CLOSE)
    assert case.number("brier") == pytest.approx(plain_brier(p, reference), **CLOSE)
    assert 0 < case.number("classwise_ece") < 1
    assert 0 < case.number("adaptive_ece") < 1


def test_error_outside_the_box_of_the_reference_counts(given):
    labels = given["labels"].copy()
    labels[0, 0, 0] = 1
    found = made_case(1, **{**given, "labels": labels})
    wrong = labels != heart()
    expected = plain_auroc(given["entropy"].ravel(), wrong.ravel())
    assert found.number("auroc entropy") == pytest.approx(expected, **CLOSE)
    wrong &= far_from_contours(heart(), SPACING, farther_than=3)
    assert wrong[0, 0, 0]
    expected = plain_auroc(given["entropy"].ravel(), wrong.ravel())
    assert found.number("auroc entropy, gross") == pytest.approx(expected, **CLOSE)


def test_case_scores_need_no_reference(case, given):
    assert case.number("mean_entropy") == pytest.approx(given["entropy"].mean(dtype=float), **CLOSE)
    found = given["mutual_information"].mean(dtype=float)
    assert case.number("mean_mutual_information") == pytest.approx(found, **CLOSE)
    assert case.number("pairwise_dice") == pytest.approx(
        np.mean(list(given["pairwise_dice"].values()))
    )
    far = far_from_contours(given["labels"], SPACING, farther_than=3)
    distant = np.where(far, given["entropy"], 0).mean(dtype=float)
    assert case.number("distant_entropy") == pytest.approx(distant, **CLOSE)


def test_empty_reference_gives_no_calibration():
    case = made_case(1, reference=np.zeros_like(heart()))
    assert case.reliability.voxel_count == 0
    assert all(
        math.isnan(v)
        for v in (
            case.number("ece"),
            case.number("nll"),
            case.number("brier"),
            case.number("classwise_ece"),
            case.number("adaptive_ece"),
        )
    )
    assert math.isnan(case.number("auroc entropy"))
    assert case.number("dice") == 0


def test_structure_missing_in_reference_is_background(given):
    """Sunnybrook has no RV: its probability and its voxels belong to the background."""
    structures = {"MYO": 2, "LV": 3}
    reference = heart()
    reference[reference == 1] = 0
    case = made_case(1, **given, reference=reference, structures=structures)
    assert list(case.structures) == ["MYO", "LV"]
    p = given["probabilities"]
    merged = np.stack([p[0] + p[1], p[2], p[3]])
    renumbered = np.where(reference > 0, reference - 1, 0)
    assert case.number("ece") == pytest.approx(plain_ece(merged, renumbered), **CLOSE)
    assert case.number("nll") == pytest.approx(plain_nll(merged, renumbered), **CLOSE)
    judged = np.where(given["labels"] == 1, 0, given["labels"])
    wrong = judged != reference
    expected = plain_auroc(given["entropy"].ravel(), wrong.ravel())
    assert case.number("auroc entropy") == pytest.approx(expected, **CLOSE)
    assert case.number("mean_entropy") == made_case(1, **given).number("mean_entropy")
