"""An evaluation that runs in a thread."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import TypeAlias

from qtpy.QtCore import QObject, Signal

from ...app.evaluation.request import EvaluationOutcome, EvaluationRequest, Stage, run_evaluation
from ...core.steps import map_steps
from ..common.long_work import LongWork, Steps

Run: TypeAlias = Callable[[EvaluationRequest], Generator[Stage, None, EvaluationOutcome]]


class _LatestStage:
    """The stage that the thread reported last."""

    stage: Stage | None = None


class EvaluationJob(QObject):
    """One evaluation at a time, in a thread. A stopped evaluation writes nothing.

    ``progressed`` carries a Stage, ``finished`` the EvaluationOutcome, ``failed`` a sentence.
    """

    progressed = Signal(object)
    finished = Signal(object)
    failed = Signal(str)
    stopped = Signal()

    def __init__(self, *, run: Run = run_evaluation, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._run = run
        self._latest = _LatestStage()
        self._work = LongWork(self)
        self._work.progressed.connect(self._on_progressed)

    @property
    def is_running(self) -> bool:
        """Whether an evaluation is running."""
        return self._work.is_running

    def start(self, request: EvaluationRequest) -> None:
        """Start an evaluation in place of a running one."""
        self._latest = _LatestStage()
        work = partial(_noted_steps, self._run, request, self._latest)
        self._work.start(work, self.finished.emit, self.failed.emit)

    def stop(self) -> None:
        """Stop at once, unless the files are already being written."""
        stage = self._latest.stage
        if self.is_running and not (stage is not None and stage.is_last):
            self._work.drop()
            self.stopped.emit()

    def _on_progressed(self, _done: int, _total: int) -> None:
        if self._latest.stage is not None:
            self.progressed.emit(self._latest.stage)


def _noted_steps(run: Run, request: EvaluationRequest, latest: _LatestStage) -> Steps:
    """Yield (done, total) of each stage of an evaluation, and keep the stage in ``latest``."""

    def note(stage: Stage) -> tuple[int, int]:
        latest.stage = stage
        return stage.done, stage.total

    return (yield from map_steps(run(request), note))
