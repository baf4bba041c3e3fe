"""Segmentation of one image in the inference child."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from ...app.messages import (
    FAILED,
    STOPPED,
    ChildReady,
    ConnectionTested,
    EnsembleLoaded,
    FirstLookReady,
    JobEnded,
    LoadEnsemble,
    Message,
    Notice,
    PhaseDone,
    PhasesFound,
    SegmentImage,
    SnapshotReady,
    StageStarted,
    StopJob,
    TestConnection,
)
from ...app.prediction.output_files import FOUND_BY_VOLUME
from ...app.segmentation.recipe import are_of_one_examination
from ...core.counts import phase_names
from ...core.durations import duration_text
from ...core.ensemble.stored_posterior import StoredPosterior
from ...io.images.nifti import CardiacPhases
from ..common.background import Background
from ..common.wording import in_the_window
from ..layers.image_input import ImageInput
from ..layers.result import PhaseState, SegmentationResult, delete_files
from .inference_child import InferenceChild

STOP_WITHIN_MS = 600
"""A child that has not stopped by then is killed, so that Stop takes less than a second."""
STOPPED_EARLY = "Stopped."
STOPPED_AFTER = "Stopped{phases} after {models}. The result so far is kept."
PROVISIONAL_PHASES = "Provisional, from one model: {phases}."
PHASES_BY_STUDENT = "Provisional, from the student, one model that answers for all: {phases}."
LEFT_OUT_OF_REVIEW = "Review… leaves out {phases}. Press Segment to finish."
RESULT_KEPT = "The result so far is kept."
BUSY = "A segmentation is running. Test the connection when it has ended."
PREPARING = "Preparing the image"
WAITING = "Waiting for the first model"
OF_OTHER_ENSEMBLE = (
    "The earlier result of {phases} was removed, because the ensemble has changed since. Segment "
    "again to replace it."
)


@dataclass(frozen=True)
class SegmentationProgress:
    """Progress of a job: ``done`` of ``total`` members in a phase, ``fraction`` 0 to 1 overall."""

    done: int
    total: int
    eta_seconds: float
    phase: int | None
    fraction: float

    def __str__(self) -> str:
        start = "Model" if self.phase is None else f"Phase {self.phase}: model"
        return f"{start} {self.done} of {self.total}, {duration_text(self.eta_seconds)} left"


@dataclass(eq=False)
class _Job:
    """A running job with this number of ``phases``.

    ``shares`` are the finished shares of the phases in the child, ``shown`` the phases with a
    snapshot in the result.
    """

    number: int
    image: ImageInput
    result: SegmentationResult
    file: Path
    phases: int
    shares: dict[int | None, float] = field(default_factory=dict)
    shown: list[int | None] = field(default_factory=list)
    is_sent: bool = False
    gives_up: threading.Event = field(default_factory=threading.Event)

    def phase(self, sent: int | None) -> int | None:
        """Return the phase of the cine for a phase as the child counts them."""
        return None if sent is None else self.image.sent_phases[sent - 1]


class SegmentationJob(QObject):
    """Controller of one segmentation at a time in the inference child; drops late answers.

    ``ended`` carries the outcome of `JobEnded` and a sentence on the failure or the progress made.
    The result given to ``start`` keeps everything received until then.
    """

    devices_found = Signal(dict)
    connection_tested = Signal(str, str)
    members_refused = Signal(str, dict)
    stage_started = Signal(str)
    phases_found = Signal(int, int)
    result_grown = Signal(object, object)
    volumes_changed = Signal()
    progressed = Signal(object)
    noticed = Signal(str)
    ended = Signal(str, str)

    def __init__(self, child: InferenceChild, *, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._child = child
        self._background = Background(self)
        self._number = 0
        self._job: _Job | None = None
        self._patience = QTimer(self)
        self._patience.setSingleShot(True)
        self._patience.setInterval(STOP_WITHIN_MS)
        self._patience.timeout.connect(self._on_patience_lost)
        child.message_received.connect(self._on_message)
        child.died.connect(self._on_died)
        self._handlers: dict[type[Message], Callable[[Any], None]] = {
            ChildReady: lambda m: self.devices_found.emit(m.devices),
            ConnectionTested: lambda m: self.connection_tested.emit(
                m.device, in_the_window(m.sentence)
            ),
            EnsembleLoaded: lambda m: self.members_refused.emit(m.folder, m.refused),
            StageStarted: lambda m: self.stage_started.emit(m.text),
            Notice: lambda m: self.noticed.emit(in_the_window(m.sentence)),
            FirstLookReady: self._on_first_look,
            PhasesFound: self._on_phases,
            SnapshotReady: self._on_snapshot,
            PhaseDone: self._on_phase_done,
            JobEnded: self._on_ended,
        }

    @property
    def is_running(self) -> bool:
        """Whether a job has been started and has not ended."""
        return self._job is not None

    def load_ensemble(self, folder: Path, device: str) -> None:
        """Let the child open all members of ``folder`` and keep them loaded."""
        self._child.send(LoadEnsemble(folder=str(folder), device=device))

    def test(self, device: str) -> None:
        """Let the child test the connection to another computer."""
        if self._job is not None:
            self.connection_tested.emit(device, BUSY)
        else:
            self._child.send(TestConnection(device=device))

    def start(self, image: ImageInput, result: SegmentationResult) -> None:
        """Segment ``image`` into ``result``, with the settings of the result."""
        self._number += 1
        result.requested = {*(image.phases or ())}
        phases = len(image.phases or ()) or (2 if image.is_cine else 1)
        file = self._child.scratch / f"image-{self._number}.npy"
        job = _Job(self._number, image, result, file, phases)
        self._job = job
        self.stage_started.emit(PREPARING)
        write = partial(image.write, file, should_stop=job.gives_up.is_set)
        self._background.run(write, partial(self._on_prepared, job), partial(self._on_failed, job))

    def stop(self) -> None:
        """End the job within a second and keep the result so far."""
        if self._job is None or self._job.gives_up.is_set():
            return  # a second press must not grant the child more time
        self._job.gives_up.set()
        if self._job.is_sent:
            self._child.send(StopJob(job=self._job.number))
            self._patience.start()
        else:
            self._end(STOPPED, "")

    def forget(self) -> None:
        """End the job at once, because the child is being closed."""
        if self._job is not None:
            self._job.gives_up.set()
            self._end(STOPPED, "")

    def _on_prepared(self, job: _Job, _: object) -> None:
        if job is not self._job:
            job.file.unlink(missing_ok=True)
            return
        job.is_sent = True
        image, result = job.image, job.result
        finds_phases = image.is_cine and image.phases is None
        request = SegmentImage(
            job=job.number,
            image=str(job.file),
            spacing=image.spacing,
            folder=str(result.folder),
            phases=None if finds_phases else list(range(1, len(image.sent_phases) + 1)),
            settings=result.settings,
            doubt=image.doubt,
        )
        self._child.send(request)
        self.stage_started.emit(WAITING)

    def _on_message(self, message: Message) -> None:
        job = getattr(message, "job", 0)
        if job and (self._job is None or job != self._job.number):
            delete_files(message)
            return
        if handle := self._handlers.get(type(message)):
            handle(message)

    def _on_phases(self, message: PhasesFound) -> None:
        assert self._job is not None
        result = self._job.result
        result.known_phases = CardiacPhases(message.end_diastole, message.end_systole)
        result.phases_from = FOUND_BY_VOLUME
        result.requested = {*result.known_phases}
        self.phases_found.emit(message.end_diastole, message.end_systole)
        self.stage_started.emit(WAITING)

    def _on_first_look(self, message: FirstLookReady) -> None:
        assert self._job is not None
        job, phase = self._job, self._job.phase(message.phase)
        read = partial(job.result.read, message, phase)
        finish = partial(self._on_look_read, job, phase, message)
        self._background.run(read, finish, partial(self._on_failed, job))

    def _on_look_read(
        self, job: _Job, phase: int | None, message: FirstLookReady, _: object
    ) -> None:
        job.result.count_look(phase, message.volumes, by_student=message.by_student)
        self.result_grown.emit(job.result, phase)
        self.volumes_changed.emit()

    def _on_snapshot(self, message: SnapshotReady) -> None:
        """Read the snapshot in the thread, because volumes can be large."""
        assert self._job is not None
        job, phase = self._job, self._job.phase(message.phase)
        job.shares[phase] = message.done / message.total
        fraction = sum(job.shares.values()) / job.phases
        counts = (message.done, message.total, message.eta_seconds)
        progress = SegmentationProgress(*counts, phase, fraction)
        read = partial(job.result.read, message, phase)
        self._background.run(
            read, partial(self._on_read, job, progress), partial(self._on_failed, job)
        )

    def _on_read(self, job: _Job, progress: SegmentationProgress, _: object) -> None:
        job.result.count(progress.phase, progress.done, progress.total)
        if progress.phase not in job.shown:
            job.shown.append(progress.phase)
        self.result_grown.emit(job.result, progress.phase)
        if job is self._job:
            self.progressed.emit(progress)

    def _on_phase_done(self, message: PhaseDone) -> None:
        """Read the posterior in the thread, after the snapshots and before the end of the job."""
        assert self._job is not None
        job, phase = self._job, self._job.phase(message.phase)
        job.shares[phase] = 1
        read = partial(job.result.read_posterior, message, phase)
        finish = partial(self._on_posterior_read, job, phase, message.report)
        self._background.run(read, finish, partial(self._on_failed, job))

    def _on_posterior_read(
        self, job: _Job, phase: int | None, report: dict[str, Any], posterior: StoredPosterior
    ) -> None:
        """Finish a phase, and remove those of earlier jobs if another ensemble made them."""
        job.result.finish(phase, report, posterior)
        self.volumes_changed.emit()
        new = {*job.shown, *job.result.provisional}
        earlier = [p for p in job.result.phases if p not in new]
        reports = (job.result.phases[p].report for p in earlier)
        if not all(known is None or are_of_one_examination(known, report) for known in reports):
            job.result.forget(earlier)
            self.result_grown.emit(job.result, phase)
            self.noticed.emit(OF_OTHER_ENSEMBLE.format(phases=phase_names(earlier)))

    def _on_ended(self, message: JobEnded) -> None:
        """End the job; an end without a job number concerns the ensemble or the connection."""
        job = self._job
        if not message.job or job is None:
            self.noticed.emit(in_the_window(message.sentence))
            return
        all_read = partial(self._on_all_read, job)
        self._background.run(lambda: message, all_read, partial(self._on_failed, job))

    def _on_all_read(self, job: _Job, message: JobEnded) -> None:
        if job is self._job:
            self._end(message.outcome, in_the_window(message.sentence))

    def _on_patience_lost(self) -> None:
        if self._job is not None:
            self._child.restart()
            result = self._job.result
            self.load_ensemble(result.folder, result.settings.device)
            self._end(STOPPED, "")

    def _on_died(self, sentence: str) -> None:
        if self._job is not None:
            self._end(FAILED, sentence)
        else:
            self.noticed.emit(sentence)

    def _on_failed(self, job: _Job, sentence: str) -> None:
        if job is not self._job:
            return
        if job.is_sent:
            self._child.send(StopJob(job=job.number))
        else:
            job.file.unlink(missing_ok=True)
        self._end(FAILED, sentence)

    def _end(self, outcome: str, sentence: str) -> None:
        self._patience.stop()
        if self._job is not None:
            if outcome == STOPPED:
                result = self._job.result
                states = {phase: result.phases[phase] for phase in self._job.shown}
                sentence = stopped_sentence(states, phases=self._job.phases)
                sentence = f"{sentence} {unfinished_sentence(result)}".rstrip()
            if outcome == FAILED and self._job.shown:
                sentence = f"{sentence} {RESULT_KEPT}"
            if self._job.is_sent:
                self._job.file.unlink(missing_ok=True)
            self._job = None
        self.ended.emit(outcome, sentence)


def stopped_sentence(states: Mapping[int | None, PhaseState], *, phases: int) -> str:
    """Return a sentence on the shown ``states`` of a job, which had this number of ``phases``."""
    if not states:
        return STOPPED_EARLY
    unfinished = [p for p, state in states.items() if state.done < state.total]
    unfinished = unfinished or list(states)[-1:]
    counts = {states[phase].done for phase in unfinished}
    least = "" if len(counts) == 1 else "at least "
    stopped_in = f" in {phase_names(unfinished)}" if phases > 1 else ""
    models = f"{least}{min(counts)} of {states[unfinished[0]].total} models"
    return STOPPED_AFTER.format(phases=stopped_in, models=models)


def unfinished_sentence(result: SegmentationResult) -> str:
    """Return sentences on the provisional and unfinished phases of a result, "" for none."""
    looks, unfinished = result.provisional, result.unfinished
    sentence = PHASES_BY_STUDENT if result.looks_by_student else PROVISIONAL_PHASES
    provisional = sentence.format(phases=phase_names(looks)) if looks else ""
    if not unfinished or not result.posteriors:
        return provisional
    return f"{provisional} {LEFT_OUT_OF_REVIEW.format(phases=phase_names(unfinished))}".lstrip()
