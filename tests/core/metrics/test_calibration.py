"""Calibration: bins by hand, edges, foreground box and pooling; torchmetrics and scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve

from napari_bayes_nnunet.core import InputError
from napari_bayes_nnunet.core.ensemble.posterior import apply_temperature
from napari_bayes_nnunet.core.metrics.calibration import (
    ReliabilityBins,
    adaptive_ece,
    classwise_ece,
    expected_calibration_error,
    fit_temperature,
    foreground_box,
    reliability_bins,
)

from ...helpers.checks.problems import says, says_only


def two_classes(foreground: NDArray[Any]) -> NDArray[Any]:
    """Return (2, …) probabilities from those of class 1."""
    return np.stack([1 - foreground, foreground])


def noise(
    dtype: Any = np.float32, shape: tuple[int, ...] = (3, 20, 25)
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return overconfident (4, Z, Y, X) probabilities, and a reference without background."""
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(4, *shape))
    powers = np.exp(logits)
    reference = (logits / 2 + rng.gumbel(size=logits.shape))[1:].argmax(axis=0) + 1
    return (powers / powers.sum(axis=0)).astype(dtype), reference


def test_foreground_box():
    reference = np.zeros((4, 10, 12), np.int16)
    assert foreground_box(reference) is None
    reference[1, 2, 3], reference[2, 5, 8] = 1, 300
    assert foreground_box(reference) == (slice(1, 3), slice(2, 6), slice(3, 9))
    assert foreground_box(np.asfortranarray(reference)) == foreground_box(reference)


def test_pooled_bins_are_those_of_one_large_volume():
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


def test_sum_of_confidences_is_exact_in_large_volume():
    probabilities = np.zeros((2, 12, 256, 256), np.float32)
    probabilities[1] = 0.999
    reference = np.ones((12, 256, 256), np.uint8)
    expected = 1 - float(np.float32(0.999))
    assert expected_calibration_error(probabilities, reference) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bins", [10, 100])
def test_errors_are_those_of_torchmetrics(bins, dtype):
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


@pytest.mark.parametrize("bins", [1, 10, 100])
def test_adaptive_ece_agrees_with_scikit_learn(bins):
    probabilities, reference = noise(np.float64)
    confidence = probabilities.max(axis=0).ravel()
    assert len(np.unique(confidence)) == 1500
    right = probabilities.argmax(axis=0).ravel() == reference.ravel()
    curve = calibration_curve(right, confidence, n_bins=bins, strategy="quantile")
    expected = np.abs(np.subtract(*curve)).mean()
    assert adaptive_ece(probabilities, reference, bins=bins) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("metric", [adaptive_ece, classwise_ece, reliability_bins])
def test_no_bins_are_refused(metric):
    with pytest.raises(InputError, check=says(bins=0)):
        metric(noise()[0], np.zeros((3, 20, 25), int), bins=0)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(InputError, check=says_only(found=(2, 2, 3, 4), expected=(2, 3, 5))):
        reliability_bins(two_classes(np.full((2, 3, 4), 0.75)), np.ones((2, 3, 5), int))


def test_labels_in_place_of_probabilities_are_refused():
    with pytest.raises(InputError, check=says(dtype=np.uint8)):
        reliability_bins(np.ones((2, 2, 3, 4), np.uint8), np.ones((2, 3, 4), int))


def made(true_temperature: float, *, voxels: int = 40_000) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities (4, N) float32, and labels drawn from them at another temperature."""
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 3, size=(4, voxels))
    p = np.exp(logits) / np.exp(logits).sum(axis=0)
    truth = apply_temperature(p, true_temperature)
    labels = (rng.random(voxels) > truth.cumsum(axis=0)).sum(axis=0).clip(0, 3)
    return p.astype(np.float32), labels


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 1.5, 3.0])
def test_it_finds_temperature_labels_were_drawn_at(true_temperature):
    assert fit_temperature(*made(true_temperature)) == pytest.approx(true_temperature, rel=0.05)
