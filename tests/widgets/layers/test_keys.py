"""Keys of the *Review* dock: their actions and the restored bindings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from napari._app_model import get_app_model
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Points, Shapes, Vectors
from napari.settings import get_settings
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_bayes_nnunet.widgets.layers.keys import (
    ANSWER_KEYS,
    KEYS,
    ReviewKeys,
    is_typing,
    key_text,
)

PRESSES = {
    "next": (Qt.Key.Key_N, Qt.KeyboardModifier.NoModifier),
    "previous": (Qt.Key.Key_N, Qt.KeyboardModifier.ShiftModifier),
    "accept": (Qt.Key.Key_A, Qt.KeyboardModifier.NoModifier),
    "flag": (Qt.Key.Key_K, Qt.KeyboardModifier.NoModifier),
    "most uncertain": (Qt.Key.Key_G, Qt.KeyboardModifier.NoModifier),
    "next view": (Qt.Key.Key_U, Qt.KeyboardModifier.ShiftModifier),
    "outline or fill": (Qt.Key.Key_H, Qt.KeyboardModifier.NoModifier),
    "previous alternative": (Qt.Key.Key_Q, Qt.KeyboardModifier.NoModifier),
    "next alternative": (Qt.Key.Key_W, Qt.KeyboardModifier.NoModifier),
    "interpolate": (Qt.Key.Key_I, Qt.KeyboardModifier.NoModifier),
    "revert": (Qt.Key.Key_R, Qt.KeyboardModifier.NoModifier),
    "ED or ES": (Qt.Key.Key_T, Qt.KeyboardModifier.NoModifier),
    "bring back": (Qt.Key.Key_B, Qt.KeyboardModifier.NoModifier),
    "absent": (Qt.Key.Key_D, Qt.KeyboardModifier.NoModifier),
    "valve plane": (Qt.Key.Key_D, Qt.KeyboardModifier.ShiftModifier),
    "base outwards": (Qt.Key.Key_Q, Qt.KeyboardModifier.ShiftModifier),
    "base inwards": (Qt.Key.Key_W, Qt.KeyboardModifier.ShiftModifier),
    "apex inwards": (Qt.Key.Key_E, Qt.KeyboardModifier.ShiftModifier),
    "apex outwards": (Qt.Key.Key_R, Qt.KeyboardModifier.ShiftModifier),
    "scribble": (Qt.Key.Key_J, Qt.KeyboardModifier.NoModifier),
    "carry": (Qt.Key.Key_T, Qt.KeyboardModifier.ShiftModifier),
    "next structure": (Qt.Key.Key_S, Qt.KeyboardModifier.ShiftModifier),
    "slice to base": (Qt.Key.Key_PageUp, Qt.KeyboardModifier.NoModifier),
    "slice to apex": (Qt.Key.Key_PageDown, Qt.KeyboardModifier.NoModifier),
    "play": (Qt.Key.Key_L, Qt.KeyboardModifier.NoModifier),
    "previous phase": (Qt.Key.Key_Comma, Qt.KeyboardModifier.NoModifier),
    "next phase": (Qt.Key.Key_Period, Qt.KeyboardModifier.NoModifier),
    "fit": (Qt.Key.Key_F, Qt.KeyboardModifier.NoModifier),
    "structure 1": (Qt.Key.Key_1, Qt.KeyboardModifier.NoModifier),
    "structure 2": (Qt.Key.Key_2, Qt.KeyboardModifier.NoModifier),
    "structure 3": (Qt.Key.Key_3, Qt.KeyboardModifier.NoModifier),
    "structure 4": (Qt.Key.Key_4, Qt.KeyboardModifier.NoModifier),
    "move": (Qt.Key.Key_Z, Qt.KeyboardModifier.NoModifier),
    "push": (Qt.Key.Key_O, Qt.KeyboardModifier.NoModifier),
    "contour": (Qt.Key.Key_C, Qt.KeyboardModifier.NoModifier),
    "brush": (Qt.Key.Key_P, Qt.KeyboardModifier.NoModifier),
    "eraser": (Qt.Key.Key_E, Qt.KeyboardModifier.NoModifier),
    "shrink": (Qt.Key.Key_Minus, Qt.KeyboardModifier.NoModifier),
    "grow": (Qt.Key.Key_Equal, Qt.KeyboardModifier.NoModifier),
    "undo": (Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier),
    "redo as elsewhere": (Qt.Key.Key_Y, Qt.KeyboardModifier.ControlModifier),
    "redo": (Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier),
}
NEW = (
    "base outwards",
    "base inwards",
    "apex inwards",
    "apex outwards",
    "scribble",
    "carry",
    "next structure",
    "valve plane",
)
"""Actions with the keys chosen last."""
VOLUME = np.zeros((4, 16, 20), np.uint8)
LAYERS: dict[str, Callable[..., Layer]] = {
    "image": lambda **kw: Image(VOLUME, **kw),
    "prediction": lambda **kw: Labels(VOLUME, **kw),
    "edited": lambda **kw: Labels(VOLUME.copy(), **kw),
    "entropy": lambda **kw: Image(VOLUME.astype(np.float32), **kw),
    "outlines": lambda **kw: Vectors(ndim=3, **kw),
    "contour": lambda **kw: Shapes(ndim=3, **kw),
    "contour handles": lambda **kw: Points(ndim=3, **kw),
}


def make(role: str) -> Layer:
    return LAYERS[role](name=role, metadata={"bayes": {"role": role}})


class Told:
    """Record of the actions that the keys called."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.peeks: list[bool] = []

    def keys(self, viewer: Any) -> ReviewKeys:
        names = [name for name in KEYS if name not in ("peek", *ANSWER_KEYS)]
        actions = {name: lambda name=name: self.names.append(name) for name in names}
        return ReviewKeys(viewer, actions, {"peek": self.peeks.append})


@pytest.fixture
def told() -> Told:
    return Told()


def keymaps(viewer: Any) -> list[dict[Any, Any]]:
    return [dict(owner.keymap) for owner in (viewer, *viewer.layers)]


@pytest.fixture
def window(make_napari_viewer, told, request) -> Iterator[Any]:
    """Return a shown viewer with our layers of the given roles."""
    viewer = make_napari_viewer(show=True)
    for role in request.param:
        viewer.add_layer(make(role))
    viewer.layers.selection.clear()
    keys = told.keys(viewer)
    yield viewer
    keys.close()


@pytest.fixture
def canvas(window) -> QWidget:
    return window.window._qt_viewer.canvas.native


@pytest.mark.parametrize("window", [[*LAYERS]], indirect=True, ids=["all layers"])
def test_every_key_works_on_every_active_layer(qtbot, window, canvas, told) -> None:
    for active in (None, *window.layers):
        window.layers.selection.active = active
        told.names.clear()
        for key, modifier in PRESSES.values():
            qtbot.keyClick(canvas, key, modifier)
        assert told.names == [*PRESSES], active
        assert active is None or active.mode == "pan_zoom"
    edited = window.layers["edited"]
    window.layers.selection.active = edited
    for mode in ("paint", "erase", "fill", "polygon"):
        edited.mode = mode
        told.names.clear()
        qtbot.keyClick(canvas, Qt.Key.Key_A)
        qtbot.keyClick(canvas, Qt.Key.Key_D)
        assert told.names == ["accept", "absent"], mode
        assert edited.mode == mode


def test_known_keys_are_kept() -> None:
    kept = {
        "next": "N", "previous": "Shift-N", "accept": "A", "flag": "K", "peek": "U",
        "most uncertain": "G", "outline or fill": "H", "previous alternative": "Q",
        "next alternative": "W", "interpolate": "I", "revert": "R", "ED or ES": "T",
        "absent": "D", "previous phase": ",", "next phase": ".",
    }  # fmt: skip
    assert KEYS.items() >= kept.items()
    assert PRESSES.keys() == KEYS.keys() - {"peek", *ANSWER_KEYS}


@pytest.mark.parametrize("action", NEW)
def test_new_key_is_free_and_on_every_keyboard(action) -> None:
    shortcuts = get_settings().shortcuts.shortcuts.values()
    taken = {str(key) for keys in shortcuts for key in keys}
    for owner in (ViewerModel, Labels, Image, Points, Shapes, Vectors):
        taken |= {str(key) for key in owner.class_keymap}
    assert taken >= {"[", "]", "Shift+Up", "Ctrl+Z"}
    assert KEYS[action].replace("-", "+") not in taken
    # Y and Z change places on a German keyboard, and all other signs need other keys.
    assert re.fullmatch(r"(Shift-)?[A-X]", KEYS[action])


@pytest.mark.parametrize("window", [["edited"]], indirect=True, ids=["edited"])
def test_no_key_is_one_of_a_menu(window) -> None:
    taken = {str(binding.keybinding) for binding in get_app_model().keybindings}
    assert taken >= {"Ctrl+O", "Ctrl+S"}
    assert not taken & {key_text(action) for action in KEYS}


@pytest.mark.parametrize("window", [["entropy"]], indirect=True, ids=["entropy"])
def test_peeking_lasts_while_the_key_is_held(qtbot, window, canvas, told, qapp) -> None:
    qtbot.keyPress(canvas, Qt.Key.Key_U)
    assert told.peeks == [True]
    window.layers.selection.active = window.layers["entropy"]
    qtbot.keyRelease(canvas, Qt.Key.Key_U)
    qtbot.keyRelease(canvas, Qt.Key.Key_U)
    assert told.peeks == [True, False]
    # A release that goes to another application ends the peek.
    told.peeks.clear()
    qtbot.keyPress(canvas, Qt.Key.Key_U)
    qapp.applicationStateChanged.emit(Qt.ApplicationState.ApplicationInactive)
    assert told.peeks == [True, False]
    qtbot.keyPress(canvas, Qt.Key.Key_U)
    qapp.applicationStateChanged.emit(Qt.ApplicationState.ApplicationActive)
    assert told.peeks == [True, False, True]
    qtbot.keyRelease(canvas, Qt.Key.Key_U)
    assert told.peeks == [True, False, True, False]


@pytest.mark.parametrize("window", [["edited"]], indirect=True, ids=["edited"])
def test_keys_of_foreign_layers_are_given_back(qtbot, window, canvas, told) -> None:
    labels = window.add_labels(VOLUME.copy(), name="theirs")
    assert window.layers.selection.active is labels
    for key in (Qt.Key.Key_1, Qt.Key.Key_2, Qt.Key.Key_F, Qt.Key.Key_P, Qt.Key.Key_E):
        qtbot.keyClick(canvas, key)
    assert told.names == ["structure 1", "structure 2", "fit", "brush", "eraser"]
    assert labels.mode == "pan_zoom"


def test_napari_has_its_keys_after_a_review(qtbot, make_napari_viewer, told) -> None:
    viewer = make_napari_viewer(show=True)
    labels = viewer.add_labels(VOLUME.copy())
    told.keys(viewer).close()
    canvas = viewer.window._qt_viewer.canvas.native
    modes = {"1": "erase", "2": "paint", "F": "fill", "3": "polygon", "E": "erase", "P": "paint"}
    for key, mode in modes.items():
        qtbot.keyClick(canvas, getattr(Qt.Key, f"Key_{key}"))
        assert labels.mode == mode
    assert told.names == []


@pytest.fixture
def dock(window) -> QWidget:
    made = QWidget()
    column = QVBoxLayout(made)
    made.fields = {  # type: ignore[attr-defined]
        "line": QLineEdit(),
        "text": QPlainTextEdit(),
        "number": QSpinBox(),
        "combo": QComboBox(),
        "button": QPushButton("A button"),
    }
    made.fields["combo"].setEditable(True)  # type: ignore[attr-defined]
    for field in made.fields.values():  # type: ignore[attr-defined]
        column.addWidget(field)
    window.window.add_dock_widget(made, name="fields", area="right")
    return made


@pytest.mark.parametrize("window", [["edited"]], indirect=True, ids=["edited"])
def test_typing_in_a_field_calls_no_action(qtbot, window, canvas, told, dock, monkeypatch) -> None:
    for name in ("line", "text", "number", "combo"):
        field = dock.fields[name]
        monkeypatch.setattr(QApplication, "focusWidget", staticmethod(lambda field=field: field))
        assert is_typing()
        for key, modifier in PRESSES.values():
            qtbot.keyClick(field, key, modifier)
            # Qt passes keys that a field ignores, such as Enter, on to the window.
            qtbot.keyClick(canvas, key, modifier)
        qtbot.keyClick(canvas, Qt.Key.Key_U)
        assert told.names == []
        assert told.peeks == []
    dock.fields["text"].setReadOnly(True)
    for name in ("button", "text"):
        field = dock.fields[name]
        monkeypatch.setattr(QApplication, "focusWidget", staticmethod(lambda field=field: field))
        assert not is_typing()
        qtbot.keyClick(field, Qt.Key.Key_N)
    assert told.names == ["next", "next"]


def test_closing_restores_all_bindings(told) -> None:
    viewer = ViewerModel()
    for role in LAYERS:
        viewer.add_layer(make(role))
    foreign = viewer.add_points(np.zeros((1, 3)))
    done: list[str] = []
    viewer.bind_key("n", lambda _: done.append("mine"))
    viewer.layers["edited"].bind_key("Shift-N", lambda _: done.append("mine too"))
    viewer.layers["image"].bind_key("j", lambda _: None)
    before = keymaps(viewer)
    keys = told.keys(viewer)
    assert len(viewer.layers["contour handles"].keymap) == len(KEYS) - len(ANSWER_KEYS)
    assert keymaps(viewer) != before
    assert len(foreign.keymap) == len(KEYS) - len(ANSWER_KEYS)
    keys.close()
    assert keymaps(viewer) == before
    assert told.peeks == []


def test_a_key_rebound_by_a_user_is_kept(told) -> None:
    viewer = ViewerModel()
    keys = told.keys(viewer)

    def theirs(_: Any) -> None:
        """Do nothing; a user binds this while the dock is open."""

    viewer.bind_key("k", theirs, overwrite=True)
    viewer.bind_key("n", None)
    keys.close()
    assert [*viewer.keymap.values()] == [theirs]


def test_inserted_and_removed_layers_are_followed(told) -> None:
    viewer = ViewerModel()
    keys = told.keys(viewer)
    handles = viewer.add_layer(make("contour handles"))
    assert len(handles.keymap) == len(KEYS) - len(ANSWER_KEYS)
    viewer.layers.remove(handles)
    assert handles.keymap == {}
    late = viewer.add_labels(VOLUME)
    assert len(late.keymap) == len(KEYS) - len(ANSWER_KEYS)
    keys.close()
    assert late.keymap == {}
    viewer.add_layer(handles)
    assert handles.keymap == {}


def test_closing_ends_a_hold(qtbot, make_napari_viewer, told) -> None:
    viewer = make_napari_viewer(show=True)
    keys = told.keys(viewer)
    canvas = viewer.window._qt_viewer.canvas.native
    qtbot.keyPress(canvas, Qt.Key.Key_U)
    keys.close()
    assert told.peeks == [True, False]
    qtbot.keyRelease(canvas, Qt.Key.Key_U)
    assert told.peeks == [True, False]
