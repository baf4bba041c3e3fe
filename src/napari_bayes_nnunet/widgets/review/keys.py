"""The keys of the dock Review: one letter an action, whichever of our layers is active.

napari asks the keymap of the active layer before the viewer's, and the classes of layers use some
of these letters themselves (Points and Shapes A R T S D I), so they are bound on our layers too.
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

from ..layers.metadata import bayes_metadata

KeyAction: TypeAlias = Callable[[], object]
Hold: TypeAlias = Callable[[bool], object]
"""Called with True when the key goes down and with False when it comes up."""

KEYS: Final[Mapping[str, str]] = {
    "next": "N",
    "previous": "Shift-N",
    "accept": "A",
    "flag": "K",
    "peek": "U",
    "most uncertain": "G",
    "outline or fill": "H",
    "previous alternative": "Q",
    "next alternative": "W",
    "interpolate": "I",
    "revert": "R",
    "ED or ES": "T",
    "absent": "D",
    "previous phase": ",",
    "next phase": ".",
}
"""Action → its key, printed on its button."""

TEXT_FIELDS = (QLineEdit, QTextEdit, QPlainTextEdit, QAbstractSpinBox)


@dataclass(frozen=True, eq=False)
class _Binding:
    """A key of a viewer or layer that is ours for now, and what it did before."""

    owner: Any
    key: str
    ours: Callable[[Any], Any]
    before: Any

    def give_back(self) -> None:
        """Bind what was bound before, unless somebody else has taken the key meanwhile."""
        now = self.owner.bind_key(self.key, None)
        former = self.before if now is self.ours else now
        if former is not None:
            self.owner.bind_key(self.key, former)


class ReviewKeys:
    """``actions`` and ``holds`` by the names in ``KEYS``; raises ValueError for others."""

    def __init__(
        self, viewer: Any, actions: Mapping[str, KeyAction], holds: Mapping[str, Hold] | None = None
    ) -> None:
        holds = holds or {}
        unknown = sorted({*actions, *holds} - {*KEYS})
        if unknown:
            raise ValueError(f"Actions are {', '.join(KEYS)}, not {', '.join(unknown)}.")
        self._viewer = viewer
        self._functions = {
            **{KEYS[name]: _on_press(action) for name, action in actions.items()},
            **{KEYS[name]: self._while_held(hold) for name, hold in holds.items()},
        }
        self._bindings: list[_Binding] = []
        self._held: list[Hold] = []
        self._bind(viewer)
        for layer in viewer.layers:
            self._bind_ours(layer)
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.layers.selection.events.active.connect(self._on_active_changed)
        self._application = QApplication.instance()
        if self._application is not None:
            self._application.applicationStateChanged.connect(self._on_application_state)

    def close(self) -> None:
        """Give all keys back."""
        for binding in reversed(self._bindings):
            binding.give_back()
        self._bindings.clear()
        self._let_go()
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self._viewer.layers.selection.events.active.disconnect(self._on_active_changed)
        if self._application is not None:
            self._application.applicationStateChanged.disconnect(self._on_application_state)
            self._application = None

    def _bind_ours(self, layer: Layer) -> None:
        if bayes_metadata(layer) and not any(binding.owner is layer for binding in self._bindings):
            self._bind(layer)

    def _bind(self, owner: Any) -> None:
        for key, function in self._functions.items():
            before = owner.bind_key(key, function, overwrite=True)
            self._bindings.append(_Binding(owner, key, function, before))

    def _while_held(self, hold: Hold) -> Callable[[Any], Iterator[None]]:
        """What napari goes on with when the key is released."""

        def held(_: Any) -> Iterator[None]:
            if is_typing():
                return
            if hold not in self._held:
                self._held.append(hold)
                hold(True)
            yield
            self._let_go(hold)

        return held

    def _let_go(self, *holds: Hold) -> None:
        """End these holds, without names all."""
        for hold in holds or tuple(self._held):
            if hold in self._held:
                self._held.remove(hold)
                hold(False)

    def _on_inserted(self, event: Any) -> None:
        self._bind_ours(event.value)

    def _on_active_changed(self, event: Any) -> None:
        """A layer may have become ours after it was inserted."""
        if event.value is not None:
            self._bind_ours(event.value)

    def _on_removed(self, event: Any) -> None:
        for binding in [one for one in self._bindings if one.owner is event.value]:
            binding.give_back()
            self._bindings.remove(binding)

    def _on_application_state(self, state: Qt.ApplicationState) -> None:
        """The release of a key goes to the window one has switched to, so holds end here."""
        if state != Qt.ApplicationState.ApplicationActive:
            self._let_go()


def is_typing() -> bool:
    """Whether keys go into a text field; those it has no use for, such as Enter, come through."""
    field = QApplication.focusWidget() if QApplication.instance() is not None else None
    if isinstance(field, QComboBox):
        return bool(field.isEditable())
    return isinstance(field, TEXT_FIELDS) and not field.isReadOnly()


def _on_press(action: KeyAction) -> Callable[[Any], None]:
    def pressed(_: Any) -> None:
        if not is_typing():
            action()

    return pressed
