"""Opened studies, brush and keys for tests of the *Review* dock."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app_model.types import KeyBinding
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils._proxies import PublicOnlyProxy
from qtpy.QtWidgets import QAbstractButton, QAbstractSlider, QComboBox, QLabel, QLineEdit

from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.core.review.queue import QueueItem
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.core.types import Place
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.images.nifti import read_volume
from napari_bayes_nnunet.io.study.arrays import select_phase
from napari_bayes_nnunet.io.study.study import open_study_lock, read_study
from napari_bayes_nnunet.widgets.layers.viewing import index_of
from napari_bayes_nnunet.widgets.reading.picture import OpenedStudy
from napari_bayes_nnunet.widgets.review.controller import ReviewController
from napari_bayes_nnunet.widgets.review.dock import ReviewWidget
from napari_bayes_nnunet.widgets.review.forms import ReviewForms

from ..data.cines import image_of, make_cine
from .patient_bot import PatientBot
from .settling import settle


def opened(folder: Path, *, image: bool = True) -> OpenedStudy:
    """Return a study opened without a thread."""
    voxels = read_volume(image_of(folder)) if image else None
    session = ReviewSession(read_study(folder), None if voxels is None else voxels.voxels)
    return OpenedStudy(session, voxels, lock=open_study_lock(folder))


def steps_of(layer: Labels) -> int:
    """Return the number of undo steps."""
    return len(layer._undo_history)


def paint(layer: Labels, place: Place, y: int, x: int, label: int, qtbot: Any) -> None:
    """Paint once with the brush, and wait until the change is processed."""
    layer.paint((*index_of(place), y, x), label)
    settle(qtbot)


def plane(session: ReviewSession, place: Place) -> np.ndarray:
    """Return a copy of the labels of a slice."""
    return session.labels_in(place).copy()


def predicted(session: ReviewSession, place: Place) -> np.ndarray:
    """Return the prediction of a slice."""
    return np.asarray(select_phase(session.study.prediction, place[0])[place[1]])


def place_of(item: QueueItem) -> Place:
    """Return the slice of an item of the queue."""
    return item.phase, item.z


def press(viewer: Any, key: str) -> None:
    """Press a key as napari handles it: first the active layer, then the viewer."""
    binding = KeyBinding.from_str(key)
    for owner in (viewer.layers.selection.active, viewer):
        if owner is not None and binding in owner.keymap:
            owner.keymap[binding](owner)
            return
    raise AssertionError(f"Nothing is bound to {key}.")


def open_in(dock: ReviewWidget, folder: Path, qtbot: Any, **options: Any) -> None:
    """Open a study in a dock and wait until it is shown."""
    dock.open(folder, **options)
    qtbot.waitUntil(lambda: not dock.is_opening)
    assert dock.controller is not None, dock.messages.line.message
    settle(qtbot, dock)  # keys do nothing before


def undo_all(controller: ReviewController, qtbot: Any) -> None:
    """Undo everything that was done in a review and show its first slice."""
    controller.player.stop()
    controller.act("move")
    controller.corrections.discard_preview()
    while steps_of(controller.picture.edited) or controller.corrections._done:
        controller.corrections.undo()
    controller.session.change(protected=())
    assert controller.view.queue
    controller.go_to_queued(*place_of(controller.view.queue[0]))
    settle(qtbot, controller, controller.forms)
    assert np.array_equal(controller.session.labels, controller.session.study.prediction)
    state = controller.session.state
    assert not any((state.decisions, state.insertions, state.hinges, state.finished))


VALUES = {
    QAbstractButton: lambda part: (part.text(), part.isChecked()),
    QLabel: lambda part: part.text(),
    QLineEdit: lambda part: part.text(),
    QAbstractSlider: lambda part: part.value(),
    QComboBox: lambda part: part.currentIndex(),
}


def contents(controller: ReviewController, viewer: ViewerModel) -> list[Any]:
    """Return what a reader sees of a review and its viewer, to compare it later."""
    tools = controller.scribble, controller.push, controller.contour
    dims, camera = viewer.dims.model_dump(), viewer.scene.camera.model_dump()
    settings = (
        *(controller.session.state, controller.picture.place, controller.view.queue[:]),
        *(controller.outlines.view, controller.corrections.threshold, controller.view.label),
        *(dims, camera, viewer.layers.selection.active, controller.carrying.is_offering),
        *(tool.is_active for tool in tools),
    )
    layers = [
        (layer, layer.visible, layer.opacity, str(layer.mode), len(layer.keymap))
        for layer in viewer.layers
        if layer.visible  # those of a contour are made once and hidden after it
    ]
    brush = controller.picture.edited
    shown = [
        (part.isHidden(), part.isEnabled(), part.toolTip(), value(part))
        for kind, value in VALUES.items()
        for part in controller.forms.findChildren(kind)
    ]
    limits = controller.picture.image.contrast_limits
    return [*settings, layers, (brush.brush_size, brush.selected_label), limits, shown]


class Review:
    """Review of a made study in a viewer without a window, with its messages in ``said``.

    It is given the viewer as a dock from the Plugins menu is.
    """

    def __init__(self, folder: Path, qtbot: Any, *, image: bool = True, **options: Any) -> None:
        self.qtbot = qtbot
        self.viewer = ViewerModel()
        self.forms = ReviewForms()
        qtbot.addWidget(self.forms)
        self.controller = ReviewController(
            PublicOnlyProxy(self.viewer), opened(folder, image=image), self.forms, **options
        )
        self.controller.saver._timer.stop()
        drain(self.controller.open())
        self.said: list[str] = []
        self.controller.said.connect(
            lambda sentence: self.said.append(sentence) if sentence else None
        )
        self.session, self.layer = self.controller.session, self.controller.picture.edited
        self.found: list[Any] = []

    @property
    def queue(self) -> list[Place]:
        """The slices of the queue."""
        return [place_of(item) for item in self.controller.view.queue]

    def press(self, key: str) -> None:
        """Press a key as a reader does, who sees a slice before accepting it."""
        if key == "A":
            self.look()
        press(self.viewer, key)

    def now(self, place: Any = None) -> np.ndarray:
        return plane(self.session, place or self.controller.picture.place)

    def look(self) -> None:
        """Wait until the slice is drawn; a cine that plays shows one after the other."""
        now = self.controller
        self.qtbot.waitUntil(lambda: now._seen_place == now.view.place or now.player.is_playing)

    def settle(self) -> None:
        """Wait until the forms are up to date."""
        settle(self.qtbot, self.controller, self.forms)

    def saved(self) -> None:
        self.qtbot.waitUntil(lambda: not self.controller.saver.has_unsaved)

    def is_undone(self) -> bool:
        """Undo everything; return whether all is as it was, so that another test can use it."""
        controller = self.controller
        if controller.picture._is_closing or controller.saver.read_only:
            return False
        try:
            undo_all(controller, self.qtbot)
            controller.forms.view.set_view(self.found[3])
            controller.outlines.set_view(self.found[3])
            controller.saver.save_now()
        except (AssertionError, DataError):  # the test has changed what is no step of undo
            return False
        controller.corrections._undone.clear()
        self.layer._redo_history.clear()
        self.session.take_log()
        self.said.clear()
        return contents(controller, self.viewer) == self.found

    def close(self) -> None:
        if not self.controller.picture._is_closing:
            self.controller.close()


@pytest.fixture
def make_review(qtbot, tmp_path):
    """Return the function ``make_review(folder=None, image=True, **study)``."""
    made: list[Review] = []

    def make(folder: Path | None = None, *, image: bool = True, **study: Any) -> Review:
        made.append(Review(folder or make_cine(tmp_path / "heart", **study), qtbot, image=image))
        return made[-1]

    yield make
    for review in made:
        review.close()


@pytest.fixture(scope="module")
def module_bot(request):
    """Return a bot that closes no widget at the end of a test."""
    return PatientBot(request)


@pytest.fixture(scope="module")
def kept_reviews(qapp):
    """Return reviews that tests of the module have left as they found them."""
    kept: list[Review] = []
    yield kept
    for review in kept:
        review.close()
        review.forms.discard()


@pytest.fixture
def review(kept_reviews, module_bot, qtbot, tmp_path_factory):
    """Return the review of a made cine: that of another test, if everything in it was undone."""
    if not kept_reviews:
        made = Review(make_cine(tmp_path_factory.mktemp("kept") / "heart"), module_bot)
        made.settle()
        made.found = contents(made.controller, made.viewer)
        kept_reviews.append(made)
    made = kept_reviews.pop()
    yield made
    if made.is_undone():
        kept_reviews.append(made)
    else:
        made.close()
        made.forms.discard()
