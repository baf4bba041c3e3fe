"""Tests of the form to choose an ensemble."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_bayes_nnunet.app.segmentation.calibration import UNCALIBRATED
from napari_bayes_nnunet.io.ensemble.ensemble_folder import NOT_USED, POINTERS, find_ensemble
from napari_bayes_nnunet.io.files.limits import LFS_START
from napari_bayes_nnunet.widgets.segment import ensemble_form
from napari_bayes_nnunet.widgets.segment.ensemble_form import (
    DEMO_FOLDER,
    DEMO_TITLE,
    DICE,
    DICE_HELP,
    MORE_REFUSED,
    EnsembleForm,
)

from ...helpers.windows.settling import settle
from ..conftest import LABELS, make_folder


@pytest.fixture
def make_form(settings, qtbot, tmp_path, monkeypatch):
    def make(demo=None) -> EnsembleForm:
        monkeypatch.setattr(ensemble_form, "DEMO_FOLDER", demo or tmp_path / "no_demo")
        form = EnsembleForm(settings)
        qtbot.addWidget(form)
        return form

    return make


@pytest.fixture
def form(make_form) -> EnsembleForm:
    return make_form()


def choose(form: EnsembleForm, path, qtbot) -> None:
    with qtbot.waitSignals([form.found], timeout=5000):
        form.choose(path)


def entries(form: EnsembleForm) -> list[str]:
    return [form.folders.itemText(i) for i in range(form.folders.count())]


def test_a_chosen_folder_is_searched_and_offered_next_time(
    form, make_form, ensemble_folder, qtbot
) -> None:
    changes: list[object] = []
    form.ensemble_changed.connect(changes.append)
    choose(form, ensemble_folder, qtbot)
    assert form.folder is not None
    assert changes == [None, form.folder]
    assert form.path == ensemble_folder
    assert form.kind.text().startswith("Checkpoints (2d), 3 usable")
    assert UNCALIBRATED in form.kind.text()
    for name, color in (("RV", "#56B4E9"), ("MYO", "#009E73"), ("LV", "#F0E442")):
        assert f"<span style='color:{color}'>■</span>&nbsp;{name}" in form.summary.text()
    assert not form.problems.text()
    choose(form, ensemble_folder, qtbot)
    assert entries(form).count("ensemble") == 1
    again = make_form()
    assert entries(again)[-1] == "ensemble"
    assert again.folders.itemData(2, Qt.ItemDataRole.ToolTipRole) == str(ensemble_folder)
    with qtbot.waitSignal(again.found):
        again.folders.setCurrentIndex(2)
        again.folders.activated.emit(2)
    assert again.folder is not None
    again.folders.setCurrentIndex(0)
    again.folders.activated.emit(0)
    assert again.folder is None
    assert again.path is None
    choose(form, ensemble_folder, qtbot)
    last = make_form()
    with qtbot.waitSignal(last.found):
        last.choose_last()
    assert last.path == ensemble_folder


def test_the_button_opens_a_folder_dialog(form, ensemble_folder, qtbot, monkeypatch) -> None:
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a: str(ensemble_folder))
    with qtbot.waitSignal(form.found):
        form.choose_button.click()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a: "")
    form.choose_button.click()
    assert form.folder is not None


def test_a_zip_file_is_chosen_and_kept(form, ensemble_folder, qtbot, monkeypatch) -> None:
    root, name = ensemble_folder.parent, ensemble_folder.name
    file = Path(shutil.make_archive(str(root / "model"), "zip", root, name))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a: (str(file), ""))
    with qtbot.waitSignal(form.found):
        form.zip_button.click()
    assert len(form.folder.members) == len(find_ensemble(ensemble_folder).members)
    assert (form.path, entries(form)[-1]) == (file, file.name)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a: ("", ""))
    form.zip_button.click()
    assert form.path == file


def test_refused_members_are_shown_as_sentences(form, tmp_path, qtbot) -> None:
    choose(form, make_folder(tmp_path / "damaged", damaged=True), qtbot)
    assert "3 of 4" in form.kind.text()
    (reason,) = (member.refused for member in form.folder.members if member.refused)
    assert form.problems.text() == NOT_USED.format(file="checkpoint_epoch_99.pth", reason=reason)


def test_pointers_of_git_lfs_are_said_once(form, tmp_path, qtbot) -> None:
    folder = make_folder(tmp_path / "cloned")
    for file in folder.rglob("*.pth"):
        file.write_bytes(LFS_START + b"v1\noid sha256:0\nsize 1\n")
    choose(form, folder, qtbot)
    assert form.problems.text() == POINTERS.format(count=3, members=3, folder=form.folder.path)


def test_many_problems_are_summed_up(form, tmp_path, qtbot) -> None:
    folder = make_folder(tmp_path / "damaged")
    for file in folder.rglob("*.pth"):
        for number in range(2):
            file.with_stem(f"{file.stem}{number}").write_bytes(b"")
    choose(form, folder, qtbot)
    assert form.problems.text().splitlines()[-1] == MORE_REFUSED.format(count=3)


def test_a_folder_without_ensemble_is_a_sentence(form, tmp_path, qtbot) -> None:
    (tmp_path / "nothing").mkdir()
    form.choose(tmp_path / "nothing")
    qtbot.waitUntil(lambda: "plans.json" in form.problems.text())
    assert form.folder is None
    assert not form.members.isVisibleTo(form)


def test_members_the_child_refuses_are_shown(form, ensemble_folder, qtbot) -> None:
    choose(form, ensemble_folder, qtbot)
    first = str(form.folder.members[0].path)
    changes: list[object] = []
    form.ensemble_changed.connect(changes.append)
    for _ in range(2):
        form.refuse(str(ensemble_folder), {first: "other shapes"})
    assert len(changes) == 1
    assert len(form.folder.usable_members) == 2
    text = NOT_USED.format(file="checkpoint_epoch_0.pth", reason="other shapes")
    assert form.problems.text() == text
    form.refuse("another", {str(form.folder.members[1].path): "late"})
    assert len(form.folder.usable_members) == 2


def test_only_the_last_choice_counts(form, ensemble_folder, tmp_path, qtbot) -> None:
    other = make_folder(tmp_path / "other", labels={"background": 0, "LV": 1})
    form.choose(ensemble_folder)
    choose(form, other, qtbot)
    settle(qtbot, form)
    assert form.folder.labels == {"background": 0, "LV": 1}


def test_the_demo_is_one_click_away(make_form, ensemble_folder, settings, qtbot) -> None:
    form = make_form(ensemble_folder)
    with qtbot.waitSignal(form.found):
        form.choose_demo()
    assert form.folder.labels == LABELS
    assert form.folders.currentText() == DEMO_TITLE
    assert settings.kept.recent_ensembles == ()


def test_the_line_has_the_dice_of_validation_cases(make_form, qtbot) -> None:
    form = make_form(DEMO_FOLDER)
    with qtbot.waitSignal(form.found):
        form.choose_demo()
    scores = form.folder.validation_dice
    assert set(scores) == {"RV", "MYO", "LV"}
    assert form.summary.text().count("■") == 3
    for name, score in scores.items():
        assert f"{name}&nbsp;{score:.2f}" in form.summary.text()
    assert form.summary.text().startswith(DICE)
    assert form.summary.toolTip() == DICE_HELP.format(cases="32 validation cases")


def test_the_built_in_ensemble_is_chosen_first(make_form, ensemble_folder, settings, qtbot) -> None:
    settings.keep(last_ensemble="/moved/away")
    form = make_form(ensemble_folder)
    with qtbot.waitSignal(form.found):
        form.choose_last()
    assert form.folders.currentText() == DEMO_TITLE
    settings.keep(last_ensemble="")
    without = make_form()
    without.choose_last()
    assert without.path is None
