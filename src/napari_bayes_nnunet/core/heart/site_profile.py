"""Profile of a site: how its contours differ from those of an ensemble, and labels drawn by it.

Labs differ in where the base ends at end-systole, in how wide they draw, and in the papillary
muscles. An ensemble has the convention of the labels that it was trained on.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import scipy
from numpy.typing import NDArray

from ..counts import format_count
from ..editing.interpolation import signed_distance
from ..editing.presence import slices_with
from ..types import LabelMap, Mask, Spacing
from .measurements import Structure
from .papillary import papillary_muscles
from .structures import HEART_STRUCTURES

MOST_SLICES: Final = 4.0
"""Slices by which a base can be moved; more would be half a heart."""
MOST_OFFSET_MM: Final = 5.0
"""Distance in mm by which a contour can be moved."""
FEWEST_TO_DRAW: Final = 5
"""Studies from which on a learnt profile draws (docs/how-to/profile.md)."""
_SOFT: Final = 1.0
"""SD in voxels by which distances are smoothed, so that the voxels of a ring differ in depth."""
_WORDS: Final[Mapping[Structure, str]] = {"LV": "LV", "MYO": "epicardium", "RV": "RV"}


@dataclass(frozen=True, kw_only=True)
class SiteProfile:
    """Conventions of a site, relative to an ensemble without a profile.

    ``es_base``: LV (with its myocardium) or RV → slices by which it begins lower at end-systole,
    0 to `MOST_SLICES`. ``offset_mm``: LV, MYO (the epicardium) or RV → mm by which the contour
    lies outside of the ensemble's in the plane, negative inside. With ``papillary_as_muscle``, the
    `papillary_muscles` are myocardium. ``learnt_from`` is the number of studies, 0 for a profile
    that was set by hand; ``learnt`` says what they showed, ``void`` which of the ensemble's
    intervals do not hold. ``intervals``: scanner ("" if unknown) → number ("LV EF") → half-widths
    at 80 and 90 % that these studies need, as multiples of the ensemble's at 90 %, for the
    calibration with the checksum ``calibration``. Raises ValueError for other values.
    """

    name: str
    es_base: Mapping[Structure, float] = field(default_factory=dict, hash=False)
    offset_mm: Mapping[Structure, float] = field(default_factory=dict, hash=False)
    papillary_as_muscle: bool = False
    learnt_from: int = 0
    learnt: tuple[str, ...] = ()
    void: tuple[str, ...] = ()
    intervals: Mapping[str, Mapping[str, tuple[float, float]]] = field(
        default_factory=dict, hash=False
    )
    calibration: str = ""

    def __post_init__(self) -> None:
        is_base = all(0 <= lower <= MOST_SLICES for lower in self.es_base.values())
        is_offset = all(abs(mm) <= MOST_OFFSET_MM for mm in self.offset_mm.values())
        widths = [pair for own in self.intervals.values() for pair in own.values()]
        if not all(0 < low <= high < math.inf for low, high in widths):
            raise ValueError("A half-width of a profile's intervals is not above 0.")
        if not (is_base and is_offset) or "MYO" in self.es_base:
            raise ValueError("A profile moves the base of another structure, or moves too far.")

    @property
    def draws(self) -> bool:
        """Whether the profile changes labels: set by hand, or learnt from enough studies."""
        is_sure = not self.learnt_from or self.learnt_from >= FEWEST_TO_DRAW
        moves = any(self.es_base.values()) or any(self.offset_mm.values())
        return is_sure and (moves or self.papillary_as_muscle)

    @property
    def draws_es(self) -> bool:
        """Whether the profile changes the base at end-systole."""
        return self.draws and any(self.es_base.values())

    @property
    def recipe(self) -> str:
        """Name and checksum of what is drawn and of the intervals, "none" for nothing."""
        if not (self.draws or self.intervals):
            return "none"
        moved = ({name: f"{n:g}" for name, n in x.items()} for x in (self.es_base, self.offset_mm))
        drawn = repr((*moved, self.papillary_as_muscle, self.intervals, self.calibration))
        return f"{self.name} {hashlib.sha256(drawn.encode()).hexdigest()[:12]}"

    @property
    def sentences(self) -> tuple[str, ...]:
        """What was learnt, or what was set by hand, in sentences."""
        if self.learnt_from:
            return self.learnt
        said = [base_sentence("the", side, n) for side, n in self.es_base.items() if n]
        said += [offset_sentence("The", name, mm) for name, mm in self.offset_mm.items() if mm]
        if self.papillary_as_muscle:
            said.append("Papillary muscles count as muscle.")
        return tuple(said)

    @property
    def effect(self) -> str:
        """Sentence on what the profile does to labels and intervals."""
        effect = "Labels stay as the ensemble draws them"
        if self.draws:
            what = "The base at ES is" if self.learnt_from else "Labels are"
            effect = f"{what} drawn by the profile {self.name}"
        if self.intervals:
            return f"{effect}, with intervals of your site for the ensemble of its studies."
        return f"{effect}, without prediction intervals." if self.draws else f"{effect}."

    def intervals_for(
        self, calibration: str, scanner: str
    ) -> Mapping[str, tuple[float, float]] | None:
        """Return the intervals of results with the checksum ``calibration`` from a ``scanner``.

        {} if the profile draws and has none for them, None if those of the ensemble stay.
        """
        own = self.intervals.get(scanner, {}) if calibration == self.calibration else {}
        return own if own or self.draws else None

    def to_report(self, intervals: Mapping[str, tuple[float, float]] | None) -> dict[str, Any]:
        """Return the entry ``profile`` of a case's report, with its `intervals_for`."""
        said = {"name": self.name, "drawn": self.recipe, "sentences": [*self.sentences]}
        if intervals is None:
            return said
        return {**said, "intervals": {name: [*pair] for name, pair in intervals.items()}}


NO_PROFILE: Final = SiteProfile(name="")
"""Profile that draws nothing."""


def base_sentence(whose: str, side: Structure, lower: float) -> str:
    """Return where LV or RV begins at end-systole: "At ES your LV begins 1 slice lower than …"."""
    count = f"{lower:g} slices" if abs(lower) % 1 else format_count(int(abs(lower)), "slice")
    direction = "lower" if lower > 0 else "higher"
    where = f"{count.lstrip('-')} {direction} than" if lower else "in the same slice as"
    return f"At ES {whose} {side} begins {where} the ensemble's."


def offset_sentence(whose: str, name: Structure, mm: float) -> str:
    """Return where a contour lies: "Your LV contour lies 0.8 mm outside the ensemble's."."""
    where = f"{abs(mm):.1f} mm {'outside' if mm > 0 else 'inside'}" if mm else "on"
    return f"{whose} {_WORDS[name]} contour lies {where} the ensemble's."


def draw_by_profile(
    labels: NDArray[np.uint8],
    profile: SiteProfile,
    heart: Mapping[Structure, int],
    *,
    spacing: Spacing,
    image: NDArray[Any],
    es_base_first: bool | None,
) -> NDArray[np.uint8]:
    """Return (Z, Y, X) ``labels`` as the site draws them.

    ``heart`` has the labels of RV, MYO and LV, ``spacing`` (z, y, x) is in mm, and ``image``
    (Z, Y, X). ``es_base_first`` says whether slice 0 is at the base of an image at end-systole;
    None, also for another phase, leaves the base as it is.
    """
    drawn = labels.copy()
    found = np.argwhere(np.isin(labels, [*heart.values()]))
    if not len(found):
        return drawn
    if es_base_first is not None:
        for side, lower in profile.es_base.items():
            together: tuple[Structure, ...] = ("LV", "MYO") if side == "LV" else (side,)
            if lower and side in heart:
                chosen = [heart[name] for name in together if name in heart]
                _lower_base(drawn, chosen, lower, base_first=es_base_first)
    if any(profile.offset_mm.values()):
        pixel = (spacing[1] + spacing[2]) / 2
        # Only around the heart, because the distances of whole slices would take longer.
        margin = math.ceil(MOST_OFFSET_MM / pixel) + 2
        low, high = found.min(axis=0) - margin, found.max(axis=0) + 1 + margin
        for plane in drawn[:, max(low[1], 0) : high[1], max(low[2], 0) : high[2]]:
            _move_contours(plane, heart, profile.offset_mm, pixel=pixel)
    if profile.papillary_as_muscle and {"LV", "MYO"} <= {*heart}:
        muscle = papillary_muscles(image, drawn, lv=heart["LV"], myo=heart["MYO"])
        drawn[muscle] = heart["MYO"]
    return drawn


def _lower_base(
    labels: NDArray[np.uint8], structures: Collection[int], lower: float, *, base_first: bool
) -> None:
    """Remove the most basal slices of a cavity, the first of ``structures``, and of its wall.

    Of the slice that ``lower`` includes only by a share, the rest of each area is kept, in its
    middle. At least one slice stays.
    """
    cavity, *_ = structures
    slices = slices_with(labels, cavity)
    order = slices if base_first else slices[::-1]
    if not len(order):
        return
    whole = min(int(lower), len(order) - 1)
    first = int(order[whole])
    above = labels[:first] if base_first else labels[first + 1 :]
    above[np.isin(above, [*structures])] = 0
    if (share := lower - int(lower)) and whole + 1 < len(order):
        _shrink(labels[first], structures, 1 - share)


def _shrink(plane: NDArray[np.uint8], structures: Collection[int], kept: float) -> None:
    """Keep a share of the area of a cavity and of the whole of (Y, X) ``structures``."""
    cavity, *walls = structures
    inside, whole = plane == cavity, np.isin(plane, [*structures])
    small_inside, small_whole = _innermost(inside, kept), _innermost(whole, kept)
    plane[whole] = 0
    plane[small_whole] = walls[0] if walls else cavity
    plane[small_inside] = cavity


def _innermost(mask: Mask, share: float) -> Mask:
    """Return the voxels of a mask that are deepest in it, a share of its number."""
    return _deepest(signed_distance(mask), round(share * np.count_nonzero(mask)))


def _move_contours(
    plane: LabelMap,
    heart: Mapping[Structure, int],
    offsets: Mapping[Structure, float],
    *,
    pixel: float,
) -> None:
    """Move the contours in a (Y, X) ``plane`` with pixels of ``pixel`` mm.

    The myocardium fills the space between the moved cavity and the moved epicardium. It has
    precedence over the RV, and structures other than these keep their voxels.
    """
    masks = {name: plane == label for name, label in heart.items()}
    if "LV" in masks and "MYO" in masks:
        masks["MYO"] |= masks["LV"]
    free = np.isin(plane, [0, *heart.values()])
    plane[free] = 0
    # Later ones have precedence.
    for name in HEART_STRUCTURES:
        if name in masks:
            plane[free & _moved(masks[name], offsets.get(name, 0) / pixel)] = heart[name]


def _moved(mask: Mask, voxels: float) -> Mask:
    """Return a (Y, X) mask whose border lies ``voxels`` further out.

    It has as many voxels as an area whose border moves by this distance (Steiner's formula), the
    deepest ones: a border in the middle of the voxels would move by whole voxels only.
    """
    length = perimeter(mask)
    if not voxels or not mask.any():
        return mask
    # Beyond this the area of the formula grows again.
    if voxels < -length / (2 * math.pi):
        return np.zeros_like(mask)
    count = np.count_nonzero(mask) + length * voxels + math.pi * voxels**2
    return _deepest(scipy.ndimage.gaussian_filter(signed_distance(mask), _SOFT), round(count))


def _deepest(depth: NDArray[np.float64], count: int) -> Mask:
    """Return the mask of the ``count`` voxels with the largest depth."""
    chosen = np.zeros(depth.size, np.bool_)
    # Stable, so that equal depths give the same labels on every computer.
    chosen[np.argsort(-depth, axis=None, kind="stable")[: max(count, 0)]] = True
    return chosen.reshape(depth.shape)


def perimeter(mask: Mask) -> float:
    """Return the length of the border of a (Y, X) mask in voxels."""
    from skimage.measure import perimeter_crofton  # takes a moment

    return float(perimeter_crofton(mask, directions=4))  # type: ignore[no-untyped-call]
