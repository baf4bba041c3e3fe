"""Choices of a device of this computer, and the box of a training with them."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import Qt

from .form import NarrowComboBox

AUTO = "auto"
LOOKING = "Looking for devices…"


def device_choices(devices: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return "auto" and the ``devices``, the fastest first: name to text, and name to help.

    ``devices`` gives the model and free memory of each name.
    """
    fastest = next(iter(devices), "")
    texts = {AUTO: f"Automatic ({fastest})" if fastest else "Automatic"}
    texts |= {name: text if name == "cpu" else f"{name}: {text}" for name, text in devices.items()}
    return texts, {**texts, AUTO: "The fastest device."}


class DeviceBox(NarrowComboBox):
    """The choice "Automatic", then the devices of this computer."""

    def __init__(self) -> None:
        super().__init__()
        self._fastest = ""
        self.set_choices({AUTO: "Automatic"}, {AUTO: LOOKING})
        self.setToolTip("Device for the training. A GPU is 10 to 100 times faster than a CPU.")

    @property
    def device(self) -> str:
        """The name of a device, or "auto" for the fastest."""
        return str(self.currentData())

    @property
    def is_cpu(self) -> bool:
        """Whether the chosen device is a CPU; False while the devices are unknown."""
        return "cpu" in (self.device, self._fastest if self.device == AUTO else "")

    def set_devices(self, devices: Mapping[str, str]) -> None:
        """Offer ``devices``, the fastest first: name to model and free memory."""
        self._fastest = next(iter(devices), "")
        self.set_choices(*device_choices(devices))

    def set_unknown(self, sentence: str) -> None:
        """Show why the devices are unknown."""
        self.setItemData(0, sentence, Qt.ItemDataRole.ToolTipRole)
        self.setToolTip(sentence)
