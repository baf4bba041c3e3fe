"""Choosing the device of a training."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QWidget

AUTO = "auto"
LOOKING = "Looking for the devices of this computer…"


class DeviceBox(QComboBox):
    """Automatic first, then the devices that were found."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self._fastest = ""
        self.addItem("Automatic", AUTO)
        self.setToolTip("A graphics card trains ten to a hundred times faster than a processor.")
        self.setItemData(0, LOOKING, Qt.ItemDataRole.ToolTipRole)

    @property
    def device(self) -> str:
        """The name of a device, or "auto" for the fastest."""
        return str(self.currentData())

    @property
    def is_cpu(self) -> bool:
        """Whether the chosen device is a processor; False while the devices are not known."""
        return "cpu" in (self.device, self._fastest if self.device == AUTO else "")

    def set_devices(self, devices: Mapping[str, str]) -> None:
        """Offer ``devices``, name → text with model and free memory, the fastest first."""
        chosen = self.device
        self.blockSignals(True)
        self.clear()
        self._fastest = fastest = next(iter(devices), "")
        self.addItem(f"Automatic ({fastest})" if fastest else "Automatic", AUTO)
        self.setItemData(0, "The fastest device.", Qt.ItemDataRole.ToolTipRole)
        for name, text in devices.items():
            title = text if name == "cpu" else f"{name}: {text}"
            self.addItem(title, name)
            self.setItemData(self.count() - 1, title, Qt.ItemDataRole.ToolTipRole)
        self.setCurrentIndex(max(self.findData(chosen), 0))
        self.blockSignals(False)

    def set_unknown(self, sentence: str) -> None:
        """Say why the devices are not known."""
        self.setItemData(0, sentence, Qt.ItemDataRole.ToolTipRole)
        self.setToolTip(sentence)
