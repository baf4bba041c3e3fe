"""Measures of a case, compared with plain NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_bayes_nnunet.app.evaluation.aggregates import ALL
from napari_bayes_nnunet.app.evaluation.case import CaseEvaluation
from napari_bayes_nnunet.core import InputError
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
NOTHING = {"probabilities": None, "entropy": None, "mutual_information": None}


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


@pytest.mark.parametrize("name", ["entropy", "mutual-information"])
@pytest.mark.parametrize("gross", [False, True])
def test_detection_is_in_all_voxels(case, given, name, gross):
    reference = heart()
    wrong = given["labels"] != reference
    if gross:
        wrong &= far_from_contours(reference, SPACING, farther_than=3)
    score = given[name.replace("-", "_")].ravel()
    found = case.number(f"auroc {name}{', gross' if gross else ''}")
    assert found == pytest.approx(plain_auroc(score, wrong.ravel()), **CLOSE)


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


def test_means_do_not_rise_or_fall_with_the_size_of_the_prediction(case, given):
    """In the box of the prediction they fall when a prediction falls apart."""
    labels = given["labels"].copy()
    labels[labels > 1] = 0
    less = made_case(1, **{**given, "labels": labels})
    assert less.number("mean_entropy") == case.number("mean_entropy")
    assert less.number("mean_mutual_information") == case.number("mean_mutual_information")
    assert less.number("distant_entropy") > case.number("distant_entropy")


def test_failure_score_and_intervals_are_kept():
    ends = {80: (1.0, 2.0), 90: (0.5, 50.0)}
    case = made_case(1, failure_score=1.5, volume_intervals={"LV": ends, "LA": ends})
    assert 2 < case.number("reference_ml", "LV") < 50
    names = [
        f"{number}_{level}_LV volume" for number in ("coverage", "width") for level in (80, 90)
    ]
    assert [case.number(name) for name in names] == [0, 1, 1, 49.5]
    assert not any("LA" in column for column in case.numbers[ALL])
    assert case.number("failure_score") == 1.5


def test_expected_dice_of_a_calibrated_ensemble_is_kept():
    case = made_case(1, expected_dice={"LV": 0.9, "RV": 0.8})
    assert case.number("expected_dice", "LV") == 0.9
    assert case.number("mean_expected_dice") == pytest.approx(0.85)  # MYO has none


def test_mean_dice_skips_undefined_structures(case):
    dices = [case.number("dice", name) for name in case.structures]
    assert case.number("dice") == pytest.approx(np.mean(dices))
    reference, labels = heart(), heart()
    reference[reference == 1] = labels[labels == 1] = 0
    without_rv = made_case(1, labels=labels, reference=reference)
    assert math.isnan(without_rv.number("dice", "RV"))
    assert without_rv.number("dice") == 1


def test_missed_structure_has_no_distance():
    labels = heart()
    labels[labels == 1] = 0
    result = made_case(1, labels=labels).numbers["RV"]
    assert result["dice"] == 0
    assert math.isnan(result["hausdorff95_mm"])
    assert math.isnan(result["average_distance_mm"])
    assert result["volume_error_ml"] == -result["reference_ml"]


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
        )
    )
    assert math.isnan(case.number("auroc entropy"))
    assert case.number("dice") == 0


def test_labels_alone_give_only_overlap(given):
    case = made_case(1, **NOTHING, pairwise_dice=None)
    assert case.number("dice", "LV") == made_case(1).number("dice", "LV")
    assert case.reliability is None
    columns = ("ece", "nll", "mean_entropy", "distant_entropy", "auroc entropy", "pairwise_dice")
    assert all(math.isnan(case.number(column)) for column in columns)


def test_single_model_has_no_mutual_information(given):
    zero = np.zeros_like(given["mutual_information"])
    case = made_case(1, mutual_information=zero)
    for kind, known in (("entropy", True), ("mutual-information", False)):
        for column in (f"auroc {kind}", f"auprc {kind}", f"mean_{kind.replace('-', '_')}"):
            assert math.isnan(case.number(column)) != known


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


def test_order_of_labels_does_not_matter(case, given):
    """M&Ms numbers the LV first, ACDC the RV."""
    turned = np.array([0, 3, 2, 1], np.uint8)
    turned_case = made_case(
        1,
        labels=turned[given["labels"]],
        reference=turned[heart()],
        structures={"LV": 1, "MYO": 2, "RV": 3},
        probabilities=given["probabilities"][turned],
    )
    for name in STRUCTURES:
        assert turned_case.numbers[name] == case.numbers[name]
    assert turned_case.number("ece") == pytest.approx(case.number("ece"))


@pytest.mark.parametrize("name", ["labels", "entropy", "mutual_information"])
def test_another_shape_is_refused(given, name):
    cut = given[name][1:]
    with pytest.raises(InputError) as caught:
        made_case(1, **{name: cut})
    expected = {"name": name.replace("_", "-"), "expected": heart().shape, "found": cut.shape}
    assert caught.value.values == expected


def test_probabilities_need_a_class_for_each_structure(given):
    for wrong in (given["probabilities"][:3], given["probabilities"][:, 1:]):
        with pytest.raises(InputError) as caught:
            made_case(1, probabilities=wrong)
        assert caught.value.values["structures"] == "RV, MYO, LV"
        assert caught.value.values["found"] == wrong.shape
