"""How the ensemble is asked: method, number of members, temperature, mirroring, device."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSpinBox,
    QWidget,
)

from ...app import AppError
from ...app.segmentation.methods import DEFAULT_COUNT, METHODS, choose_members, refused_methods
from ...app.segmentation.settings import SegmentationSettings
from ...app.segmentation.temperature import fitted_temperature
from ...io import DataError
from ...io.ensemble.ensemble_folder import EnsembleFolder
from ..common.dock import form_layout, row_label
from ..common.settings import Settings
from ..common.wording import in_the_window
from .remote_form import REMOTE_HELP, TITLE, RemoteForm

AUTO, REMOTE = "auto", "remote"
_ABOUT = {field.name: field.metadata for field in fields(SegmentationSettings)}


class MethodForm(QWidget):
    """The choices that do not concern the image. ``changed`` tells that one of them has."""

    changed = Signal()

    def __init__(self, settings: Settings, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._folder: EnsembleFolder | None = None
        self._fitted: float | None = None
        self.method = QComboBox()
        self.members = QSpinBox()
        self.members.setRange(1, DEFAULT_COUNT)
        self.members.setValue(DEFAULT_COUNT)
        self.temperature = QDoubleSpinBox()
        self.temperature.setRange(*_ABOUT["temperature"]["limits"])
        self.temperature.setSingleStep(_ABOUT["temperature"]["step"])
        self.fitted_button = QPushButton()
        self.mirroring = QComboBox()
        self.device = QComboBox()
        self.remote = RemoteForm(settings)
        self._fill()
        rows = form_layout(self)
        rows.addRow(_label("method"), self.method)
        rows.addRow(_label("members"), self.members)
        rows.addRow(_label("temperature"), _beside(self.temperature, self.fitted_button))
        rows.addRow(_label("mirroring"), self.mirroring)
        rows.addRow(_label("device"), self.device)
        rows.addRow(self.remote.native)
        self.method.currentIndexChanged.connect(self._on_method_changed)
        self.members.valueChanged.connect(self._show_fitted)
        self.mirroring.currentIndexChanged.connect(self._show_fitted)
        self.fitted_button.clicked.connect(self._on_fitted_wanted)
        for combo in (self.method, self.mirroring, self.device):
            combo.currentIndexChanged.connect(self.changed)
        for box in (self.members, self.temperature):
            box.valueChanged.connect(self.changed)
        self.remote.changed.connect(self._on_remote_changed)
        self.device.currentIndexChanged.connect(self._on_device_changed)
        self.set_ensemble(None)
        self._on_method_changed()
        self._on_device_changed()

    @property
    def device_name(self) -> str:
        """The device asked for, "auto" or a name the child knows."""
        name = self.device.currentData()
        return self.remote.device_name if name == REMOTE else str(name)

    @property
    def settings(self) -> SegmentationSettings:
        """The settings as they are chosen."""
        return SegmentationSettings(
            method=self.method.currentData(),
            members=self.members.value(),
            mirroring=self.mirroring.currentData(),
            temperature=self.temperature.value(),
            device=self.device_name,
        )

    def set_ensemble(self, folder: EnsembleFolder | None) -> None:
        """Grey out the methods ``folder`` cannot serve and say why."""
        self._folder = folder
        refused = refused_methods(folder) if folder is not None else {}
        model = self.method.model()
        for index in range(self.method.count()):
            name = self.method.itemData(index)
            reason = refused.get(name)
            model.item(index).setEnabled(reason is None)
            tooltip = METHODS[name].help if reason is None else in_the_window(reason)
            model.item(index).setToolTip(tooltip)
        if self.method.currentData() in refused:
            usable = [i for i in range(self.method.count()) if model.item(i).isEnabled()]
            self.method.setCurrentIndex(usable[0] if usable else 0)
        self._show_members()

    def set_devices(self, devices: Mapping[str, str]) -> None:
        """Offer the devices the child has found: name → text with model and free memory."""
        chosen = self.device.currentData() or AUTO
        self.device.clear()
        fastest = next(iter(devices), "")
        self.device.addItem(f"Automatic ({fastest})" if fastest else "Automatic", AUTO)
        self.device.setItemData(0, "The fastest device.", Qt.ItemDataRole.ToolTipRole)
        for name, text in devices.items():
            title = text if name == "cpu" else f"{name}: {text}"
            self.device.addItem(title, name)
            self.device.setItemData(self.device.count() - 1, title, Qt.ItemDataRole.ToolTipRole)
        self._offer_remote()
        self.device.setCurrentIndex(max(self.device.findData(chosen), 0))

    def _offer_remote(self) -> None:
        self.device.addItem(TITLE, REMOTE)
        self.device.setItemData(self.device.count() - 1, REMOTE_HELP, Qt.ItemDataRole.ToolTipRole)

    def _on_device_changed(self) -> None:
        self.remote.visible = self.device.currentData() == REMOTE

    def _on_remote_changed(self) -> None:
        self.changed.emit()

    def _fill(self) -> None:
        for combo in (self.method, self.mirroring, self.device):
            combo.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
        for name, combo in (("method", self.method), ("mirroring", self.mirroring)):
            for index, (value, title) in enumerate(_ABOUT[name]["choices"].items()):
                combo.addItem(title, value)
                tooltip = _ABOUT[name]["choice_help"][value]
                combo.setItemData(index, tooltip, Qt.ItemDataRole.ToolTipRole)
        self.members.setToolTip(_ABOUT["members"]["help"])
        self.temperature.setToolTip(_ABOUT["temperature"]["help"])
        tooltips = _ABOUT["mirroring"]["choice_help"]
        titles = _ABOUT["mirroring"]["choices"]
        self.mirroring.setToolTip("\n".join(f"{titles[v]}: {tip}" for v, tip in tooltips.items()))
        self.fitted_button.setToolTip(
            "Take the temperature that was fitted on the cases the training held back "
            "(bayes-nnunet calibrate)."
        )
        self.device.addItem("Automatic", AUTO)
        self.device.setItemData(0, "Looking for devices…", Qt.ItemDataRole.ToolTipRole)
        self._offer_remote()

    def _on_method_changed(self) -> None:
        name = self.method.currentData()
        self.method.setToolTip(METHODS[name].help)
        self.temperature.setValue(METHODS[name].temperature)
        self._show_members()

    def _show_members(self) -> None:
        most = self._most_members(self.method.currentData())
        took_all = self.members.value() == self.members.maximum()
        self.members.setRange(1, most)  # keeps what the user chose, where there are as many
        if took_all:
            self.members.setValue(min(DEFAULT_COUNT, most))
        self.members.setSuffix(f" of {most}" if self._folder is not None else "")
        self.members.setEnabled(most > 1)
        self._show_fitted()

    def _show_fitted(self) -> None:
        """Offer the temperature that was fitted for this way of asking, where one was."""
        self._fitted = self._find_fitted()
        self.fitted_button.setVisible(self._fitted is not None)
        if self._fitted is not None:
            self.fitted_button.setText(f"Fitted: {self._fitted:.2f}")

    def _find_fitted(self) -> float | None:
        if self._folder is None:
            return None
        with suppress(AppError, DataError):
            return fitted_temperature(self._folder, self.settings)
        return None

    def _on_fitted_wanted(self) -> None:
        if self._fitted is not None:
            self.temperature.setValue(self._fitted)

    def _most_members(self, method: str) -> int:
        """How many members the method can take from the folder."""
        if self._folder is None:
            return DEFAULT_COUNT
        if method in refused_methods(self._folder):
            return 1
        most = max(DEFAULT_COUNT, len(self._folder.members))
        return len(choose_members(self._folder, method, most))


def _label(name: str) -> QLabel:
    label = row_label(_ABOUT[name]["label"])
    label.setToolTip(_ABOUT[name]["help"])
    return label


def _beside(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        row.addWidget(widget)
    return row
