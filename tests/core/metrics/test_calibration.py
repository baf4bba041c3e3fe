"""Calibration: bins by hand, edges, foreground box and pooling; torchmetrics and scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from napari_bayes_nnunet.core import InputError
from napari_bayes_nnunet.core.ensemble.posterior import apply_temperature
from napari_bayes_nnunet.core.metrics.calibration import (
    RANGE,
    ReliabilityBins,
    adaptive_ece,
    classwise_ece,
    expected_calibration_error,
    fit_temperature,
    foreground_box,
    reliability_bins,
)


def two_classes(foreground: NDArray[Any]) -> NDArray[Any]:
    """Return (2, …) probabilities from those of class 1."""
    return np.stack([1 - foreground, foreground])


def volume(confidences: list[float], right: list[bool]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return probabilities with these top-label confidences (label 1 or 2), and a reference."""
    first = np.array(confidences)
    probabilities = np.stack([np.zeros_like(first), first, 1 - first])[:, None, None]
    reference = np.where(right, 1, 2)[None, None]
    return probabilities, reference


def noise(
    dtype: Any = np.float32, shape: tuple[int, ...] = (3, 20, 25)
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return overconfident (4, Z, Y, X) probabilities, and a reference without background."""
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(4, *shape))
    powers = np.exp(logits)
    reference = (logits / 2 + rng.gumbel(size=logits.shape))[1:].argmax(axis=0) + 1
    return (powers / powers.sum(axis=0)).astype(dtype), reference


def test_ece_by_hand() -> None:
    """Three voxels of 0.9 (two right) and one of 0.65 (wrong): 3/4·|0.9-2/3| + 1/4·0.65."""
    probabilities, reference = volume([0.9, 0.9, 0.9, 0.65], [True, True, False, False])
    bins = reliability_bins(probabilities, reference)
    assert bins.voxels[[89, 64]].tolist() == [3, 1]
    assert bins.correct[[89, 64]].tolist() == [2, 0]
    assert bins.confidence_sum[[89, 64]].tolist() == pytest.approx([2.7, 0.65])
    assert bins.voxel_count == bins.voxels.sum() == 4
    assert bins.ece == pytest.approx(0.75 * (0.9 - 2 / 3) + 0.25 * 0.65)
    assert expected_calibration_error(probabilities, reference) == bins.ece


def test_ece_needs_the_bins() -> None:
    """Under- and overconfident bins do not cancel, voxels of one bin do."""
    probabilities, reference = volume([0.6, 0.8], [True, False])
    assert expected_calibration_error(probabilities, reference) == pytest.approx(0.6)
    assert expected_calibration_error(probabilities, reference, bins=1) == pytest.approx(0.2)


@pytest.mark.parametrize("sure", [True, False])
def test_ece_of_certain_predictions_is_their_error_rate(sure: bool) -> None:
    probabilities, reference = volume([1.0] * 4, [sure] * 4)
    assert expected_calibration_error(probabilities, reference) == (0.0 if sure else 1.0)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("percent", range(50, 101))
def test_every_edge_belongs_to_the_bin_below(percent: int, dtype: Any) -> None:
    """A confidence of s % lies in ((s-1) %, s %], the next larger number in the bin above."""
    edge = np.array(percent / 100).astype(dtype)
    above = np.minimum(np.nextafter(edge, dtype(2)), dtype(1))
    reference = np.ones((1, 1, 1), np.uint8)
    for confidence, index in ((edge, percent - 1), (above, min(percent, 99))):
        probabilities = np.array([0, confidence]).astype(dtype).reshape(2, 1, 1, 1)
        assert reliability_bins(probabilities, reference).voxels.argmax() == index


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_low_edges_and_zero_with_many_classes(dtype: Any) -> None:
    """Below 50 % too: a top label of s % among 100 others; 0 % falls into the first bin."""
    reference = np.ones((1, 1, 1), np.uint8)
    for percent in range(50):
        probabilities = np.zeros((3, 1, 1, 1), dtype)
        probabilities[1] = dtype(percent / 100)
        found = reliability_bins(probabilities, reference).voxels.argmax()
        assert found == max(percent - 1, 0)


def test_only_the_box_of_all_foreground_classes_counts() -> None:
    reference = np.zeros((4, 10, 12), np.uint8)
    reference[1, 2, 3], reference[2, 5, 8] = 1, 2
    probabilities = two_classes(np.full(reference.shape, 0.75, np.float32))
    bins = reliability_bins(probabilities, reference)
    assert bins.voxel_count == 2 * 4 * 6
    assert int(bins.correct.sum()) == 1
    probabilities[:, 0] = np.nan
    assert reliability_bins(probabilities, reference).ece == bins.ece


def test_foreground_box() -> None:
    reference = np.zeros((4, 10, 12), np.int16)
    assert foreground_box(reference) is None
    reference[1, 2, 3], reference[2, 5, 8] = 1, 300
    assert foreground_box(reference) == (slice(1, 3), slice(2, 6), slice(3, 9))
    assert foreground_box(np.asfortranarray(reference)) == foreground_box(reference)


def test_empty_reference_is_nan_without_voxels() -> None:
    probabilities = two_classes(np.full((2, 3, 4), 0.75))
    reference = np.zeros((2, 3, 4), np.uint8)
    assert reliability_bins(probabilities, reference).voxel_count == 0
    assert np.isnan(expected_calibration_error(probabilities, reference))
    assert np.isnan(ReliabilityBins.empty().ece)


def test_pooled_and_mean_over_volumes() -> None:
    """One voxel of error 0.1, three of 0.9 in the same bin: pooled and mean differ."""
    right = reliability_bins(*volume([0.9], [True]))
    wrong = reliability_bins(*volume([0.9] * 3, [False] * 3))
    empty = ReliabilityBins.empty()
    pooled = sum([right, empty, wrong], ReliabilityBins.empty())
    assert pooled.voxel_count == 4
    assert pooled.ece == pytest.approx(0.9 - 0.25)
    assert np.mean([right.ece, wrong.ece]) == pytest.approx(0.5)


def test_pooled_bins_are_those_of_one_large_volume() -> None:
    rng = np.random.default_rng(0)
    logits = np.exp(2 * rng.normal(size=(4, 6, 20, 20)))
    probabilities = (logits / logits.sum(axis=0)).astype(np.float32)
    reference = rng.integers(1, 4, size=(6, 20, 20))
    whole = reliability_bins(probabilities, reference)
    parts = [reliability_bins(probabilities[:, z], reference[z]) for z in range(6)]
    pooled = sum(parts, ReliabilityBins.empty())
    np.testing.assert_array_equal(pooled.voxels, whole.voxels)
    np.testing.assert_array_equal(pooled.correct, whole.correct)
    assert pooled.ece == pytest.approx(whole.ece)


def test_adding_changes_neither() -> None:
    a, b = (reliability_bins(*volume([0.9], [right])) for right in (True, False))
    assert (a + b).voxel_count == 2
    assert (a.voxel_count, b.voxel_count) == (1, 1)


def test_sum_of_confidences_is_exact_in_large_volume() -> None:
    probabilities = np.zeros((2, 12, 256, 256), np.float32)
    probabilities[1] = 0.999
    reference = np.ones((12, 256, 256), np.uint8)
    expected = 1 - float(np.float32(0.999))
    assert expected_calibration_error(probabilities, reference) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bins", [10, 100])
def test_errors_are_those_of_torchmetrics(bins: int, dtype: Any) -> None:
    import torch
    from torchmetrics.functional import classification

    probabilities, reference = noise(dtype)
    p = torch.tensor(probabilities.reshape(4, -1).T.astype(np.float64))
    truth = torch.tensor(reference.ravel())
    top = classification.multiclass_calibration_error(p, truth, 4, n_bins=bins)
    classes = [
        classification.binary_calibration_error(p[:, k], (truth == k).long(), n_bins=bins)
        for k in range(4)
    ]
    found = expected_calibration_error(probabilities, reference, bins=bins)
    assert found == pytest.approx(float(top), abs=1e-6)
    found = classwise_ece(probabilities, reference, bins=bins)
    assert found == pytest.approx(float(np.mean(classes)), abs=1e-6)


def test_classwise_ece_by_hand() -> None:
    """Two voxels of (0.1, 0.6, 0.3), one of class 1 and one of class 2: 0.1, 0.1 and 0.2 off."""
    probabilities = np.repeat(np.array([0.1, 0.6, 0.3]), 2).reshape(3, 1, 1, 2)
    reference = np.array([[[1, 2]]])
    assert classwise_ece(probabilities, reference) == pytest.approx((0.1 + 0.1 + 0.2) / 3)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_classwise_edges_belong_to_the_bin_below(dtype: Any) -> None:
    """s % and a little less share a bin, so their errors cancel; s % and a little more do not."""
    reference = np.array([[[1, 2]]])  # the first voxel is class 1, the second neither
    for percent in range(1, 100):
        edge = np.array(percent / 100).astype(dtype)
        for towards in (0, 1):
            near = np.nextafter(edge, dtype(towards))
            probabilities = np.stack([np.full(2, 0.5, dtype), [edge, near]])[:, None, None]
            first, second = 1 - float(edge), -float(near)
            apart = abs(first) + abs(second) if towards else abs(first + second)
            found = classwise_ece(probabilities, reference)
            assert found == pytest.approx((0.5 + apart / 2) / 2, rel=1e-9)


@pytest.mark.parametrize("bins", [1, 10, 100])
def test_adaptive_ece_agrees_with_scikit_learn(bins: int) -> None:
    probabilities, reference = noise(np.float64)
    confidence = probabilities.max(axis=0).ravel()
    assert len(np.unique(confidence)) == 1500
    right = probabilities.argmax(axis=0).ravel() == reference.ravel()
    curve = calibration_curve(right, confidence, n_bins=bins, strategy="quantile")
    expected = np.abs(np.subtract(*curve)).mean()
    assert adaptive_ece(probabilities, reference, bins=bins) == pytest.approx(expected, abs=1e-9)


def test_adaptive_ece_by_hand() -> None:
    """Two bins, 0.6 0.7 | 0.8 1.0; in equal ones, 0.6 and 0.7 would lie with all others."""
    right = [False, True, True, True]
    probabilities, reference = volume([0.6, 0.7, 0.8, 1.0], right)
    assert adaptive_ece(probabilities, reference, bins=2) == pytest.approx((0.3 + 0.2) / 4)


def test_unequal_bins_differ_by_one_voxel() -> None:
    """Five voxels in two bins: the first three, then two."""
    probabilities, reference = volume([0.6, 0.7, 0.8, 0.9, 1.0], [False] * 3 + [True] * 2)
    assert adaptive_ece(probabilities, reference, bins=2) == pytest.approx((2.1 + 0.1) / 5)


def test_equal_confidences_stay_in_one_adaptive_bin() -> None:
    """The lower of two bins ends among the voxels of 0.9 and takes them all, in any order."""
    right = [True, False, True, True, True]
    for order in ([0, 1, 2, 3, 4], [4, 2, 0, 3, 1]):
        confidences = np.array([0.6, 0.9, 0.9, 0.9, 1.0])[order].tolist()
        probabilities, reference = volume(confidences, [right[i] for i in order])
        assert adaptive_ece(probabilities, reference, bins=2) == pytest.approx((3.3 - 3) / 5)


def test_fewer_voxels_than_adaptive_bins_have_bin_each() -> None:
    probabilities, reference = volume([0.6, 0.8], [True, False])
    assert adaptive_ece(probabilities, reference) == pytest.approx((0.4 + 0.8) / 2)


@pytest.mark.parametrize("error", [expected_calibration_error, adaptive_ece, classwise_ece])
def test_one_voxel(error: Any) -> None:
    probabilities = np.array([0.25, 0.75]).reshape(2, 1, 1, 1)
    assert error(probabilities, np.ones((1, 1, 1), int)) == pytest.approx(0.25)


@pytest.mark.parametrize("error", [adaptive_ece, classwise_ece])
def test_only_the_box_counts_for_every_error(error: Any) -> None:
    probabilities, reference = noise()
    reference[0] = 0
    assert error(probabilities, reference) == error(probabilities[:, 1:], reference[1:])


@pytest.mark.parametrize("error", [adaptive_ece, classwise_ece])
def test_empty_reference_has_no_error(error: Any) -> None:
    probabilities, reference = noise()
    assert np.isnan(error(probabilities, 0 * reference))


@pytest.mark.parametrize("metric", [adaptive_ece, classwise_ece])
@pytest.mark.parametrize("foreground", [0, 1])
def test_every_error_needs_a_bin(metric: Any, foreground: int) -> None:
    with pytest.raises(InputError) as error:
        metric(noise()[0], np.full((3, 20, 25), foreground), bins=0)
    assert error.value.values["bins"] == 0


@pytest.mark.parametrize("foreground", [0, 1])
def test_no_bins_are_refused(foreground: int) -> None:
    reference = np.full((2, 3, 4), foreground)
    with pytest.raises(InputError) as error:
        reliability_bins(two_classes(np.full((2, 3, 4), 0.75)), reference, bins=0)
    assert error.value.values["bins"] == 0


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError) as error:
        reliability_bins(two_classes(np.full((2, 3, 4), 0.75)), np.ones((2, 3, 5), int))
    assert error.value.values == {"found": (2, 2, 3, 4), "expected": (2, 3, 5)}


def test_labels_in_place_of_probabilities_are_refused() -> None:
    with pytest.raises(InputError) as error:
        reliability_bins(np.ones((2, 2, 3, 4), np.uint8), np.ones((2, 3, 4), int))
    assert error.value.values["dtype"] == np.uint8


def made(true_temperature: float, *, voxels: int = 40_000) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities (4, N) float32, and labels drawn from them at another temperature."""
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 3, size=(4, voxels))
    p = np.exp(logits) / np.exp(logits).sum(axis=0)
    truth = apply_temperature(p, true_temperature)
    labels = (rng.random(voxels) > truth.cumsum(axis=0)).sum(axis=0).clip(0, 3)
    return p.astype(np.float32), labels


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 1.5, 3.0])
def test_it_finds_temperature_labels_were_drawn_at(true_temperature: float) -> None:
    assert fit_temperature(*made(true_temperature)) == pytest.approx(true_temperature, rel=0.05)


def test_no_other_temperature_has_a_lower_loss() -> None:
    p, labels = made(1.7, voxels=2000)
    best = fit_temperature(p, labels)

    def loss(temperature: float) -> float:
        soft = apply_temperature(p.astype(np.float64), temperature)
        return float(log_loss(labels, soft.T, labels=range(4)))

    assert loss(best) <= min(loss(best * 1.02), loss(best / 1.02))


def test_it_stays_within_its_range() -> None:
    certain = np.array([[0.55, 0.55], [0.45, 0.45]])
    assert fit_temperature(certain, np.array([0, 0])) == pytest.approx(RANGE[0], rel=1e-2)
    assert fit_temperature(certain, np.array([1, 1])) == pytest.approx(RANGE[1], rel=1e-2)
    assert np.isfinite(fit_temperature(np.array([[1.0, 1.0], [0.0, 0.0]]), np.array([0, 1])))


@pytest.mark.parametrize("labels", [np.zeros(0, int), np.zeros(3, int)])
def test_as_many_labels_as_probabilities(labels: np.ndarray) -> None:
    with pytest.raises(InputError) as error:
        fit_temperature(np.full((2, len(labels) and 2), 0.5), labels)
    assert error.value.values["labels"] == labels.shape
