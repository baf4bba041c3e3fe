"""Segment an image with an ensemble: labels, uncertainty, volumes and how far the models agree."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...core.durations import TimeLeft
from ...core.ensemble.posterior import RunningPosterior, most_probable
from ...core.heart.measurements import (
    canonical_structure,
    end_diastole_and_systole,
    measure_spread,
    volumes_ml,
)
from ...core.steps import drain, map_steps
from ...core.types import Mirroring, Precision, Spacing
from ...io.ensemble.ensemble_folder import EnsembleFolder, Member, find_ensemble
from .. import AppError
from .case_scores import validation_warnings
from .forward_pass import ForwardPass
from .inspection import why_refused
from .member_predictions import InputImage, MemberPredictor
from .member_statistics import MemberStatistics, to_numpy
from .methods import choose_members
from .pass_plan import LATEST, ImageProgress, PassPlan, mean_of_computed
from .prediction_cache import PredictionCache
from .result import Segmentation, Snapshot
from .settings import SegmentationSettings
from .temperature import chosen_temperature

_LARGEST = 1e18
"""Of a voxel: the variance of larger ones is no float32, and no scanner makes such."""
Image = NDArray[Any]


class Ensemble:
    """An ensemble folder ready to segment on a device.

    Every member is read and checked once; those that do not fit are refused in ``folder``.
    ``precision`` "auto" computes in half precision where the device is fast with it, "full" in
    float32. ``notify`` is told in one sentence when memory was short, ``kept`` are answers that are
    not to be computed again. Raises DataError, ModelError or AppError with one sentence.
    """

    def __init__(
        self,
        folder: EnsembleFolder | Path | str,
        *,
        device: str = "auto",
        precision: Precision = "auto",
        notify: Callable[[str], None] = lambda sentence: None,
        kept: PredictionCache | None = None,
    ) -> None:
        from ...nnunet.device import choose_device
        from ...nnunet.inference import Predictor

        found = folder if isinstance(folder, EnsembleFolder) else find_ensemble(Path(folder))
        self._notes: list[str] = []
        self._notify = notify
        self._predictor = Predictor(
            found.plans,
            found.dataset_json,
            found.configuration,
            device=choose_device(device),
            precision=precision,
            notify=self._note,
        )
        self.folder = found.refusing(why_refused(found))
        self._answers = MemberPredictor(self._predictor, self.folder, kept)

    @property
    def device(self) -> str:
        """Name of the device it computes on now."""
        return str(self._predictor.network.device)

    @property
    def precision(self) -> str:
        """The numbers the network computes with now: "float32", "float16" or "bfloat16"."""
        return str(self._predictor.network.dtype).removeprefix("torch.")

    @property
    def structures(self) -> dict[str, int]:
        """Label of every structure, without background and ignored voxels."""
        return {name: label for name, label in self.folder.labels.items() if label != 0}

    def segment(
        self,
        image: Image,
        spacing: Spacing,
        *,
        method: str = "multi",
        members: int = 30,
        mirroring: Mirroring = "full",
        temperature: float | Literal["fitted"] | None = None,
        until_stable: bool = False,
    ) -> Segmentation:
        """Segment ``image`` (Z, Y, X) or (channels, Z, Y, X) with ``spacing`` (z, y, x) in mm.

        The other parameters are those of `SegmentationSettings`.
        """
        settings = SegmentationSettings(
            method=method,
            members=members,
            mirroring=mirroring,
            temperature=temperature,
            until_stable=until_stable,
        )
        return drain(self.steps(image, spacing, settings))

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
        """How many phases of this size (channels, Z, Y, X) fill the device when asked together."""
        mirrors = 4 if mirroring == "full" else 1
        return self._predictor.images_at_once(slices=image.shape[-3], mirrors=mirrors)

    def phase_steps(
        self,
        images: Sequence[Image],
        spacing: Spacing,
        settings: SegmentationSettings,
        *,
        keep_members: bool = False,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Generator[dict[int, Snapshot], None, list[Segmentation]]:
        """Segment images, such as the phases of a cine, with one member after the other.

        Yields the posterior of each, by its index in ``images``, after every member; with
        ``until_stable``, images that are stable are left out. ``keep_members``: the results have
        the labels of every member, a byte per member and voxel (24 MB for 30 members of
        12 x 256 x 256 voxels); without it memory does not grow with the members. The ensemble has
        its device and precision already: those of ``settings`` are not used.
        """
        plan = PassPlan(folder=self.folder, settings=settings)
        order = plan.order
        refused = [member.path.name for member in self.folder.members if not member.usable]
        self._notes = [f"Refused members: {', '.join(refused)}."] if refused else []
        started = perf_counter()
        self._predictor.start_over()
        temperature = chosen_temperature(self.folder, settings)
        travellers = [
            self._traveller(image, spacing, temperature=temperature, keep_members=keep_members)
            for image in images
        ]
        pace = TimeLeft(latest=LATEST, average=mean_of_computed)
        for done, one in enumerate(order, start=1):
            under_way = {p: each for p, each in enumerate(travellers) if not each.rests}
            answers = self._answers.of(
                *(one, [each.image for each in under_way.values()]),
                mirroring=settings.mirroring,
                should_stop=should_stop,
            )
            for each, answer in zip(under_way.values(), answers, strict=True):
                each.add(answer)
            pace.step()
            left = pace.seconds(len(order) - done) or 0.0
            yield {p: Snapshot(done, len(order), left, each.tally) for p, each in under_way.items()}
            if plan.looks_after(done):
                for each in under_way.values():
                    each.look()
            if all(each.rests for each in travellers):
                break
        seconds = (perf_counter() - started) / len(images)
        return [self._result(each, plan, seconds) for each in travellers]

    def member_probabilities(
        self,
        image: Image,
        spacing: Spacing,
        members: Sequence[Member],
        *,
        mirroring: Mirroring = "full",
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[Any]:
        """Softmax (C, Z, Y, X) float32 of one member after the other, tensors on the device."""
        passes = [ForwardPass((member,)) for member in members]
        return self.pass_probabilities(
            image, spacing, passes, mirroring=mirroring, should_stop=should_stop
        )

    def pass_probabilities(
        self,
        image: Image,
        spacing: Spacing,
        passes: Iterable[ForwardPass],
        *,
        mirroring: Mirroring = "full",
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[Any]:
        """Softmax (C, Z, Y, X) float32 of one pass after the other, tensors on the device."""
        asked = InputImage(_checked(image, spacing), spacing)
        for one in passes:
            yield from self._answers.of(one, [asked], mirroring=mirroring, should_stop=should_stop)

    def find_phases(
        self, cine: Image, spacing: Spacing, *, should_stop: Callable[[], bool] = lambda: False
    ) -> tuple[int, int]:
        """End-diastole and end-systole of (channels, T, Z, Y, X), phases from 1.

        The largest and the smallest LV volume that the last member finds, without mirrors. Raises
        AppError where the ensemble knows no LV or finds none.
        """
        lv = next((v for n, v in self.structures.items() if canonical_structure(n) == "LV"), None)
        if lv is None:
            raise AppError("ED and ES are found by the LV, which this ensemble does not segment.")
        member = choose_members(self.folder, "vanilla", 1)[0]
        volumes = []
        together = self.phases_at_once(cine[:, 0], "none")
        for first in range(0, cine.shape[1], together):
            images = np.moveaxis(cine[:, first : first + together], 1, 0)
            answers = self._answers.of(
                ForwardPass((member,)),
                [InputImage(_checked(image, spacing), spacing) for image in images],
                mirroring="none",
                should_stop=should_stop,
            )
            for probabilities in answers:
                labels = to_numpy(most_probable(probabilities))
                volumes.append(volumes_ml(labels, spacing, {"LV": lv})["LV"])
        try:
            return end_diastole_and_systole(volumes)
        except ValueError as error:
            raise AppError(f"ED and ES were not found; name the phases instead. {error}") from error

    def _note(self, sentence: str) -> None:
        self._notes.append(sentence)
        self._notify(sentence)

    def _traveller(
        self, image: Image, spacing: Spacing, *, temperature: float, keep_members: bool
    ) -> ImageProgress:
        tally = MemberStatistics(
            structures=self.structures,
            spacing=spacing,
            posterior=RunningPosterior(temperature=temperature),
            step_down=self._predictor.step_down,
            keep_members=keep_members,
        )
        return ImageProgress(InputImage(_checked(image, spacing), spacing), tally)

    def _result(self, traveller: ImageProgress, plan: PassPlan, seconds: float) -> Segmentation:
        tally = traveller.tally
        labels = tally.measure(RunningPosterior.labels)
        volumes = volumes_ml(labels, tally.spacing, self.structures)
        spreads = {name: measure_spread(values) for name, values in tally.volumes.items()}
        agreement = tally.agreement.mean()
        return Segmentation(
            labels=labels,
            probabilities=tally.measure(RunningPosterior.mean),
            entropy=tally.measure(RunningPosterior.total_entropy),
            mutual_information=tally.measure(RunningPosterior.mutual_information),
            volumes=volumes,
            member_volumes={name: tuple(values) for name, values in tally.volumes.items()},
            volume_spread=spreads,
            pairwise_dice=agreement,
            ensemble=self.folder.name,
            ensemble_kind=self.folder.kind,
            settings=replace(
                plan.settings,
                members=len(plan.chosen),
                temperature=tally.posterior.temperature,
                device=self.device,
            ),
            members=tuple(m for one in plan.taken(traveller.done) for m in one.members),
            precision=self.precision,
            seconds=seconds,
            structures=self.structures,
            warnings=validation_warnings(self.folder, volumes, spreads, agreement),
            notes=(*self._notes, *plan.notes(traveller.done)),
            member_labels=traveller.member_labels(plan),
        )


def _checked(image: Image, spacing: Spacing) -> Image:
    """The image as (channels, Z, Y, X). Raises AppError where it cannot be segmented."""
    channels = image[None] if image.ndim == 3 else image
    if channels.ndim != 4 or 0 in channels.shape or channels.dtype.kind not in "buif":
        raise AppError(
            "Expected a (Z, Y, X) image of real numbers, found shape "
            f"{image.shape} of {image.dtype}."
        )
    if not np.isfinite(channels).all():
        raise AppError("The image holds NaN or infinite voxels; they cannot be segmented.")
    largest = max(abs(float(channels.min())), abs(float(channels.max())))
    if largest > _LARGEST:
        raise AppError(f"The image holds voxels of {largest:.3g}: check how it was converted.")
    if len(spacing) != 3 or not all(math.isfinite(s) and s > 0 for s in spacing):
        raise AppError(f"The spacing must be three positive lengths in mm, not {spacing}.")
    if not channels.any():
        raise AppError("The image is empty: all its voxels are 0.")
    return channels
