"""The check of a dataset before a training."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QFileDialog, QToolTip

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.training import preflight
from napari_bayes_nnunet.app.training.disk_space import size_text
from napari_bayes_nnunet.app.training.preflight import assess_request, check_cases
from napari_bayes_nnunet.core.ensemble.schedule import MemberSelection, RestartSchedule
from napari_bayes_nnunet.core.ensemble.training_settings import PRESETS, TrainingSettings
from napari_bayes_nnunet.core.problems import Action
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dataset.check import CaseCheck, DatasetProblem
from napari_bayes_nnunet.io.dataset.raw_dataset import RawDataset, TrainingCase, read_dataset
from napari_bayes_nnunet.widgets.common.device_box import LOOKING
from napari_bayes_nnunet.widgets.common.dock import DOCK_WIDTH
from napari_bayes_nnunet.widgets.common.levels import ON_LIGHT
from napari_bayes_nnunet.widgets.common.patient_pattern import (
    GIVEN,
    NO_PATTERN,
    ONE_GROUP,
    OWN,
    pattern_problem,
)
from napari_bayes_nnunet.widgets.training import preflight_form
from napari_bayes_nnunet.widgets.training.preflight_form import (
    DATASET_FOLDS,
    DISK_SPACE,
    FEW_FOLDS,
    FILE_FOLDS,
    MORE_IN_TABLE,
    MORE_PROBLEMS,
    NO_DATA,
    NO_VALIDATION,
    PATIENT_FOLDS,
    PREFLIGHT_COLUMNS,
    PROBLEM,
    PreflightForm,
    short_text,
)
from napari_bayes_nnunet.widgets.training.schedule_form import ScheduleValues
from napari_bayes_nnunet.widgets.training.structure_names import UNNAMED_LV

from ...helpers.data.hearts import make_dataset
from ...helpers.windows.settling import settle
from .test_watch_form import numbers

DEMO = ScheduleValues(settings=PRESETS["demo"])
ONE_MORE = ScheduleValues(settings=PRESETS["demo"], add_cycle=True)
DEVICES = {"cuda:0": "Some card, 8.0 GiB", "cpu": "CPU, 4 threads"}


@pytest.fixture(scope="module")
def hearts(tmp_path_factory: pytest.TempPathFactory) -> RawDataset:
    """Return a dataset of 5 patients with 2 frames each, without problems."""
    return read_dataset(make_dataset(tmp_path_factory.mktemp("data") / "hearts", patients=5))


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> RawDataset:
    """Return a dataset with one unnamed value in a case, and no structure in another."""
    path = make_dataset(tmp_path_factory.mktemp("data") / "faulty", patients=4)
    change_label(path, "patient003_frame02", lambda voxels: voxels.__setitem__((0, 0, 0), 7))
    change_label(path, "patient002_frame02", lambda voxels: voxels.fill(0))
    return read_dataset(path)


def change_label(path: Path, case: str, change: Any) -> None:
    file = path / "labelsTr" / f"{case}.nii.gz"
    image = nibabel.load(file)
    voxels = np.asarray(image.dataobj).astype(np.uint8)
    change(voxels)
    nibabel.save(nibabel.Nifti1Image(voxels, image.affine), file)


FUNCTIONS = {"check": "check_cases", "assess": "assess_request"}


@pytest.fixture
def make_form(qtbot, monkeypatch):
    def make(**fakes: Any) -> PreflightForm:
        for name, fake in ({"find_devices": lambda: DEVICES} | fakes).items():
            monkeypatch.setattr(preflight_form, FUNCTIONS.get(name, name), fake)
        form = PreflightForm()
        qtbot.addWidget(form)
        return form

    return make


@pytest.fixture
def form(make_form) -> PreflightForm:
    return make_form()


def wait_for(form: PreflightForm, qtbot: Any, act: Any, *arguments: Any) -> None:
    """Call ``act`` and wait until there is a preflight again."""
    act(*arguments)
    qtbot.waitUntil(lambda: form.preflight is not None)


def check(form: PreflightForm, dataset: RawDataset, qtbot: Any) -> None:
    wait_for(form, qtbot, form.set_dataset, dataset)


def column(form: PreflightForm, title: str) -> list[str]:
    index = [column.title for column in PREFLIGHT_COLUMNS].index(title)
    return [row.cells[index] for row in form.table.rows]


def made(cases: int = 10, *, text: str = "") -> tuple[RawDataset, tuple[CaseCheck, ...]]:
    """Make a dataset without files; with ``text``, every third case has a problem."""
    names = [f"patient{number // 2:04d}_frame{number % 2:02d}" for number in range(cases)]
    path = Path("/no/dataset")
    content = {"labels": {"background": 0, "LV": 1}, "channel_names": {"0": "MRI"}}
    dataset = RawDataset(
        path,
        {**content, "file_ending": ".nii.gz"},
        tuple(TrainingCase(name, (path / name,), path / name) for name in names),
    )
    problem = (DatasetProblem(text, path / "labelsTr" / "file"),) if text else ()
    checks = tuple(
        CaseCheck(name, (10, 256, 216), (10, 1.4, 1.4), (0, 1), 552960, problem * (not i % 3))
        for i, name in enumerate(names)
    )
    return dataset, checks


def fake_check(checks: tuple[CaseCheck, ...]):
    def steps(dataset):
        yield 0, len(checks)
        return checks

    return steps


def test_form_without_a_dataset_is_empty(form) -> None:
    assert form.preflight is None
    assert form.summary.text() == NO_DATA
    assert not form.table.isVisibleTo(form)
    assert not form.settings.isVisibleTo(form)
    assert (form.fold, form.patient, form.split, form.device) == ("0", None, None, "auto")


def test_dataset_without_problems_is_ready(form, hearts, qtbot) -> None:
    with qtbot.waitSignals([form.changed, form.changed], timeout=5000):
        form.set_dataset(hearts)
        assert form.progress.isVisibleTo(form)
    assert form.preflight.ready
    assert form.preflight.dataset is hearts
    assert not form.progress.isVisibleTo(form)
    assert numbers(form.summary.text()) == [10, 5, 8, 2]
    assert form.problems.text() == ""
    assert form.table.isColumnHidden(PROBLEM)
    assert column(form, "Case")[0] == "patient001_frame01"
    assert set(column(form, "Shape")) == {" × ".join(["4", "40", "48"])}
    assert set(column(form, "Spacing")) == {" × ".join(["10", "1.4", "1.4"])}
    assert set(column(form, "Labels")) == {"0 1 2 3"}
    assert column(form, "Patient")[:3] == ["patient001", "patient001", "patient002"]
    assert sorted(set(column(form, "Use"))) == ["training", "validation"]
    assert form.split_text.text() == PATIENT_FOLDS.format(folds=5)


def test_cases_with_problems_stand_first_in_colour(form, faulty, qtbot) -> None:
    check(form, faulty, qtbot)
    assert not form.preflight.ready
    assert numbers(form.summary.text())[-2:] == [1, 1]
    assert column(form, "Case")[:3] == [
        "patient003_frame02", "patient002_frame02", "patient001_frame01"
    ]  # fmt: skip
    assert not form.table.isColumnHidden(PROBLEM)
    texts = column(form, "Problem")
    assert texts[0].startswith("patient003_frame02.nii.gz ")
    assert 7 in numbers(texts[0])
    assert texts[1].startswith("patient002_frame02.nii.gz ")
    assert not any(texts[2:])
    model = form.table.model()
    for row, level in enumerate(("blocking", "warning")):
        color = model.index(row, 0).data(Qt.ItemDataRole.ForegroundRole)
        assert color.name().upper() == ON_LIGHT[level]
    assert model.index(2, 0).data(Qt.ItemDataRole.ForegroundRole) is None
    first, second = form.problems.text().split("</p>")[:-1]
    assert "patient003_frame02.nii.gz " in first
    assert ON_LIGHT["blocking"] in first
    assert "patient002_frame02.nii.gz " in second
    assert ON_LIGHT["warning"] in second


def test_problems_are_shown_whole_and_their_files_copied(
    form, faulty, tmp_path, qtbot, monkeypatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(QToolTip, "showText", lambda point, text, *_: shown.append(text))
    check(form, faulty, qtbot)
    file = faulty.path / "labelsTr" / "patient002_frame02.nii.gz"
    form.problems.linkActivated.emit("1")
    assert QApplication.clipboard().text() == str(file)
    shown.clear()
    file = faulty.path / "labelsTr" / "patient003_frame02.nii.gz"
    form.table.doubleClicked.emit(form.table.model().index(0, 0))
    assert QApplication.clipboard().text() == str(file)
    assert len(shown) == 1
    assert file.name in shown[0]
    assert str(file.parent) in shown[0]
    form.table.doubleClicked.emit(form.table.model().index(5, 0))
    assert len(shown) == 1
    form.table.selectRow(4)
    assert form.detail.text() == ""
    form.table.selectRow(0)
    detail = form.detail.text()
    assert detail.startswith(f"{file} ")
    assert form.detail.toolTip() == str(file)
    wait_for(form, qtbot, form.set_plan, tmp_path, DEMO)  # the cases are unchanged
    assert form.detail.text() == detail


def test_shape_and_spacing_fit_the_dock(form, hearts, qtbot) -> None:
    form.resize(DOCK_WIDTH, 800)
    form.show()
    check(form, hearts, qtbot)
    header, titles = form.table.horizontalHeader(), [column.title for column in PREFLIGHT_COLUMNS]
    for title in ("Shape", "Spacing"):
        index = titles.index(title)
        right = header.sectionPosition(index) + header.sectionSize(index)
        assert right <= form.table.viewport().width()


def test_problems_of_many_cases_are_shortened(make_form, qtbot, monkeypatch) -> None:
    monkeypatch.setattr(preflight, "free_bytes", lambda folder: 2**50)
    dataset, checks = made(30, text="A bad case.")
    form = make_form(check=fake_check(checks))
    check(form, dataset, qtbot)
    lines = form.problems.text().split("</p>")[:-1]
    assert len(lines) == 4
    assert lines[-1].endswith(MORE_IN_TABLE.format(count=7))


def test_problem_of_the_dataset_is_listed(form, tmp_path, qtbot, monkeypatch) -> None:
    labels = {"background": 0, "RV": 1, "MYO": 2, "LV": 3, "scar": 4}
    dataset = read_dataset(make_dataset(tmp_path / "hearts", patients=2, labels=labels))
    check(form, dataset, qtbot)
    assert not form.preflight.ready
    assert "hearts" in form.problems.text()
    assert "scar" in form.problems.text()
    assert ON_LIGHT["blocking"] in form.problems.text()
    assert str(dataset.path) not in form.problems.text()
    assert str(dataset.path) in form.problems.toolTip()
    monkeypatch.setattr(QToolTip, "showText", lambda *_: None)
    form.problems.linkActivated.emit("0")
    assert QApplication.clipboard().text() == str(dataset.path / "dataset.json")


def test_many_problems_are_shortened_worst_first(make_form, qtbot) -> None:
    dataset, checks = made()
    problems = tuple(
        DatasetProblem(f"Bad thing {number}.", None, blocks=False) for number in range(8)
    )

    def judge(*arguments):
        worst = DatasetProblem("Worst.", None)
        return replace(assess_request(*arguments), problems=(*problems, worst))

    form = make_form(check=fake_check(checks), assess=judge)
    check(form, dataset, qtbot)
    lines = form.problems.text().split("</p>")[:-1]
    assert "Worst." in lines[0]
    assert lines[-1].endswith(MORE_PROBLEMS.format(count=6))
    assert ON_LIGHT["warning"] in lines[1]
    form.problems.linkActivated.emit("0")  # it has no file to show


def test_patient_pattern_is_shown_on_an_example(form, hearts, qtbot) -> None:
    check(form, hearts, qtbot)
    assert form.patients.example.text().startswith("patient001_frame01 → patient001;")
    assert "5 patients" in form.patients.example.text()
    for index, patient, count in (
        (1, "patient001", "5 patients"), (2, "patient001", "5 patients"),
        (3, "patient001_frame01", "10 patients"), (0, "patient001", "5 patients"),
    ):  # fmt: skip
        form.patients.choice.setCurrentIndex(index)
        assert form.preflight is None
        wait_for(form, qtbot, print)
        assert form.patients.example.text().startswith(f"patient001_frame01 → {patient};")
        assert count in form.patients.example.text()
        assert form.patient == (None if index == 0 else form.patients.choice.currentData())


def test_own_pattern_divides_the_patients(form, hearts, qtbot) -> None:
    check(form, hearts, qtbot)
    form.patients.choice.setCurrentIndex(form.patients.choice.findData(OWN))
    assert form.patients.own.isVisibleTo(form)
    assert form.patients.problem_text.text() == ONE_GROUP
    changes: list[object] = []
    form.changed.connect(lambda: changes.append(form.preflight))
    form.patients.own.setText("(frame")
    assert form.patients.problem_text.text().startswith(NO_PATTERN.split("{")[0])
    assert form.patients.example.text() == ""
    assert form.patients.pattern is None
    assert changes == [None]
    wait_for(form, qtbot, form.patients.own.setText, r"(frame\d+)")
    assert form.patients.problem_text.text() == ""
    assert form.patients.example.text().startswith("patient001_frame01 → frame01;")
    assert "2 patients" in form.patients.example.text()
    assert form.patient == r"(frame\d+)"
    assert form.split_text.text() == PATIENT_FOLDS.format(folds=2)
    assert form.folds.model().item(1).isEnabled()
    assert not form.folds.model().item(2).isEnabled()
    assert form.folds.model().item(2).toolTip() == FEW_FOLDS.format(folds=2)


@pytest.mark.parametrize(
    ("pattern", "problem"), [("(a)(b)", ONE_GROUP), ("a", ONE_GROUP), (r"(a\d+)", "")]
)
def test_pattern_needs_one_group(pattern, problem) -> None:
    assert pattern_problem(pattern) == problem


def test_chosen_fold_decides_the_use(form, hearts, qtbot) -> None:
    check(form, hearts, qtbot)
    first = column(form, "Use")
    wait_for(form, qtbot, form.folds.setCurrentIndex, 1)
    assert form.fold == form.preflight.fold == "1"
    assert column(form, "Use") != first
    wait_for(form, qtbot, form.folds.setCurrentIndex, 5)
    assert form.fold == "all"
    assert numbers(form.summary.text()) == [10, 5, 10, 0]
    assert form.split_text.text() == NO_VALIDATION


def split_file(file: Path, dataset: RawDataset, held_back: str) -> Path:
    names = [case.name for case in dataset.cases]
    split = {
        "train": [name for name in names if held_back not in name],
        "val": [name for name in names if held_back in name],
    }
    file.write_text(json.dumps([split]))
    return file


def test_split_of_the_dataset_is_used(form, tmp_path, qtbot) -> None:
    dataset = read_dataset(make_dataset(tmp_path / "hearts", patients=3))
    form.patients.choice.setCurrentIndex(1)
    split_file(dataset.path / "splits_final.json", dataset, "patient002")
    check(form, dataset, qtbot)
    assert form.preflight.ready
    assert form.split_text.text() == DATASET_FOLDS
    assert form.split is None


def test_continued_training_keeps_its_patients(form, hearts, tmp_path, qtbot) -> None:
    check(form, hearts, qtbot)
    form.patients.choice.setCurrentIndex(1)
    with qtbot.waitSignal(form.changed):
        form.set_plan(tmp_path / "run", ONE_MORE)
    assert form.patient is None
    assert not form.patients.choice.isEnabled()
    assert form.patients.choice.toolTip() == GIVEN


def test_chosen_split_file_can_be_removed(form, hearts, tmp_path, qtbot, monkeypatch) -> None:
    check(form, hearts, qtbot)
    file = split_file(tmp_path / "mine.json", hearts, "frame01")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(file), ""))
    wait_for(form, qtbot, form.split_button.click)
    assert form.split == file
    assert form.split_text.text() == FILE_FOLDS.format(name="mine.json")
    assert form.no_split_button.isVisibleTo(form)
    assert not form.preflight.ready
    assert "patient001" in form.problems.text()
    wait_for(form, qtbot, form.no_split_button.click)
    assert form.split is None
    assert form.preflight.ready
    assert form.split_text.text() == PATIENT_FOLDS.format(folds=5)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("", ""))
    form.split_button.click()
    assert form.preflight is not None


def test_another_dataset_removes_a_damaged_split_file(form, hearts, faulty, tmp_path, qtbot):
    check(form, hearts, qtbot)
    (tmp_path / "split.json").write_text("{")
    wait_for(form, qtbot, form.choose_split, tmp_path / "split.json")
    assert not form.preflight.ready
    assert "split.json" in form.problems.text()
    check(form, faulty, qtbot)
    assert form.split is None
    assert not form.no_split_button.isVisibleTo(form)
    assert "split.json" not in form.problems.text()


def test_disk_space_follows_the_plan(form, hearts, tmp_path, qtbot) -> None:
    check(form, hearts, qtbot)
    disk = form.preflight.disk
    needed, free = size_text(disk.needed_bytes), size_text(disk.free_bytes)
    assert form.disk.text() == DISK_SPACE.format(needed=needed, free=free)
    schedule, selection = RestartSchedule(epochs=6, cycles=2), MemberSelection(per_cycle=1)
    small = TrainingSettings(preset="quick", schedule=schedule, selection=selection)
    wait_for(form, qtbot, form.set_plan, tmp_path, ScheduleValues(settings=small))
    quick = form.preflight.disk
    parts = [size_text(size) for size in quick.parts.values()]
    assert all(part in form.disk.toolTip() for part in parts)
    paper = ScheduleValues(settings=PRESETS["paper"])
    wait_for(form, qtbot, form.set_plan, tmp_path, paper)
    assert form.preflight.disk.needed_bytes > 10 * quick.needed_bytes
    preflight = form.preflight
    form.set_plan(tmp_path, paper)
    assert form.preflight is preflight


def test_assessment_gets_the_plan(make_form, tmp_path, qtbot) -> None:
    dataset, checks = made()
    asked: list[Any] = []

    def judge(request, *others):
        asked.append(request)
        return assess_request(request, *others)

    form = make_form(check=fake_check(checks), assess=judge)
    form.folds.setCurrentIndex(1)
    check(form, dataset, qtbot)
    assert asked[-1].output == Path("/no/dataset training")
    wait_for(form, qtbot, form.set_plan, tmp_path, DEMO)
    request = asked[-1]
    assert (request.output, request.preset, request.fold) == (tmp_path, "demo", "1")
    assert (request.schedule, request.selection) == (
        DEMO.settings.schedule,
        DEMO.settings.selection,
    )
    assert (request.configuration, request.add_cycle) == ("2d", False)
    with qtbot.waitSignal(form.changed):
        form.set_plan(tmp_path, ONE_MORE)
    assert asked[-1].add_cycle
    assert asked[-1].fold is None


def test_changed_plan_reads_no_case_again(make_form, hearts, tmp_path, qtbot) -> None:
    reads: list[RawDataset] = []

    def counted(dataset):
        reads.append(dataset)
        return check_cases(dataset)

    form = make_form(check=counted)
    check(form, hearts, qtbot)
    wait_for(form, qtbot, form.folds.setCurrentIndex, 2)
    wait_for(form, qtbot, form.set_plan, tmp_path, DEMO)
    assert reads == [hearts]


def test_newer_dataset_replaces_a_running_check(make_form, hearts, faulty, qtbot) -> None:
    ended, began = threading.Event(), threading.Event()

    def check_slowly(dataset):
        if dataset is hearts:
            try:
                while True:
                    time.sleep(0.01)
                    yield 12, 160
                    began.set()
            finally:
                ended.set()
        return (yield from check_cases(dataset))

    form = make_form(check=check_slowly)
    form.set_dataset(hearts)
    qtbot.waitUntil(lambda: "12 of 160" in form.progress.text.text())
    assert (form.progress.bar.value(), form.progress.bar.maximum()) == (12, 160)
    check(form, faulty, qtbot)
    assert not form.progress.isVisibleTo(form)
    assert form.preflight.dataset is faulty
    assert ended.wait(2)
    form.set_dataset(None)
    assert form.preflight is None
    assert form.summary.text() == NO_DATA
    assert list(form.table.rows) == []
    settle(qtbot, form)
    assert form.preflight is None
    # A check ends with the window, too.
    began.clear()
    ended.clear()
    form = PreflightForm()
    form.set_dataset(hearts)
    qtbot.waitUntil(began.is_set)
    assert not ended.is_set()
    form.deleteLater()
    settle(qtbot)
    assert ended.wait(2)


def test_hanging_drive_does_not_delay_next_dataset(make_form, hearts, faulty, qtbot):
    released = threading.Event()

    def hang(dataset):
        if dataset is hearts:
            released.wait(5)
        return (yield from check_cases(dataset))

    form = make_form(check=hang)
    form.set_dataset(hearts)
    check(form, faulty, qtbot)
    released.set()
    settle(qtbot, form)
    assert form.preflight.dataset is faulty


def test_failed_check_or_assessment_shows_the_error(make_form, hearts, qtbot) -> None:
    def fail(*_):
        yield 0, 1
        raise DataError("The drive is gone.")

    def refuse(*_):
        raise AppError("No access.")

    for fakes, text in (
        ({"assess": refuse}, "No access."),
        ({"check": fail}, "The drive is gone."),
    ):
        form = make_form(**fakes)
        changes: list[object] = []
        form.changed.connect(lambda form=form, to=changes: to.append(form.preflight))
        form.set_dataset(hearts)
        qtbot.waitUntil(lambda form=form: bool(form.problems.text()))
        assert text in form.problems.text()
        assert not form.progress.isVisibleTo(form)
        assert changes == [None, None]


def test_shown_form_searches_devices_once(make_form, qtbot) -> None:
    searches: list[object] = []

    def find() -> dict[str, str]:
        searches.append(1)
        return DEVICES

    form = make_form(find_devices=find)
    assert form.devices.itemData(0, Qt.ItemDataRole.ToolTipRole) == LOOKING
    assert not searches
    form.show()
    qtbot.waitUntil(lambda: form.devices.count() == 3)
    texts = [form.devices.itemText(index) for index in range(3)]
    assert texts == ["Automatic (cuda:0)", f"cuda:0: {DEVICES['cuda:0']}", DEVICES["cpu"]]
    assert form.device == "auto"
    with qtbot.waitSignal(form.changed):
        form.devices.setCurrentIndex(1)
    assert form.device == "cuda:0"
    form.devices.set_devices(DEVICES)
    assert form.device == "cuda:0"
    form.hide()
    form.show()
    assert len(searches) == 1


def test_failed_search_for_devices_is_shown(make_form, qtbot) -> None:
    def fail() -> dict[str, str]:
        raise AppError("No driver.")

    form = make_form(find_devices=fail)
    form.show()
    qtbot.waitUntil(lambda: form.devices.toolTip() == "No driver.")
    assert form.device == "auto"


def test_short_text_has_names_instead_of_paths() -> None:
    file = Path("/data/hearts/dataset.json")
    assert short_text(DatasetProblem(f"{file} lacks labels.", file)) == "dataset.json lacks labels."
    assert short_text(DatasetProblem("/data/hearts is one.", file)) == "hearts is one."
    assert short_text(DatasetProblem("/data is one.", None)) == "/data is one."
    assert short_text(DatasetProblem("/ is one.", Path("/"))) == "/ is one."


class Stopwatch:
    """The longest time in which the window could not react, s."""

    def __init__(self) -> None:
        self.longest = 0.0

    def call(self, act: Any, *arguments: Any) -> None:
        started = time.thread_time()  # without the time of other processes
        act(*arguments)
        self.longest = max(self.longest, time.thread_time() - started)

    def until(self, condition: Any) -> None:
        end = time.perf_counter() + 20
        while not condition() and time.perf_counter() < end:
            self.call(QApplication.processEvents)
            time.sleep(0.001)
        assert condition()


def test_2000_cases_do_not_freeze_the_window(make_form, tmp_path) -> None:
    dataset, checks = made(2000, text="/no/dataset/labelsTr/file is bad.")
    form = make_form(check=fake_check(checks))
    form.resize(360, 800)
    form.show()
    watch = Stopwatch()
    watch.call(form.set_dataset, dataset)
    watch.until(lambda: form.preflight is not None)
    for act in (
        lambda: form.folds.setCurrentIndex(3),
        lambda: form.patients.choice.setCurrentIndex(2),
        lambda: form.set_plan(tmp_path, DEMO),
        lambda: form.table.scrollToBottom(),
    ):
        watch.call(act)
        watch.until(lambda: form.preflight is not None)
    assert form.table.model().rowCount() == 2000
    assert watch.longest < 0.1


# Names of structures


def test_known_structures_are_shown_in_a_picture(form, hearts, qtbot) -> None:
    check(form, hearts, qtbot)
    qtbot.waitUntil(lambda: form.structures.picture.example is not None)
    assert not form.structures.table.isVisibleTo(form)
    assert form.structures.picture.isVisibleTo(form)
    assert form.label_names is None
    form.set_dataset(None)
    assert form.structures.picture.example is None


def test_unknown_structures_are_named_in_the_check(form, tmp_path, qtbot) -> None:
    labels = {"background": 0, "structure 1": 1, "structure 2": 2, "structure 3": 3}
    dataset = read_dataset(make_dataset(tmp_path / "data", labels=labels))
    check(form, dataset, qtbot)
    qtbot.waitUntil(lambda: form.structures.picture.example is not None)
    assert form.label_names is None
    assert form.structures.table.isVisibleTo(form)
    assert form.structures.hint.text() == UNNAMED_LV
    given = {1: "RV", 2: "MYO", 3: "LV"}
    for value, name in given.items():
        form.structures.table.item(value, 1).setText(name)
    assert form.label_names == given
    qtbot.waitUntil(lambda: form.preflight is not None)
    assert form.preflight.problems == ()
    assert form.preflight.dataset.labels == {"background": 0, "RV": 1, "MYO": 2, "LV": 3}
    form.structures.table.item(3, 1).setText("cavity")
    assert form.label_names == given | {3: "cavity"}
    qtbot.waitUntil(lambda: form.preflight is not None)
    (problem,) = form.preflight.problems
    assert [remedy.action for remedy in problem.text.remedies] == [Action.SET_TO]
    assert form.preflight.ready
    form.structures.table.item(3, 1).setText("RV")  # twice
    assert form.label_names is None
    with qtbot.assertNotEmitted(form.changed, wait=300):
        pass  # nothing is assessed with the names of the dataset instead
    assert form.preflight is None
