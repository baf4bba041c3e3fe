"""Uncertainty maps. A new one is an entry of the table `MAPS`; its files and layers follow."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # numpy, which the pages of the commands are built without
    import numpy as np
    from numpy.typing import NDArray

    from .posterior import Array, RunningPosterior


@dataclass(frozen=True, kw_only=True)
class UncertaintyMap:
    """A (Z, Y, X) map of the uncertainty, 0 or more.

    ``name`` is that of ``predict --save`` and of detections in ``evaluate``, ``short`` stands in
    tables. ``measure`` computes the map, whose scale ends at ``end`` for C classes, background
    included; a region has two, inside and outside. ``view`` is the entry of the switch of the
    views, with the unit, ``explained`` its tooltip. ``scale`` is a sentence on the scale up to
    ``{largest}``. A single member has 0 everywhere if the map ``needs_members``. A map that
    ``is_streamed`` is shown after every member, others after the last one. Studies of version 0.2.0
    lack the maps that are not ``in_every_study``, and an evaluation has these if they were saved.
    """

    name: str
    short: str
    measure: Callable[[RunningPosterior], Array]
    end: Callable[[int], float]
    unit: str
    view: str
    explained: str
    scale: str
    needs_members: bool = False
    is_streamed: bool = True
    in_every_study: bool = False

    @property
    def title(self) -> str:
        """Name in texts, and role of the layer: "mutual information"."""
        return self.name.replace("-", " ")

    @property
    def key(self) -> str:
        """Name in tables, and end of the names of files: "mutual_information"."""
        return self.name.replace("-", "_")


ENTROPY: Final = UncertaintyMap(
    name="entropy",
    short="entropy",
    measure=lambda posterior: posterior.total_entropy(),
    end=math.log2,
    unit="bit",
    view="Entropy, bit",
    explained="Uncertainty of the ensemble, transparent at 0. It is not a probability of error.",
    scale=(
        "Entropy: 0 if all members are certain of one class, {largest:.3g} bit if all classes are "
        "equally probable. It is not a probability of error."
    ),
    in_every_study=True,
)
MUTUAL_INFORMATION: Final = UncertaintyMap(
    name="mutual-information",
    short="MI",
    measure=lambda posterior: posterior.mutual_information(),
    # Two halves of the members reach 1 bit that disagree in a voxel.
    end=lambda classes: min(1.0, math.log2(classes)),
    unit="bit",
    view="Disagreement, bit",
    explained=(
        "Part of the entropy on which the members disagree (mutual information), transparent at 0."
    ),
    scale=(
        "Mutual information: 0 if all members agree, {largest:.3g} bit if two halves of them "
        "disagree."
    ),
    needs_members=True,
    in_every_study=True,
)
VARIANCE: Final = UncertaintyMap(
    name="variance",
    short="variance",
    measure=lambda posterior: posterior.variance(),
    end=lambda classes: 1 - 1 / classes,
    unit="",
    view="Variance",
    explained=(
        "Variance of the members' probabilities, summed over the classes, background included, "
        "transparent at 0."
    ),
    scale=(
        "Variance: 0 if all members agree, {largest:.3g} if they are divided equally among all "
        "classes. It is computed after the last member."
    ),
    needs_members=True,
    is_streamed=False,
)
MAPS: Final[Mapping[str, UncertaintyMap]] = {
    entry.name: entry for entry in (ENTROPY, MUTUAL_INFORMATION, VARIANCE)
}
"""Name → map. The first is shown at first, each of the others in its place on demand."""


class HasMaps:
    """Base of results with ``maps``: name → float32 values on the grid of the image."""

    maps: Mapping[str, NDArray[np.float32]]

    @property
    def entropy(self) -> NDArray[np.float32]:
        """Predictive entropy, 0 to log2 C bit (Eq. 3)."""
        return self.maps[ENTROPY.name]

    @property
    def mutual_information(self) -> NDArray[np.float32]:
        """Part of the entropy on which the members disagree, in bit."""
        return self.maps[MUTUAL_INFORMATION.name]
