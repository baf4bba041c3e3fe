"""Noise of SGHMC: what it samples from, and trainings with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
from scipy.linalg import solve_discrete_lyapunov

from napari_bayes_nnunet.core.ensemble.sampler import noise_deviation
from napari_bayes_nnunet.core.ensemble.schedule import MemberSelection, RestartSchedule
from napari_bayes_nnunet.core.problems import Action
from napari_bayes_nnunet.io.ensemble.trajectory import read_trajectory
from napari_bayes_nnunet.nnunet import ModelError
from napari_bayes_nnunet.nnunet.sghmc import PosteriorNoise, count_examples
from napari_bayes_nnunet.nnunet.trainer import CheckpointEnsembleTrainer, TrainingStopped

from .test_trainer import SETTINGS, make_trainer, run, set_settings  # noqa: F401 (fixtures)

CHAINS, STEPS = 10_000, 300
RATE, MOMENTUM, TEMPERATURE, EXAMPLES = 0.02, 0.9, 0.5, 40
CURVATURES = (0.5, 2.0, 20.0)
CPU = torch.device("cpu")
SAMPLED = replace(
    SETTINGS,
    schedule=RestartSchedule(epochs=6, cycles=2, gamma=0.3, restart_first_cycle=False),
    selection=MemberSelection(step=1),
    sampler="sghmc",
    posterior_temperature=1.0,
    keep_trajectory=True,
)
"""Epochs 1 and 2, and 4 and 5, lie in a plateau."""


def sampled_variances(*, nesterov: bool, temperature: float = TEMPERATURE) -> torch.Tensor:
    """Return the variance of many chains in the potential h θ² / 2, for each curvature h."""
    weights = torch.zeros(CHAINS, len(CURVATURES), requires_grad=True)
    optimizer = torch.optim.SGD([weights], RATE, momentum=MOMENTUM, nesterov=nesterov)
    noise = PosteriorNoise(temperature=temperature, examples=EXAMPLES, seed=(1,), device=CPU)
    optimizer.register_step_pre_hook(noise)
    for _ in range(STEPS):
        weights.grad = weights.detach() * torch.tensor(CURVATURES)
        optimizer.step()
    return weights.detach().var(dim=0)


def nesterov_variance(curvature: float) -> float:
    """Return the stationary variance of weight and velocity, solved as a linear system."""
    steep, µ = RATE * curvature, MOMENTUM
    step = np.array([[1 - (1 + µ) * steep, µ**2], [-steep, µ]])
    deviation = noise_deviation(RATE, momentum=µ, temperature=TEMPERATURE, examples=EXAMPLES)
    driven = deviation * np.array([[1 + µ], [1]])
    return float(solve_discrete_lyapunov(step, driven @ driven.T)[0, 0])


def test_variance_of_heavy_ball_is_that_of_the_posterior() -> None:
    """T / (N h), which the finite steps raise by the last factor."""
    measured = sampled_variances(nesterov=False)
    for variance, curvature in zip(measured.tolist(), CURVATURES, strict=True):
        posterior = TEMPERATURE / (EXAMPLES * curvature)
        steps = 1 - RATE * curvature / (2 * (1 + MOMENTUM))
        standard_error = (2 / CHAINS) ** 0.5
        assert variance == pytest.approx(posterior / steps, rel=4 * standard_error)


def test_nesterov_samples_steep_directions_colder() -> None:
    """The momentum's look ahead is friction too, which the noise does not balance."""
    measured = sampled_variances(nesterov=True)
    ratios = []
    for variance, curvature in zip(measured.tolist(), CURVATURES, strict=True):
        expected = nesterov_variance(curvature)
        assert variance == pytest.approx(expected, rel=4 * (2 / CHAINS) ** 0.5)
        ratios.append(expected * EXAMPLES * curvature / TEMPERATURE)
    assert 1 > ratios[0] > 0.9 > ratios[1] > 0.7 > 0.5 > ratios[2]


def test_variance_grows_with_the_temperature() -> None:
    cold, hot = (sampled_variances(nesterov=True, temperature=t) for t in (0.01, 1.0))
    torch.testing.assert_close(hot, 100 * cold)


def test_noise_leaves_other_random_numbers_alone() -> None:
    torch.manual_seed(2)
    expected = torch.rand(3)
    torch.manual_seed(2)
    sampled_variances(nesterov=True)
    assert torch.equal(torch.rand(3), expected)


def test_examples_are_slices_or_cases(planned_run: Path) -> None:
    (folder,) = planned_run.glob("nnunet_data/preprocessed/*/nnUNetPlans_2d")
    dataset = infer_dataset_class(str(folder))(str(folder))
    slices = sum(dataset.load_case(name)[0].shape[-3] for name in dataset.identifiers)
    assert count_examples(dataset, dimensions=2) == slices > len(dataset.identifiers)
    assert count_examples(dataset, dimensions=3) == len(dataset.identifiers)


def test_noise_differs_between_trainings_without_a_seed() -> None:
    def noise_seed(folder: str, seed: int | None) -> int:
        trainer = SimpleNamespace(settings=replace(SAMPLED, seed=seed), output_folder=folder)
        return CheckpointEnsembleTrainer._noise_seed(trainer)

    folders = ("a/fold_0", "a/fold_1", "b/fold_0", "a/fold_0")
    first, second, third, again = (noise_seed(folder, None) for folder in folders)
    assert len({first, second, third}) == 3
    assert again == first
    assert noise_seed("a/fold_0", 7) == noise_seed("b/fold_0", 7) == 7


# Trainings


@pytest.fixture
def train(run: Any, make_trainer: Any, monkeypatch: Any) -> Any:  # noqa: F811 (fixtures)
    """``train(settings)``: the last layer of the decoder after every epoch."""

    def train(settings: Any, *, stop_after: int | None = None, resume: bool = False) -> Any:
        set_settings(run, settings)
        trainer = make_trainer(resume=resume)
        trainer.stop_requested = lambda: trainer.current_epoch == stop_after
        hooks = trainer_hooks(trainer)
        if stop_after is None:
            trainer.run_training()
        else:
            with pytest.raises(TrainingStopped):
                trainer.run_training()
        layers = read_trajectory(run.trajectory("0")).layers
        return SimpleNamespace(trainer=trainer, weights=list(layers.values())[-2], hooks=hooks)

    return train


def trainer_hooks(trainer: Any) -> list[int]:
    """Return a list that gets the number of hooks before the steps of every epoch."""
    counts: list[int] = []
    trainer.on_epoch = lambda _: counts.append(len(trainer.optimizer._optimizer_step_pre_hooks))
    return counts


def test_temperature_0_trains_bit_for_bit_as_sgd(train: Any) -> None:
    sgd = replace(SAMPLED, sampler="sgd", posterior_temperature=0.0)
    cold = replace(SAMPLED, posterior_temperature=0.0)
    one, other = (train(settings, stop_after=2).weights for settings in (sgd, cold))
    assert len(one) == 3
    assert np.array_equal(one, other)


def test_noise_begins_with_the_plateau(train: Any) -> None:
    plain = replace(SAMPLED, sampler="sgd", posterior_temperature=0.0)
    sgd, sampled = (train(settings, stop_after=1) for settings in (plain, SAMPLED))
    assert sampled.trainer._examples > 0
    assert np.array_equal(sampled.weights[0], sgd.weights[0])
    moved = sampled.weights[1] - sgd.weights[1]
    rate = SAMPLED.schedule.learning_rate(1)
    deviation = noise_deviation(
        rate, momentum=0.99, temperature=1, examples=sampled.trainer._examples
    )
    # One step, whose noise Nesterov's momentum applies once more.
    assert moved.std() == pytest.approx(1.99 * deviation, rel=4 * (2 * moved.size) ** -0.5)


def test_noise_ends_with_the_plateau(train: Any) -> None:
    assert train(SAMPLED, stop_after=3).hooks == [0, 1, 1, 0]


def test_resumed_training_equals_an_uninterrupted_one(train: Any) -> None:
    whole = train(SAMPLED)
    train(SAMPLED, stop_after=1)  # within a plateau
    resumed = train(SAMPLED, resume=True)
    assert np.array_equal(whole.weights, resumed.weights)
    for name, tensor in whole.trainer._weights.items():
        assert torch.equal(tensor, resumed.trainer._weights[name])


def test_too_much_noise_is_not_blamed_on_the_learning_rate_alone(
    run: Any,  # noqa: F811 (fixtures)
    make_trainer: Any,  # noqa: F811
) -> None:
    set_settings(run, SAMPLED)
    trainer = make_trainer()
    trainer.initialize()
    next(iter(trainer.network.parameters())).data.fill_(1e9)
    with pytest.raises(ModelError) as caught:
        trainer.on_epoch_end()
    actions = [remedy.action for remedy in caught.value.remedies]
    assert actions == [Action.LOWER_TEMPERATURE, Action.LOWER_RATE]
