"""Choice of an archive, and the dialogs for its address and for a login."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QLineEdit,
    QPushButton,
    QWidget,
)
from superqt.utils import signals_blocked

from ...io import DataError
from ...io.known_archives import KnownArchive, forget_archive, keep_archive, read_archives
from ..common.dock import MessageLabel, form_layout, page_layout, row_layout
from ..common.form import NarrowComboBox
from ..common.settings import Settings
from ..common.wording import in_the_window

NO_ARCHIVE = "Add an archive first: its name and its address."
ADD_HELP = "Add an archive by its name and address. A known name gets the new address."
FORGET_HELP = "Forget this archive. Studies that were fetched stay, and so does the login."
URL_HINT = "https://archive.example.org/dicom-web"
CA_HINT = "PEM file, if the hospital has its own"
LOGIN_HELP = "In the keyring of this system. Otherwise until the window is closed."


class ArchiveForm(QWidget):
    """The archive to talk to, with buttons to add one and to forget one."""

    changed = Signal()

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self._archives: dict[str, KnownArchive] = {}
        self.problem = ""
        self.names = NarrowComboBox()
        self.add_button = QPushButton("Add…")
        self.remove_button = QPushButton("Remove")
        self.add_button.setToolTip(ADD_HELP)
        self.remove_button.setToolTip(FORGET_HELP)
        row_layout(self, self.names, self.add_button, self.remove_button, wide=self.names)
        self.names.currentIndexChanged.connect(self._on_chosen)
        self.add_button.clicked.connect(self._on_add_clicked)
        self.remove_button.clicked.connect(self._on_remove_clicked)
        self.refresh(settings.kept.last_archive)

    @property
    def chosen(self) -> KnownArchive | None:
        """The chosen archive."""
        return self._archives.get(self.names.currentText())

    def refresh(self, name: str) -> None:
        """List all archives again and choose ``name``; ``problem`` says why there may be none."""
        try:
            self._archives, self.problem = read_archives(), ""
        except DataError as error:
            self._archives, self.problem = {}, in_the_window(error)
        # Listing the archives is not a choice, which would be remembered.
        with signals_blocked(self.names):
            self.names.clear()
            self.names.addItems(list(self._archives))
            self.names.setCurrentText(name)
        self.problem = self.problem or ("" if self._archives else NO_ARCHIVE)
        self.remove_button.setEnabled(bool(self._archives))
        self.changed.emit()

    def _on_chosen(self) -> None:
        self._settings.keep(last_archive=self.names.currentText())
        self.changed.emit()

    def _on_add_clicked(self) -> None:
        dialog = AddressDialog(self)
        if dialog.is_agreed():
            self.refresh(dialog.name.text().strip())
            self._on_chosen()

    def _on_remove_clicked(self) -> None:
        try:
            forget_archive(self.names.currentText())
        except DataError as error:
            self.problem = in_the_window(error)
            self.changed.emit()
        else:
            self.refresh("")


class FieldsDialog(QDialog):
    """Dialog with rows of text fields below a sentence, which `refuse` replaces."""

    def __init__(
        self, title: str, sentence: str, rows: dict[str, QWidget], parent: QWidget
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.sentence = MessageLabel(sentence)
        buttons = QDialogButtonBox.StandardButton
        self.buttons = QDialogButtonBox(buttons.Ok | buttons.Cancel)
        page_layout(self, self.sentence, form_layout(**rows), self.buttons)
        self.setMinimumWidth(460)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)

    def is_agreed(self) -> bool:
        """Show the dialog until it is closed, and return whether the user agreed."""
        is_agreed = self.exec() == QDialog.DialogCode.Accepted
        self.deleteLater()
        return bool(is_agreed)

    def refuse(self, sentence: str) -> None:
        """Say why the fields cannot be accepted."""
        self.sentence.show_message(sentence, "blocking")
        self.resize(self.width(), self.layout().totalHeightForWidth(self.width()))


class AddressDialog(FieldsDialog):
    """Dialog for the name, the address and the authority of an archive, which it keeps."""

    def __init__(self, parent: QWidget) -> None:
        self.name, self.url, self.ca = QLineEdit(), QLineEdit(), QLineEdit()
        self.url.setPlaceholderText(URL_HINT)
        self.ca.setPlaceholderText(CA_HINT)
        self.ca_button = QPushButton("Choose…")
        authority = QWidget()
        row_layout(authority, self.ca, self.ca_button, wide=self.ca)
        rows = {"Name": self.name, "Address": self.url, "Authority": authority}
        super().__init__("Add an archive", "", rows, parent)
        self.ca_button.clicked.connect(self._on_ca_clicked)

    def accept(self) -> None:
        """Keep the archive, or say why it cannot be kept."""
        from ...io.archive import Archive  # not needed to open the window

        texts = (field.text().strip() for field in (self.name, self.url, self.ca))
        archive = KnownArchive(*texts)
        try:
            # Only to refuse what cannot be an address.
            Archive(archive.url, ca=archive.ca_file)
            keep_archive(archive)
        except DataError as error:
            self.refuse(in_the_window(error))
        else:
            super().accept()

    def _on_ca_clicked(self) -> None:
        chosen = QFileDialog.getOpenFileName(self, "Certificate of the authority", "", "PEM (*)")[0]
        if chosen:
            self.ca.setText(chosen)


class LoginDialog(FieldsDialog):
    """Dialog for user and password of an archive, after it has refused an earlier login."""

    def __init__(self, name: str, sentence: str, parent: QWidget) -> None:
        self.user, self.password = QLineEdit(), QLineEdit()
        self.password.setEchoMode(QLineEdit.EchoMode.Password)
        self.keeps = QCheckBox("Remember")
        self.keeps.setToolTip(LOGIN_HELP)
        rows = {"User": self.user, "Password": self.password, "": self.keeps}
        super().__init__(f"Login to {name}", sentence, rows, parent)
        self.user.setFocus(Qt.FocusReason.OtherFocusReason)

    @property
    def login(self) -> tuple[str, str]:
        """User and password as typed."""
        return self.user.text(), self.password.text()
