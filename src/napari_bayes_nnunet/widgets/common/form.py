"""Forms that magicgui builds from frozen dataclasses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import Field, fields
from pathlib import Path
from types import MappingProxyType, NoneType
from typing import Any, Final, TypeVar, get_args, get_type_hints

from magicgui.widgets import CheckBox, ComboBox, Container, FloatSpinBox, LineEdit, create_widget
from magicgui.widgets.bases import BaseValueWidget, ValuedContainerWidget
from psygnal import Signal
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QKeyEvent, QPaintEvent
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QPushButton,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QWidget,
)
from superqt.utils import signals_blocked

from ...core.problems import Problem
from .dock import MessageLabel, ThemeFont, row_label
from .folder_row import FolderRow
from .levels import level_color
from .wording import in_the_window

NO_NUMBER: Final = "“{text}” is not a number."
LARGEST_WHOLE_NUMBER: Final = 20_000

Instance = TypeVar("Instance")


class DataForm(Container["FormField"]):
    """A form with a row for each labelled field of the frozen dataclasses ``kinds``.

    ``names`` selects and orders the fields. ``asdict`` returns the entered values, ``update`` shows
    other values and emits ``changed`` once, ``make`` returns a new instance.

    `core.fields` lists the metadata of a dataclass field; a row needs ``label`` and ``help``.
    """

    def __init__(self, *kinds: type, names: Sequence[str] = ()) -> None:
        known = {
            field.name: (field, types[field.name])
            for kind, types in zip(kinds, map(get_type_hints, kinds), strict=True)
            for field in fields(kind)
            if "label" in field.metadata
        }
        rows = [FormField(*known[name]) for name in names or known]
        super().__init__(widgets=rows, labels=False)
        self.margins = (0, 0, 0, 0)

    def make(self, kind: type[Instance], **others: Any) -> Instance:
        """Return a new ``kind`` with the values of the form and ``others``.

        Raises ValueError if ``kind`` does not accept them, such as a half-typed number.
        """
        known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
        return kind(**_read_values(row for row in self if row.name in known) | others)

    def find_problem(self, kind: type, *names: str) -> str:
        """Return why ``kind`` refuses the values of these fields; "" if it accepts them."""
        try:
            kind(**_read_values(self[name] for name in names))
        except ValueError as error:
            return in_the_window(error) if isinstance(error, Problem) else str(error)
        return ""

    def show_problems(self, problems: Mapping[str, str]) -> None:
        """Show the problems, by name of the field; clear the other fields."""
        for row in self:
            row.show_problem(problems.get(row.name, ""))


class FormField(ValuedContainerWidget[Any]):
    """Label and widget of a dataclass field; a problem and a note appear below the widget."""

    left = Signal(str)
    """Carries the name when editing ends with Enter or a loss of focus."""

    def __init__(self, field: Field[Any], kind: Any) -> None:
        about = field.metadata
        super().__init__(name=field.name, label=about["label"], tooltip=about["help"])
        self.editor = _make_editor(kind, about)
        self.problem = MessageLabel(level="blocking")
        self.note = MessageLabel(level="warning")
        self._lay_out(about.get("unit", "") if isinstance(self.editor, NumberEdit) else "")
        if isinstance(field.default, (str, int, float)):
            self.editor.value = field.default
        self.editor.changed.connect(self._on_edited)
        if hasattr(self.editor.native, "editingFinished"):
            self.editor.native.editingFinished.connect(self._on_left)

    def get_value(self) -> Any:
        """Return the value, or the text of a number field if it is not a number."""
        return self.editor.value

    def set_value(self, value: Any) -> None:
        """Show ``value``."""
        self.editor.value = value

    def show_problem(self, text: str) -> None:
        """Show a problem of the value and a red border; "" clears both."""
        # Setting a style takes longer than comparing texts.
        if text == self.problem.text():
            return
        kind = type(self.editor.native).__name__
        border = (
            f"{kind} {{ border: 1px solid {level_color('blocking', self.native)}; }}"
            if text
            else ""
        )
        self.editor.native.setStyleSheet(border)
        self.problem.show_message(text)

    def add_button(self, button: QPushButton) -> None:
        """Place ``button`` after the widget."""
        self._grid.addWidget(button, 0, 2)

    def _lay_out(self, unit: str) -> None:
        self.margins = (0, 0, 0, 0)
        native, tip = self.editor.native, self.tooltip or ""
        native.setToolTip(native.toolTip() or tip)
        native.setAccessibleName(self.label)
        native.installEventFilter(WheelGuard(native))
        label = row_label(self.label)
        label.setToolTip(tip)
        label.setBuddy(native)
        self._grid = grid = QGridLayout()
        grid.setVerticalSpacing(0)
        grid.setColumnStretch(1, 1)
        grid.addWidget(label, 0, 0)
        for row, part in enumerate((native, self.problem, self.note)):
            grid.addWidget(part, row, 1)
        if unit:
            grid.addWidget(row_label(unit), 0, 2)
        self.native.layout().addLayout(grid)

    def _on_edited(self) -> None:
        self.changed.emit(self.value)

    def _on_left(self) -> None:
        self.left.emit(self.name)


def _read_values(rows: Iterable[FormField]) -> dict[str, Any]:
    """Return the values of fields. Raises ValueError for a text in the place of a number."""
    values = {}
    for row in rows:
        values[row.name] = row.value
        if isinstance(row.editor, NumberEdit) and isinstance(row.value, str):
            raise ValueError(NO_NUMBER.format(text=row.value))
    return values


class NumberEdit(LineEdit):
    """A text field for a number with point or comma, such as 0,01 or 1e-2.

    An empty field is None if ``optional``.
    """

    def __init__(self, *, optional: bool = False, **options: Any) -> None:
        self._optional = optional
        super().__init__(**options)

    def get_value(self) -> Any:
        """Return the number, None for an empty optional one, or the text if it is not a number."""
        text = super().get_value().strip()
        if self._optional and not text:
            return None
        try:
            return float(text.replace(",", "."))
        except ValueError:
            return text

    def set_value(self, value: float | str | None) -> None:
        """Show ``value``."""
        is_number = isinstance(value, (int, float))
        super().set_value(f"{value:.10g}" if is_number else value or "")


class WholeNumberBox(FloatSpinBox):
    """A spin box of whole numbers.

    magicgui's own takes the focus whenever its value is set and cannot show a unit.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.native.setDecimals(0)

    def get_value(self) -> Any:
        """Return the number as an int."""
        return int(super().get_value())


class ChoiceBox(ComboBox):
    """A combo box with a help text for each choice; its tooltip is that of the chosen one."""

    def __init__(self, texts: Mapping[Any, str], helps: Mapping[Any, str]) -> None:
        self._texts, self.null_string = texts, texts.get(None, "")
        super().__init__(choices=self._list_choices, nullable=None in texts)
        let_shrink(self.native)
        self.changed.connect(self._show_help)
        self.set_choices(texts, helps)

    def set_choices(self, texts: Mapping[Any, str], helps: Mapping[Any, str]) -> None:
        """Replace the choices (value to text) and their ``helps``.

        The value stays if it is among them; otherwise it becomes the first.
        """
        self._texts, self._helps = texts, helps
        before = self.get_value()
        with self.changed.blocked():
            self.native.clear()  # otherwise magicgui lists choices it already has first
            self.reset_choices()
            if before in texts:
                self.value = before
        self.set_disabled({})
        if self.value != before:
            self.changed.emit(self.value)

    def set_disabled(self, reasons: Mapping[Any, str]) -> None:
        """Disable the choices in ``reasons``, with the reason as help, and enable the others.

        A disabled value gives way to the first enabled one.
        """
        for index, value in enumerate(self._texts):
            text = reasons.get(value) or self._helps.get(value)
            self.native.setItemData(index, text, Qt.ItemDataRole.ToolTipRole)
            self.native.model().item(index).setEnabled(value not in reasons)
        if self.value in reasons:
            enabled = [value for value in self._texts if value not in reasons]
            self.value = (enabled or list(self._texts))[0]
        self._show_help()

    def _list_choices(self, _: object) -> list[tuple[str, Any]]:
        return [(text, value) for value, text in self._texts.items() if value is not None]

    def _show_help(self) -> None:
        if text := self.native.currentData(Qt.ItemDataRole.ToolTipRole):
            self.native.setToolTip(text)


class OptionalNumberBox(ValuedContainerWidget[Any]):
    """A check box before a spin box; the value is None unless it is checked."""

    def __init__(self, *, text: str, box: FloatSpinBox) -> None:
        super().__init__(layout="horizontal", labels=False)
        self.margins = (0, 0, 0, 0)
        self.check, self.box = CheckBox(text=text), box
        box.native.installEventFilter(WheelGuard(box.native))
        for part in (self.check, box):
            self.native.layout().addWidget(part.native)
            part.changed.connect(self._on_edited)

    def get_value(self) -> float | None:
        """Return the number, or None if the box is not checked."""
        return self.box.value if self.check.value else None

    def set_value(self, value: float | None) -> None:
        """Show ``value``; None keeps the number for the next time the box is checked."""
        self.check.value = value is not None
        if value is not None:
            self.box.value = value

    def _on_edited(self) -> None:
        self.changed.emit(self.value)


class FolderEdit(ValuedContainerWidget[str]):
    """A folder that is typed, chosen or dropped; its value is the path, "" for none."""

    def __init__(self, title: str, hint: str) -> None:
        super().__init__(labels=False)
        self.margins = (0, 0, 0, 0)
        self.row = FolderRow(title, hint=hint)
        self.native.layout().addWidget(self.row)
        self.row.chosen.connect(self._on_chosen)

    def get_value(self) -> str:
        """Return the path."""
        return "" if self.row.path is None else str(self.row.path)

    def set_value(self, value: str) -> None:
        """Show ``value``."""
        self.row.set_path(Path(value) if value else None)

    def _on_chosen(self) -> None:
        self.changed.emit(self.value)


class WheelGuard(QObject):
    """Event filter that ignores the wheel, so that scrolling the dock changes no value."""

    def __init__(self, guarded: QWidget) -> None:
        super().__init__(guarded)
        # A turn of the wheel would give the field the focus, and with it the keys.
        if guarded.focusPolicy() == Qt.FocusPolicy.WheelFocus:
            guarded.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Ignore the wheel."""
        if event.type() == QEvent.Type.Wheel:
            event.ignore()
            return True
        return False


class DecimalKeys(QObject):
    """Event filter by which point and comma both type the decimal point of a spin box.

    Qt reads one of the two as a separator of thousands, by the language of the system, so that
    1,5 would become 15.
    """

    def __init__(self, box: QDoubleSpinBox) -> None:
        super().__init__(box)
        box.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Type the decimal point in place of the other sign."""
        if not isinstance(watched, QDoubleSpinBox) or event.type() != QEvent.Type.KeyPress:
            return False
        assert isinstance(event, QKeyEvent)
        point = watched.locale().decimalPoint()
        if event.text() not in ".," or event.text() in ("", point):
            return False
        typed = QKeyEvent(event.type(), event.key(), event.modifiers(), point)
        QApplication.sendEvent(watched, typed)
        return True


class NarrowComboBox(QComboBox):
    """A combo box that elides its choice in a narrow dock, and ignores the wheel."""

    def __init__(self, *, letters: int = 0) -> None:
        super().__init__()
        let_shrink(self)
        self.setMinimumContentsLength(letters)
        self.installEventFilter(WheelGuard(self))

    def set_choices(
        self, texts: Mapping[Any, str], helps: Mapping[Any, str] = MappingProxyType({})
    ) -> None:
        """Offer these values and keep the chosen one, else the first, without a signal."""
        chosen = self.currentData()
        with signals_blocked(self):
            self.clear()
            for row, (value, text) in enumerate(texts.items()):
                self.addItem(text, value)
                self.setItemData(row, helps.get(value), Qt.ItemDataRole.ToolTipRole)
        self.choose(chosen)

    def choose(self, value: Any) -> None:
        """Choose a value, or the first if it is not offered, without a signal."""
        with signals_blocked(self):
            self.setCurrentIndex(max(self.findData(value), 0))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the box with its choice elided, which Qt does not do under a style sheet."""
        painter, option = QStylePainter(self), QStyleOptionComboBox()
        self.initStyleOption(option)
        box, field = QStyle.ComplexControl.CC_ComboBox, QStyle.SubControl.SC_ComboBoxEditField
        room = self.style().subControlRect(box, option, field, self).width()
        mode = Qt.TextElideMode.ElideRight
        option.currentText = self.fontMetrics().elidedText(option.currentText, mode, room)
        painter.drawComplexControl(box, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)
        painter.end()  # at once, even if something else holds this frame, such as a traceback


def let_shrink(box: QComboBox) -> None:
    """Let a combo box be narrower than its longest choice."""
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)


def _make_editor(kind: Any, about: Mapping[str, Any]) -> BaseValueWidget[Any]:
    """Return the widget for a field of type ``kind`` with the metadata ``about``."""
    types = set(get_args(kind)) or {kind}
    if "choices" in about:
        return ChoiceBox(about["choices"], about.get("choice_help", {}))
    if "folder" in about:
        return FolderEdit(about["label"], about["example"])
    # Numbers over several powers of ten, such as learning rates, are typed and not stepped.
    if types & {int, float} and ("step" in about or int in types):
        return _make_box(types, about)
    editor = (
        NumberEdit(optional=NoneType in types) if float in types else create_widget(annotation=kind)
    )
    if isinstance(editor, CheckBox):
        editor.text = about["unit"]
    else:
        editor.native.setPlaceholderText(about.get("example", ""))
        ThemeFont(editor.native)
    return editor


def _make_box(types: set[type], about: Mapping[str, Any]) -> BaseValueWidget[Any]:
    low, high = about.get("limits", (0, None))
    kind = WholeNumberBox if int in types else FloatSpinBox
    box = kind(min=low, max=high or LARGEST_WHOLE_NUMBER, step=about.get("step", 1))
    DecimalKeys(box.native)
    box.native.setPrefix(about.get("prefix", ""))
    if "unit" in about:
        _show_unit(box, about["unit"], about.get("units", about["unit"]))
    if "condition" not in about:
        return box
    box.value = about["example"]
    return OptionalNumberBox(text=about["condition"], box=box)


def _show_unit(box: FloatSpinBox, unit: str, units: str) -> None:
    """Show ``unit`` after the number 1 and ``units`` after any other, as 1 epoch and 2 epochs."""

    def show(value: float) -> None:
        suffix = f" {unit if value == 1 else units}"
        if box.native.suffix() != suffix:  # setting it rewrites a half-typed number
            box.native.setSuffix(suffix)

    show(box.native.value())
    if unit != units:
        box.native.valueChanged.connect(show)
