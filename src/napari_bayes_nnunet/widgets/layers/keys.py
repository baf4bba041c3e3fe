"""Keys of the *Review* dock, one for each action, whichever of our layers is active.

napari asks the keymap of the active layer before that of the viewer, and some layer classes use
the same letters (Points and Shapes: A R T S D I). So the keys are also bound on our layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from napari.layers import Layer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLineEdit,
    QPlainTextEdit,
    QTextEdit,
)

from .metadata import bayes_metadata

KeyAction: TypeAlias = Callable[[], object]
Hold: TypeAlias = Callable[[bool], object]
"""Function called with True when the key is pressed and with False when it is released."""

KEY_GROUPS: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    "Queue": {
        "next": ("N", "Next slice of the queue"),
        "previous": ("Shift-N", "Previous slice of the queue"),
        "accept": ("A", "Accept this slice, show the next"),
        "flag": ("K", "Flag this slice, or remove the flag"),
    },
    "Look": {
        "peek": ("U", "Show the entropy (hold the key)"),
        "next view": ("Shift-U", "Next view of the uncertainty"),
        "most uncertain": ("G", "Centre on the most uncertain voxel"),
        "outline or fill": ("H", "Switch the fill on or off"),
        "ED or ES": ("T", "Switch between ED and ES"),
        "slice to base": ("PageUp", "Next slice towards the base"),
        "slice to apex": ("PageDown", "Next slice towards the apex"),
        "previous phase": (",", "Previous phase"),
        "next phase": (".", "Next phase"),
    },
    "Correct": {
        "next structure": ("Shift-S", "Correct the next structure"),
        "previous alternative": ("Q", "Previous answer of the models"),
        "next alternative": ("W", "Next answer of the models"),
        "use answer": ("Enter", "Keep the answer on screen"),
        "discard answer": ("Escape", "Drop the answer on screen"),
        "scribble": ("J", "Start or stop scribbling"),
        "interpolate": ("I", "Interpolate the structure"),
        "carry": ("Shift-T", "Carry the correction to other phases"),
        "absent": ("D", "Mark the structure as absent"),
        "revert": ("R", "Return the slice to the prediction"),
        "bring back": ("B", "Bring back what was removed apart from the heart"),
    },
    "Base and apex": {
        "base outwards": ("Shift-Q", "Move the base outwards"),
        "base inwards": ("Shift-W", "Move the base inwards"),
        "apex inwards": ("Shift-E", "Move the apex inwards"),
        "apex outwards": ("Shift-R", "Move the apex outwards"),
    },
}
"""Group → action → its key, and what the key does, for the sheet of all keys."""
KEYS: Final[Mapping[str, str]] = {
    action: key for actions in KEY_GROUPS.values() for action, (key, _) in actions.items()
}
"""Action → its key, which is shown on its button."""

ANSWER_KEYS: Final = ("use answer", "discard answer")
"""Actions whose keys belong to napari unless an answer is on screen."""
TEXT_FIELDS = (QLineEdit, QTextEdit, QPlainTextEdit, QAbstractSpinBox)


def key_text(action: str) -> str:
    """Return the key of an action as it is written on buttons: "Shift+N"."""
    return KEYS[action].replace("-", "+")


@dataclass(frozen=True, eq=False)
class _Binding:
    """Our binding of a key of a viewer or layer, and its previous binding."""

    owner: Any
    key: str
    ours: Callable[[Any], Any]
    before: Any

    def restore(self) -> None:
        """Restore the previous binding, unless another one has replaced ours since."""
        current = self.owner.bind_key(self.key, None)
        restored = self.before if current is self.ours else current
        if restored is not None:
            self.owner.bind_key(self.key, restored)


class ReviewKeys:
    """Key bindings of a viewer and of our layers in it.

    ``actions`` run when a key is pressed, ``holds`` while it is held; their names are those in
    ``KEYS``.
    """

    def __init__(
        self, viewer: Any, actions: Mapping[str, KeyAction], holds: Mapping[str, Hold] | None = None
    ) -> None:
        self._viewer = viewer
        self._functions = {
            **{KEYS[name]: unless_typing(action) for name, action in actions.items()},
            **{KEYS[name]: self._while_held(hold) for name, hold in (holds or {}).items()},
        }
        self._bindings: list[_Binding] = []
        self._held: list[Hold] = []
        self._bind(viewer)
        for layer in viewer.layers:
            self._bind_layer(layer)
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.layers.selection.events.active.connect(self._on_active_changed)
        self._application = QApplication.instance()
        self._application.applicationStateChanged.connect(self._on_application_state)

    def close(self) -> None:
        """Restore all previous bindings."""
        for binding in reversed(self._bindings):
            binding.restore()
        self._bindings.clear()
        self._end_holds()
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self._viewer.layers.selection.events.active.disconnect(self._on_active_changed)
        self._application.applicationStateChanged.disconnect(self._on_application_state)

    def _bind_layer(self, layer: Layer) -> None:
        if bayes_metadata(layer) and not any(binding.owner is layer for binding in self._bindings):
            self._bind(layer)

    def _bind(self, owner: Any) -> None:
        for key, function in self._functions.items():
            before = owner.bind_key(key, function, overwrite=True)
            self._bindings.append(_Binding(owner, key, function, before))

    def _while_held(self, hold: Hold) -> Callable[[Any], Iterator[None]]:
        """Return a generator function, which napari resumes when the key is released."""

        def held(_: Any) -> Iterator[None]:
            if is_typing():
                return
            if hold not in self._held:
                self._held.append(hold)
                hold(True)
            yield
            self._end_holds(hold)

        return held

    def _end_holds(self, *holds: Hold) -> None:
        """End these holds, or all holds."""
        for hold in holds or tuple(self._held):
            if hold in self._held:
                self._held.remove(hold)
                hold(False)

    def _on_inserted(self, event: Any) -> None:
        self._bind_layer(event.value)

    def _on_active_changed(self, event: Any) -> None:
        """Bind a layer that became ours after it was inserted."""
        if event.value is not None:
            self._bind_layer(event.value)

    def _on_removed(self, event: Any) -> None:
        for binding in [b for b in self._bindings if b.owner is event.value]:
            binding.restore()
            self._bindings.remove(binding)

    def _on_application_state(self, state: Qt.ApplicationState) -> None:
        """End all holds when another window gets the focus and so the release of the key."""
        if state != Qt.ApplicationState.ApplicationActive:
            self._end_holds()


def is_typing() -> bool:
    """Return whether a text field has the focus; it passes on keys such as Enter."""
    field = QApplication.focusWidget()
    if isinstance(field, QComboBox):
        return bool(field.isEditable())
    return isinstance(field, TEXT_FIELDS) and not field.isReadOnly()


def unless_typing(action: KeyAction) -> Callable[[Any], None]:
    """Return an action for a key, which does nothing while the user types into a field."""

    def pressed(_: Any) -> None:
        if not is_typing():
            action()

    return pressed
