"""The dock "Evaluate": predictions beside reference labels, and what came of it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from ...app.evaluation.request import (
    EvaluationOutcome,
    EvaluationPreview,
    EvaluationRequest,
    Stage,
    files_there,
    preview,
)
from ..common.dialogs import ask_to_replace
from ..common.dock import DockContent, MessageLabel, scrolling
from ..common.long_work import LongWork, Steps
from ..common.progress_row import ProgressRow
from ..common.rows_table import LEVEL_COLORS
from ..common.settings import Settings
from .form import EvaluationForm
from .job import EvaluationJob
from .results import EvaluationResults, open_path

NARROWEST = 300
_LOOKING = "Looking into the folders…"
EVALUATION_STOPPED = "Stopped; nothing was written."


class EvaluationWidget(DockContent):
    """Coordinates the form, the work in the background and the results.

    ``may_replace`` asks whether files may be replaced, ``open_path`` opens a file or a folder.
    """

    def __init__(
        self,
        napari_viewer: Any,
        *,
        settings: Settings | None = None,
        job: EvaluationJob | None = None,
        may_replace: Callable[[QWidget, Sequence[str]], bool] = ask_to_replace,
        open_path: Callable[[Path], bool] = open_path,
    ) -> None:
        super().__init__()
        self._settings = settings or Settings()
        self._may_replace = may_replace
        self._looking = LongWork(self)
        self._preview: EvaluationPreview | None = None
        self._problem = ""
        self.job = job or EvaluationJob()
        self.job.setParent(self)
        self.form = EvaluationForm()
        self.hint = MessageLabel()
        self.evaluate_button = QPushButton("Evaluate")
        self.progress = ProgressRow()
        self.status = MessageLabel()
        self.results = EvaluationResults(open_path=open_path)
        self._lay_out()
        self.form.set_folders(self._settings.last_evaluation())
        self._connect()
        self._on_changed()

    @property
    def preview(self) -> EvaluationPreview | None:
        """What can be measured, None while that is not known."""
        return self._preview

    def evaluate(self) -> None:
        """Evaluate what the form says; what is missing is said in the dock."""
        request = self.form.request()
        if request is None or self._preview is None or self.job.is_running:
            return
        there = [f"{file.parent.name}/{file.name}" for file in files_there(request.report)]
        if there and not self._may_replace(self, there):
            return
        self._settings.keep_evaluation(self.form.folders())
        self.results.set_outcome(None)
        self.status.say("")
        self._set_running(True)
        self.job.start(request)

    def _lay_out(self) -> None:
        content = QWidget()
        column = QVBoxLayout(content)
        for part in (
            self.form, self.hint, self.evaluate_button, self.progress, self.status, self.results,
        ):  # fmt: skip
            column.addWidget(part)
        column.addStretch(1)
        # A case may have a long name: it is shortened and does not widen the dock.
        self._area = scrolling(content)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self._area)
        self.setMinimumWidth(NARROWEST)

    def _connect(self) -> None:
        self.form.changed.connect(self._on_changed)
        self.evaluate_button.clicked.connect(self.evaluate)
        self.progress.stop_requested.connect(self.job.stop)
        self.job.progressed.connect(self._on_progressed)
        self.job.finished.connect(self._on_finished)
        self.job.failed.connect(self._on_failed)
        self.job.stopped.connect(partial(self._end, EVALUATION_STOPPED))

    def _on_changed(self) -> None:
        """Look into the folders in the background: they may lie on a slow drive."""
        self._looking.drop()
        self._preview, self._problem = None, ""
        request = self.form.request()
        self.form.patient.show_example("")
        if request is not None:
            work = partial(_preview_steps, request)
            self._looking.start(work, self._on_looked, self._on_problem)
        self._tell()

    def _on_looked(self, found: EvaluationPreview) -> None:
        self._preview = found
        case = found.cases[0]
        self.form.patient.show_example(f"{case} → {found.patient_of[case]}")
        self._tell()

    def _on_problem(self, sentence: str) -> None:
        self._problem = sentence
        self._tell()

    def _tell(self) -> None:
        """Whether Evaluate can be pressed, and why not."""
        request, found = self.form.request(), self._preview
        text = self.form.missing or self._problem or _LOOKING
        self.hint.setStyleSheet(f"color: {LEVEL_COLORS['blocking']}" if self._problem else "")
        self.hint.say(text if found is None else _summary(found))
        self.evaluate_button.setEnabled(found is not None and not self.job.is_running)
        command = request.arguments if request is not None else []
        tip = shlex.join(["bayes-nnunet", "evaluate", *command])
        self.evaluate_button.setToolTip(text if found is None else tip)

    def _set_running(self, running: bool) -> None:
        self.form.setEnabled(not running)
        self.evaluate_button.setEnabled(not running)
        if running:
            self.progress.begin("Measuring the first case")
        else:
            self.progress.hide()

    def _on_progressed(self, stage: Stage) -> None:
        text, bar = self.progress.text, self.progress.bar
        words = stage.words if stage.total else f"{stage.words}…"
        text.setText(words)
        text.setToolTip(words)
        bar.setRange(0, stage.total)
        bar.setValue(stage.done)
        self.progress.stop_button.setEnabled(not stage.is_last)

    def _on_finished(self, outcome: EvaluationOutcome) -> None:
        self._end("")
        self.results.set_outcome(outcome)
        # Once it is laid out: below a long form nobody would see that there is something.
        QTimer.singleShot(0, self._show_results)

    def _on_failed(self, sentence: str) -> None:
        self._end(sentence, LEVEL_COLORS["blocking"])

    def _end(self, sentence: str, color: str = "") -> None:
        self._set_running(False)
        self.status.setStyleSheet(f"color: {color}" if color else "")
        self.status.say(sentence)
        self._tell()

    def _show_results(self) -> None:
        bar = self._area.verticalScrollBar()
        bar.setValue(min(self.results.y(), bar.maximum()))

    def _on_dock_closed(self) -> None:
        self.job.stop()

    def _on_taken_out(self) -> None:
        self.job.stop()


def _preview_steps(request: EvaluationRequest) -> Steps:
    yield 0, 1
    return preview(request)


def _summary(found: EvaluationPreview) -> str:
    cases, patients = len(found.cases), found.patients
    words = f"{_number(cases, 'case')} of {_number(patients, 'patient')}"
    return f"{words}." if found.labelled == cases else f"{words}; {found.labelled} have labels."


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
