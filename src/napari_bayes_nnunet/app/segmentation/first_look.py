"""First look at the phases of a cine, and the order in which they are segmented after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from ...core.ensemble.maps import ENTROPY, HasMaps
from ...core.ensemble.posterior import entropy, most_probable
from ...core.heart.largest_component import largest_component
from ...core.heart.measurements import canonical_structure, volumes_ml
from ...core.types import Spacing, VoxelBox
from .member_statistics import to_numpy

FEWEST_FOR_LOOKS: Final = 6
"""Phases from which on a cine gets a first look."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FirstLook(HasMaps):
    """Provisional result of one network for a phase, in a window that another phase gave.

    The network is the student of the ensemble if the look is ``by_student``, else a member.
    ``labels`` (Z, Y, X) uint8 and ``maps``, only the entropy, are 0 outside of the window.
    ``volumes``: structure → mL.
    """

    labels: NDArray[np.uint8]
    maps: Mapping[str, NDArray[np.float32]]
    volumes: Mapping[str, float]
    by_student: bool = False

    @classmethod
    def in_box(
        cls,
        probabilities: Any,
        box: VoxelBox,
        shape: tuple[int, ...],
        *,
        spacing: Spacing,
        structures: Mapping[str, int],
        by_student: bool = False,
        largest_only: bool = False,
    ) -> Self:
        """Return the look of (C, z, y, x) probabilities in a box of an image of this shape.

        With ``largest_only`` the labels have the `largest_component` alone.
        """
        labels, bits = np.zeros(shape, np.uint8), np.zeros(shape, np.float32)
        labels[box] = to_numpy(most_probable(probabilities))
        bits[box] = to_numpy(entropy(probabilities))
        if largest_only:
            labels *= largest_component(labels, spacing)
        volumes = volumes_ml(labels, spacing, structures)
        maps = {ENTROPY.name: bits}
        return cls(labels=labels, maps=maps, volumes=volumes, by_student=by_student)

    @property
    def cavity(self) -> float:
        """Volume of the LV, or of the RV if the ensemble segments no LV, mL; else 0."""
        volumes = {canonical_structure(name): ml for name, ml in self.volumes.items()}
        return volumes.get("LV", volumes.get("RV", 0.0))

    @property
    def doubt(self) -> float:
        """Summed entropy for each mL of the structures, infinite if none was found."""
        found = sum(self.volumes.values())
        return float(self.entropy.sum(dtype=np.float64)) / found if found else np.inf


def order_after(looks: Sequence[FirstLook]) -> list[int]:
    """Return the indices of the looks in the order in which their phases are segmented.

    First those with the largest and the smallest cavity, ED and ES, then the most doubtful ones.
    """
    rest = sorted(range(len(looks)), key=lambda index: looks[index].doubt, reverse=True)
    with_cavity = [index for index, look in enumerate(looks) if look.cavity > 0]
    if not with_cavity:
        return rest
    ends = [choose(with_cavity, key=lambda index: looks[index].cavity) for choose in (max, min)]
    return list(dict.fromkeys([*ends, *rest]))
