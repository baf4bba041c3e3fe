"""Plan of the passes of a method, and the progress of an image through them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...core.ensemble.posterior import RunningPosterior
from ...core.ensemble.stability import Stability
from ...core.types import Mask, VoxelBox
from ...io import DataError
from ...io.ensemble.ensemble_folder import EnsembleFolder, Member
from .calibration import (
    Calibration,
    calibration_notes,
    chosen_temperature,
    find_calibration,
    find_image_rule,
    keeps_largest,
)
from .forward_pass import (
    ForwardPass,
    count_modes,
    interleave_passes,
    make_passes,
    stability_interval,
)
from .image_kind import ImageRule
from .member_predictions import InputImage
from .member_statistics import MemberStatistics
from .methods import METHODS, Method, choose_members
from .settings import SegmentationSettings

if TYPE_CHECKING:
    from ...nnunet.cutout import Cutout

Value = TypeVar("Value")

STABLE = "Stopped after {done} of {total} members because the result was stable."
STABLE_SLICES = (
    "Slices were segmented by {fewest} to {most} of {total} members, {mean:.1f} on average, until "
    "they were stable."
)
FEWER_MEMBERS = "Used all {used} available members."
HEART_WINDOW = "Outside the heart window, only {first} of the {done} members {were} used."
NO_CYCLES = "Used all {used} members because there are no cycles to choose from."


@dataclass(frozen=True, kw_only=True)
class PassPlan:
    """Passes of an ensemble with these settings, and their order.

    ``doubt`` is that of the `Volume` of the images.
    """

    folder: EnsembleFolder
    settings: SegmentationSettings
    doubt: str | None = None

    @property
    def method(self) -> Method:
        """Method of the settings."""
        return METHODS[self.settings.method]

    @cached_property
    def chosen(self) -> Sequence[Member]:
        """Members of the method."""
        return choose_members(self.folder, self.settings.method, self.settings.members)

    @cached_property
    def passes(self) -> list[ForwardPass]:
        """Passes in the order of the members."""
        return make_passes(self.chosen, self.method.combine, mirroring=self.settings.mirroring)

    @cached_property
    def order(self) -> list[ForwardPass]:
        """Passes in the order in which they are made, which visits all modes early."""
        return interleave_passes(self.passes)

    @cached_property
    def temperature(self) -> float:
        """Temperature of the settings."""
        return chosen_temperature(self.folder, self.settings)

    @cached_property
    def calibration(self) -> Calibration | None:
        """Calibration of the ensemble for these settings."""
        return find_calibration(self.folder, self.settings)

    @cached_property
    def judging(self) -> tuple[ImageRule, Member] | None:
        """Rule for the kind of images, of all settings, and the member that looks at them."""
        with suppress(DataError):  # reported by what uses a calibration
            return find_image_rule(self.folder)
        return None

    @cached_property
    def calibration_notes(self) -> tuple[str, ...]:
        """Note on settings that are not calibrated."""
        return calibration_notes(self.folder, self.settings)

    @cached_property
    def largest_only(self) -> bool:
        """Whether only the largest component of the structures is kept."""
        return keeps_largest(self.folder, self.settings)

    @property
    def first(self) -> int:
        """Number of passes that see the whole image: one of each mode, or all of them."""
        if self.settings.window == "whole":
            return len(self.order)
        return count_modes(self.chosen)

    def checks_stability_after(self, done: int) -> bool:
        """Return whether to check stability after ``done`` passes."""
        return self.settings.until_stable and done % stability_interval(self.chosen) == 0

    def made_passes(self, done: int) -> list[ForwardPass]:
        """Return the first ``done`` passes, in the order of the members."""
        made = set(self.order[:done])
        return [forward_pass for forward_pass in self.passes if forward_pass in made]

    def in_member_order(self, values: Sequence[Value]) -> list[Value]:
        """Return the values of the first passes made, sorted from their order to `made_passes`."""
        of_pass = dict(zip(self.order, values, strict=False))
        return [of_pass[forward_pass] for forward_pass in self.made_passes(len(values))]

    def notes(self, done: int, by_slice: Sequence[int]) -> list[str]:
        """Return a note if the number of members used is not the requested one."""
        chosen, total = len(self.chosen), len(self.order)
        if by_slice and min(by_slice) < max(by_slice):
            counts = {"fewest": min(by_slice), "most": max(by_slice), "mean": fmean(by_slice)}
            return [STABLE_SLICES.format(total=total, **counts)]
        if done < total:
            return [STABLE.format(done=done, total=total)]
        if chosen < self.settings.members and self.method.averages:
            return [FEWER_MEMBERS.format(used=chosen)]
        if chosen > self.settings.members:
            return [NO_CYCLES.format(used=chosen)]
        return []

    def window_notes(self, done: int, box: VoxelBox | None) -> list[str]:
        """Return a note if only the first passes saw more than the ``box``."""
        were = "was" if self.first == 1 else "were"
        note = HEART_WINDOW.format(first=self.first, done=done, were=were)
        return [] if box is None else [note]


@dataclass(eq=False)
class ImageProgress:
    """Running result of an image after ``done`` passes.

    ``found`` (Z, Y, X) are the voxels where a member has seen a structure. ``window_box`` are those
    that all passes saw, also if the window was widened later; None for the whole image. ``is_open``
    (Z,) are the slices that are still asked, None before the first check. ``signs`` tell
    the kind of the image, by its ``rule``; without one it was not judged.
    """

    image: InputImage
    statistics: MemberStatistics
    done: int = 0
    is_stable: bool = False
    found: Mask | None = None
    window_box: VoxelBox | None = None
    is_open: NDArray[np.bool_] | None = None
    rule: ImageRule | None = None
    signs: Mapping[str, float] = field(default_factory=dict)
    _stability: Stability = field(default_factory=Stability)

    def add(self, probabilities: Any) -> None:
        """Add the (C, Z, Y, X) probabilities of a pass, those in the window if there is one."""
        part = self.image.cutout
        labels = self.statistics.add(probabilities, part)
        if part is None:
            self.found = labels > 0 if self.found is None else self.found | (labels > 0)
        elif not part.is_whole:
            self.window_box = self.window_box or part.box
        self.done += 1

    def check_stability(self, whole: Cutout | None) -> None:
        """Compare the result with that of the last check, and leave out the slices at rest.

        ``whole`` is all of the image; None if its slices cannot be left out one by one. The entropy
        is the untempered one, so that the labels do not depend on the temperature.
        """
        maps = (
            self.statistics.measure(RunningPosterior.labels),
            self.statistics.measure(RunningPosterior.untempered_entropy),
        )
        if whole is None:
            at_rest = self._stability.update(maps[0][np.newaxis], maps[1][np.newaxis])
            at_rest = np.repeat(at_rest, len(maps[0]))
        else:
            labels, entropy = (np.moveaxis(values, whole.slice_axis, 0) for values in maps)
            at_rest = self._stability.update(labels, entropy)
        moves = ~at_rest
        self.is_open = moves if self.is_open is None else self.is_open & moves
        self.is_stable = not self.is_open.any()
        if whole is not None and not self.is_open.all() and not self.is_stable:
            self.image.cutout = (self.image.cutout or whole).with_slices(self.is_open)

    @property
    def members_by_slice(self) -> tuple[int, ...]:
        """Number of members asked in each slice; () before the first check."""
        asked = self.statistics.asked
        if asked is not None:
            return tuple(asked.tolist())
        return () if self.is_open is None else (self.done,) * len(self.is_open)

    def member_labels(self, plan: PassPlan) -> NDArray[np.uint8] | None:
        """Return (n, Z, Y, X) labels in the order of the members, None if they were not kept."""
        labels = self.statistics.member_labels
        if not labels:
            return None
        return np.stack(plan.in_member_order(labels))


LATEST = 5
"""Number of latest passes whose time predicts that of the next; the first also prepares."""


def mean_of_computed(seconds: Sequence[float]) -> float:
    """Return the mean time of the computed passes, because cached ones take almost none."""
    return fmean(taken for taken in seconds if taken >= max(seconds) / 4)
