"""Results of an ensemble for an image: snapshots of the posterior, and the final segmentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from ...core.ensemble.maps import ENTROPY, MAPS, HasMaps
from ...core.ensemble.posterior import RunningPosterior, drawn_labels, entropy
from ...core.ensemble.stored_posterior import StoredPosterior
from ...core.heart.function import Intervals
from ...core.heart.largest_component import Removed, largest_component
from ...core.heart.measurements import Spread, canonical_structure, volumes_ml
from ...core.metrics.failure import FailureAssessment
from ...core.metrics.overlap import PairwiseDice
from ...core.types import Spacing, VoxelBox, VoxelIndex
from ...io.ensemble.ensemble_folder import Member
from ...io.files.atomic import null_for_nan
from ...io.study.arrays import round_map
from ...io.study.case_report import (
    MEMBER_NAMES,
    REPORT_FORMAT,
    expected_dice_entry,
    failure_entry,
    interval_entries,
)
from .calibration import NOT_OF_REGIONS, Calibration
from .image_kind import (
    CHECKS,
    FEATURE_DISTANCE,
    MAY_BE_NO_CINE,
    UNCHECKED,
    UNLIKE_TRAINING,
    ImageRule,
)
from .settings import SegmentationSettings

if TYPE_CHECKING:
    from ...nnunet.cutout import Cutout


def _raise(error: Exception) -> None:
    raise error


@dataclass(kw_only=True)
class MemberStatistics:
    """Sums over the members' probabilities, and the volumes and agreement of their labels.

    If memory runs out, ``step_down`` is called with the error, and the sums move to main memory.

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
    posterior: RunningPosterior = field(default_factory=RunningPosterior)
    step_down: Callable[[Exception], None] = field(default=_raise)
    volumes: dict[str, list[float]] = field(default_factory=dict)
    keep_members: bool = False
    largest_only: bool = False
    member_labels: list[NDArray[np.uint8]] = field(default_factory=list)
    agreement: PairwiseDice = field(init=False)
    asked: NDArray[np.intp] | None = field(init=False, default=None)
    _in_main_memory: bool = field(init=False, default=False)
    _around: tuple[VoxelBox, NDArray[np.uint8]] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.agreement = PairwiseDice(self.structures)

    def add(self, probabilities: Any, part: Cutout | None = None) -> NDArray[np.uint8]:
        """Add one member's (C, Z, Y, X) probabilities, and return all its (Z, Y, X) labels.

        With a ``part`` of the image the probabilities are those of its voxels.
        """
        around = None if part is None else self._labels_around(part.box)
        voxels = None if part is None else part.voxels
        labels = self._retrying(lambda: self._add_to_sums(probabilities, voxels))
        if part is not None and around is not None:
            inside, labels = labels, around.copy()
            self._repeat_answers(labels, part)
            labels[part.voxels] = inside
        kept = self._kept(labels)
        if self.keep_members:
            self.member_labels.append(kept)
        self.agreement.add(kept)
        for name, ml in volumes_ml(kept, self.spacing, self.structures).items():
            self.volumes.setdefault(name, []).append(ml)
        return labels

    def _add_to_sums(self, probabilities: Any, voxels: VoxelIndex | None) -> NDArray[Any]:
        sums = self.posterior.probability_sum
        if self._in_main_memory and not isinstance(probabilities, np.ndarray):
            probabilities = probabilities.cpu()
        elif sums is not None and not isinstance(sums, np.ndarray):
            # Either of them may have been moved off the GPU meanwhile.
            probabilities = probabilities.to(sums.device)
        labels = to_numpy(drawn_labels(probabilities, self.posterior.class_order))
        self.posterior.add(probabilities, voxels)
        return labels

    def _retrying(self, work: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        # Until it succeeds or `step_down` raises the error.
        while True:
            try:
                return work()
            except (RuntimeError, MemoryError) as error:
                self.step_down(error)
                self._in_main_memory = True
                self.posterior.move_to_main_memory()

    def measure(self, method: Callable[[RunningPosterior], Any]) -> NDArray[Any]:
        """Return the result of a method of the posterior as a NumPy array."""
        return self._retrying(lambda: to_numpy(method(self.posterior)))

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


SECONDS_BETWEEN_SNAPSHOTS = 0.25
LIKELY_FAILURE: Final = (
    "The segmentation may have failed (failure score {score:.1f}, usually at most "
    "{threshold:.1f}). Check every slice."
)
WEAK_STRUCTURE: Final = "The {name} may have failed (expected Dice {dice:.2f}). Check every slice."
REMOVED_PIECES: Final = "Removed because it lies apart from the heart: {volumes}, in {slices}."


class SnapshotThrottle:
    """Choice of the snapshots to show: after 1, 2, 4, 8, … members, the last, and at intervals."""

    def __init__(self) -> None:
        self._last = perf_counter()

    def shows(self, done: int, total: int, *, is_busy: bool = False) -> bool:
        """Return whether to show the snapshots after ``done`` members of images together.

        ``total`` is the smallest of theirs. Those after 1, 2, 4, 8, … and ``total`` members are
        always shown. Others are shown `SECONDS_BETWEEN_SNAPSHOTS` after the last, unless the
        recipient still ``is_busy`` with it.
        """
        now = perf_counter()
        is_late = now - self._last >= SECONDS_BETWEEN_SNAPSHOTS and not is_busy
        if not (is_late or done == total or done & (done - 1) == 0):  # a power of two has one bit
            return False
        self._last = now
        return True


@dataclass(frozen=True)
class Snapshot(HasMaps):
    """Posterior after ``done`` of ``total`` members, valid until the next step.

    ``total`` is ``done`` in the last snapshot of an image, also if it is stable before all members.

    Examples
    --------
    >>> from importlib.resources import files
    >>> from napari_bayes_nnunet import Ensemble, SegmentationSettings, read_volume
    >>> from napari_bayes_nnunet.sample_data import CINE
    >>> cine = read_volume(CINE)
    >>> ensemble = Ensemble(files("napari_bayes_nnunet") / "demo_ensemble", device="cpu")
    >>> settings = SegmentationSettings(members=2, mirroring="none")
    >>> for snapshot in ensemble.steps(cine.voxels[6, 3:5], cine.spacing, settings):
    ...     print(snapshot.done, "of", snapshot.total, snapshot.entropy.shape)
    1 of 2 (2, 192, 192)
    2 of 2 (2, 192, 192)
    """

    done: int
    total: int
    eta_seconds: float
    statistics: MemberStatistics

    @property
    def labels(self) -> NDArray[np.uint8]:
        """(Z, Y, X) most probable label."""
        return self.statistics.labels()

    @cached_property
    def maps(self) -> dict[str, NDArray[np.float32]]:  # type: ignore[override]
        """Name → (Z, Y, X) float32; maps that are not streamed only in the last snapshot."""
        return {
            name: self.statistics.measure(entry.measure)
            for name, entry in MAPS.items()
            if entry.is_streamed or self.done == self.total
        }


@dataclass(frozen=True, kw_only=True)
class Segmentation(HasMaps):
    """Result of an ensemble for one 3D image, with the settings used.

    ``probabilities`` (C, Z, Y, X) float32 is the mean over the members (Eq. 2), ``maps`` name →
    (Z, Y, X) float32. Per structure: ``volumes`` of the labels in mL, ``member_volumes`` of each
    member in mL with their ``volume_spread``, and ``pairwise_dice`` between the members (NaN for
    one). ``member_labels`` (n, Z, Y, X), if they were kept, and
    ``member_volumes`` are in the order of ``members`` (one of their mean weights, for SWA).
    ``settings`` name the device, the τ of probabilities and entropy, and the number of members
    that the method takes from the folder; with ``until_stable``, ``members`` can be fewer, and
    ``members_by_slice`` is the number asked in each slice. The others count as those asked there
    (`MemberStatistics`).

    ``run_notes`` are those of the ``notes`` that are not on the image. ``removed`` has what was
    drawn apart from the largest component, if only that is kept.

    ``calibration`` gives the intervals, None if the ensemble has none for these settings.
    ``image_rule`` tells the kind of the image, None if it was not judged; ``doubt`` is that of
    its `Volume`. ``signs`` are those of a failure (`failure_signs`) and of another kind of image.
    ``precision`` is the number type of the network ("float32", "float16" or "bfloat16"), and
    ``runtime`` what computed it ("OpenVINO 2026.4.1").
    ``window_box`` (z, y, x) are the voxels that all members saw, None for the whole image.
    ``structures``: name → label. ``plans_sha256`` and ``class_order`` are those of the
    `EnsembleFolder`.

    Examples
    --------
    >>> import math
    >>> from importlib.resources import files
    >>> from napari_bayes_nnunet import Ensemble, read_volume
    >>> from napari_bayes_nnunet.sample_data import CINE
    >>> cine = read_volume(CINE)
    >>> ensemble = Ensemble(files("napari_bayes_nnunet") / "demo_ensemble", device="cpu")
    >>> result = ensemble.segment(cine.voxels[6, 3:5], cine.spacing, members=2, mirroring="none")
    >>> result.probabilities.shape, result.entropy.shape
    ((4, 2, 192, 192), (2, 192, 192))
    >>> voxels = (result.labels == result.structures["LV"]).sum()
    >>> round(float(result.volumes["LV"] / voxels), 6) == round(math.prod(cine.spacing) / 1000, 6)
    True
    >>> {name: len(volumes) for name, volumes in result.member_volumes.items()}
    {'RV': 2, 'MYO': 2, 'LV': 2}
    """

    labels: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    maps: Mapping[str, NDArray[np.float32]]
    volumes: dict[str, float]
    member_volumes: dict[str, tuple[float, ...]]
    volume_spread: dict[str, Spread]
    pairwise_dice: dict[str, float]
    ensemble: str
    ensemble_kind: str
    settings: SegmentationSettings
    members: tuple[Member, ...]
    precision: str
    seconds: float
    structures: dict[str, int] = field(default_factory=dict)
    plans_sha256: str = ""
    calibration: Calibration | None = None
    removed: Removed | None = None
    image_rule: ImageRule | None = None
    doubt: str | None = None
    signs: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    run_notes: tuple[str, ...] = ()
    member_labels: NDArray[np.uint8] | None = None
    window_box: VoxelBox | None = None
    members_by_slice: tuple[int, ...] = ()
    class_order: tuple[int, ...] = ()
    runtime: str = ""

    @property
    def failure(self) -> FailureAssessment | None:
        """Failure score and its threshold, None if the ensemble is not calibrated for it."""
        rule = self.calibration.failure if self.calibration else None
        return rule.assess(self.signs) if rule is not None else None

    @property
    def no_cine(self) -> str:
        """Question whether the image is a short-axis cine, or ""."""
        reason = self.doubt or ""
        if not reason and self.image_rule is not None:
            by_tags = self.doubt is not None
            reason = self.image_rule.why_no_cine(self.signs, self.failure, is_cine_by_tags=by_tags)
        return MAY_BE_NO_CINE.format(reason=reason) if reason else ""

    @property
    def knows_kind(self) -> bool:
        """Whether it was checked that the image is a short-axis cine."""
        return self.doubt is not None or bool(self.image_rule and self.image_rule.cine)

    @property
    def is_unlike_training(self) -> bool | None:
        """Whether the image is unlike the training images; None if the ensemble cannot tell."""
        rule = self.image_rule
        return None if rule is None else rule.is_unlike_training(self.signs)

    @property
    def is_image_warned(self) -> bool:
        """Whether a warning is on the image itself, so that there are no intervals."""
        return bool(self.no_cine or self.is_unlike_training)

    @property
    def findings(self) -> tuple[str, ...]:
        """Warnings on the kind of the image, on likely failures, and on what was not checked."""
        sentences = [self.no_cine]
        if self.is_unlike_training and self.image_rule and self.image_rule.features:
            distance, usual = self.signs[FEATURE_DISTANCE], self.image_rule.features.threshold
            sentences.append(UNLIKE_TRAINING.format(distance=distance, usual=usual))
        if self.failure is not None and self.failure.warned:
            sentences.append(LIKELY_FAILURE.format(**asdict(self.failure)))
        for name, entry in self.expected_dice.items():
            if self.calibration and entry["value"] < self.calibration.least_dice:
                sentences.append(WEAK_STRUCTURE.format(name=name, dice=entry["value"]))
        is_known = self.knows_kind, self.is_unlike_training is not None, self.failure is not None
        missing = [what for what, known in zip(CHECKS, is_known, strict=True) if not known]
        if self.class_order:
            sentences.append(NOT_OF_REGIONS)
        elif missing:
            needs = ", and ".join(dict.fromkeys(CHECKS[what] for what in missing))
            sentences.append(UNCHECKED.format(what=", ".join(missing), needs=needs))
        return tuple(filter(None, sentences))

    @property
    def expected_dice(self) -> dict[str, dict[str, Any]]:
        """Structure → entry of the report, {} if it is not calibrated or the image is doubtful."""
        rules = self.calibration.dice if self.calibration and not self.is_image_warned else {}
        return expected_dice_entry(rules, self.pairwise_dice, self.volumes)

    def report(self) -> dict[str, Any]:
        """Return the content of ``<case>.json``, with null for NaN."""
        volumes = {
            name: {
                "ensemble": ml,
                **asdict(self.volume_spread[name]),
                **interval_entries(self._intervals(name)),
                "members": self.member_volumes[name],
            }
            for name, ml in self.volumes.items()
        }
        report = {
            "format": REPORT_FORMAT,
            "ensemble": self.ensemble,
            "ensemble_kind": self.ensemble_kind,
            **self.settings.to_json(),
            "precision": self.precision,
            "runtime": self.runtime,
            "window_box": self.window_box and [[s.start, s.stop] for s in self.window_box],
            "members_by_slice": self.members_by_slice or None,
            "member_epochs": [member.epoch for member in self.members],
            "members": [
                {key: getattr(member, key) for key in (*MEMBER_NAMES, "sha256")}
                for member in self.members
            ],
            "plans_sha256": self.plans_sha256,
            "labels": self.structures,
            "seconds": round(self.seconds, 2),
            "calibration": self.calibration.to_report() if self.calibration else None,
            "volumes_ml": volumes,
            "removed": self.removed and asdict(self.removed),
            "pairwise_dice": self.pairwise_dice,
            "expected_dice": self.expected_dice,
            "failure": failure_entry(self.failure),
            "unlike_training": self.is_unlike_training,
            "no_cine": bool(self.no_cine) if self.no_cine or self.knows_kind else None,
            "signs": dict(self.signs),
            "warnings": list(self.warnings),
            "notes": list(self.notes),
        }
        return dict(null_for_nan(report))

    def _intervals(self, structure: str) -> Intervals:
        rule = self.calibration.volumes.get(structure) if self.calibration else None
        if rule is None or self.is_image_warned or (self.failure and self.failure.warned):
            return {}
        spread = self.volume_spread[structure].standard_deviation
        return rule.intervals(self.volumes[structure], difficulty=spread)


def removed_notes(removed: Removed | None) -> list[str]:
    """Return a note on the pieces that were removed, if any."""
    if removed is None:
        return []
    volumes = ", ".join(f"{ml:.1f} mL of {name}" for name, ml in removed.volumes_ml.items())
    numbers = ", ".join(map(str, removed.slices))
    slices = f"slice{'' if len(removed.slices) == 1 else 's'} {numbers}"
    return [REMOVED_PIECES.format(volumes=volumes, slices=slices)]


def stored_posterior(result: Segmentation) -> StoredPosterior:
    """Return the posterior as it is stored, with maps in steps of 1/4096 bit.

    That of regions is as certain of its labels as one model that is always sure, because their
    probabilities, of which a voxel has several, offer no other answer to a review.

    Raises ValueError if the result lacks the labels of the members.
    """
    if result.member_labels is None:
        raise ValueError("The result lacks the labels of the members. Segment with keep_members.")
    probabilities, members = result.probabilities, result.member_labels
    if result.class_order:
        drawn = drawn_labels(probabilities, result.class_order)
        classes = np.arange(len(result.class_order) + 1).reshape(-1, 1, 1, 1)
        probabilities, members = (drawn == classes).astype(np.float32), result.labels[np.newaxis]
    return StoredPosterior.from_members(
        probabilities,
        members,
        prediction=result.labels,
        maps={name: round_map(values) for name, values in result.maps.items()},
    )


FEWEST_FOR_LOOKS: Final = 6
"""Phases from which on a cine gets a first look."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FirstLook(HasMaps):
    """Provisional result of the last member for a phase, in a window that another phase gave.

    ``labels`` (Z, Y, X) uint8 and ``maps``, only the entropy, are 0 outside of the window.
    ``volumes``: structure → mL.
    """

    labels: NDArray[np.uint8]
    maps: Mapping[str, NDArray[np.float32]]
    volumes: Mapping[str, float]

    @classmethod
    def in_box(
        cls,
        probabilities: Any,
        box: VoxelBox,
        shape: tuple[int, ...],
        *,
        spacing: Spacing,
        structures: Mapping[str, int],
        largest_only: bool = False,
        class_order: Sequence[int] = (),
    ) -> Self:
        """Return the look of (C, z, y, x) probabilities in a box of an image of this shape.

        With ``largest_only`` the labels have the `largest_component` alone. ``class_order`` is that
        of regions, see `RunningPosterior`.
        """
        labels, bits = np.zeros(shape, np.uint8), np.zeros(shape, np.float32)
        labels[box] = to_numpy(drawn_labels(probabilities, class_order))
        bits[box] = to_numpy(entropy(probabilities, regions=bool(class_order)))
        if largest_only:
            labels *= largest_component(labels, spacing)
        volumes = volumes_ml(labels, spacing, structures)
        maps = {ENTROPY.name: bits}
        return cls(labels=labels, maps=maps, volumes=volumes)

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
