"""Running statistics over the members of an ensemble."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.ensemble.posterior import RunningPosterior, most_probable
from ...core.heart.measurements import volumes_ml
from ...core.metrics.overlap import PairwiseDice
from ...core.types import Spacing


def _raise(error: Exception) -> None:
    raise error


@dataclass(kw_only=True)
class MemberStatistics:
    """Sums over the members' probabilities, and the volumes and agreement of their labels.

    ``volumes``: structure → mL of every member, in the order in which they were added. With
    ``keep_members``, ``member_labels`` are their (Z, Y, X) labels in the same order. If memory
    runs out, ``step_down`` is called with the error and the sums move to main memory.
    """

    structures: dict[str, int]
    spacing: Spacing
    posterior: RunningPosterior = field(default_factory=RunningPosterior)
    volumes: dict[str, list[float]] = field(default_factory=dict)
    step_down: Callable[[Exception], None] = field(default=_raise)
    keep_members: bool = False
    member_labels: list[NDArray[np.uint8]] = field(default_factory=list)
    agreement: PairwiseDice = field(init=False)

    def __post_init__(self) -> None:
        self.agreement = PairwiseDice(self.structures)

    def add(self, probabilities: Any) -> None:
        """Add one member's (C, Z, Y, X) probabilities."""
        labels = self._retrying(lambda: self._add_to_sums(probabilities))
        if self.keep_members:
            self.member_labels.append(labels)
        self.agreement.add(labels)
        for name, ml in volumes_ml(labels, self.spacing, self.structures).items():
            self.volumes.setdefault(name, []).append(ml)

    def measure(self, method: Callable[[RunningPosterior], Any]) -> NDArray[Any]:
        """Return the result of a method of the posterior as a NumPy array."""
        return self._retrying(lambda: to_numpy(method(self.posterior)))

    def _add_to_sums(self, probabilities: Any) -> NDArray[Any]:
        sums = self.posterior.probability_sum
        if sums is not None and not isinstance(sums, np.ndarray):
            # Either of them may have been moved off the GPU meanwhile.
            probabilities = probabilities.to(sums.device)
        labels = to_numpy(most_probable(probabilities))
        self.posterior.add(probabilities)
        return labels

    def _retrying(self, work: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        while True:
            try:
                return work()
            except (RuntimeError, MemoryError) as error:
                self.step_down(error)
                sums = self.posterior
                if sums.probability_sum is not None:
                    sums.probability_sum = sums.probability_sum.cpu()
                    sums.entropy_sum = sums.entropy_sum.cpu()


def to_numpy(array: Any) -> NDArray[Any]:
    """Return an array, or a tensor on any device, as a NumPy array."""
    return array if isinstance(array, np.ndarray) else np.asarray(array.cpu())
