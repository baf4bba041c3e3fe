"""The dock Evaluate on made predictions: what it asks for, how it runs, what it shows."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari import current_viewer
from napari.components import ViewerModel
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QApplication, QDockWidget, QWidget

from napari_bayes_nnunet.app.evaluation.request import (
    EvaluationOutcome,
    EvaluationRequest,
    Stage,
    run,
)
from napari_bayes_nnunet.widgets.common.settings import Settings
from napari_bayes_nnunet.widgets.evaluation.dock import EVALUATION_STOPPED, EvaluationWidget
from napari_bayes_nnunet.widgets.evaluation.form import NO_LABELS
from napari_bayes_nnunet.widgets.evaluation.job import EvaluationJob
from napari_bayes_nnunet.widgets.evaluation.methods_form import NO_OTHERS, NO_PREDICTIONS
from napari_bayes_nnunet.widgets.evaluation.results import NO_DIAGRAM, READING

from ...helpers.evaluations import answer, heart, name_labels, write_answer, write_reference
from ...helpers.folders import finish
from ...helpers.settling import settle

SOON = 300_000
"""Drawing figures takes its time on a busy machine."""
FILES = {"cases.csv", "summary.json", "report.html"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``multi``, ``vanilla`` and ``labels`` of two patients, ``bare`` labels of the first."""
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
    """Of two methods, one with a long name."""
    steps = run(
        EvaluationRequest(
            methods={"a very long name of a method": made / "multi", "Vanilla": made / "vanilla"},
            labels=made / "labels",
            report=tmp_path_factory.mktemp("report"),
        )
    )
    return finish(steps)[1]


@pytest.fixture
def folders(made: Path, tmp_path: Path) -> Path:
    """A copy in which reports can be written and files damaged."""
    return Path(shutil.copytree(made, tmp_path / "data"))


class Halting:
    """Runs an evaluation as far as a stage, then waits, in the thread."""

    def __init__(self, at: str, work: Callable[[EvaluationRequest], Any] = run) -> None:
        self._at, self._work = at, work
        self.may_go_on = threading.Event()
        self.has_ended = threading.Event()

    def __call__(self, request: Any) -> Any:
        steps = self._work(request)
        try:
            while True:
                try:
                    stage = next(steps)
                except StopIteration as end:
                    return end.value
                yield stage
                if self._at in stage.words:
                    assert self.may_go_on.wait(SOON / 1000)
        finally:
            steps.close()
            self.has_ended.set()


class Known:
    """An evaluation whose outcome is known."""

    def __init__(self, outcome: EvaluationOutcome) -> None:
        self._outcome = outcome

    def __call__(self, _: Any) -> Any:
        yield Stage("1 of 1: p1_frame01", 1, 1)
        return self._outcome


class Asked:
    """Answers whether files may be replaced, and opens nothing."""

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
def asked() -> Asked:
    return Asked()


@pytest.fixture
def make_dock(
    request: pytest.FixtureRequest, settings: Settings, asked: Asked, qtbot: Any
) -> Iterator[Callable[..., EvaluationWidget]]:
    """A dock without a window around it, or in a real one.

    ``halting`` holds its evaluation, with ``outcome`` it has that one at once.
    """
    held: list[Halting] = []

    def make(
        *,
        halting: Halting | None = None,
        outcome: EvaluationOutcome | None = None,
        window: bool = False,
    ) -> EvaluationWidget:
        viewer = (
            request.getfixturevalue("make_napari_viewer")(show=True) if window else ViewerModel()
        )
        work = halting or (run if outcome is None else Known(outcome))
        dock = EvaluationWidget(
            viewer,
            settings=settings,
            job=EvaluationJob(run=work),
            may_replace=asked.replace,
            open_path=asked.open,
        )
        if window:
            viewer.window.add_dock_widget(dock, name="Evaluate", area="right")
        else:
            qtbot.addWidget(dock)
        if halting is not None:
            held.append(halting)
        return dock

    yield make
    for halting in held:
        halting.may_go_on.set()


@pytest.fixture
def ready(
    make_dock: Callable[..., EvaluationWidget], folders: Path, qtbot: Any
) -> Callable[..., EvaluationWidget]:
    """As ``make_dock``, with the folders of ``multi`` and the labels."""

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
    """Wait until the folders were looked into; what the dock says then."""
    qtbot.waitUntil(lambda: not dock._looking.is_running)
    return str(dock.hint.text())


def compare(dock: EvaluationWidget, folder: Path, name: str, qtbot: Any) -> str:
    dock.form.methods.add_button.click()
    dock.form.methods.rows[-1].choose(folder, name)
    return looked(dock, qtbot)


def begin(dock: EvaluationWidget, halting: Halting, words: str, qtbot: Any) -> None:
    """Press Evaluate and wait until it halts."""
    dock.evaluate_button.click()
    qtbot.waitUntil(lambda: words in dock.progress.text.text())


def evaluated(dock: EvaluationWidget, qtbot: Any) -> str:
    """Press Evaluate and wait for the end; what the dock says of what went wrong."""
    dock.evaluate_button.click()
    qtbot.waitUntil(lambda: not dock.job.is_running)
    return str(dock.status.text())


def has_result(dock: EvaluationWidget) -> bool:
    return not dock.results.isHidden() and dock.status.isHidden()


def cells(dock: EvaluationWidget) -> list[list[str]]:
    table = dock.results.table
    return [
        [table.item(row, column).text() for column in range(table.columnCount())]
        for row in range(table.rowCount())
    ]


def head(dock: EvaluationWidget) -> list[str]:
    table = dock.results.table
    return [table.horizontalHeaderItem(column).text() for column in range(table.columnCount())]


def drop(row: Any, path: Path) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    row.dropEvent(QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, data, buttons, keys))


# What is asked for


def test_evaluate_is_grey_and_says_why_until_both_folders_are_there(
    make_dock, folders, qtbot
) -> None:
    dock = make_dock()
    assert (dock.hint.text(), dock.evaluate_button.isEnabled()) == (NO_PREDICTIONS, False)
    assert dock.evaluate_button.toolTip() == NO_PREDICTIONS
    dock.form.methods.rows[0].choose(folders / "multi")
    assert (dock.hint.text(), dock.evaluate_button.isEnabled()) == (NO_LABELS, False)
    dock.form.labels.choose(folders / "labels")
    assert looked(dock, qtbot) == "2 cases of 2 patients."
    assert dock.evaluate_button.isEnabled()
    dock.form.labels.choose(None)
    assert (dock.hint.text(), dock.evaluate_button.isEnabled()) == (NO_LABELS, False)


def test_nothing_is_shown_of_a_result_that_is_not_there(make_dock) -> None:
    dock = make_dock()
    assert dock.results.isHidden()
    assert dock.progress.isHidden()
    assert dock.status.isHidden()


def test_a_folder_is_dropped_on_its_row(make_dock, folders, qtbot) -> None:
    dock = make_dock()
    drop(dock.form.methods.rows[0].folder, folders / "multi")
    drop(dock.form.labels, folders / "labels")
    looked(dock, qtbot)
    assert dock.form.request().methods == {"multi": folders / "multi"}
    assert dock.form.request().labels == folders / "labels"


def test_the_report_is_put_beside_the_predictions_unless_elsewhere_is_asked_for(
    ready, folders, qtbot
) -> None:
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


def test_the_same_as_a_command_line(ready, folders, qtbot) -> None:
    dock = ready()
    compare(dock, folders / "vanilla", "A single model", qtbot)
    assert dock.evaluate_button.toolTip() == (
        f"bayes-nnunet evaluate --output {folders}/multi_report --name multi "
        f"--compare 'A single model={folders}/vanilla' -- {folders}/multi {folders}/labels"
    )


def test_the_patients_pattern_is_folded_away_and_shows_what_it_does(ready, qtbot) -> None:
    dock = ready()
    form = dock.form.patient
    assert not form.isVisibleTo(dock)
    dock.form.more.toggleButton().click()
    assert form.isVisibleTo(dock)
    assert form.example.text() == "p1_frame01 → p1"
    form.choice.setCurrentIndex(form.choice.findData("own"))
    form.own.setText("^(p)")
    assert looked(dock, qtbot) == "2 cases of 1 patient."
    form.own.setText("p")
    assert "round brackets" in dock.hint.text()
    assert not dock.evaluate_button.isEnabled()


@pytest.mark.parametrize("place", ["labels", "images"])
def test_a_folder_that_is_gone_is_said_before_anything_is_measured(
    place, ready, folders, qtbot
) -> None:
    dock = ready()
    getattr(dock.form, place).choose(folders / "nowhere")
    assert looked(dock, qtbot).startswith(f"{folders}/nowhere is no folder: it should hold the ")
    assert not dock.evaluate_button.isEnabled()


def test_a_folder_without_predictions_is_said(ready, folders, tmp_path, qtbot) -> None:
    dock = ready()
    (tmp_path / "empty").mkdir()
    dock.form.methods.rows[0].choose(tmp_path / "empty")
    assert "holds no predictions" in looked(dock, qtbot)
    assert not dock.evaluate_button.isEnabled()


def test_predictions_are_not_compared_with_themselves(make_dock, folders, qtbot) -> None:
    dock = make_dock()
    choose(dock, folders / "multi", folders / "labels" / ".." / "multi", qtbot)
    assert dock.hint.text() == (
        "The predictions multi and the reference labels are the same folder: choose labels that "
        "no model made."
    )
    assert not dock.evaluate_button.isEnabled()


def test_a_file_in_the_place_of_the_report_is_refused(ready, folders, qtbot) -> None:
    dock = ready()
    (folders / "file").write_text("")
    dock.form.report.choose(folders / "file" / "report")
    assert looked(dock, qtbot) == f"{folders}/file is no folder: choose another one for the report."


def test_labels_of_other_cases_are_said(ready, folders, qtbot) -> None:
    dock = ready()
    write_reference(folders / "others", "q9_frame01", heart())
    dock.form.labels.choose(folders / "others")
    assert "a case called p1_frame01 needs p1_frame01.nii.gz" in looked(dock, qtbot)
    (folders / "labels" / "p2_frame01.nii.gz").unlink()
    dock.form.labels.choose(folders / "labels")
    assert looked(dock, qtbot) == "2 cases of 2 patients; 1 have labels."


# Methods to compare with


def test_rows_are_added_and_taken_away(ready, folders, qtbot) -> None:
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


def test_names_are_those_of_the_folders_until_others_are_given(ready, folders, qtbot) -> None:
    dock = ready()
    row = dock.form.methods.rows[0]
    assert row.name_edit.placeholderText() == "multi"
    row.name_edit.setText("  Ckpt. Ens. ")
    looked(dock, qtbot)
    assert list(dock.form.request().methods) == ["Ckpt. Ens."]
    said = compare(dock, folders / "vanilla", "Ckpt. Ens.", qtbot)
    assert said == "Two methods are called Ckpt. Ens.: give one of them another name."
    assert not dock.evaluate_button.isEnabled()


def test_a_method_is_not_compared_with_itself(ready, folders, qtbot) -> None:
    dock = ready()
    assert "multi and again are the same folder" in compare(dock, folders / "multi", "again", qtbot)


def test_two_methods_beside_each_other(ready, folders, qtbot) -> None:
    dock = ready()
    compare(dock, folders / "vanilla", "Vanilla", qtbot)
    assert evaluated(dock, qtbot) == ""
    assert has_result(dock)
    assert [row[0] for row in cells(dock)] == ["multi", "Vanilla"]
    summary = json.loads((folders / "multi_report" / "summary.json").read_text(encoding="utf-8"))
    for name, *numbers in cells(dock):
        found = summary["methods"][name]["measures"]
        dices = [f"{found[f'dice_{s}']['value']:.3f}" for s in ("RV", "MYO", "LV")]
        assert numbers == [*dices, f"{100 * found['ece_pooled']['value']:.2f}"]
    table = dock.results.table
    for column in range(1, 5):
        bold = [table.item(row, column).font().bold() for row in range(2)]
        texts = [row[column] for row in cells(dock)]
        best = (min if column == 4 else max)(texts, key=float)
        assert bold == [text == best for text in texts]
    assert len(dock.results.pictures.pictures) == 2
    assert len({picture.size().width() for picture in dock.results.pictures.pictures}) == 1


# From the press of the button to the result


def test_from_the_folders_to_the_report(ready, folders, asked, qtbot) -> None:
    dock = ready()
    told: list[str] = []
    dock.job.progressed.connect(lambda stage: told.append(stage.words))
    report = folders / "multi_report"
    assert evaluated(dock, qtbot) == ""
    assert has_result(dock)
    assert {file.name for file in report.iterdir()} == FILES
    assert asked.names == []
    results = dock.results
    assert results.made.text() == f"2 volumes of 2 patients; the report is in {report}."
    assert head(dock) == ["Method", "RV", "MYO", "LV", "ECE, %"]
    assert [row[0] for row in cells(dock)] == ["multi"]
    assert "overlap" in results.table.horizontalHeaderItem(1).toolTip()
    assert results.table.item(0, 1).toolTip().startswith("multi, RV: 0.")
    assert "±" in results.table.item(0, 1).toolTip()
    assert results.reading.text() == READING
    assert results.pictures.pictures[0].width() > 200
    assert dock.progress.isHidden()
    assert dock.form.isEnabled()
    assert dock.evaluate_button.isEnabled()
    assert told  # "1 of 2: p1_frame01" and what follows, as far as the window was quick enough


def test_the_case_is_named_while_it_runs(ready, qtbot) -> None:
    halting = Halting("p1")
    dock = ready(halting=halting)
    begin(dock, halting, "1 of 2: p1_frame01", qtbot)
    bar = dock.progress.bar
    assert (bar.value(), bar.maximum()) == (1, 2)
    assert dock.progress.isVisibleTo(dock)
    assert not dock.form.isEnabled()
    assert not dock.evaluate_button.isEnabled()
    dock.progress.stop_button.click()
    halting.may_go_on.set()
    assert halting.has_ended.wait(SOON / 1000)


def test_report_and_folder_are_opened(ready, outcome, asked, qtbot) -> None:
    dock = ready(outcome=outcome)
    evaluated(dock, qtbot)
    dock.results.report_button.click()
    dock.results.folder_button.click()
    assert asked.opened == [outcome.page, outcome.page.parent]
    assert dock.results.problem.isHidden()
    asked.opens = False
    dock.results.report_button.click()
    assert str(outcome.page) in dock.results.problem.text()
    asked.opens = True
    dock.results.folder_button.click()
    assert dock.results.problem.isHidden()


def test_what_was_left_out_is_folded_away(ready, outcome, qtbot) -> None:
    dock = ready(outcome=outcome)
    evaluated(dock, qtbot)
    results = dock.results
    assert results.notes.text() == "What was left out or assumed (1)"
    assert not results.notes_text.isVisibleTo(dock)
    results.notes.toggleButton().click()
    assert results.notes_text.isVisibleTo(dock)
    assert results.notes_text.text().startswith("Vanilla: No mutual information")
    results.set_outcome(replace(outcome, notes=()))
    assert not results.notes.isVisibleTo(dock)
    assert not results.notes_text.isVisibleTo(dock)


def test_a_report_is_replaced_only_after_a_question(ready, folders, asked, qtbot) -> None:
    dock = ready()
    report = folders / "multi_report"
    report.mkdir()
    (report / "report.html").write_text("mine")
    asked.may_replace = False
    dock.evaluate_button.click()
    assert asked.names == [["multi_report/report.html"]]
    assert not dock.job.is_running
    assert (report / "report.html").read_text() == "mine"
    asked.may_replace = True
    assert evaluated(dock, qtbot) == ""
    assert has_result(dock)
    assert "<html" in (report / "report.html").read_text(encoding="utf-8")


def test_without_probabilities_it_says_why_there_is_no_diagram(make_dock, folders, qtbot) -> None:
    dock = make_dock()
    choose(dock, folders / "bare", folders / "labels", qtbot)
    assert evaluated(dock, qtbot) == ""
    assert has_result(dock)
    assert cells(dock)[0][-1] == "–"
    assert dock.results.pictures.isHidden()
    assert dock.results.reading.text() == NO_DIAGRAM
    assert "No calibration, the probabilities were not saved" in dock.results.notes_text.text()


def test_an_error_is_one_sentence(ready, folders, qtbot) -> None:
    dock = ready()
    whole = (folders / "multi" / "p2_frame01_probabilities.npz").read_bytes()
    (folders / "multi" / "p2_frame01_probabilities.npz").write_bytes(b"cut")
    sentence = evaluated(dock, qtbot)
    assert sentence.startswith(f"{folders}/multi/p2_frame01_probabilities.npz should hold an array")
    assert "\n" not in sentence
    assert dock.results.isHidden()
    assert not (folders / "multi_report").exists()
    assert dock.evaluate_button.isEnabled()
    (folders / "multi" / "p2_frame01_probabilities.npz").write_bytes(whole)
    assert evaluated(dock, qtbot) == ""
    assert has_result(dock)


def test_a_mistake_of_the_program_is_said_and_raised(ready, qtbot) -> None:
    def wrong(_: Any) -> Any:
        raise ZeroDivisionError("by mistake")
        yield

    dock = ready()
    dock.job._run = wrong
    with qtbot.captureExceptions() as raised:
        assert "mistake of the program" in evaluated(dock, qtbot)
    assert raised[0][0] is ZeroDivisionError


# Stop, and the bad moments


@pytest.mark.parametrize("words", ["1 of 2", "Drawing", "Making"])
def test_stop_ends_at_once_and_writes_nothing(words, ready, folders, qtbot) -> None:
    halting = Halting(words)
    dock = ready(halting=halting)
    begin(dock, halting, words, qtbot)
    dock.progress.stop_button.click()
    assert dock.status.text() == EVALUATION_STOPPED
    assert dock.progress.isHidden()
    assert dock.form.isEnabled()
    halting.may_go_on.set()
    assert halting.has_ended.wait(SOON / 1000)
    settle(qtbot, dock)
    assert not (folders / "multi_report").exists()
    assert dock.results.isHidden()


def test_while_the_files_are_written_it_is_too_late_to_stop(ready, outcome, qtbot) -> None:
    def writing(_: Any) -> Any:
        yield Stage("Writing the report", is_last=True)
        return outcome

    halting = Halting("Writing", writing)
    dock = ready(halting=halting)
    begin(dock, halting, "Writing", qtbot)
    assert not dock.progress.stop_button.isEnabled()
    dock.job.stop()
    assert dock.job.is_running
    halting.may_go_on.set()
    qtbot.waitUntil(lambda: has_result(dock))


def test_stopped_it_can_be_started_again_at_once(ready, outcome, qtbot) -> None:
    halting = Halting("1 of 2")
    dock = ready(halting=halting)
    begin(dock, halting, "1 of 2", qtbot)
    dock.progress.stop_button.click()
    dock.job._run = Known(outcome)
    assert evaluated(dock, qtbot) == ""
    assert has_result(dock)
    assert not halting.has_ended.is_set()


@pytest.mark.parametrize("how", ["close", "remove"])
def test_closing_the_dock_while_it_runs(how, ready, folders, qtbot) -> None:
    halting = Halting("1 of 2")
    dock = ready(halting=halting, window=True)
    begin(dock, halting, "1 of 2", qtbot)
    frame, viewer = dock.parent(), current_viewer()
    assert isinstance(frame, QDockWidget)
    if how == "close":
        frame.close()
    else:
        viewer.window.remove_dock_widget(frame)
    assert not dock.job.is_running
    halting.may_go_on.set()
    assert halting.has_ended.wait(SOON / 1000)
    settle(qtbot, dock)
    assert not (folders / "multi_report").exists()
    viewer.add_image(np.ones((3, 4, 5)))
    if how == "close":
        frame.show()
        assert dock.status.text() == EVALUATION_STOPPED
        assert dock.evaluate_button.isEnabled()
    else:
        dock.deleteLater()


def test_a_tab_in_front_does_not_stop_it(ready, outcome, qtbot) -> None:
    halting = Halting("1 of 1", Known(outcome))
    dock = ready(halting=halting, window=True)
    begin(dock, halting, "1 of 1", qtbot)
    dock.hide()
    assert dock.job.is_running
    halting.may_go_on.set()
    qtbot.waitUntil(lambda: not dock.job.is_running)
    assert has_result(dock)


# What is remembered


def test_the_last_folders_are_there_again(ready, make_dock, folders, outcome, qtbot) -> None:
    dock = ready(outcome=outcome)
    compare(dock, folders / "vanilla", "Vanilla", qtbot)
    dock.form.images.choose(folders)
    dock.form.report.choose(folders / "mine")
    looked(dock, qtbot)
    evaluated(dock, qtbot)
    again = make_dock()
    looked(again, qtbot)
    assert again.form.request() == dock.form.request()
    assert again.form.methods.rows[0].own_name == ""
    assert again.evaluate_button.isEnabled()
    shutil.rmtree(folders / "vanilla")
    later = make_dock()
    looked(later, qtbot)
    assert list(later.form.request().methods) == ["multi"]


def test_the_folder_for_the_report_is_found_anew(ready, make_dock, outcome, qtbot) -> None:
    evaluated(ready(outcome=outcome), qtbot)
    again = make_dock()
    assert not again.form._has_own_report
    looked(again, qtbot)


@pytest.mark.parametrize(
    "kept", [[], {"methods": 1}, {"methods": [["multi", "there"]]}, {"labels": 1}, {"report": []}]
)
def test_damaged_settings_are_as_none(kept, make_dock, settings) -> None:
    settings._put("last_evaluation", kept)
    assert make_dock().hint.text() == NO_PREDICTIONS


# The dock itself


def test_it_fits_a_narrow_dock_whatever_it_shows(ready, folders, outcome, qtbot) -> None:
    dock = ready(outcome=outcome, window=True)
    name = "a very long name of a method that nobody would give to it"
    compare(dock, folders / "vanilla", name, qtbot)
    evaluated(dock, qtbot)
    dock.status.say(f"{folders}/a_folder/with_a_long_name is no folder.")
    dock.parent().window().resizeDocks([dock.parent()], [300], Qt.Orientation.Horizontal)
    content = dock._area.widget()
    qtbot.waitUntil(lambda: content.width() == dock._area.viewport().width())
    assert dock.minimumSizeHint().width() <= dock.minimumWidth() == 300
    assert content.minimumSizeHint().width() <= 300 - 20
    assert content.width() == dock._area.viewport().width()
    table = dock.results.table
    room = table.viewport().width()
    assert sum(table.columnWidth(column) for column in range(5)) <= room
    pictures = dock.results.pictures
    assert all(place.right() < pictures.width() for place in pictures.places())
    assert pictures.height() == pictures.places()[-1].bottom() + 1


def test_pictures_stand_side_by_side_where_there_is_room(ready, outcome, qtbot) -> None:
    dock = ready(outcome=outcome)
    evaluated(dock, qtbot)
    pictures = dock.results.pictures
    pictures.resize(380, pictures.height())
    assert [place.y() for place in pictures.places()] == [0, 0]
    pictures.resize(270, pictures.height())
    assert [place.x() for place in pictures.places()] == [0, 0]


def test_every_control_is_reached_by_the_tab_key_in_order(ready, folders, outcome, qtbot) -> None:
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
    found = [part for part in order if part in expected][: len(expected)]
    assert found == expected


def test_controls_explain_themselves(make_dock) -> None:
    dock = make_dock()
    form = dock.form
    for part in (
        *(form.labels, form.images, form.report, form.methods.rows[0].folder),
        *(form.methods.rows[0].name_edit, form.methods.add_button, form.patient.choice),
    ):
        assert part.toolTip().endswith((".", "needed"))


def test_the_picture_is_sharp_on_fine_screens(ready, outcome, qtbot) -> None:
    dock = ready(outcome=outcome)
    evaluated(dock, qtbot)
    pictures = dock.results.pictures
    dock.resize(400, 900)
    dock.show()
    qtbot.waitExposed(dock)
    QApplication.processEvents()
    place, scaled = pictures.places()[0], pictures._scaled[0]
    assert scaled.width() == round(place.width() * pictures.devicePixelRatioF())
