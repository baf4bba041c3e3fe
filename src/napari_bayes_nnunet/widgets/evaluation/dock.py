"""The Evaluate dock, which compares predictions with reference labels."""

from __future__ import annotations

import shlex
from functools import partial
from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QPushButton

from ...app.evaluation.evaluate import EvaluationProgress
from ...app.evaluation.request import (
    EvaluationOutcome,
    EvaluationPreview,
    EvaluationRequest,
    existing_files,
    preview_evaluation,
    run_evaluation,
)
from ...app.messages import StageStarted
from ...core.counts import format_count
from ..common.dialogs import ask_to_replace
from ..common.dock import DockContent, MessageLabel
from ..common.levels import Level
from ..common.long_work import LongWork, Steps
from ..common.progress_row import ProgressRow
from ..common.settings import Settings, open_settings
from .form import EvaluationForm
from .results import EvaluationResults

_READING = "Reading the folders…"
EVALUATION_STOPPED = "Stopped. Nothing was written."
CASES_FOUND = "{cases} of {patients}."
FEW_LABELS = "{cases} of {patients}, {labelled} with reference labels."


class EvaluationWidget(DockContent):
    """The Evaluate dock: the form, the background work and the results.

    ``preview`` has the cases to evaluate, None until the folders have been read.
    """

    TITLE = "Evaluate"

    def __init__(self, napari_viewer: Any, *, settings: Settings | None = None) -> None:
        super().__init__()
        self._settings = open_settings(settings)
        self.job, self._looking = LongWork(self), LongWork(self)
        self.preview: EvaluationPreview | None = None
        self._problem = ""
        self.form = EvaluationForm()
        self.hint = MessageLabel()
        self.evaluate_button = QPushButton("Evaluate")
        self.progress = ProgressRow()
        self.status = MessageLabel()
        self.results = EvaluationResults()
        self._lay_out()
        # Before the connections, so that the folders are read once.
        self.form.set_folders(self._settings.kept.last_evaluation)
        self._connect()
        self._on_changed()

    def evaluate(self) -> None:
        """Start the evaluation; do nothing if an input is missing."""
        request = self.form.request()
        if request is None or self.preview is None or self.job.is_running:
            return
        existing = [f"{file.parent.name}/{file.name}" for file in existing_files(request.report)]
        if existing and not ask_to_replace(self, existing):
            return
        self._settings.keep(last_evaluation=dict(self.form.folders()))
        self.results.set_outcome(None)
        self.status.show_message("")
        self._set_running(True)
        failed = partial(self._end, level="blocking")
        self.job.start(partial(run_evaluation, request), self._on_finished, failed)

    def _lay_out(self) -> None:
        below = self.evaluate_button, self.progress, self.status, self.results
        self._area = self._lay_out_page(self.form, self.hint, *below)

    def _connect(self) -> None:
        self.form.changed.connect(self._on_changed)
        self.evaluate_button.clicked.connect(self.evaluate)
        self.progress.stop_requested.connect(self._stop)
        self.job.progressed.connect(self._on_progressed)

    def _on_changed(self) -> None:
        """Read the folders in the background, because they may be on a slow drive."""
        self._looking.drop()
        self.preview, self._problem = None, ""
        request = self.form.request()
        self.form.patient.example.show_message("")
        if request is not None:
            work = partial(_preview_steps, request)
            self._looking.start(work, self._on_previewed, self._on_problem)
        self._show_readiness()

    def _on_previewed(self, preview: EvaluationPreview) -> None:
        self.preview = preview
        case = preview.cases[0]
        self.form.patient.example.show_message(f"{case} → {preview.patient_of[case]}")
        self._show_readiness()

    def _on_problem(self, sentence: str) -> None:
        self._problem = sentence
        self._show_readiness()

    def _show_readiness(self) -> None:
        """Enable Evaluate, or say why it cannot start."""
        request, preview = self.form.request(), self.preview
        text = self.form.missing or self._problem or _READING
        level: Level = "blocking" if self._problem else "fine"
        self.hint.show_message(text if preview is None else _summary(preview), level)
        self.evaluate_button.setEnabled(preview is not None and not self.job.is_running)
        command = request.arguments if request is not None else []
        tooltip = shlex.join(["bayes-nnunet", "evaluate", *command])
        self.evaluate_button.setToolTip(text if preview is None else tooltip)

    def _set_running(self, running: bool) -> None:
        self.form.setEnabled(not running)
        self.evaluate_button.setEnabled(not running)
        if running:
            self.progress.begin("Evaluating the first case")
        else:
            self.progress.hide()

    def _on_progressed(self, stage: EvaluationProgress) -> None:
        place = f"{stage.done} of {stage.total}"
        words = f"{place}: {stage.case}" if stage.total else stage.case
        self.progress.show_stage(StageStarted(text=words, done=stage.done, total=stage.total))
        self.progress.stop_button.setEnabled(not stage.is_last)

    def _on_finished(self, outcome: EvaluationOutcome) -> None:
        self._end("")
        self.results.set_outcome(outcome)
        # Scroll after the layout, because results below a long form would go unnoticed.
        QTimer.singleShot(0, self._show_results)

    def _end(self, sentence: str, level: Level = "fine") -> None:
        self._set_running(False)
        self.status.show_message(sentence, level)
        self._show_readiness()

    def _stop(self) -> None:
        """Stop at once and write nothing, unless the files are already being written."""
        if self.job.is_running and not (self.job.step is not None and self.job.step.is_last):
            self.job.drop()
            self._end(EVALUATION_STOPPED)

    def _show_results(self) -> None:
        bar = self._area.verticalScrollBar()
        bar.setValue(min(self.results.y(), bar.maximum()))

    def _on_dock_closed(self) -> None:
        self._stop()

    def _on_taken_out(self) -> None:
        self._stop()


def _preview_steps(request: EvaluationRequest) -> Steps:
    yield 0, 1
    return preview_evaluation(request)


def _summary(preview: EvaluationPreview) -> str:
    cases, labelled = len(preview.cases), preview.labelled
    template = CASES_FOUND if labelled == cases else FEW_LABELS
    return template.format(
        cases=format_count(cases, "case"),
        patients=format_count(preview.patients, "patient"),
        labelled=labelled,
    )
