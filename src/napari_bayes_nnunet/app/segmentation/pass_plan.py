"""The course of images through the passes of a method, one member after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.ensemble.posterior import RunningPosterior
from ...core.ensemble.stability import Stability
from ...io.ensemble.ensemble_folder import EnsembleFolder, Member
from .forward_pass import ForwardPass, interleaved, passes_of, stability_interval
from .member_predictions import InputImage
from .member_statistics import MemberStatistics
from .methods import METHODS, Method, choose_members
from .settings import SegmentationSettings


@dataclass(frozen=True, kw_only=True)
class PassPlan:
    """Passes that an ensemble makes for the settings, and their order."""

    folder: EnsembleFolder
    settings: SegmentationSettings

    @property
    def method(self) -> Method:
        """The method."""
        return METHODS[self.settings.method]

    @cached_property
    def chosen(self) -> Sequence[Member]:
        """The members that the method takes."""
        return choose_members(self.folder, self.settings.method, self.settings.members)

    @cached_property
    def passes(self) -> list[ForwardPass]:
        """The passes in the order of the members."""
        return passes_of(self.chosen, self.method.combine, mirroring=self.settings.mirroring)

    @cached_property
    def order(self) -> list[ForwardPass]:
        """The passes in the order in which they are made, of all modes early."""
        return interleaved(self.passes)

    def looks_after(self, done: int) -> bool:
        """Whether it is time to look if the answers rest."""
        return self.settings.until_stable and done % stability_interval(self.chosen) == 0

    def taken(self, done: int) -> list[ForwardPass]:
        """The passes that were made first, in the order of the members."""
        seen = set(self.order[:done])
        return [one for one in self.passes if one in seen]

    def notes(self, done: int) -> list[str]:
        """What to say where not as many members were asked as was wished."""
        chosen, total = len(self.chosen), len(self.order)
        if done < total:
            return [f"Stopped after {done} of {total} members: the answer had come to rest."]
        if chosen < self.settings.members and self.method.averages:
            return [f"{chosen} members were used: the method finds no more in this folder."]
        if chosen > self.settings.members:
            return [f"All {chosen} members were used: there are no cycles to choose by."]
        return []


@dataclass(eq=False)
class ImageProgress:
    """One image on a course: what was found of it so far, by how many passes."""

    image: InputImage
    tally: MemberStatistics
    done: int = 0
    rests: bool = False
    _stability: Stability = field(default_factory=Stability)

    def add(self, answer: Any) -> None:
        """Another pass has answered."""
        self.tally.add(answer)
        self.done += 1

    def look(self) -> None:
        """See whether the answer has come to rest."""
        labels = self.tally.measure(RunningPosterior.labels)
        entropy = self.tally.measure(RunningPosterior.total_entropy)
        self.rests = self._stability.update(labels, entropy)

    def member_labels(self, course: PassPlan) -> NDArray[np.uint8] | None:
        """(n, Z, Y, X) labels of the passes in the order of the members, where they were kept."""
        if not self.tally.member_labels:
            return None
        of_pass = dict(zip(course.order, self.tally.member_labels, strict=False))
        return np.stack([of_pass[one] for one in course.taken(self.done)])


LATEST = 5
"""Passes whose time tells that of the next ones; the very first also waits for what all need."""


def mean_of_computed(seconds: Sequence[float]) -> float:
    """Return the mean time of the passes that were computed; those that were kept take no time."""
    return fmean(taken for taken in seconds if taken >= max(seconds) / 4)
