"""An evaluation done in a thread: how far it is, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import TypeAlias

from qtpy.QtCore import QObject, Signal

from ...app.evaluation.request import EvaluationOutcome, EvaluationRequest, Stage, run
from ...core.steps import map_steps
from ..common.long_work import LongWork, Steps

Run: TypeAlias = Callable[[EvaluationRequest], Generator[Stage, None, EvaluationOutcome]]


class _Told:
    """What the thread has last told of itself."""

    stage: Stage | None = None


class EvaluationJob(QObject):
    """Runs one evaluation at a time, and writes nothing of one that is stopped.

    ``progressed`` carries a Stage, ``finished`` the EvaluationOutcome, ``failed`` a sentence.
    """

    progressed = Signal(object)
    finished = Signal(object)
    failed = Signal(str)
    stopped = Signal()

    def __init__(self, *, run: Run = run, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._run = run
        self._told = _Told()
        self._work = LongWork(self)
        self._work.progressed.connect(self._on_progressed)

    @property
    def is_running(self) -> bool:
        """Whether something runs whose end will be told."""
        return self._work.is_running

    def start(self, request: EvaluationRequest) -> None:
        """Begin; what ran before is dropped."""
        self._told = _Told()
        work = partial(_telling, self._run, request, self._told)
        self._work.start(work, self.finished.emit, self.failed.emit)

    def stop(self) -> None:
        """End at once, unless the files are being written: what is still done leads to nothing."""
        stage = self._told.stage
        if self.is_running and not (stage is not None and stage.is_last):
            self._work.drop()
            self.stopped.emit()

    def _on_progressed(self, _done: int, _total: int) -> None:
        if self._told.stage is not None:
            self.progressed.emit(self._told.stage)


def _telling(run: Run, request: EvaluationRequest, told: _Told) -> Steps:
    """The steps of an evaluation; what they say besides their number is left in ``told``."""

    def note(stage: Stage) -> tuple[int, int]:
        told.stage = stage
        return stage.done, stage.total

    return (yield from map_steps(run(request), note))
