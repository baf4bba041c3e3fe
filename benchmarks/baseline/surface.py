"""All that a user can press or type: options, the manifest, keys, and controls of the docks."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import napari
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QAction, QComboBox, QTabBar, QWidget

from napari_bayes_nnunet.cli import main as program
from napari_bayes_nnunet.widgets.common.settings import Settings
from napari_bayes_nnunet.widgets.evaluation.dock import EvaluationWidget
from napari_bayes_nnunet.widgets.layers.keys import KEYS
from napari_bayes_nnunet.widgets.review.dock import ReviewWidget
from napari_bayes_nnunet.widgets.segment.dock import SegmentWidget
from napari_bayes_nnunet.widgets.training.dock import TrainingWidget

from ..review_latency import make_study

ROOT = Path(__file__).parents[2]
DOCKS = (SegmentWidget, ReviewWidget, TrainingWidget, EvaluationWidget)
EDITABLE = ("Edit", "SpinBox", "ComboBox", "Slider", "Button", "CheckBox", "Table", "List", "Tree")


def record(out: Path) -> None:
    """Write commands.txt, manifest.yaml, keys.txt, and a text for each dock."""
    out.mkdir(parents=True, exist_ok=True)
    _write(out / "commands.txt", _commands(program, "bayes-nnunet"))
    _write(out / "manifest.yaml", (ROOT / "napari.yaml").read_text("utf-8").splitlines())
    _write(out / "keys.txt", (f"{key}: {action}" for action, key in KEYS.items()))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for kind in DOCKS:
            _write(out / f"{kind.__name__}.txt", sorted(set(_dock(kind, folder))))


def _write(file: Path, lines: Iterator[str] | list[str]) -> None:
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _commands(command: click.Command, name: str) -> Iterator[str]:
    """Yield a line for each option and argument of a command and its subcommands."""
    for option in command.params:
        kind = option.type.to_info_dict()
        choices = kind.get("choices") or kind.get("param_type")
        names = " ".join([*option.opts, *option.secondary_opts])
        required = " required" if option.required else ""
        yield f"{name} {names}: {choices}{required} [{getattr(option, 'help', None) or ''}]"
    if isinstance(command, click.Group):
        context = click.Context(command)
        for sub in sorted(command.list_commands(context)):
            found = command.get_command(context, sub)
            assert found is not None
            yield from _commands(found, f"{name} {sub}")


def _dock(kind: type[QWidget], folder: Path) -> Iterator[str]:
    """Yield the class, text and help of each control of a dock, and the keys that it binds."""
    viewer = napari.Viewer()
    before = {str(key) for key in viewer.keymap}
    # One of its own for each, because docks save their settings when they are closed.
    dock = kind(viewer, settings=Settings(folder / f"{kind.__name__}.json"))
    docked = viewer.window.add_dock_widget(dock, area="right")
    if isinstance(dock, ReviewWidget):
        dock.open(make_study(folder))
        while dock.controller is None or dock.is_opening:
            QTest.qWait(50)
    QTest.qWait(1000)
    yield from (f"key {key}" for key in {str(key) for key in viewer.keymap} - before)
    for root in (docked, *viewer.window._qt_window.findChildren(QWidget, "thumbnails")):
        for action in root.findChildren(QAction):
            yield f"action {action.text()} {action.shortcut().toString()}"
        for widget in root.findChildren(QWidget):
            yield from _control(widget)
    viewer.close()


def _control(widget: QWidget) -> Iterator[str]:
    kind = next(
        (base.__name__ for base in type(widget).__mro__ if base.__module__.startswith("PyQt")), ""
    )
    if not kind.endswith(EDITABLE) or widget.objectName().startswith("qt_"):
        return
    text = widget.text() if isinstance(widget, QAbstractButton) else widget.accessibleName()
    choices = ""
    if isinstance(widget, QComboBox | QTabBar):
        get = widget.itemText if isinstance(widget, QComboBox) else widget.tabText
        choices = " | ".join(get(index) for index in range(widget.count()))
    yield f"{kind} {text!r} ({choices}) {widget.toolTip()!r}"
