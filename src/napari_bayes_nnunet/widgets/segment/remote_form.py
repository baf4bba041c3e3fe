"""Another computer that segments for this one: its address, certificates, and a test of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLineEdit, QPushButton, QVBoxLayout, QWidget

from ...app.remote.device import RemoteDevice, is_remote
from ..common.dock import MessageLabel, form_layout, row_label
from ..common.folder_row import FolderRow
from ..common.settings import Settings

TITLE = "Another computer…"
REMOTE_HELP = (
    "The images are segmented by a computer with a graphics card, where a Dask scheduler and "
    "worker run. Only the voxels go there; what is found comes back member by member."
)
ADDRESS_HELP = (
    "Where the scheduler on the other computer listens. tls:// is encrypted, and only who has a "
    "certificate can connect; with tcp:// everybody in the network can read along, and run "
    "programs on both computers: use it where nobody else is."
)
CERTIFICATES_HELP = (
    "The folder on this computer with ca.pem, cert.pem and key.pem, which whoever runs the other "
    "computer has given you."
)
_FOLDER_HELP = (
    "Where the other computer has the chosen ensemble, if not in a folder of the same name as "
    "here. The demo ensemble is found by itself."
)
TESTING = "Testing…"


class RemoteForm(QWidget):
    """Remembers what was typed. ``test_requested`` carries the name of the device.

    ``changed`` tells that it has become another one.
    """

    changed = Signal()
    test_requested = Signal(str)

    def __init__(self, settings: Settings, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._settings = settings
        kept = settings.remote()
        self.address = QLineEdit(kept.address)
        self.address.setPlaceholderText("tls://server:8786")
        self.certificates = FolderRow(
            "The folder with the certificates", hint="Folder of certificates"
        )
        self.certificates.set_path(Path(kept.certificates) if kept.certificates else None)
        self.folder = QLineEdit(kept.folder)
        self.folder.setPlaceholderText("The same folder as here")
        self.test_button = QPushButton("Test connection")
        self.status = MessageLabel()
        self._lay_out()
        self.address.textChanged.connect(self._on_changed)
        self.folder.textChanged.connect(self._on_changed)
        self.certificates.chosen.connect(self._on_changed)
        self.address.editingFinished.connect(self._keep)
        self.folder.editingFinished.connect(self._keep)
        self.certificates.chosen.connect(self._keep)
        self.test_button.clicked.connect(self._on_test_clicked)
        self._on_changed()

    @property
    def device_name(self) -> str:
        """The name of the other computer as a device, for the inference child."""
        return str(self._device())

    def show_test(self, device: str, sentence: str) -> None:
        """Say what a test has found, unless something else was typed meanwhile."""
        if device == self.device_name:
            self.status.say(sentence)

    def _device(self) -> RemoteDevice:
        address = self.address.text().strip()
        address = address if is_remote(address) else f"tls://{address}"
        certificates = self.certificates.path if address.startswith("tls:") else None
        return RemoteDevice(
            address=address,
            certificates="" if certificates is None else str(certificates),
            folder=self.folder.text().strip(),
        )

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self._rows = rows = form_layout()
        column.addLayout(rows)
        for title, field, tip in (
            ("Address", self.address, ADDRESS_HELP),
            ("Keys", self.certificates, CERTIFICATES_HELP),
            ("Path there", self.folder, _FOLDER_HELP),
        ):
            label = row_label(title)
            label.setToolTip(tip)
            field.setToolTip(tip)
            rows.addRow(label, field)
        self.test_button.setToolTip("Connect once, and say what is there. No image is sent.")
        rows.addRow("", self.test_button)
        column.addWidget(self.status)  # in a form it would be cut off after some lines

    def _on_changed(self) -> None:
        device = self._device()
        self._rows.setRowVisible(self.certificates, device.address.startswith("tls:"))
        self.status.say("")
        self.changed.emit()

    def _on_test_clicked(self) -> None:
        self.status.say(TESTING)
        self.test_requested.emit(self.device_name)

    def _keep(self) -> None:
        device = self._device()
        self._settings.keep_remote(device if self.address.text() else replace(device, address=""))
