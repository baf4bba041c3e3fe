"""The Evaluate dock on made predictions."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari import current_viewer
from napari.components import ViewerModel
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QApplication, QDockWidget, QWidget

from napari_bayes_nnunet.app.evaluation.evaluate import EvaluationProgress
from napari_bayes_nnunet.app.evaluation.request import (
    DUPLICATE_METHOD,
    EvaluationOutcome,
    EvaluationRequest,
    run_evaluation,
)
from napari_bayes_nnunet.core.heart.structures import structure_title
from napari_bayes_nnunet.widgets.common.dock import DOCK_WIDTH
from napari_bayes_nnunet.widgets.common.patient_pattern import ONE_GROUP
from napari_bayes_nnunet.widgets.common.settings import Settings
from napari_bayes_nnunet.widgets.evaluation import dock as evaluation_dock
from napari_bayes_nnunet.widgets.evaluation import results as evaluation_results
from napari_bayes_nnunet.widgets.evaluation.dock import (
    CASES_FOUND,
    EVALUATION_STOPPED,
    FEW_LABELS,
    EvaluationWidget,
)
from napari_bayes_nnunet.widgets.evaluation.form import NO_LABELS, NO_OTHERS, NO_PREDICTIONS
from napari_bayes_nnunet.widgets.evaluation.results import (
    DIAGRAM_CAPTION,
    NO_DIAGRAM,
    NOTES,
    REPORT_WRITTEN,
)

from ...helpers.data.evaluations import answer, heart, name_labels, write_answer, write_reference
from ...helpers.data.folders import finish
from ...helpers.processes.small_disk import hide_files
from ...helpers.windows.settling import settle

PATIENCE_S = 300
"""Seconds to wait for an evaluation, which is slow on a busy machine."""
FILES = {"cases.csv", "summary.json", "report.html"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make ``multi``, ``vanilla`` and ``labels`` of two patients, ``bare`` labels of the first."""
    folder = tmp_path_factory.mktemp("made")
    for n in (1, 2):
        case = f"p{n}_frame01"
        write_answer(folder / "multi", case, answer(n))
        write_answer(folder / "vanilla", case, answer(n, count=1))
        write_reference(folder / "labels", case, heart())
    write_answer(folder / "bare", "p1_frame01", {"labels": answer(1)["labels"]})
    name_labels(folder / "labels")
    return folder


@pytest.fixture(scope="module")
def outcome(made: Path, tmp_path_factory: pytest.TempPathFactory) -> EvaluationOutcome:
    """Return the outcome of two methods, one with a long name."""
    steps = run_evaluation(
        EvaluationRequest(
            methods={"a very long name of a method": made / "multi", "Vanilla": made / "vanilla"},
            labels=made / "labels",
            report=tmp_path_factory.mktemp("report"),
        )
    )
    return finish(steps)[1]


@pytest.fixture
def folders(made: Path, tmp_path: Path) -> Path:
    """Return a copy of ``made`` that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "data"))


class Halting:
    """An evaluation that waits in its thread after stage ``number``, counted from 0."""

    def __init__(
        self, number: int, work: Callable[[EvaluationRequest], Any] = run_evaluation
    ) -> None:
        self._number, self._work = number, work
        self.words = ""
        """The words of the stage it waits at."""
        self.may_continue = threading.Event()
        self.has_ended = threading.Event()

    def __call__(self, request: Any) -> Any:
        steps = self._work(request)
        try:
            for number in count():
                try:
                    stage = next(steps)
                except StopIteration as end:
                    return end.value
                yield stage
                if number == self._number:
                    self.words = stage.case
                    assert self.may_continue.wait(PATIENCE_S)
        finally:
            steps.close()
            self.has_ended.set()


class FakeRun:
    """An evaluation with a given outcome."""

    def __init__(self, outcome: EvaluationOutcome) -> None:
        self._outcome = outcome

    def __call__(self, _: Any) -> Any:
        yield EvaluationProgress("p1_frame01", 1, 1)
        return self._outcome


class FakeUser:
    """The answers of a user, and what was asked and opened."""

    def __init__(self) -> None:
        self.may_replace, self.opens = True, True
        self.names: list[Sequence[str]] = []
        self.opened: list[Path] = []

    def replace(self, _: QWidget, names: Sequence[str]) -> bool:
        self.names.append(names)
        return self.may_replace

    def open(self, path: Path) -> bool:
        self.opened.append(path)
        return self.opens


@pytest.fixture
def user() -> FakeUser:
    return FakeUser()


@pytest.fixture
def make_dock(
    request: pytest.FixtureRequest,
    settings: Settings,
    user: FakeUser,
    qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., EvaluationWidget]]:
    """Make a dock, with or without a window around it.

    The evaluation is ``halting``, has ``outcome`` at once, or is a real one.
    """
    halted: list[Halting] = []

    def make(
        *,
        halting: Halting | None = None,
        outcome: EvaluationOutcome | None = None,
        window: bool = False,
    ) -> EvaluationWidget:
        viewer = (
            request.getfixturevalue("make_napari_viewer")(show=True) if window else ViewerModel()
        )
        work = halting or (run_evaluation if outcome is None else FakeRun(outcome))
        monkeypatch.setattr(evaluation_dock, "run_evaluation", work)
        monkeypatch.setattr(evaluation_dock, "ask_to_replace", user.replace)
        monkeypatch.setattr(evaluation_results, "open_path", user.open)
        dock = EvaluationWidget(viewer, settings=settings)
        if window:
            viewer.window.add_dock_widget(dock, name="Evaluate", area="right")
        else:
            qtbot.addWidget(dock)
        if halting is not None:
            halted.append(halting)
        return dock

    yield make
    for halting in halted:
        halting.may_continue.set()


@pytest.fixture
def ready(
    make_dock: Callable[..., EvaluationWidget], folders: Path, qtbot: Any
) -> Callable[..., EvaluationWidget]:
    """Make a dock with the folders of ``multi`` and the labels."""

    def make(**options: Any) -> EvaluationWidget:
        dock = make_dock(**options)
        choose(dock, folders / "multi", folders / "labels", qtbot)
        return dock

    return make


def choose(dock: EvaluationWidget, predictions: Path, labels: Path, qtbot: Any) -> None:
    dock.form.methods.rows[0].choose(predictions)
    dock.form.labels.choose(labels)
    looked(dock, qtbot)


def looked(dock: EvaluationWidget, qtbot: Any) -> str:
    """Wait until the folders have been read, and return the dock's hint."""
    qtbot.waitUntil(lambda: not dock._looking.is_running)
    return str(dock.hint.text())


def compare(dock: EvaluationWidget, folder: Path, name: str, qtbot: Any) -> str:
    dock.form.methods.add_button.click()
    dock.form.methods.rows[-1].choose(folder, name)
    return looked(dock, qtbot)


def begin(dock: EvaluationWidget, halting: Halting, qtbot: Any) -> None:
    """Press Evaluate and wait until the stage at which it halts is shown."""
    dock.evaluate_button.click()
    qtbot.waitUntil(lambda: halting.words != "" and halting.words in dock.progress.text.text())


def evaluated(dock: EvaluationWidget, qtbot: Any) -> str:
    """Press Evaluate, wait for the end and return the error message, if any."""
    dock.evaluate_button.click()
    qtbot.waitUntil(lambda: not dock.job.is_running)
    return str(dock.status.text())


def has_result(dock: EvaluationWidget) -> bool:
    return not dock.results.isHidden() and dock.status.isHidden()


def cells(dock: EvaluationWidget) -> list[list[str]]:
    table = dock.results.table
    return [list(row.cells) for row in table.rows]


def column_titles(dock: EvaluationWidget) -> list[str]:
    table = dock.results.table
    header, columns = table.model().headerData, range(table.model().columnCount())
    return [header(column, Qt.Orientation.Horizontal) for column in columns]


def drop(row: Any, path: Path) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    row.dropEvent(QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, data, buttons, keys))


# Inputs


def test_evaluate_button_needs_predictions_and_labels(make_dock, folders, qtbot) -> None:
    dock = make_dock()
    assert dock.results.isHidden()
    assert dock.progress.isHidden()
    assert dock.status.isHidden()
    assert (dock.hint.text(), dock.evaluate_button.isEnabled()) == (NO_PREDICTIONS, False)
    assert dock.evaluate_button.toolTip() == NO_PREDICTIONS
    drop(dock.form.methods.rows[0].folder, folders / "multi")
    assert (dock.hint.text(), dock.evaluate_button.isEnabled()) == (NO_LABELS, False)
    drop(dock.form.labels, folders / "labels")
    assert looked(dock, qtbot) == CASES_FOUND.format(cases="2 cases", patients="2 patients")
    assert dock.form.request().methods == {"multi": folders / "multi"}
    assert dock.form.request().labels == folders / "labels"
    assert dock.evaluate_button.isEnabled()
    dock.form.labels.choose(None)
    assert (dock.hint.text(), dock.evaluate_button.isEnabled()) == (NO_LABELS, False)


def test_report_folder_follows_predictions_until_chosen(ready, folders, qtbot) -> None:
    dock = ready()
    assert dock.form.request().report == folders / "multi_report"
    dock.form.methods.rows[0].choose(folders / "vanilla")
    assert dock.form.report.edit.text() == str(folders / "vanilla_report")
    dock.form.report.choose(folders / "mine")
    dock.form.methods.rows[0].choose(folders / "multi")
    assert dock.form.request().report == folders / "mine"
    dock.form.report.choose(None)
    assert dock.form.request().report == folders / "multi_report"
    looked(dock, qtbot)


def test_rows_are_added_and_removed_as_in_the_command(ready, folders, qtbot) -> None:
    dock = ready()
    methods = dock.form.methods
    assert methods.rows[0].remove_button.isHidden()
    methods.add_button.click()
    assert (dock.hint.text(), dock.evaluate_button.isEnabled()) == (NO_OTHERS, False)
    methods.rows[1].choose(folders / "vanilla")
    looked(dock, qtbot)
    assert list(dock.form.request().methods) == ["multi", "vanilla"]
    methods.rows[1].remove_button.click()
    looked(dock, qtbot)
    assert list(dock.form.request().methods) == ["multi"]
    assert dock.evaluate_button.isEnabled()
    compare(dock, folders / "vanilla", "A single model", qtbot)
    assert dock.evaluate_button.toolTip() == (
        f"bayes-nnunet evaluate --output {folders}/multi_report --name multi "
        f"--compare 'A single model={folders}/vanilla' -- {folders}/multi {folders}/labels"
    )


def test_patient_pattern_shows_its_effect(ready, qtbot) -> None:
    dock = ready()
    form = dock.form.patient
    assert not form.isVisibleTo(dock)
    dock.form.more.toggleButton().click()
    assert form.isVisibleTo(dock)
    assert form.example.text() == "p1_frame01 → p1"
    form.choice.setCurrentIndex(form.choice.findData("own"))
    form.own.setText("^(p)")
    assert looked(dock, qtbot) == CASES_FOUND.format(cases="2 cases", patients="1 patient")
    form.own.setText("p")
    assert dock.hint.text() == ONE_GROUP
    assert not dock.evaluate_button.isEnabled()


def test_folder_that_cannot_be_used_is_named(ready, folders, qtbot) -> None:
    dock = ready()
    dock.form.labels.choose(folders / "nowhere")
    assert str(folders / "nowhere") in looked(dock, qtbot)
    assert not dock.evaluate_button.isEnabled()


def test_cases_without_labels_are_counted(ready, folders, qtbot) -> None:
    dock = ready()
    (folders / "labels" / "p2_frame01.nii.gz").unlink()
    dock.form.labels.choose(folders / "labels")
    values = {"cases": "2 cases", "patients": "2 patients", "labelled": 1}
    assert looked(dock, qtbot) == FEW_LABELS.format(**values)


# Methods to compare with


def test_labels_of_other_cases_are_refused(ready, folders, qtbot) -> None:
    dock = ready()
    write_reference(folders / "others", "q9_frame01", heart())
    dock.form.labels.choose(folders / "others")
    assert "p1_frame01_gt.nii.gz" in looked(dock, qtbot)
    assert not dock.evaluate_button.isEnabled()
    (folders / "labels" / "p2_frame01.nii.gz").unlink()
    dock.form.labels.choose(folders / "labels")
    values = {"cases": "2 cases", "patients": "2 patients", "labelled": 1}
    assert looked(dock, qtbot) == FEW_LABELS.format(**values)


def test_method_is_named_by_its_folder_or_user(ready, folders, qtbot) -> None:
    dock = ready()
    row = dock.form.methods.rows[0]
    assert row.name_edit.placeholderText() == "multi"
    row.name_edit.setText("  Ckpt. Ens. ")
    looked(dock, qtbot)
    assert list(dock.form.request().methods) == ["Ckpt. Ens."]
    hint = compare(dock, folders / "vanilla", "Ckpt. Ens.", qtbot)
    assert hint == DUPLICATE_METHOD.format(name="Ckpt. Ens.")
    assert not dock.evaluate_button.isEnabled()
    dock.form.methods.rows[1].choose(folders / "multi", "again")  # the same folder
    hint = looked(dock, qtbot)
    assert "Ckpt. Ens." in hint
    assert "again" in hint
    assert not dock.evaluate_button.isEnabled()


def test_two_methods_are_shown_with_the_best_bold(ready, folders, qtbot) -> None:
    dock = ready()
    compare(dock, folders / "vanilla", "Vanilla", qtbot)
    assert evaluated(dock, qtbot) == ""
    assert has_result(dock)
    assert [row[0] for row in cells(dock)] == ["multi", "Vanilla"]
    summary = json.loads((folders / "multi_report" / "summary.json").read_text(encoding="utf-8"))
    for name, *numbers in cells(dock):
        measures = summary["methods"][name]["measures"]
        dices = [f"{measures[f'dice_{s}']['value']:.3f}" for s in ("RV", "MYO", "LV")]
        assert numbers == [*dices, f"{100 * measures['ece_pooled']['value']:.2f}"]
    table = dock.results.table
    for column in range(1, 5):
        bold = [column in row.bold for row in table.rows]
        texts = [row[column] for row in cells(dock)]
        best = (min if column == 4 else max)(texts, key=float)
        assert bold == [text == best for text in texts]
        font = table.model().index(bold.index(True), column).data(Qt.ItemDataRole.FontRole)
        assert font.bold()
    assert dock.results.picture.picture.width() > 400


# Running and results


def test_evaluation_writes_and_shows_its_results(ready, folders, user, qtbot) -> None:
    dock = ready()
    stages: list[EvaluationProgress] = []
    dock.job.progressed.connect(stages.append)
    report = folders / "multi_report"
    assert evaluated(dock, qtbot) == ""
    assert has_result(dock)
    assert {file.name for file in report.iterdir()} == FILES
    assert user.names == []
    results = dock.results
    extent = results.outcome.extent
    assert results.summary.text() == REPORT_WRITTEN.format(extent=extent, folder=report)
    assert column_titles(dock) == ["Method", "RV", "MYO", "LV", "ECE, %"]
    assert [row[0] for row in cells(dock)] == ["multi"]
    tip, model = Qt.ItemDataRole.ToolTipRole, results.table.model()
    assert structure_title("RV") in model.headerData(1, Qt.Orientation.Horizontal, tip)
    assert model.index(0, 1).data(tip).startswith("multi, RV: 0.")
    assert "SD 0" in model.index(0, 1).data(tip)
    assert not model.index(0, 0).data(Qt.ItemDataRole.FontRole)
    assert results.diagram_caption.text() == DIAGRAM_CAPTION
    assert 200 < results.picture.picture.width() < 400
    assert dock.progress.isHidden()
    assert dock.form.isEnabled()
    assert dock.evaluate_button.isEnabled()
    assert stages  # as many as the window was quick enough to see


def test_report_folder_and_notes_are_opened(ready, make_dock, outcome, user, qtbot) -> None:
    dock = ready(outcome=outcome)
    evaluated(dock, qtbot)
    results = dock.results
    results.report_button.click()
    results.folder_button.click()
    assert user.opened == [outcome.page, outcome.page.parent]
    assert results.problem.isHidden()
    user.opens = False
    results.report_button.click()
    assert str(outcome.page) in results.problem.text()
    user.opens = True
    results.folder_button.click()
    assert results.problem.isHidden()
    assert results.notes.text() == NOTES.format(count=1)
    assert not results.notes_text.isVisibleTo(dock)
    results.notes.toggleButton().click()
    assert results.notes_text.isVisibleTo(dock)
    assert results.notes_text.text() == outcome.notes[0]
    # The picture has the resolution of the screen.
    picture = results.picture
    dock.resize(300, 900)
    dock.show()
    qtbot.waitExposed(dock)
    QApplication.processEvents()
    width = min(picture.width(), picture.picture.width())
    assert picture.pixmap().width() == round(width * picture.devicePixelRatioF())
    results.set_outcome(replace(outcome, notes=()))
    assert not results.notes.isVisibleTo(dock)
    assert not results.notes_text.isVisibleTo(dock)
    # The proposed folder of the report is not kept.
    second = make_dock()
    assert not second.form._has_own_report
    looked(second, qtbot)


@pytest.mark.usefixtures("blank_figures")
def test_existing_report_is_replaced_after_consent(ready, folders, user, qtbot) -> None:
    dock = ready()
    report = folders / "multi_report"
    report.mkdir()
    (report / "report.html").write_text("mine")
    user.may_replace = False
    dock.evaluate_button.click()
    assert user.names == [["multi_report/report.html"]]
    assert not dock.job.is_running
    assert (report / "report.html").read_text() == "mine"
    user.may_replace = True
    assert evaluated(dock, qtbot) == ""
    assert has_result(dock)
    assert "<html" in (report / "report.html").read_text(encoding="utf-8")


def test_predictions_without_probabilities_have_no_diagram(make_dock, folders, qtbot) -> None:
    dock = make_dock()
    choose(dock, folders / "bare", folders / "labels", qtbot)
    assert evaluated(dock, qtbot) == ""
    assert has_result(dock)
    assert cells(dock)[0][-1] == "–"
    assert dock.results.picture.isHidden()
    assert dock.results.diagram_caption.text() == NO_DIAGRAM
    assert dock.results.outcome.notes
    assert all(note in dock.results.notes_text.text() for note in dock.results.outcome.notes)


@pytest.mark.usefixtures("blank_figures")
def test_failed_evaluation_names_the_damaged_file(ready, folders, qtbot) -> None:
    dock = ready()
    whole = (folders / "multi" / "p2_frame01_probabilities.npz").read_bytes()
    (folders / "multi" / "p2_frame01_probabilities.npz").write_bytes(b"cut")
    message = evaluated(dock, qtbot)
    assert f"{folders}/multi/p2_frame01_probabilities.npz" in message
    assert "\n" not in message
    assert dock.results.isHidden()
    assert not (folders / "multi_report").exists()
    assert dock.evaluate_button.isEnabled()
    (folders / "multi" / "p2_frame01_probabilities.npz").write_bytes(whole)
    assert evaluated(dock, qtbot) == ""
    assert has_result(dock)


# Stopping and closing


def test_stopped_evaluation_ends_without_files(ready, folders, qtbot) -> None:
    halting = Halting(0)
    dock = ready(halting=halting)
    begin(dock, halting, qtbot)
    assert (dock.progress.bar.value(), dock.progress.bar.maximum()) == (1, 2)
    assert not dock.form.isEnabled()
    assert not dock.evaluate_button.isEnabled()
    dock.progress.stop_button.click()
    assert dock.status.text() == EVALUATION_STOPPED
    assert dock.progress.isHidden()
    assert dock.form.isEnabled()
    halting.may_continue.set()
    assert halting.has_ended.wait(PATIENCE_S)
    settle(qtbot, dock)
    assert not (folders / "multi_report").exists()
    assert dock.results.isHidden()


def test_evaluation_that_writes_files_cannot_be_stopped(ready, outcome, qtbot) -> None:
    def writing(_: Any) -> Any:
        yield EvaluationProgress("Writing", is_last=True)
        return outcome

    halting = Halting(0, writing)
    dock = ready(halting=halting)
    begin(dock, halting, qtbot)
    assert not dock.progress.stop_button.isEnabled()
    dock.progress.stop_requested.emit()
    assert dock.job.is_running
    halting.may_continue.set()
    qtbot.waitUntil(lambda: has_result(dock))


def test_only_a_closed_dock_stops_its_evaluation(ready, folders, outcome, qtbot, monkeypatch):
    halting = Halting(0, FakeRun(outcome))
    dock = ready(halting=halting, window=True)
    begin(dock, halting, qtbot)
    dock.hide()
    assert dock.job.is_running
    halting.may_continue.set()
    qtbot.waitUntil(lambda: not dock.job.is_running)
    assert has_result(dock)
    dock.show()
    frame, viewer = dock.parent(), current_viewer()
    assert isinstance(frame, QDockWidget)
    for end in (frame.close, lambda: viewer.window.remove_dock_widget(frame)):
        halting = Halting(0)
        monkeypatch.setattr(evaluation_dock, "run_evaluation", halting)
        begin(dock, halting, qtbot)
        end()
        assert not dock.job.is_running
        halting.may_continue.set()
        assert halting.has_ended.wait(PATIENCE_S)
        settle(qtbot, dock)
        assert not (folders / "multi_report").exists()
        viewer.add_image(np.ones((3, 4, 5)))
        if end == frame.close:
            frame.show()
            assert dock.status.text() == EVALUATION_STOPPED
            assert dock.evaluate_button.isEnabled()
    dock.deleteLater()


# Settings


def test_new_dock_restores_the_last_folders(ready, make_dock, folders, outcome, qtbot) -> None:
    dock = ready(outcome=outcome)
    compare(dock, folders / "vanilla", "Vanilla", qtbot)
    dock.form.images.choose(folders)
    dock.form.report.choose(folders / "mine")
    looked(dock, qtbot)
    evaluated(dock, qtbot)
    second = make_dock()
    looked(second, qtbot)
    assert second.form.request() == dock.form.request()
    assert second.form.methods.rows[0].own_name == ""
    assert second.evaluate_button.isEnabled()
    shutil.rmtree(folders / "vanilla")
    third = make_dock()
    looked(third, qtbot)
    assert list(third.form.request().methods) == ["multi"]


def test_dock_opens_while_a_drive_fails(make_dock, folders, settings, monkeypatch) -> None:
    choice = {"methods": [{"name": "", "folder": str(folders)}], "labels": str(folders)}
    settings.keep(last_evaluation=choice)
    hide_files(monkeypatch, folders)
    form = make_dock().form
    assert form.methods.rows[0].folder.path is form.labels.path is None


@pytest.mark.parametrize(
    "saved", [[], {"methods": 1}, {"methods": [["multi", "there"]]}, {"labels": 1}, {"report": []}]
)
def test_damaged_settings_are_ignored(saved, make_dock, settings) -> None:
    settings.keep(last_evaluation=saved)
    assert make_dock().hint.text() == NO_PREDICTIONS


# Layout


def test_dock_with_long_names_stays_narrow(ready, folders, outcome, qtbot) -> None:
    dock = ready(outcome=outcome, window=True)
    name = "a very long name of a method that nobody would give to it"
    compare(dock, folders / "vanilla", name, qtbot)
    evaluated(dock, qtbot)
    dock.status.show_message(f"{folders}/a_folder/with_a_long_name")
    dock.parent().window().resizeDocks([dock.parent()], [DOCK_WIDTH], Qt.Orientation.Horizontal)
    content = dock._area.widget()
    qtbot.waitUntil(lambda: content.width() == dock._area.viewport().width())
    assert dock.minimumSizeHint().width() == DOCK_WIDTH
    assert content.minimumSizeHint().width() <= DOCK_WIDTH - 20
    assert content.width() == dock._area.viewport().width()
    table = dock.results.table
    assert sum(table.columnWidth(column) for column in range(5)) <= table.viewport().width()
    picture = dock.results.picture
    assert picture.height() == round(picture.pixmap().deviceIndependentSize().height())


def test_tab_key_reaches_controls_in_order(ready, folders, outcome, qtbot) -> None:
    dock = ready(outcome=outcome)
    compare(dock, folders / "vanilla", "Vanilla", qtbot)
    evaluated(dock, qtbot)
    dock.resize(400, 900)
    dock.show()
    qtbot.waitExposed(dock)
    first, second = dock.form.methods.rows
    expected = [
        *(first.folder.edit, first.folder.button, first.name_edit),
        *(second.folder.edit, second.folder.button, second.name_edit, second.remove_button),
        dock.form.methods.add_button,
        *(dock.form.labels.edit, dock.form.labels.button),
        *(dock.form.images.edit, dock.form.images.button),
        *(dock.form.report.edit, dock.form.report.button),
        *(dock.form.more.toggleButton(), dock.evaluate_button),
        *(dock.results.report_button, dock.results.folder_button, dock.results.table),
        dock.results.notes.toggleButton(),
    ]
    part, order = first.folder.edit, []
    for _ in range(200):
        if part.focusPolicy() & Qt.FocusPolicy.TabFocus and part.isVisible() and part.isEnabled():
            order.append(part)
        part = part.nextInFocusChain()
    assert [part for part in order if part in expected][: len(expected)] == expected
