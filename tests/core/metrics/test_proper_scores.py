"""Negative log-likelihood and Brier score, by hand and by scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from napari_bayes_nnunet.core.metrics.calibration import brier_score, negative_log_likelihood

SCORES = [negative_log_likelihood, brier_score]


def noise(dtype, classes=4, shape=(3, 12, 14)):
    """Return probabilities and a reference whose foreground does not fill the image."""
    rng = np.random.default_rng(3)
    powers = np.exp(2 * rng.normal(size=(classes, *shape)))
    reference = np.zeros(shape, np.uint8)
    reference[1:, 2:-3, 4:] = rng.integers(0, classes, size=(2, 7, 10))
    reference[1, 2, 4] = reference[-1, -4, -1] = 1
    return (powers / powers.sum(axis=0)).astype(dtype), reference


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_are_those_of_scikit_learn(dtype):
    probabilities, reference = noise(dtype)
    truth = reference[1:, 2:-3, 4:].ravel()
    p = probabilities[:, 1:, 2:-3, 4:].reshape(4, -1).astype(np.float64)
    p /= p.sum(axis=0)
    brier = sum(brier_score_loss(truth == k, p[k]) for k in range(4))
    found = negative_log_likelihood(probabilities, reference)
    assert found == pytest.approx(log_loss(truth, p.T, labels=range(4)), abs=1e-6)
    assert brier_score(probabilities, reference) == pytest.approx(brier, abs=1e-6)


@pytest.mark.parametrize("score", SCORES)
def test_half_precision_is_summed_in_double(score):
    probabilities = np.full((2, 4, 100, 100), 0.5, np.float16)
    expected = np.log(2) if score is negative_log_likelihood else 0.5
    assert score(probabilities, np.ones((4, 100, 100), np.uint8)) == pytest.approx(expected)
