"""Tests of forms of frozen dataclasses."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import Any

import pytest
from qtpy.QtCore import QLocale, Qt
from qtpy.QtWidgets import QApplication, QLabel, QPushButton, QStylePainter, QWidget

from napari_bayes_nnunet.core.ensemble.schedule import MemberSelection
from napari_bayes_nnunet.widgets.common import form as module
from napari_bayes_nnunet.widgets.common.form import NO_NUMBER, DataForm, NarrowComboBox

from ..training.test_schedule_plot import turn


def about(label: str, **more: Any) -> dict[str, Any]:
    return {"label": label, "help": f"{label}.", **more}


TOO_LIGHT = "Too light."


@dataclass(frozen=True, kw_only=True)
class Scan:
    slices: int = field(default=10, metadata=about("Slices", unit="a heart", prefix="up to "))
    gap: float = field(default=2.0, metadata=about("Gap", step=0.5, limits=(0, 10), unit="mm"))
    weight: float | None = field(default=None, metadata=about("Weight", unit="kg", example="none"))
    above: float | None = field(
        default=None,
        metadata=about("Above", step=0.1, limits=(0, 2), condition="Only above", example=0.2),
    )
    name: str = field(default="heart", metadata=about("Name", example="a name"))
    keys: str = field(default="", metadata=about("Keys", folder=True, example="a folder"))
    plane: str = field(default="sa", metadata=about("Plane", choices={"sa": "Short", "la": "Long"}))
    cine: bool = field(default=True, metadata=about("Cine", unit="Moves"))
    hidden: int = 7

    def __post_init__(self) -> None:
        if self.weight is not None and self.weight < 1:
            raise ValueError(TOO_LIGHT)


@pytest.fixture
def form(qtbot: Any) -> DataForm:
    made = DataForm(Scan)
    qtbot.addWidget(made.native)
    with qtbot.waitExposed(made.native):
        made.show()
    return made


def editor(form: DataForm, name: str) -> QWidget:
    return form[name].editor.native


def replace_text(form: DataForm, name: str, text: str, qtbot: Any) -> None:
    editor(form, name).selectAll()
    qtbot.keyClicks(editor(form, name), text)


def test_a_form_starts_with_the_defaults_units_and_examples(form, qtbot) -> None:
    assert form.make(Scan) == Scan()
    assert form.make(Scan, hidden=8) == Scan(hidden=8)
    assert "hidden" not in form.asdict()
    assert editor(form, "slices").text() == "up to 10 a heart"
    assert editor(form, "gap").text() == "2.00 mm"
    assert editor(form, "weight").placeholderText() == "none"
    assert {label.text() for label in form.weight.native.findChildren(QLabel)} >= {"Weight", "kg"}
    assert editor(form, "cine").text() == "Moves"
    assert all(editor(form, field.name).toolTip() == f"{field.label}." for field in form)
    some = DataForm(Scan, names=("cine", "gap"))
    qtbot.addWidget(some.native)
    assert list(some.asdict().items()) == [("cine", True), ("gap", 2.0)]
    assert some.make(Scan, slices=4) == Scan(slices=4)


def test_every_kind_of_field_is_edited_by_keyboard(form, tmp_path, qtbot) -> None:
    replace_text(form, "slices", "12", qtbot)
    replace_text(form, "gap", "2.5", qtbot)
    replace_text(form, "weight", "64,5", qtbot)
    replace_text(form, "name", "mine", qtbot)
    folder = form.keys.editor.row.edit
    qtbot.keyClicks(folder, str(tmp_path))
    qtbot.keyClick(folder, Qt.Key.Key_Return)
    qtbot.keyClick(editor(form, "plane"), Qt.Key.Key_Down)
    for button in (editor(form, "cine"), form.above.editor.check.native):
        qtbot.keyClick(button, Qt.Key.Key_Space)
    assert form.above.value == 0.2
    form.above.editor.box.native.selectAll()
    qtbot.keyClicks(form.above.editor.box.native, "0.4")
    assert form.make(Scan) == Scan(
        slices=12, gap=2.5, weight=64.5, above=0.4, name="mine", keys=str(tmp_path), plane="la",
        cine=False,
    )  # fmt: skip
    qtbot.keyClick(form.above.editor.check.native, Qt.Key.Key_Space)
    assert form.above.value is None


def test_changed_follows_every_key_and_each_update(form, qtbot) -> None:
    seen: list[int] = []
    form.changed.connect(lambda: seen.append(form.slices.value))
    replace_text(form, "slices", "120", qtbot)
    assert seen == [1, 12, 120]
    form.update(asdict(Scan(slices=3, plane="la", above=0.4)))
    assert seen == [1, 12, 120, 3]
    assert form.make(Scan) == Scan(slices=3, plane="la", above=0.4)


def test_a_new_value_does_not_take_the_focus(form, qtbot) -> None:
    form.native.activateWindow()
    editor(form, "name").setFocus()
    qtbot.waitUntil(lambda: QApplication.focusWidget() is editor(form, "name"))
    form.update({"slices": 3, "gap": 1.0, "weight": 5.0})
    assert QApplication.focusWidget() is editor(form, "name")


@pytest.mark.parametrize(
    ("text", "number"),
    [("1e-2", 0.01), (" 0,05 ", 0.05), ("5", 5.0), ("much", "much"), ("", None), ("  ", None)],
)
def test_numbers_are_read_as_people_type_them(form, text, number, qtbot) -> None:
    qtbot.keyClicks(editor(form, "weight"), text)
    assert form.weight.value == number


@pytest.mark.parametrize("language", ["C", "de_DE"])
@pytest.mark.parametrize("text", ["1.5", "1,5"])
def test_point_and_comma_are_the_decimal_point_of_a_box(form, language, text, qtbot) -> None:
    box = editor(form, "gap")
    box.setLocale(QLocale(language))
    box.selectAll()
    qtbot.keyClicks(box, text)
    assert form.gap.value == 1.5


@pytest.mark.parametrize(
    ("text", "problem"),
    [("64", ""), ("6e", NO_NUMBER.format(text="6e")), ("0", TOO_LIGHT)],
)
def test_problem_is_found_and_shown_at_its_field(form, text, problem, qtbot) -> None:
    qtbot.keyClicks(editor(form, "weight"), text)
    assert form.find_problem(Scan, "weight") == problem
    if problem:
        with pytest.raises(ValueError, match=re.escape(problem)):
            form.make(Scan)
    form.show_problems({"weight": problem})
    assert form.weight.problem.isVisible() == bool(problem)
    assert ("border" in editor(form, "weight").styleSheet()) == bool(problem)
    form.show_problems({})
    assert not form.weight.problem.isVisible()
    assert editor(form, "weight").styleSheet() == ""


def test_a_field_emits_left_after_editing(form, qtbot) -> None:
    left: list[str] = []
    for name in ("slices", "weight"):
        form[name].left.connect(left.append)
        qtbot.keyClick(editor(form, name), Qt.Key.Key_Return)
    assert left == ["slices", "weight"]


def test_a_unit_is_singular_after_one(qtbot) -> None:
    form = DataForm(MemberSelection)
    qtbot.addWidget(form.native)
    for step, text in ((1, "1 epoch"), (2, "2 epochs")):
        form.update({"step": step})
        assert editor(form, "step").text() == text
        assert form.step.value == step


def test_the_wheel_is_left_to_the_scroll_area(form) -> None:
    for part in (*(editor(form, n) for n in ("slices", "gap", "plane")),
                 form.above.editor.box.native):  # fmt: skip
        assert not turn(part)
        assert part.focusPolicy() == Qt.FocusPolicy.StrongFocus
    assert form.make(Scan) == Scan()


def listed(form: DataForm, role: Qt.ItemDataRole = Qt.ItemDataRole.DisplayRole) -> list[str]:
    box = editor(form, "plane")
    return [box.itemData(index, role) for index in range(box.count())]


def test_replaced_choices_keep_the_value_and_their_order(form, qtbot) -> None:
    seen: list[str] = []
    form.plane.value = "la"
    form.changed.connect(lambda: seen.append(form.plane.value))
    form.plane.editor.set_choices({"ax": "Axial", "la": "Long axis"}, {"la": "Along the heart."})
    assert listed(form) == ["Axial", "Long axis"]
    assert listed(form, Qt.ItemDataRole.ToolTipRole) == [None, "Along the heart."]
    assert editor(form, "plane").toolTip() == "Along the heart."
    assert (form.plane.value, seen) == ("la", [])
    form.plane.editor.set_choices({"ax": "Axial", "sa": "Short"}, {})
    assert (form.plane.value, seen) == ("ax", ["ax"])
    parent = QWidget()
    qtbot.addWidget(parent)
    editor(form, "plane").setParent(parent)
    assert listed(form) == ["Axial", "Short"]
    form.plane.editor.set_disabled({"ax": "No axial one."})
    assert form.plane.value == "sa"
    assert listed(form, Qt.ItemDataRole.ToolTipRole) == ["No axial one.", None]
    item = editor(form, "plane").model().item(0)
    assert not item.isEnabled()
    form.plane.editor.set_disabled({})
    assert item.isEnabled()
    assert listed(form, Qt.ItemDataRole.ToolTipRole) == [None, None]


def test_a_button_is_placed_after_the_widget(form, qtbot) -> None:
    button = QPushButton("Fit")
    form.gap.add_button(button)
    qtbot.waitUntil(button.isVisible)
    assert button.y() < editor(form, "gap").geometry().bottom()
    assert button.x() > editor(form, "gap").geometry().right()


def test_a_painter_ends_even_if_it_is_still_referenced(qtbot, monkeypatch) -> None:
    painters: list[QStylePainter] = []

    class Kept(QStylePainter):
        def __init__(self, widget: QWidget) -> None:
            super().__init__(widget)
            painters.append(self)

    monkeypatch.setattr(module, "QStylePainter", Kept)
    box = NarrowComboBox()
    qtbot.addWidget(box)
    box.addItem("Member disagreement")
    box.grab()
    assert painters
    assert not any(painter.isActive() for painter in painters)
