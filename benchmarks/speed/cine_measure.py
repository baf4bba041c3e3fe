"""Measurement of one row of the cine table on one cine, in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_bayes_nnunet.app.segmentation.result import Segmentation, order_after
from napari_bayes_nnunet.core.metrics.calibration import ReliabilityBins, reliability_bins
from napari_bayes_nnunet.core.metrics.overlap import dice
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.dataset.raw_dataset import TrainingCase
from napari_bayes_nnunet.io.ensemble.ensemble_folder import find_ensemble
from napari_bayes_nnunet.io.images.nifti import read_labels
from napari_bayes_nnunet.nnunet.device import choose_device

from ..held_back import read_image
from ..stored_bins import bins_from_json, bins_to_json
from .made_answers import answer_as
from .memory import PeakMemory
from .rows import Ours, Row, Stock

FRAMES = 2
"""Different frames of a cine: ED and ES."""
Frames = tuple[TrainingCase, ...]
Labels = list[NDArray[np.uint8]]
NO_STUDENT = "The ensemble has no student. Leave out the row of the student."


@dataclass(frozen=True, kw_only=True)
class CineTask:
    """Row to measure on a cine.

    Only ``timed_phases`` phases and, of nnU-Net, ``timed_members`` members are timed, and scaled to
    those of the row. With ``made_answers`` the members of ours compute, but answer as the reference
    does (`made_answers`).
    """

    run: str
    cine: str
    row: Row
    device: str
    timed_phases: int
    timed_members: int
    made_answers: bool = False

    @property
    def is_scaled(self) -> bool:
        """Whether less is timed than the row needs."""
        row = self.row
        return self.timed_phases < row.phases or (row.stock and self.timed_members < row.members)

    @property
    def has_scores(self) -> bool:
        """Whether the result can be compared with the reference and with nnU-Net's."""
        return not self.made_answers and self.timed_members == self.row.members

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Return the task from its fields."""
        return cls(**{**content, "row": Row(**content["row"])})


@dataclass(frozen=True, kw_only=True)
class MeasuredCine:
    """Scaled seconds of a task, those to the volume curve, and the members asked per slice.

    ``peak`` is in bytes. ``labels``, ``dice`` and ``bins`` of both frames are empty if the task has
    no scores; ``bins`` are also empty for a student, whose first look keeps no probabilities.
    """

    task: CineTask
    precision: str
    device: str
    seconds: float
    curve_seconds: float | None
    asked: float
    peak: int
    labels: Labels
    dice: list[float]
    bins: ReliabilityBins

    def to_json(self) -> dict[str, Any]:
        """Return the fields without the labels."""
        content = asdict(replace(self, labels=[]))
        return {**content, "bins": bins_to_json(self.bins)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any], labels: Labels) -> Self:
        """Return the measurement from `to_json` and its labels."""
        task, bins = CineTask.from_json(content["task"]), bins_from_json(content["bins"])
        return cls(**{**content, "task": task, "bins": bins, "labels": labels})


@dataclass
class _Segmented:
    """Seconds of a cine, networks per slice, and labels and known probabilities of its frames."""

    seconds: float
    asked: float
    labels: Labels
    probabilities: list[NDArray[np.float32]]
    curve_seconds: float | None = None


def measure_cine(task: CineTask, frames: Frames) -> MeasuredCine:
    """Measure a row on a cine, without the time to open the ensemble; call it in a new process."""
    row, run = task.row, Path(task.run)
    predictor: Stock | Ours
    with PeakMemory(str(choose_device(task.device))) as peak:
        if row.stock:
            few = replace(row, members=task.timed_members)
            predictor = Stock(run, few, task.device)
        else:
            predictor = Ours(run, row, task.device)
        read = [read_image(case) for case in frames]
        references = [read_labels(case.label).voxels for case in frames]
        phases, spacing = make_phases([image for image, _ in read], row.phases), read[0][1]
        if row.student:
            segmented = _look(predictor, phases, spacing)
        elif isinstance(predictor, Stock):
            segmented = _segment_stock(predictor, phases, spacing, task)
        else:
            if task.made_answers:
                answer_as(predictor.ensemble, phases, references, spacing)
            segmented = _segment_ours(predictor, phases, spacing, task)
    labels = segmented.labels if task.has_scores else []
    probabilities = segmented.probabilities if task.has_scores else []
    structures = {name: label for name, label in find_ensemble(run).labels.items() if label}
    scores = [
        float(np.nanmean([*dice(found, reference, structures).values()]))
        for found, reference in zip(labels, references, strict=False)
    ]
    bins = ReliabilityBins.empty()
    for of_frame, reference in zip(probabilities, references, strict=False):
        bins += reliability_bins(of_frame, reference)
    return MeasuredCine(
        task=task,
        precision=predictor.precision,
        device=predictor.device,
        seconds=segmented.seconds,
        curve_seconds=segmented.curve_seconds,
        asked=segmented.asked,
        peak=peak.bytes,
        labels=labels,
        dice=scores,
        bins=bins,
    )


def make_phases(frames: Sequence[NDArray[Any]], count: int) -> list[NDArray[np.float32]]:
    """Return phases that alternate between the frames.

    No two are equal, because equal phases would be preprocessed once: intensities differ by a
    factor that the normalisation removes.
    """
    return [
        frames[number % FRAMES].astype(np.float32) * np.float32(1 + number // FRAMES / 1000)
        for number in range(count)
    ]


def _segment_stock(
    predictor: Stock, phases: list[NDArray[Any]], spacing: Any, task: CineTask
) -> _Segmented:
    """Segment the first phases by nnU-Net, and scale the seconds."""
    timed = phases[: task.timed_phases]
    started = perf_counter()
    results = [predictor.predict(image, spacing)[0] for image in timed]
    part = len(timed) / len(phases) * task.timed_members / task.row.members
    seconds = (perf_counter() - started) / part
    return _Segmented(seconds, float(task.row.members), *_answers(results[:FRAMES]))


def _segment_ours(
    predictor: Ours, phases: list[NDArray[Any]], spacing: Any, task: CineTask
) -> _Segmented:
    """Segment the phases as the dock does: a look at each, then one group after the other."""
    ensemble, started = predictor.ensemble, perf_counter()
    looks = list(ensemble.first_looks(np.stack(phases, axis=1), spacing))
    curve = perf_counter() - started
    timed = _with_all_frames(order_after(looks), task.timed_phases)
    together = ensemble.phases_at_once(phases[0], task.row.mirroring)
    asked: list[int] = []
    found: dict[int, NDArray[np.float32]] = {}
    for first in range(0, len(timed), together):
        group = timed[first : first + together]
        steps = ensemble.phase_steps(
            [phases[number] for number in group], spacing, predictor.settings, keep_members=True
        )
        for number, result in zip(group, drain(steps), strict=True):
            asked += _asked(result)
            found.setdefault(number % FRAMES, result.probabilities)
    seconds = curve + (perf_counter() - started - curve) * len(phases) / len(timed)
    frames = _answers([found[number] for number in range(FRAMES)])
    return _Segmented(seconds, float(np.mean(asked)), *frames, curve)


def _look(predictor: Stock | Ours, phases: list[NDArray[Any]], spacing: Any) -> _Segmented:
    """Let the student look at every phase. Raises ValueError if there is none."""
    assert isinstance(predictor, Ours)
    if predictor.ensemble.checks.student is None:
        raise ValueError(NO_STUDENT)
    started = perf_counter()
    looks = list(predictor.ensemble.first_looks(np.stack(phases, axis=1), spacing))
    seconds = perf_counter() - started
    return _Segmented(seconds, 1.0, [look.labels for look in looks[:FRAMES]], [], seconds)


def _answers(
    probabilities: list[NDArray[np.float32]],
) -> tuple[Labels, list[NDArray[np.float32]]]:
    return [of_frame.argmax(0).astype(np.uint8) for of_frame in probabilities], probabilities


def _asked(result: Segmentation) -> Sequence[int]:
    return result.members_by_slice or [len(result.members)] * len(result.labels)


def _with_all_frames(order: list[int], count: int) -> list[int]:
    """Return the first ``count`` phases, with at least one phase of each frame."""
    firsts = [next(n for n in order if n % FRAMES == frame) for frame in range(FRAMES)]
    rest = [number for number in order if number not in firsts]
    return sorted([*firsts, *rest[: count - FRAMES]], key=order.index)
