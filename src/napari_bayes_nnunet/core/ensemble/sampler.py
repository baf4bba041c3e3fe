"""Sampler of the weights: SGD, or SGHMC, which adds noise to its steps in the plateaus.

SGHMC is stochastic gradient Hamiltonian Monte Carlo (Chen et al., ICML 2014), in cycles as by Zhang
et al., ICLR 2020. The momentum is the friction.
"""

from __future__ import annotations

import math
from typing import get_args

from .. import InputError
from ..types import Sampler
from .schedule import RestartSchedule


def check_sampler(sampler: Sampler, temperature: float, schedule: RestartSchedule) -> None:
    """Raise InputError if a training with this schedule cannot sample so.

    ``temperature`` is the posterior temperature T, 0 for "sgd".
    """
    if sampler not in get_args(Sampler):
        raise InputError("The sampler must be sgd or sghmc, not {sampler!r}.", sampler=sampler)
    if not (math.isfinite(temperature) and temperature >= 0):
        raise InputError(
            "The posterior temperature must be 0 or more, not {temperature}.",
            temperature=temperature,
        )
    if sampler == "sgd" and temperature:
        raise InputError(
            "The posterior temperature {temperature} has no effect with the sampler sgd. Choose "
            "sghmc.",
            temperature=temperature,
        )
    if sampler == "sghmc" and schedule.shape != "restarts":
        raise InputError(
            "The sampler sghmc adds noise in plateaus, but the schedule {shape} has none. Choose "
            "restarts.",
            shape=schedule.shape,
        )


def noise_deviation(rate: float, *, momentum: float, temperature: float, examples: int) -> float:
    """Return sqrt(2 α (1 − µ) T / N), the standard deviation of the noise on a step.

    With it, the weights of SGD with the momentum µ and a small learning rate α are samples of the
    density exp(−N L / T), where L is the mean loss over N training examples and T = 1 the
    posterior.

    Examples
    --------
    >>> round(noise_deviation(0.00756, momentum=0.99, temperature=1, examples=1500), 6)
    0.000317
    """
    return math.sqrt(2 * rate * (1 - momentum) * temperature / examples)
