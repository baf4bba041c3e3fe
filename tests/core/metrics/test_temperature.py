"""The temperature under which the reference is the most probable."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss

from napari_bayes_nnunet.core.ensemble.posterior import tempered
from napari_bayes_nnunet.core.metrics.temperature import RANGE, fit_temperature


def made(true_temperature: float, *, voxels: int = 40_000) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (4, N) float32, and labels drawn from them at another temperature."""
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 3, size=(4, voxels))
    p = np.exp(logits) / np.exp(logits).sum(axis=0)
    truth = tempered(p, true_temperature)
    labels = (rng.random(voxels) > truth.cumsum(axis=0)).sum(axis=0).clip(0, 3)
    return p.astype(np.float32), labels


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 1.5, 3.0])
def test_it_finds_the_temperature_the_labels_were_drawn_at(true_temperature: float) -> None:
    assert fit_temperature(*made(true_temperature)) == pytest.approx(true_temperature, rel=0.05)


def test_no_other_temperature_has_a_lower_loss() -> None:
    p, labels = made(1.7, voxels=2000)
    best = fit_temperature(p, labels)

    def loss(temperature: float) -> float:
        soft = tempered(p.astype(np.float64), temperature)
        return float(log_loss(labels, soft.T, labels=range(4)))

    assert loss(best) <= min(loss(best * 1.02), loss(best / 1.02))


def test_it_stays_within_its_range() -> None:
    certain = np.array([[0.55, 0.55], [0.45, 0.45]])
    assert fit_temperature(certain, np.array([0, 0])) == pytest.approx(RANGE[0], rel=1e-2)
    assert fit_temperature(certain, np.array([1, 1])) == pytest.approx(RANGE[1], rel=1e-2)
    assert np.isfinite(fit_temperature(np.array([[1.0, 1.0], [0.0, 0.0]]), np.array([0, 1])))


@pytest.mark.parametrize("labels", [np.zeros(0, int), np.zeros(3, int)])
def test_as_many_labels_as_probabilities(labels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="as many labels"):
        fit_temperature(np.full((2, len(labels) and 2), 0.5), labels)
