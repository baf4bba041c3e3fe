"""Segmentation of an image with an ensemble: plan of the passes, window, and result."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import numpy as np
import scipy
from numpy.typing import NDArray

from ...core.choices import LargestComponent, Mirroring, Precision, Window
from ...core.durations import TimeLeft
from ...core.ensemble.maps import MAPS, MUTUAL_INFORMATION
from ...core.ensemble.posterior import RunningPosterior, drawn_labels, entropy
from ...core.ensemble.stability import Stability
from ...core.heart.largest_component import find_removed
from ...core.heart.measurements import (
    end_diastole_and_systole,
    measure_spread,
    volumes_ml,
)
from ...core.heart.structures import lacks_lv
from ...core.steps import drain, map_steps
from ...core.types import Mask, Spacing, VoxelBox
from ...io.ensemble.ensemble_folder import EnsembleFolder, Member, find_ensemble
from ...io.files.given_path import given_path
from .. import AppError
from .calibration import (
    Calibration,
    applied_settings,
    calibration_notes,
    chosen_temperature,
    find_calibration,
    find_image_rule,
    keeps_largest,
    usual_window,
)
from .image_check import (
    Image,
    check_slices,
    checked_image,
    odd_slice_warnings,
    slice_notes,
    slice_warnings,
    usable_phases,
)
from .image_kind import HeartLook, ImageRule, failure_signs
from .member_predictions import (
    InputImage,
    MemberChecks,
    MemberPredictor,
    PredictionCache,
)
from .methods import (
    METHODS,
    ForwardPass,
    choose_members,
    count_modes,
    interleave_passes,
    make_passes,
    no_usable_member,
    stability_interval,
)
from .result import FirstLook, MemberStatistics, Segmentation, Snapshot, removed_notes
from .settings import SegmentationSettings

if TYPE_CHECKING:
    from ...nnunet.cutout import Cutout
    from ...nnunet.inference import Predictor, PreparedImage

LATEST = 5
"""Number of latest passes whose time predicts that of the next; the first also prepares."""
Value = TypeVar("Value")

LV_NOT_SEGMENTED = (
    "ED and ES are found from the LV, which this ensemble does not segment. Choose the phases by "
    "number."
)
HEART_MARGIN: Final = 10.0
"""Distance in mm between what was found and the edge of the window."""
WIDENING: Final = 4
"""Part of a patch by which a side of the window is widened: one over this number."""
SECOND: Final = 0.1
"""Area of a second find, as a share of the largest, from which the whole image is segmented."""
UNCERTAIN: Final = 0.5
"""Entropy, in bit, at the edge of the window that asks for a wider one."""
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

    @cached_property
    def chosen(self) -> Sequence[Member]:
        """Members of the method."""
        return choose_members(self.folder, self.settings.method, self.settings.members)

    @cached_property
    def passes(self) -> list[ForwardPass]:
        """Passes in the order of the members."""
        members = self.chosen  # raises AppError for a method that does not exist
        combine = METHODS[self.settings.method].combine
        return make_passes(members, combine, mirroring=self.settings.mirroring)

    @cached_property
    def order(self) -> list[ForwardPass]:
        """Passes in the order in which they are made, which visits all modes early."""
        return interleave_passes(self.passes)

    @cached_property
    def calibration(self) -> Calibration | None:
        """Calibration of the ensemble for these settings."""
        return find_calibration(self.folder, self.settings)

    @cached_property
    def applied(self) -> SegmentationSettings:
        """Settings as applied (`applied_settings`)."""
        return applied_settings(self.folder, self.settings)

    @property
    def first(self) -> int:
        """Number of passes that see the whole image: one of each mode, or all of them."""
        if self.settings.window == "whole":
            return len(self.order)
        return count_modes(self.chosen)

    def made_passes(self, done: int) -> list[ForwardPass]:
        """Return the first ``done`` passes, in the order of the members."""
        made = set(self.order[:done])
        return [forward_pass for forward_pass in self.passes if forward_pass in made]

    def in_member_order(self, values: Sequence[Value]) -> list[Value]:
        """Return the values of the first passes made, sorted from their order to `made_passes`."""
        of_pass = dict(zip(self.order, values, strict=False))
        return [of_pass[forward_pass] for forward_pass in self.made_passes(len(values))]

    def notes(self, progress: ImageProgress) -> Iterator[str]:
        """Yield a note if the number of members used is not the requested one, or was a part."""
        chosen, total, done = len(self.chosen), len(self.order), progress.done
        by_slice = progress.members_by_slice
        if by_slice and min(by_slice) < max(by_slice):
            counts = {"fewest": min(by_slice), "most": max(by_slice), "mean": fmean(by_slice)}
            yield STABLE_SLICES.format(total=total, **counts)
        elif done < total:
            yield STABLE.format(done=done, total=total)
        elif chosen < self.settings.members and METHODS[self.settings.method].averages:
            yield FEWER_MEMBERS.format(used=chosen)
        elif chosen > self.settings.members:
            yield NO_CYCLES.format(used=chosen)
        if progress.window_box is not None:  # only the first passes saw more
            were = "was" if self.first == 1 else "were"
            yield HEART_WINDOW.format(first=self.first, done=done, were=were)


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
            # As a single slice that is all of the image.
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


def mean_of_computed(seconds: Sequence[float]) -> float:
    """Return the mean time of the computed passes, because cached ones take almost none."""
    return fmean(taken for taken in seconds if taken >= max(seconds) / 4)


def find_window(
    predictor: Predictor, image: PreparedImage, found: Mask, slice_axis: int
) -> Cutout | None:
    """Return the window around the heart among the ``found`` voxels (Z, Y, X).

    The first member of each cycle sees the whole image. The window holds all that these have found,
    and a margin; it is at least a patch of the network large, because its instance norm depends on
    the size of what it sees.

    None for the whole image, which is segmented if nothing was found, or two large things, one of
    which may be another organ. What is small beside the largest is left to the first members.
    """
    # In a projection along the slices, so that a gap between slices makes no second organ.
    heart = _largest_piece(np.asarray(found.any(axis=slice_axis)))
    if heart is None:
        return None
    return predictor.cutout(image, found & np.expand_dims(heart, slice_axis), margin=HEART_MARGIN)


def widened_window(predictor: Predictor, window: Cutout, probabilities: Any) -> Cutout | None:
    """Return a wider window if a member's (C, Z, Y, X) probabilities in it reach its edge.

    They do with a structure or an entropy above `UNCERTAIN`. None if the window is wide enough.
    """

    def reaches(edge: VoxelBox) -> bool:
        at_edge = probabilities[(slice(None), *edge)]
        bits = entropy(at_edge, regions=bool(predictor.class_order))
        return bool(drawn_labels(at_edge, predictor.class_order).any() or (bits > UNCERTAIN).any())

    return window.widened(reaches, by=[side // WIDENING for side in predictor.patch_size])


def _largest_piece(area: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """Return the largest piece of an area (Y, X), None without one or if another is large too."""
    pieces, _ = scipy.ndimage.label(area, structure=np.ones((3, 3)))
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0  # label 0 is the background
    largest = int(sizes.argmax())
    others = np.delete(sizes, largest)
    if sizes[largest] == 0 or others.max() >= SECOND * sizes[largest]:
        return None
    return np.asarray(pieces == largest)


class Ensemble:
    """Ensemble folder that is ready to segment on a device.

    Every member is read and checked once; unusable members are marked as refused in ``folder``. If
    no member is usable, all that needs one raises AppError. If the checksums of the members are
    known, they are checked while the first one computes; ``folder`` waits for the checks.

    Parameters
    ----------
    folder : EnsembleFolder, Path or str
        Folder of the ensemble.
    device : str
        "auto" for the fastest device, or its name.
    precision : "auto" or "full"
        Half precision if the device is fast with it, or always float32.
    notify : callable
        Called with a sentence when memory is short.
    cache : PredictionCache, optional
        Store of probabilities that need not be computed again.

    Raises
    ------
    DataError, ModelError or AppError
        If the folder or the device cannot be used.

    Examples
    --------
    >>> from importlib.resources import files
    >>> from napari_bayes_nnunet import Ensemble, read_volume
    >>> from napari_bayes_nnunet.sample_data import CINE
    >>> cine = read_volume(CINE)
    >>> ensemble = Ensemble(files("napari_bayes_nnunet") / "demo_ensemble", device="cpu")
    >>> len(ensemble.folder.members), ensemble.structures
    (9, {'RV': 1, 'MYO': 2, 'LV': 3})
    >>> basal = cine.voxels[6, 3:5]  # two slices at ES
    >>> ensemble.segment(basal, cine.spacing, members=2, mirroring="none").labels.shape
    (2, 192, 192)
    """

    def __init__(
        self,
        folder: EnsembleFolder | Path | str,
        *,
        device: str = "auto",
        precision: Precision = "auto",
        notify: Callable[[str], None] = lambda sentence: None,
        cache: PredictionCache | None = None,
    ) -> None:
        from ...nnunet.device import choose_device
        from ...nnunet.inference import Predictor

        if not isinstance(folder, EnsembleFolder):
            folder = find_ensemble(given_path(folder))
        self._notify = notify
        self._notes: list[str] = []
        chosen = choose_device(device)
        self.checks = MemberChecks(folder)
        self._made: tuple[Predictor, MemberPredictor] | None = None
        # Only with recorded checksums can a member compute before the others are checked.
        has_checksums = all(member.sha256 for member in folder.usable_members)
        if (folder if has_checksums else self.folder).usable:
            predictor = Predictor(
                folder.plans,
                folder.dataset_json,
                folder.configuration,
                device=chosen,
                precision=precision,
                notify=self._note,
            )
            self._made = predictor, MemberPredictor(predictor, folder, cache)

    def _note(self, sentence: str) -> None:
        self._notes.append(sentence)
        self._notify(sentence)

    def _start_over(self, notes: list[str] | None = None) -> None:
        """Undo the predictor's steps down, and add its next notes to ``notes``."""
        self._notes = [] if notes is None else notes
        self._predictor.start_over()

    @cached_property
    def folder(self) -> EnsembleFolder:
        """Checked content of the folder."""
        return self.checks.folder

    @property
    def _predictor(self) -> Predictor:
        return self._ready[0]

    @property
    def _members(self) -> MemberPredictor:
        return self._ready[1]

    @property
    def _ready(self) -> tuple[Predictor, MemberPredictor]:
        """Predictor and members. Raises AppError if no member is usable."""
        if self._made is None:
            raise no_usable_member(self.folder)
        return self._made

    @property
    def device(self) -> str:
        """Name of the current device, which changes if memory is short."""
        return str(self._predictor.network.device)

    @property
    def is_on_card(self) -> bool:
        """Whether a card computes now, which leaves the cores of the computer idle."""
        return self._predictor.network.device.type != "cpu"

    @property
    def precision(self) -> str:
        """Current number type of the network: "float32", "float16" or "bfloat16"."""
        return str(self._predictor.network.dtype).removeprefix("torch.")

    @property
    def runtime(self) -> str:
        """What computes the network now: "OpenVINO 2026.4.1" or "torch 2.13.0"."""
        return self._predictor.network.runtime

    @property
    def structures(self) -> dict[str, int]:
        """Structure → label, without the background and ignored voxels."""
        # Those of `folder` would wait until all members are checked.
        labels = self.checks.found.labels
        return {name: label for name, label in labels.items() if label != 0}

    def segment(
        self,
        image: Image,
        spacing: Spacing,
        *,
        method: str = "multi",
        members: int = 30,
        mirroring: Mirroring = "full",
        temperature: float | Literal["fitted"] | None = None,
        window: Window | None = None,
        until_stable: bool = False,
        largest_component: LargestComponent = "auto",
        doubt: str | None = None,
    ) -> Segmentation:
        """Segment ``image`` (Z, Y, X) or (channels, Z, Y, X) with ``spacing`` (z, y, x) in mm.

        ``doubt`` is that of its `Volume`. The other parameters are those of `SegmentationSettings`;
        the window is the `usual_window` of the ensemble unless it is given.
        """
        settings = SegmentationSettings(
            method=method,
            members=members,
            mirroring=mirroring,
            temperature=temperature,
            window=window or usual_window(self.folder),
            until_stable=until_stable,
            largest_component=largest_component,
        )
        (result,) = drain(self.phase_steps([image], spacing, settings, doubt=doubt))
        return result

    def steps(
        self,
        image: Image,
        spacing: Spacing,
        settings: SegmentationSettings,
        *,
        keep_members: bool = False,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Generator[Snapshot, None, Segmentation]:
        """Segment an image as `phase_steps` does; yield the posterior after every member."""
        steps = self.phase_steps(
            [image], spacing, settings, keep_members=keep_members, should_stop=should_stop
        )
        (result,) = yield from map_steps(steps, itemgetter(0))
        return result

    def phases_at_once(self, image: Image, mirroring: Mirroring = "full") -> int:
        """Return how many phases of this size (channels, Z, Y, X) fill the device together.

        The steps down of earlier images are undone, because these may be smaller.
        """
        self._start_over()
        mirrors = 4 if mirroring == "full" else 1
        return self._predictor.images_at_once(slices=image.shape[-3], mirrors=mirrors)

    def phase_steps(
        self,
        images: Sequence[Image],
        spacing: Spacing,
        settings: SegmentationSettings,
        *,
        keep_members: bool = False,
        doubt: str | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Generator[dict[int, Snapshot], None, list[Segmentation]]:
        """Segment images, such as the phases of a cine, with one member after the other.

        Yields image index → posterior after every member, of each image until it is stable if
        ``until_stable`` is set. With either it or ``keep_members`` the results have the labels of
        every member, a byte per member and voxel (24 MB for 30 members of 12 x 256 x 256 voxels);
        without them memory does not grow with the members. Device and precision are those of the
        ensemble, not of ``settings``. The kind of the images is judged before the first member,
        also by the ``doubt`` of their `Volume`.
        """
        plan = PassPlan(folder=self._folder_to_start(settings), settings=settings, doubt=doubt)
        order = plan.order
        refused = [member.path.name for member in plan.folder.members if not member.usable]
        notes = [f"Refused members: {', '.join(refused)}."] if refused else []
        started = perf_counter()
        _ = plan.calibration  # refuse a damaged file before the long work
        keep = keep_members or settings.until_stable
        every = [self._start(image, spacing, plan, keep_members=keep) for image in images]
        time_left = TimeLeft(latest=LATEST, average=mean_of_computed)
        self._start_over(notes)
        self._judge(every, plan, should_stop)
        for done, forward_pass in enumerate(order, start=1):
            active = {index: image for index, image in enumerate(every) if not image.is_stable}
            self._make_pass(forward_pass, [*active.values()], plan, should_stop)
            time_left.step()
            is_over = all(image.is_stable for image in every)
            eta = 0.0 if is_over else time_left.seconds(len(order) - done) or 0.0
            totals = {i: done if image.is_stable else len(order) for i, image in active.items()}
            yield {
                index: Snapshot(done, totals[index], eta, image.statistics)
                for index, image in active.items()
            }
            # The checks of the other members ran while the first one computed.
            if is_over or self.folder.members != plan.folder.members:
                break
        if self.folder.members != plan.folder.members:  # one was refused meanwhile
            again = self.phase_steps(
                images, spacing, settings, keep_members=keep, doubt=doubt, should_stop=should_stop
            )
            next(again)  # the first member is shown already
            return (yield from again)
        seconds = (perf_counter() - started) / len(images)
        return [self._result(image, plan, seconds, notes) for image in every]

    def _make_pass(
        self,
        forward_pass: ForwardPass,
        images: Sequence[ImageProgress],
        plan: PassPlan,
        should_stop: Callable[[], bool],
    ) -> None:
        """Add one pass to the images, choose the windows around the heart, and check for rest."""
        ask = partial(
            self._members.predict,
            forward_pass,
            mirroring=plan.settings.mirroring,
            should_stop=should_stop,
        )
        predictions = ask([image.image for image in images])
        for image, probabilities in zip(images, predictions, strict=True):
            image.add(self._with_wide_window(image.image, probabilities, ask))
            # One member of each mode has now seen the whole image.
            if image.done == plan.first < len(plan.order):
                image.image.cutout = self._window(image.image, image.found)
            if plan.settings.until_stable and image.done % stability_interval(plan.chosen) == 0:
                prepared = self._members.prepared(image.image)
                image.check_stability(self._predictor.whole_slices(prepared))

    def pass_probabilities(
        self,
        image: Image,
        spacing: Spacing,
        passes: Iterable[ForwardPass],
        *,
        mirroring: Mirroring = "full",
    ) -> Iterator[Any]:
        """Yield each pass's softmax (C, Z, Y, X) float32, a tensor on the device."""
        images = [self._input(image, spacing)]
        self._start_over()
        for forward_pass in passes:
            yield from self._members.predict(
                forward_pass, images, mirroring=mirroring, should_stop=lambda: False
            )

    def find_phases(
        self,
        cine: Image,
        spacing: Spacing,
        *,
        largest_component: LargestComponent = "auto",
        should_stop: Callable[[], bool] = lambda: False,
        on_look: Callable[[int, FirstLook], None] = lambda phase, look: None,
    ) -> tuple[int, int]:
        """Return the phases of ED and ES, from 1, of a cine (channels, T, Z, Y, X).

        They have the largest and the smallest LV volume in the `first_looks` at the phases that
        can be segmented, which ``on_look`` gets one by one with their phase. Raises AppError if the
        ensemble does not segment the LV or finds none.
        """
        if lacks_lv(self.structures):
            raise AppError(LV_NOT_SEGMENTED)
        phases = usable_phases(cine, spacing) or range(1, cine.shape[1] + 1)
        # Picking phases copies the cine, up to 8 GiB, so it is only done if some are left out.
        seen = cine[:, [phase - 1 for phase in phases]] if len(phases) < cine.shape[1] else cine
        looks = self.first_looks(
            seen, spacing, largest_component=largest_component, should_stop=should_stop
        )
        volumes = []
        for phase, look in zip(phases, looks, strict=True):
            on_look(phase, look)
            volumes.append(look.cavity)
        try:
            ed, es = end_diastole_and_systole(volumes)
        except ValueError as error:
            raise AppError(
                "ED and ES were not found ({reason}). Choose the phases by number.",
                reason=str(error).rstrip("."),
            ) from error
        # Nothing segments the other phases afterwards, which would hold up to 128 MiB.
        self._keep_prepared([seen[:, phase - 1] for phase in (ed, es)], spacing)
        return phases[ed - 1], phases[es - 1]

    def _keep_prepared(self, images: Sequence[Image], spacing: Spacing) -> None:
        """Forget all images that were prepared for a segmentation, except for these."""
        used = [self._input(image, spacing).digest for image in images]
        self._members.kept.forget(but=used)

    def _folder_to_start(self, settings: SegmentationSettings) -> EnsembleFolder:
        """Return the folder whose first pass can be made now: before its checks if possible."""
        found = self.checks.found
        if not found.usable or self.checks.are_done:
            return self.folder
        first = PassPlan(folder=found, settings=settings).order[0]
        return self.folder if any(map(self.checks.reason, first.members)) else found

    def last_member(self) -> Member:
        """Return the member of the method *vanilla*."""
        folder = self._folder_to_start(SegmentationSettings(method="vanilla"))
        return choose_members(folder, "vanilla", 1)[0]

    def first_looks(
        self,
        cine: Image,
        spacing: Spacing,
        *,
        largest_component: LargestComponent = "auto",
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[FirstLook]:
        """Yield a look of the last member at each phase of a cine (channels, T, Z, Y, X).

        It sees the whole image of the first phase, and of the others the window around the heart
        that it found there; mirrors are not used. ``largest_component`` is that of
        `SegmentationSettings`. The preprocessed phases are kept for the first segmentation of each,
        up to `MOST_KEPT` bytes.
        """
        forward_pass = ForwardPass((self.last_member(),))
        ask = partial(
            self._members.predict, forward_pass, mirroring="none", should_stop=should_stop
        )
        settings = SegmentationSettings(largest_component=largest_component)
        largest_only = keeps_largest(self.checks.found, settings)
        found: Mask | None = None
        self._members.kept.forget()
        together = self.phases_at_once(cine[:, 0], "none")
        # Nothing follows the last group.
        groups = [*_first_then_together(cine.shape[1], together), range(0)]
        for group, following in pairwise(groups):
            images = [self._input(cine[:, phase], spacing) for phase in group]
            for image in images if found is not None else ():
                image.cutout = self._window(image, found)
            self.prepare_ahead([cine[:, phase] for phase in following], spacing)
            for image, seen in zip(images, ask(images), strict=True):
                probabilities = self._with_wide_window(image, seen, ask)
                look = FirstLook.in_box(
                    probabilities,
                    image.computed_box,
                    image.channels.shape[1:],
                    spacing=spacing,
                    structures=self.structures,
                    largest_only=largest_only,
                    class_order=self._predictor.class_order,
                )
                found = look.labels > 0 if found is None else found
                self._members.keep(image)
                yield look

    def prepare_ahead(self, images: Iterable[Image], spacing: Spacing) -> None:
        """Preprocess images in a thread while a card computes others, for `phase_steps`.

        Without a card, the network leaves no core idle, so nothing is done.
        """
        if self.is_on_card:
            for image in images:
                with suppress(AppError):  # reported when it is the image's turn
                    self._members.prepare_ahead(self._input(image, spacing))

    def _window(self, image: InputImage, found: Mask | None) -> Cutout | None:
        """Return the window of an image around the heart among ``found`` voxels, None for all."""
        axis = self._predictor.slice_axis
        if axis is None or found is None:
            return None
        prepared = self._members.prepared(image)
        return find_window(self._predictor, prepared, found, prepared.order[axis])

    def _with_wide_window(
        self, image: InputImage, probabilities: Any, ask: Callable[[list[InputImage]], list[Any]]
    ) -> Any:
        """Return a pass's probabilities in a window wide enough for what it finds.

        The window of the image is widened, and the pass made again, as often as needed.
        """
        while image.cutout is not None:
            wider = widened_window(self._predictor, image.cutout, probabilities)
            if wider is None:
                break
            image.cutout = None if wider.is_whole and wider.chosen is None else wider
            (probabilities,) = ask([image])
        return probabilities

    def _start(
        self, image: Image, spacing: Spacing, plan: PassPlan, *, keep_members: bool
    ) -> ImageProgress:
        statistics = MemberStatistics(
            structures=self.structures,
            spacing=spacing,
            posterior=RunningPosterior(
                temperature=chosen_temperature(plan.folder, plan.settings),
                class_order=self._predictor.class_order,
            ),
            step_down=self._predictor.step_down,
            keep_members=keep_members,
            largest_only=plan.applied.largest_component == "on",
        )
        return ImageProgress(self._input(image, spacing), statistics)

    def _input(self, image: Image, spacing: Spacing) -> InputImage:
        """Return the image to compute. Raises AppError if it cannot be segmented."""
        channels, notes = checked_image(image, spacing)
        if self._predictor.slice_axis is not None:
            check_slices(channels.shape, spacing)
            notes = (*notes, *slice_notes(channels.shape, spacing))
        return InputImage(channels, spacing, notes=notes)

    def _slice_warnings(self, image: InputImage) -> tuple[str, ...]:
        odd = odd_slice_warnings(image.channels, image.spacing)
        if self._predictor.slice_axis is None:
            return odd
        return (*odd, *slice_warnings(image.channels.shape, image.spacing))

    def heart_look(self, image: Image, spacing: Spacing) -> HeartLook:
        """Return what the last member finds of the heart in an image, the same for all settings.

        Raises AppError if the image cannot be segmented.
        """
        self._start_over()
        images = [self._input(image, spacing)]
        return next(self._members.heart_looks(self.last_member(), images, self.structures))

    def _judge(
        self, images: Sequence[ImageProgress], plan: PassPlan, should_stop: Callable[[], bool]
    ) -> None:
        """Add the signs of their kind to the images, if a usable member can tell it."""
        judge = find_image_rule(plan.folder)
        if judge is None or self.checks.reason(judge[1]):
            return
        rule, member = judge
        inputs = [image.image for image in images]
        looks = self._members.heart_looks(member, inputs, self.structures, should_stop=should_stop)
        for image, look in zip(images, looks, strict=True):
            image.rule, image.signs = rule, rule.signs(look)

    def _result(
        self, progress: ImageProgress, plan: PassPlan, seconds: float, notes: Sequence[str]
    ) -> Segmentation:
        statistics = progress.statistics
        labels = statistics.labels()
        drawn = statistics.measure(RunningPosterior.labels)
        removed = find_removed(drawn, labels, statistics.spacing, self.structures)
        volumes = volumes_ml(labels, statistics.spacing, self.structures)
        of_members = {n: tuple(plan.in_member_order(v)) for n, v in statistics.volumes.items()}
        spreads = {name: measure_spread(values) for name, values in of_members.items()}
        agreement = statistics.agreement.mean()
        run_notes = (*plan.notes(progress), *calibration_notes(plan.folder, plan.settings))
        maps = {name: statistics.measure(entry.measure) for name, entry in MAPS.items()}
        signs = failure_signs(
            drawn,  # also what was removed, because it shows that something is wrong
            maps[MUTUAL_INFORMATION.name],
            statistics.spacing,
            structures=self.structures,
            agreement=agreement,
        )
        result = Segmentation(
            labels=labels,
            probabilities=statistics.measure(RunningPosterior.mean),
            maps=maps,
            volumes=volumes,
            member_volumes=of_members,
            volume_spread=spreads,
            pairwise_dice=agreement,
            ensemble=self.folder.name,
            ensemble_kind=self.folder.kind,
            # The device may have changed because memory was short.
            settings=replace(plan.applied, device=self.device),
            members=tuple(m for made in plan.made_passes(progress.done) for m in made.members),
            precision=self.precision,
            runtime=self.runtime,
            seconds=seconds,
            structures=self.structures,
            plans_sha256=self.folder.plans_sha256,
            calibration=plan.calibration,
            removed=removed,
            image_rule=progress.rule,
            doubt=plan.doubt,
            signs={**signs, **progress.signs},
            warnings=self._slice_warnings(progress.image),
            notes=(*notes, *progress.image.notes, *removed_notes(removed), *run_notes),
            run_notes=(*notes, *run_notes),
            window_box=progress.window_box,
            members_by_slice=progress.members_by_slice,
            member_labels=progress.member_labels(plan),
            class_order=self._predictor.class_order,
        )
        return replace(result, warnings=(*result.warnings, *result.findings))


def _first_then_together(phases: int, together: int) -> Iterator[range]:
    """Yield the first phase, then the others in groups."""
    yield range(1)
    for first in range(1, phases, together):
        yield range(first, min(first + together, phases))
