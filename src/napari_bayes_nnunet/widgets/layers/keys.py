"""Keys of the *Review* dock, one for each action, whichever layer is active.

napari asks the keymap of the active layer before that of the viewer, and layer classes use the
same keys (Points and Shapes: A R T S D I; Labels: 1 to 7 E P F Z for its tools). So the keys are
also bound on all layers, and given back when the review ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLineEdit,
    QPlainTextEdit,
    QTextEdit,
)

from ..common.connections import Connections

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
        "fit": ("F", "Fit the heart to the canvas"),
        "outline or fill": ("H", "Switch the fill on or off"),
        "ED or ES": ("T", "Switch between ED and ES"),
        "slice to base": ("PageUp", "Next slice towards the base"),
        "slice to apex": ("PageDown", "Next slice towards the apex"),
        "play": ("L", "Play the cine, or stop it"),
        "previous phase": (",", "Previous phase"),
        "next phase": (".", "Next phase"),
    },
    "Correct": {
        "structure 1": ("1", "Correct the first structure"),
        "structure 2": ("2", "Correct the second structure"),
        "structure 3": ("3", "Correct the third structure"),
        "structure 4": ("4", "Correct the fourth structure"),
        "next structure": ("Shift-S", "Correct the next structure"),
        "move": ("Z", "End the tool; drags move the image again"),
        "previous alternative": ("Q", "Previous answer of the members"),
        "next alternative": ("W", "Next answer of the members"),
        "use answer": ("Enter", "Keep the answer on screen; accept anyway if asked"),
        "discard answer": ("Escape", "Drop the answer on screen; leave open if asked"),
        "scribble": ("J", "Start or stop scribbling"),
        "push": ("O", "Start or stop pushing the contour"),
        "contour": ("C", "Show the handles of the contour"),
        "brush": ("P", "Start or stop painting"),
        "eraser": ("E", "Start or stop erasing"),
        "shrink": ("-", "Shrink the structure along the posterior"),
        "grow": ("=", "Grow the structure along the posterior"),
        "interpolate": ("I", "Interpolate the structure"),
        "carry": ("Shift-T", "Carry the correction to other phases"),
        "absent": ("D", "Mark the structure as absent"),
        "valve plane": ("Shift-D", "Remove what lies beyond the valve planes in this phase"),
        "revert": ("R", "Return the slice to the prediction"),
        "bring back": ("B", "Bring back what was removed apart from the heart"),
        "undo": ("Control-Z", "Undo a correction or a decision"),
        "redo": ("Control-Shift-Z", "Redo it"),
        "redo as elsewhere": ("Control-Y", "Redo it, as in other programs"),
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
"""Actions whose keys belong to napari unless an answer is on screen, or *Accept* has asked."""
STRUCTURE_KEYS: Final = tuple(name for name in KEYS if name.startswith("structure "))
"""Actions that choose a structure by its place in the list."""
TEXT_FIELDS = (QLineEdit, QTextEdit, QPlainTextEdit, QAbstractSpinBox)


def key_text(action: str) -> str:
    """Return the key of an action as it is written in sentences: "Shift+N"."""
    return re.sub("(?<=.)-", "+", KEYS[action]).replace("Control", "Ctrl")  # "-" is a key, too


def short_key(action: str) -> str:
    """Return the key of an action for a button with little room: "⇧N"."""
    return key_text(action).replace("Shift+", "⇧")


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
    """Key bindings of a viewer and of all layers in it.

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
        # napari asks the active layer for a key before the viewer, and its tools use some of ours.
        for layer in viewer.layers:
            self._bind(layer)
        self._connections = Connections()
        self._connections.connect(self._on_inserted, viewer.layers.events.inserted)
        self._connections.connect(self._on_removed, viewer.layers.events.removed)
        application = QApplication.instance()
        self._connections.connect(self._on_application_state, application.applicationStateChanged)

    def close(self) -> None:
        """Restore all previous bindings."""
        # Backwards, so that of two bindings of one key the first one's predecessor is restored.
        for binding in reversed(self._bindings):
            binding.restore()
        self._bindings.clear()
        self._end_holds()
        self._connections.close()

    def _bind(self, owner: Any) -> None:
        for key, function in self._functions.items():
            before = owner.bind_key(key, function, overwrite=True)
            self._bindings.append(_Binding(owner, key, function, before))

    def _while_held(self, hold: Hold) -> Callable[[Any], Iterator[None]]:
        """Return a generator function, which napari resumes when the key is released."""

        def held(_: Any) -> Iterator[None]:
            if is_typing():
                return
            # The system repeats a key that is held.
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
        self._bind(event.value)

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
