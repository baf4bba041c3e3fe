"""Form for a remote computer that segments, with a test of the connection."""

from __future__ import annotations

from dataclasses import asdict, replace

from psygnal import Signal
from qtpy.QtWidgets import QPushButton

from ...app.remote.device import RemoteDevice, is_remote
from ..common.dock import MessageLabel
from ..common.form import DataForm
from ..common.settings import Settings

TITLE = "Another computer…"
REMOTE_HELP = (
    "Segment on a computer with a GPU that runs a Dask scheduler and worker. Only voxels are sent; "
    "results return member by member."
)
TESTING = "Testing…"


class RemoteForm(DataForm):
    """Form of a RemoteDevice that saves its values; ``test_requested`` carries the device name."""

    test_requested = Signal(str)

    def __init__(self, settings: Settings) -> None:
        super().__init__(RemoteDevice)
        self._settings = settings
        self.test_button = QPushButton("Test connection")
        self.test_button.setToolTip("Connect once and show the workers. No image is sent.")
        self.status = MessageLabel()
        for part in (self.test_button, self.status):
            self.native.layout().addWidget(part)
        self.update(asdict(settings.kept.other_computer))
        self._show_fields()
        self.changed.connect(self._on_changed)
        for field in self:
            field.left.connect(self._save)
        self.certificates.changed.connect(self._save)
        self.test_button.clicked.connect(self._on_test_clicked)

    @property
    def device_name(self) -> str:
        """The name of the remote computer as a device for the inference child."""
        return str(self._device())

    def show_test(self, device: str, sentence: str) -> None:
        """Show the result of a test, unless the form names another ``device`` by now."""
        if device == self.device_name:
            self.status.show_message(sentence)

    def _device(self) -> RemoteDevice:
        typed = self.make(RemoteDevice)
        address = typed.address.strip()
        address = address if is_remote(address) else f"tls://{address}"
        certificates = typed.certificates if address.startswith("tls:") else ""
        return RemoteDevice(address=address, certificates=certificates, folder=typed.folder.strip())

    def _show_fields(self) -> None:
        self.certificates.visible = self._device().address.startswith("tls:")

    def _on_changed(self) -> None:
        self._show_fields()
        self.status.show_message("")

    def _on_test_clicked(self) -> None:
        self.status.show_message(TESTING)
        self.test_requested.emit(self.device_name)

    def _save(self) -> None:
        device = self._device()
        device = device if self.address.value else replace(device, address="")
        self._settings.keep(other_computer=device)
