"""Sampler of the weights: its noise, and the trainings that can have it."""

from __future__ import annotations

import math

import pytest

from napari_bayes_nnunet.core import InputError
from napari_bayes_nnunet.core.ensemble.sampler import check_sampler, noise_deviation
from napari_bayes_nnunet.core.ensemble.schedule import RestartSchedule


@pytest.mark.parametrize(("temperature", "deviation"), [(1, 3.175e-4), (1e-3, 1.004e-5), (0, 0)])
def test_noise_has_the_deviation_of_the_formula(temperature: float, deviation: float) -> None:
    """With the momentum of nnU-Net, its rate in the plateau and 1500 slices."""
    made = noise_deviation(0.00756, momentum=0.99, temperature=temperature, examples=1500)
    assert made == pytest.approx(deviation, rel=1e-3)


@pytest.mark.parametrize(
    ("sampler", "temperature", "shape"),
    [("sgd", 0.0, "poly"), ("sghmc", 0.0, "restarts"), ("sghmc", 1.0, "restarts")],
)
def test_possible_sampler_is_accepted(sampler, temperature, shape) -> None:
    check_sampler(sampler, temperature, RestartSchedule(cycles=1, shape=shape))


@pytest.mark.parametrize(
    ("sampler", "temperature", "shape", "values"),
    [
        ("hmc", 0.0, "restarts", {"sampler": "hmc"}),
        ("sgd", 0.5, "restarts", {"temperature": 0.5}),
        ("sghmc", -1.0, "restarts", {"temperature": -1.0}),
        ("sghmc", math.inf, "restarts", {"temperature": math.inf}),
        ("sghmc", 1.0, "poly", {"shape": "poly"}),
    ],
)
def test_impossible_sampler_is_refused(sampler, temperature, shape, values) -> None:
    with pytest.raises(InputError) as caught:
        check_sampler(sampler, temperature, RestartSchedule(cycles=1, shape=shape))
    assert caught.value.values == values
