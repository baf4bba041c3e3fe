"""Running statistics over the members of an ensemble."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.ensemble.posterior import RunningPosterior, most_probable
from ...core.heart.largest_component import largest_component
from ...core.heart.measurements import volumes_ml
from ...core.metrics.overlap import PairwiseDice
from ...core.types import Spacing, VoxelBox, VoxelIndex

if TYPE_CHECKING:
    from ...nnunet.cutout import Cutout


def _raise(error: Exception) -> None:
    raise error


@dataclass(kw_only=True)
class MemberSums:
    """Sums over the members' probabilities, which move to main memory if the device is full.

    If memory runs out, ``step_down`` is called with the error first.
    """

    posterior: RunningPosterior = field(default_factory=RunningPosterior)
    step_down: Callable[[Exception], None] = field(default=_raise)
    _in_main_memory: bool = field(init=False, default=False)

    def add_to_sums(self, probabilities: Any, voxels: VoxelIndex | None = None) -> NDArray[Any]:
        """Add one member's (C, Z, Y, X) probabilities, and return its (Z, Y, X) labels.

        With ``voxels`` they are those of these only, see `RunningPosterior.add`.
        """
        return self._retrying(lambda: self._add_once(probabilities, voxels))

    def measure(self, method: Callable[[RunningPosterior], Any]) -> NDArray[Any]:
        """Return the result of a method of the posterior as a NumPy array."""
        return self._retrying(lambda: to_numpy(method(self.posterior)))

    def _add_once(self, probabilities: Any, voxels: VoxelIndex | None) -> NDArray[Any]:
        sums = self.posterior.probability_sum
        if self._in_main_memory and not isinstance(probabilities, np.ndarray):
            probabilities = probabilities.cpu()
        elif sums is not None and not isinstance(sums, np.ndarray):
            # Either of them may have been moved off the GPU meanwhile.
            probabilities = probabilities.to(sums.device)
        labels = to_numpy(most_probable(probabilities))
        self.posterior.add(probabilities, voxels)
        return labels

    def _retrying(self, work: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        while True:
            try:
                return work()
            except (RuntimeError, MemoryError) as error:
                self.step_down(error)
                self._in_main_memory = True
                self.posterior.move_to_main_memory()


@dataclass(kw_only=True)
class MemberStatistics(MemberSums):
    """Sums over the members' probabilities, and the volumes and agreement of their labels.

    ``volumes``: structure → mL of every member, in the order in which they were added. With
    ``keep_members``, ``member_labels`` are their (Z, Y, X) labels in the same order.

    A member may be added for a part of the slices, or for some of the slices. Elsewhere the
    posterior stays as it was. Around the part, its labels are those of the member. In slices that
    are left out, the members that were asked stand for the others in turn: member i of n, counted
    from 0, has the labels of member i mod k there, if k were asked. This takes ``keep_members``.
    ``asked`` (Z,) is the number of members asked in each slice, None if no slice was left out.

    With ``largest_only``, labels, volumes and agreement have the `largest_component` alone, each
    member its own.
    """

    structures: dict[str, int]
    spacing: Spacing
    volumes: dict[str, list[float]] = field(default_factory=dict)
    keep_members: bool = False
    largest_only: bool = False
    member_labels: list[NDArray[np.uint8]] = field(default_factory=list)
    agreement: PairwiseDice = field(init=False)
    asked: NDArray[np.intp] | None = field(init=False, default=None)
    _around: tuple[VoxelBox, NDArray[np.uint8]] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.agreement = PairwiseDice(self.structures)

    def add(
        self, probabilities: Any, part: Cutout | None = None, *, mode: Hashable = None
    ) -> NDArray[np.uint8]:
        """Add one member's (C, Z, Y, X) probabilities, and return all its (Z, Y, X) labels.

        With a ``part`` of the image the probabilities are those of its voxels. ``mode`` is that of
        the member in the posterior, which only the diversity of the ``agreement`` needs.
        """
        around = None if part is None else self._labels_around(part.box)
        voxels = None if part is None else part.voxels
        labels = self.add_to_sums(probabilities, voxels)
        if part is not None and around is not None:
            inside, labels = labels, around.copy()
            self._repeat_answers(labels, part)
            labels[part.voxels] = inside
        kept = self._kept(labels)
        if self.keep_members:
            self.member_labels.append(kept)
        self.agreement.add(kept, mode)
        for name, ml in volumes_ml(kept, self.spacing, self.structures).items():
            self.volumes.setdefault(name, []).append(ml)
        return labels

    def labels(self) -> NDArray[np.uint8]:
        """Return the (Z, Y, X) most probable labels of the posterior."""
        return self._kept(self.measure(RunningPosterior.labels))

    def _kept(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return labels * largest_component(labels, self.spacing) if self.largest_only else labels

    def _repeat_answers(self, labels: NDArray[np.uint8], part: Cutout) -> None:
        """Fill the slices that are left out with earlier answers, and count the others."""
        if part.chosen_slices is None:
            return
        number = len(self.member_labels)
        if self.asked is None:
            self.asked = np.full(labels.shape[part.slice_axis], number)
        slices = np.moveaxis(labels, part.slice_axis, 0)
        for z in set(range(len(slices))) - set(part.chosen_slices):
            earlier = self.member_labels[number % self.asked[z]]
            slices[z] = np.moveaxis(earlier, part.slice_axis, 0)[z]
        self.asked[part.chosen_slices] += 1

    def _labels_around(self, box: VoxelBox) -> NDArray[np.uint8]:
        """Return the labels of the posterior before the first member of this box was added."""
        if self._around is None or self._around[0] != box:
            self._around = box, self.measure(RunningPosterior.labels)
        return self._around[1]


def to_numpy(array: Any) -> NDArray[Any]:
    """Return an array, or a tensor on any device, as a NumPy array."""
    return array if isinstance(array, np.ndarray) else np.asarray(array.cpu())
