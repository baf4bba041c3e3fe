"""Simulated reader who corrects slices with the reference in mind, and whose actions are counted.

It is an oracle: in each slice it takes the cheapest correction that leaves no gross error. So the
results show what the tools allow, not what readers do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from itertools import product
from typing import Final

import numpy as np
import scipy

from ...core import InputError
from ...core.editing.alternatives import Alternative, find_alternatives
from ...core.editing.closed_curve import Points
from ...core.editing.contour import apply_contour, contour_region
from ...core.editing.level import apply_level
from ...core.editing.presence import add_structure, find_shapes, remove_at_end
from ...core.editing.push import MOST_MM, push_curve, push_radius
from ...core.editing.scribble import apply_scribble
from ...core.editing.slice_checks import Labels, pieces_at
from ...core.editing.smooth_contours import contour_around
from ...core.ensemble.stored_posterior import SlicePosterior, StoredPosterior
from ...core.heart.slice_volumes import base_is_first, heart_structures, is_basal
from ...core.metrics.border import far_from_contours
from ...core.types import Mask


class Tool(StrEnum):
    """Way to correct a slice."""

    ALTERNATIVE = "alternative"
    LEVEL = "level"
    ENDS = "base or apex"
    SCRIBBLE = "scribble"
    PUSH = "push"
    CONTOUR = "contour"
    REDRAW = "redraw"


QUICK: Final = (Tool.ALTERNATIVE, Tool.LEVEL, Tool.ENDS, Tool.SCRIBBLE)
"""Tools that take one action and the posterior's own shapes."""
ACCEPT_COST: Final = 1
"""Actions to accept a slice: one key."""
DRAG_COST: Final = 1
PUSH_REACHES_MM: Final = (2.0, 4.0, 8.0, 15.0)
"""Distances from the contour at which the reader presses the round tool."""
HANDLE_MM: Final = 10.0
"""Length of a wrong contour, in mm, that one handle corrects."""
REDRAW_COST: Final = 10
"""Actions to redraw a structure: about ten points around it."""
_LEVELS: Final = np.linspace(-1, 1, 81)
_MOST_STEPS: Final = 4
"""Corrections with quick tools before the reader takes contour or pencil."""
_MARGIN: Final = 6
_AROUND: Final = np.ones((3, 3), bool)


@dataclass(frozen=True, kw_only=True, eq=False)
class Correction:
    """Correction of a slice by one tool.

    ``labels`` (y, x) after it, its ``cost`` in actions, and the gross errors it ``removed``.
    """

    tool: Tool
    labels: Labels
    cost: int
    removed: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class SliceReading:
    """Corrections of one slice in their order, until it was accepted."""

    corrections: tuple[Correction, ...]

    @property
    def cost(self) -> int:
        """Actions, with the one that accepts the slice."""
        return ACCEPT_COST + sum(correction.cost for correction in self.corrections)


class SimulatedReader:
    """Reader of one volume.

    ``reference`` (Z, Y, X), ``spacing`` (z, y, x) in mm. ``structures`` maps names to labels.
    ``tools`` are those the reader may use; without CONTOUR and REDRAW errors may stay.

    ``labels`` and ``reference`` (Z, y, x) are cropped to all that the prediction, its members and
    the reference contain. ``labels`` are corrected slice by slice.
    """

    def __init__(
        self,
        posterior: StoredPosterior,
        reference: Labels,
        *,
        spacing: tuple[float, float, float],
        structures: Mapping[str, int],
        tools: Collection[Tool] = tuple(Tool),
    ) -> None:
        self._posterior = posterior
        self._crop = _find_crop(posterior, reference)
        inside = (slice(None), *self._crop)
        self.labels = posterior.prediction[inside].copy()
        self.reference: Labels = reference[inside].astype(np.uint8)
        self._far = far_from_contours(reference, spacing)[inside]
        self._spacing = spacing
        self._structures = tuple(structures.values())
        self._names = dict(structures)
        self._heart = heart_structures(structures)
        self._tools = tools

    def gross(self, z: int, labels: Labels | None = None) -> int:
        """Return the gross errors in a slice, of other (y, x) ``labels`` if given."""
        shown = self.labels[z] if labels is None else labels
        return int(np.count_nonzero(self._far[z] & (shown != self.reference[z])))

    def read(self, z: int) -> SliceReading:
        """Correct and accept a slice."""
        made: list[Correction] = []
        # After the quick tools, handles and redrawing may be needed once for each structure.
        while self.gross(z) and len(made) <= _MOST_STEPS + 2 * len(self._structures):
            best = self._choose(z, quick=len(made) < _MOST_STEPS)
            if best is None:
                break
            before = self.gross(z)
            self.labels[z] = best.labels
            made.append(replace(best, removed=before - self.gross(z)))
        return SliceReading(corrections=tuple(made))

    def left_after_one(self, z: int) -> dict[Tool, int]:
        """Return the gross errors left in a slice by the best single correction of each quick tool.

        A reader who sees that a tool does not help leaves the slice as it is. No labels change.
        """
        before = self.gross(z)
        left = dict.fromkeys((tool for tool in QUICK if tool in self._tools), before)
        for correction in self._corrections(z) if before else ():
            if correction.tool in left:
                errors = self.gross(z, correction.labels)
                left[correction.tool] = min(left[correction.tool], errors)
        return left

    def _choose(self, z: int, *, quick: bool) -> Correction | None:
        """Return the cheapest correction without gross errors, else the best one for its cost."""
        before = self.gross(z)
        left = {
            c: self.gross(z, c.labels) for c in self._corrections(z) if quick or c.tool not in QUICK
        }
        if solving := [c for c, errors in left.items() if errors == 0]:
            # Of equally cheap ones, the one nearest to the reference.
            wrong = self.reference[z]
            return min(solving, key=lambda c: (c.cost, np.count_nonzero(c.labels != wrong)))
        paying = [c for c, errors in left.items() if errors < before]
        return max(paying, key=lambda c: (before - left[c]) / c.cost, default=None)

    def _corrections(self, z: int) -> Iterator[Correction]:
        """Yield the corrections by every tool that the reader may use."""
        slice_ = _cropped(self._posterior.slice_at(z), self._crop)
        alternatives = find_alternatives(slice_, self._names) if len(slice_.members) else []
        by_tool: dict[Tool, Callable[[], Iterator[Correction]]] = {
            Tool.ALTERNATIVE: lambda: _by_alternative(alternatives),
            Tool.LEVEL: lambda: self._by_level(slice_, z),
            Tool.ENDS: lambda: self._by_ends(alternatives, z),
            Tool.SCRIBBLE: lambda: self._by_scribble(slice_, alternatives, z),
            Tool.PUSH: lambda: self._by_push(z),
            Tool.CONTOUR: lambda: self._by_contour(z),
            Tool.REDRAW: lambda: self._by_redrawing(z),
        }
        for tool, corrections in by_tool.items():
            if tool in self._tools:
                yield from corrections()

    def _by_level(self, slice_: SlicePosterior, z: int) -> Iterator[Correction]:
        """Yield the best level of each structure; of equal ones, the nearest to the prediction."""
        for label in self._structures:
            tried = [
                (apply_level(slice_, self.labels[z], label=label, margin=float(margin)), margin)
                for margin in _LEVELS
            ]
            labels, _ = min(tried, key=lambda t: (self.gross(z, t[0]), abs(t[1])))
            yield Correction(tool=Tool.LEVEL, labels=labels, cost=DRAG_COST)

    def _by_ends(self, alternatives: Sequence[Alternative], z: int) -> Iterator[Correction]:
        """Yield the removal or addition of each structure that only labels or reference have."""
        predicted = self._posterior.prediction
        basal = is_basal(predicted, z, base_first=base_is_first(predicted))
        for label in self._structures:
            has, should = ((x == label).any() for x in (self.labels[z], self.reference[z]))
            if has == should:
                continue
            if has:
                # At the base the wall is removed with the LV, as in the Review dock.
                both = basal and label == self._heart.get("LV")
                walls = [self._heart["MYO"]] if both and "MYO" in self._heart else []
                labels = remove_at_end(self.labels[z], label, walls=walls)
            elif shapes := find_shapes(label, alternatives, self.labels, z):
                labels = add_structure(self.labels[z], source=shapes[0].labels, label=label)
            else:
                continue
            yield Correction(tool=Tool.ENDS, labels=labels, cost=DRAG_COST)

    def _by_scribble(
        self, slice_: SlicePosterior, alternatives: Sequence[Alternative], z: int
    ) -> Iterator[Correction]:
        """Yield strokes through the largest piece that each structure lacks or has in excess."""
        for label in self._structures:
            for inside in (True, False):
                stroke = self._stroke(z, label, inside=inside)
                if stroke is None:
                    continue
                try:
                    scribbled = apply_scribble(
                        slice_,
                        self.labels[z],
                        stroke,
                        label=label,
                        inside=inside,
                        alternatives=alternatives,
                    )
                except InputError:
                    # No level and no alternative agrees with the stroke.
                    continue
                yield Correction(tool=Tool.SCRIBBLE, labels=scribbled.labels, cost=DRAG_COST)

    def _by_push(self, z: int) -> Iterator[Correction]:
        """Yield drags of the round tool over the worst pieces of each structure."""
        labels, step, heart = self.labels[z], self._spacing[2], self._heart
        wall, cavity = ([heart[name]] if name in heart else [] for name in ("MYO", "LV"))
        for label, inside in product(self._structures, (True, False)):
            inner, over = cavity if label in wall else (), wall if label in cavity else ()
            region = contour_region(labels, label, inner=inner)
            right = region & np.isin(self.reference[z], [label, *inner])
            piece = self._worst_piece(z, label, inside=inside)
            if piece is None or not right.any():
                continue
            curve = contour_around(region)
            for reach in PUSH_REACHES_MM:
                start, end = _drag(piece, right, reach / step, inside=inside)
                radius = push_radius(curve, start, most=MOST_MM / step)
                pushed = push_curve(curve, start, end(radius), radius)
                changed = apply_contour(
                    labels, pushed, label=label, start=curve, inner=inner, over=over
                )
                yield Correction(tool=Tool.PUSH, labels=changed, cost=DRAG_COST)

    def _by_contour(self, z: int) -> Iterator[Correction]:
        """Yield each structure of the slice with its wrong pieces corrected by handles."""
        for label in self._structures:
            if not (self.labels[z] == label).any() or not (self.reference[z] == label).any():
                continue
            pieces = self._gross_pieces(z, label)
            if not pieces.any():
                continue
            numbered, _ = scipy.ndimage.label(pieces, structure=_AROUND)
            handles = sum(
                max(1, math.ceil(_extent_mm(piece, self._spacing) / HANDLE_MM))
                for piece in scipy.ndimage.find_objects(numbered)
            )
            labels = _as_reference(self.labels[z], self.reference[z], label, pieces)
            # One action shows the handles.
            yield Correction(tool=Tool.CONTOUR, labels=labels, cost=1 + handles)

    def _by_redrawing(self, z: int) -> Iterator[Correction]:
        """Yield each wrong structure, redrawn as in the reference."""
        for label in self._structures:
            wrong = (self.labels[z] == label) != (self.reference[z] == label)
            if (wrong & self._far[z]).any():
                labels = _as_reference(self.labels[z], self.reference[z], label, wrong)
                yield Correction(tool=Tool.REDRAW, labels=labels, cost=REDRAW_COST)

    def _stroke(self, z: int, label: int, *, inside: bool) -> Mask | None:
        """Return a line through the worst piece; None without any."""
        piece = self._worst_piece(z, label, inside=inside)
        if piece is None:
            return None
        from skimage.morphology import skeletonize

        # A reader draws along the middle of what is wrong.
        line: Mask = skeletonize(piece)  # type: ignore[no-untyped-call]
        return line

    def _worst_piece(self, z: int, label: int, *, inside: bool) -> Mask | None:
        """Return the piece that a structure lacks, or has in excess, with most gross errors."""
        has, should = self.labels[z] == label, self.reference[z] == label
        wrong = (should & ~has) if inside else (has & ~should)
        pieces, count = scipy.ndimage.label(wrong)
        gross = np.bincount(pieces[wrong & self._far[z]], minlength=count + 1)
        if not gross[1:].any():
            return None
        piece: Mask = pieces == 1 + int(gross[1:].argmax())
        return piece

    def _gross_pieces(self, z: int, label: int) -> Mask:
        """Return the pieces of the structure's wrong voxels that have gross errors."""
        wrong = (self.labels[z] == label) != (self.reference[z] == label)
        return pieces_at(wrong, wrong & self._far[z], corners=True)


def _drag(
    piece: Mask, right: Mask, reach: float, *, inside: bool
) -> tuple[Points, Callable[[float], Points]]:
    """Return where a drag over a wrong piece starts, and where it ends for a radius of the tool.

    It goes between the part of the structure that is ``right`` and the voxel of the piece farthest
    from it: outwards from within if this voxel belongs ``inside``, else inwards. It starts
    ``reach`` voxels before the piece, and ends when the edge of the tool is at its end.
    """
    distance, nearest = scipy.ndimage.distance_transform_edt(~right, return_indices=True)
    far = np.unravel_index(np.where(piece, distance, 0).argmax(), piece.shape)
    tip, root = np.array(far, np.float64), nearest[(slice(None), *far)].astype(np.float64)
    ahead = (tip - root) / distance[far]
    first, last = (root, tip + ahead / 2) if inside else (tip, root + ahead / 2)
    ahead = ahead if inside else -ahead
    return first - reach * ahead, lambda radius: last - radius * ahead


def _by_alternative(alternatives: Sequence[Alternative]) -> Iterator[Correction]:
    """Yield the alternatives; each press of a key shows the next or the previous one."""
    count = len(alternatives)
    for number, alternative in enumerate(alternatives, start=1):
        presses = min(number, count + 1 - number)  # the keys also go through the current labels
        yield Correction(tool=Tool.ALTERNATIVE, labels=alternative.labels, cost=presses)


def _as_reference(labels: Labels, reference: Labels, label: int, where: Mask) -> Labels:
    """Return labels in which the structure is as in the reference inside the mask ``where``."""
    result = labels.copy()
    result[where & (reference == label)] = label
    gone = where & (labels == label) & (reference != label)
    result[gone] = reference[gone]
    return result


def _extent_mm(piece: tuple[slice, ...], spacing: tuple[float, float, float]) -> float:
    y, x = piece
    return math.hypot((y.stop - y.start) * spacing[1], (x.stop - x.start) * spacing[2])


def _cropped(slice_: SlicePosterior, crop: tuple[slice, slice]) -> SlicePosterior:
    return SlicePosterior(
        **{field.name: getattr(slice_, field.name)[(..., *crop)] for field in fields(slice_)}
    )


def _find_crop(posterior: StoredPosterior, reference: Labels) -> tuple[slice, slice]:
    """Return the (y, x) box of all structures with a margin of a few voxels."""
    used = np.asarray(((reference > 0) | (posterior.prediction > 0)).any(axis=0))
    _, y, x = posterior.box
    used[y, x] = True
    if not used.any():
        return slice(0, used.shape[0]), slice(0, used.shape[1])
    ((rows, columns),) = scipy.ndimage.find_objects(used.astype(np.uint8))
    grown = (slice(max(0, s.start - _MARGIN), s.stop + _MARGIN) for s in (rows, columns))
    y, x = grown
    return y, x
