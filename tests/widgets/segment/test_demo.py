"""Tests of the demo, which runs and ends napari's event loop."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import napari
import pytest
from napari.components import ViewerModel
from pydantic import PrivateAttr
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.io.study.review_state import Decision, ReviewState, write_review
from napari_bayes_nnunet.io.study.study import read_study
from napari_bayes_nnunet.widgets.common.settings import DemoSettings, Settings, StopTarget
from napari_bayes_nnunet.widgets.layers.keys import KEYS
from napari_bayes_nnunet.widgets.review import dock as review_dock
from napari_bayes_nnunet.widgets.review.dock import ReviewWidget
from napari_bayes_nnunet.widgets.segment import demo as demo_module
from napari_bayes_nnunet.widgets.segment import dock as dock_module
from napari_bayes_nnunet.widgets.segment import ensemble_form
from napari_bayes_nnunet.widgets.segment.demo import (
    NO_QT,
    TITLE_BAR,
    fit_to_screen,
    keep_work,
    lasting_folder,
    run_demo,
)
from napari_bayes_nnunet.widgets.segment.dock import SegmentWidget

from ...helpers.data.cines import make_cine
from ...helpers.processes.thread_child import ThreadChild
from ...helpers.windows.own_app import own_app
from ..conftest import make_folder


def demo_here(
    folder: Path,
    *flags: object,
    closes: int = 0,
) -> list[SegmentationSettings]:
    """Run the demo in this process, with a fake child in a thread.

    Returns the options of each segmentation that ended.
    """
    used: list[SegmentationSettings] = []

    def make(viewer: Any, settings: Settings) -> SegmentWidget:
        settings = DemoSettings(folder.parent / "settings.json")
        child: Any = ThreadChild(*flags)
        dock = SegmentWidget(viewer, child=child, settings=settings)
        if closes:
            timer = QTimer(dock)  # which ends with the dock, not in another test
            timer.timeout.connect(viewer.close)
            timer.start(closes)
        dock.ended.connect(lambda *_: used.append(dock.method.settings))
        return dock

    with own_app(), pytest.MonkeyPatch.context() as patched:
        patched.setattr(ensemble_form, "DEMO_FOLDER", folder)
        patched.setattr(dock_module, "SegmentWidget", make)
        run_demo()
    return used


class BareViewer(ViewerModel):
    """Viewer whose window is a dock alone, and whose event loop ends with it."""

    _docks: list[SegmentWidget | ReviewWidget] = PrivateAttr(default_factory=list)

    @property
    def window(self) -> BareViewer:
        return self

    def set_geometry(self, *place: int) -> None:
        pass

    def add_dock_widget(self, dock: SegmentWidget | ReviewWidget, **place: str) -> None:
        self._docks.append(dock)

    def close(self) -> None:
        for dock in self._docks:
            if isinstance(dock, SegmentWidget):
                dock.close_child()
            dock.deleteLater()
        QApplication.exit()


@pytest.fixture
def no_window(monkeypatch: pytest.MonkeyPatch, qapp: Any) -> None:
    """Run the demo without napari's window, which takes seconds."""
    monkeypatch.setattr(demo_module, "check_display", lambda: None)
    monkeypatch.setattr(napari, "Viewer", BareViewer)
    monkeypatch.setattr(napari, "run", qapp.exec)


@pytest.fixture
def ensemble(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "demo")


def test_it_runs_until_the_window_is_closed(ensemble) -> None:
    demo_here(ensemble, closes=200)


def test_it_ends_at_the_first_slice_of_the_queue(no_window, ensemble, monkeypatch) -> None:
    ended: list[Any] = []

    def show(dock: ReviewWidget, text: str) -> None:
        first = dock.controller.view.queue[0]
        ended.extend([dock._reads, dock.controller.picture.place == (first.phase, first.z), text])
        QTimer.singleShot(0, dock.close_study)
        QTimer.singleShot(0, dock._viewer.close)

    monkeypatch.setattr(ReviewWidget, "show_guide", show)
    demo_here(ensemble, closes=20_000)
    reads, is_first, text = ended
    assert reads
    assert is_first
    assert len(text.splitlines()) == 3
    assert len(text.splitlines()[0]) <= 55  # fits on the line of messages
    for action in ("next", "accept", "previous alternative", "next alternative"):
        assert re.search(rf"\b{KEYS[action]}\b", text)


def make_demo_study(folder: Path) -> Path:
    """Write a study to ``folder`` without an image next to it, as in the demo."""
    made = make_cine(folder)
    made.with_name(f"{made.name}_image.nii.gz").unlink()
    return made


@pytest.fixture
def kept_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Let works be kept in ``tmp_path``, and return the settings then changed."""
    settings = Settings(tmp_path / "settings.json")
    monkeypatch.setattr(demo_module, "user_data_path", lambda *_, appauthor: tmp_path)
    monkeypatch.setattr(demo_module, "Settings", lambda: settings)
    return settings


def test_study_with_work_is_moved_and_another_deleted(tmp_path: Path, kept_in: Settings) -> None:
    made = make_demo_study(tmp_path / "temporary" / "study")
    assert keep_work(made) is None
    assert not made.parent.exists()
    made = make_demo_study(tmp_path / "temporary" / "study")
    write_review(made, ReviewState(decisions={(1, 0): Decision(state="accepted")}))
    kept = keep_work(made)
    assert kept is not None
    assert kept.parent == tmp_path / "demo"
    assert read_study(kept).review.count("accepted") == 1
    assert not made.parent.exists()
    assert kept_in.kept.last_study == str(kept)


def test_demo_study_does_not_replace_the_last_study(tmp_path: Path, kept_in: Settings) -> None:
    kept_in.keep(last_study=str(tmp_path / "own"))
    made = make_cine(tmp_path / "temporary" / "study")
    write_review(made, ReviewState(decisions={(1, 0): Decision(state="accepted")}))
    assert keep_work(made) is not None
    assert kept_in.kept.last_study == str(tmp_path / "own")


def test_exports_of_the_demo_are_proposed_in_a_folder_that_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: Any
) -> None:
    documents = tmp_path / "Documents"
    monkeypatch.setattr(demo_module, "user_documents_path", lambda: documents)
    assert lasting_folder() == Path.home()
    documents.mkdir()
    assert lasting_folder() == documents
    asked: list[str] = []
    choose = lambda parent, title, start: asked.append(start) or ""  # noqa: E731
    monkeypatch.setattr(review_dock, "choose_folder", choose)
    dock = ReviewWidget(
        ViewerModel(),
        settings=Settings(tmp_path / "settings.json"),
        start_folder=documents,
    )
    qtbot.addWidget(dock)
    dock.open_button.click()
    assert asked == [str(documents)]


def test_the_closed_study_of_the_demo_is_found_again(tmp_path, monkeypatch, qtbot) -> None:
    asked: list[str] = []
    choose = lambda parent, title, start: asked.append(start) or ""  # noqa: E731
    monkeypatch.setattr(review_dock, "choose_folder", choose)
    dock = ReviewWidget(
        ViewerModel(),
        settings=Settings(tmp_path / "settings.json"),
        start_folder=tmp_path / "Documents",
    )
    qtbot.addWidget(dock)
    dock.open(make_demo_study(tmp_path / "temporary" / "study"))
    qtbot.waitUntil(lambda: dock.controller is not None)
    dock.close_button.click()
    dock.open_button.click()
    assert asked == [str(tmp_path / "temporary")]


def test_a_study_that_cannot_be_moved_stays(tmp_path: Path, kept_in: Settings) -> None:
    made = make_cine(tmp_path / "temporary" / "study")
    write_review(made, ReviewState(decisions={(1, 0): Decision(state="accepted")}))
    (tmp_path / "demo").touch()
    assert keep_work(made) == made
    assert read_study(made).review.count("accepted") == 1


@pytest.mark.parametrize("decisions", [{}, {(1, 0): Decision(state="accepted")}])
def test_files_saved_next_to_the_study_stay(
    tmp_path: Path, kept_in: Settings, decisions: dict[Any, Decision]
) -> None:
    made = make_demo_study(tmp_path / "temporary" / "study")
    write_review(made, ReviewState(decisions=decisions))
    saved = made.parent / "numbers.csv"
    saved.touch()
    keep_work(made)
    assert (saved.exists(), made.exists()) == (True, False)


def test_the_window_fits_the_screen(qapp: Any) -> None:
    screen = qapp.primaryScreen().availableGeometry()
    x, y, width, height = fit_to_screen(10**5, 10**5)
    assert (x, width) == (screen.x(), screen.width())
    assert (y + height, height) == (screen.y() + screen.height(), screen.height() - TITLE_BAR)
    x, y, width, height = fit_to_screen(400, 300)
    assert (width, height) == (400, 300)
    assert abs(2 * x + width - 2 * screen.x() - screen.width()) <= 1


def test_the_demo_takes_the_usual_options_once(no_window, ensemble, tmp_path) -> None:
    settings = Settings(tmp_path / "settings.json")
    own = make_folder(tmp_path / "own")
    settings.keep(last_ensemble=str(own))
    used = demo_here(ensemble, "--fails", "The image is empty.", closes=500)
    assert used == [SegmentationSettings(members=3, temperature=1.0)]
    assert settings.kept.last_ensemble == str(own)


def test_the_demo_keeps_only_how_the_window_looks(tmp_path) -> None:
    settings = DemoSettings(tmp_path / "settings.json")
    settings.keep(last_study=str(tmp_path))
    settings.keep(stop_target=StopTarget(points=5, level=80))
    settings.keep(thumbnails=False)
    assert not settings.kept.last_study
    assert settings.kept.stop_target is None
    assert not settings.kept.thumbnails


def test_demo_without_qt_names_the_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    monkeypatch.setitem(sys.modules, "qtpy.QtWidgets", None)
    with pytest.raises(AppError) as caught:
        run_demo()
    assert caught.value.statement.template == NO_QT
    assert 'pip install "napari-bayes-nnunet[all]"' in str(caught.value)
