"""Direction that separates cines from other images."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from napari_bayes_nnunet.core import InputError
from napari_bayes_nnunet.core.metrics.cine_rule import CineRule, fit_cine_rule

RULE = {"deviations": (2.0, 4.0), "weights": (3.0, -1.0), "intercept": 0.5, "limit": 1, "cines": 40}


def drawn(count: int, *, seed: int, shift: float = 0.0) -> np.ndarray:
    features = np.random.default_rng(seed).normal(size=(count, 20)) * np.arange(1, 21)
    features[:, 3] += shift
    return features


def test_score_is_the_weighted_sum_of_clipped_deviations():
    rule = CineRule(means=(1.0, 0.0), **RULE)
    assert rule.score(np.array([5.0, 8.0])) == pytest.approx(3 * 2 - 2 + 0.5)
    assert rule.score(np.array([1000.0, -1000.0])) == pytest.approx(3 * 12 + 12 + 0.5)
    with pytest.raises(InputError):
        CineRule(means=(1.0,), **RULE)


def test_other_images_are_found_and_few_cines_asked():
    cines, others = drawn(120, seed=1), drawn(60, seed=2, shift=25)
    patients = [f"p{n // 2}" for n in range(120)]
    rule = fit_cine_rule(cines, patients, others, patients[::2])
    assert rule.cines == 120
    new = [rule.score(features) > rule.limit for features in drawn(400, seed=3)]
    assert np.mean(new) < 0.1
    found = [rule.score(features) > rule.limit for features in drawn(400, seed=4, shift=25)]
    assert np.mean(found) > 0.9
    # Another scanner, in a direction in which the others do not differ.
    moved = drawn(400, seed=5)
    moved[:, 7] += 25
    assert np.mean([rule.score(features) > rule.limit for features in moved]) < 0.1


def test_rule_is_that_of_scikit_learn_and_its_limit_out_of_fold():
    cines, others = drawn(50, seed=1), drawn(30, seed=2, shift=12)
    patients = [f"p{n % 25:02d}" for n in range(50)]
    rule = fit_cine_rule(cines, patients, others, patients[:30])

    def model(inside: np.ndarray, rest: np.ndarray) -> object:
        z = (np.vstack([inside, rest]) - inside.mean(0)) / inside.std(0)
        kinds = [0] * len(inside) + [1] * len(rest)
        fitted = LogisticRegression(C=0.001, class_weight="balanced", max_iter=1000)
        fitted.fit(np.clip(z, -12, 12), kinds)
        return lambda x: fitted.decision_function((x - inside.mean(0)) / inside.std(0))

    wanted = model(cines, others)(others)
    np.testing.assert_allclose([rule.score(o) for o in others], wanted, atol=2e-3)
    folds, of_others = np.arange(50) % 25 % 5, np.arange(30) % 25 % 5
    scores = np.concatenate(
        [
            model(cines[folds != fold], others[of_others != fold])(cines[folds == fold])
            for fold in range(5)
        ]
    )
    assert rule.limit == pytest.approx(np.sort(scores)[int(np.ceil(0.95 * 49))], abs=2e-3)
