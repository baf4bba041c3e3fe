"""Means to tell studies apart: a picture, the reader's own name for a study, and its date.

Names and dates stay in the settings of the user.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import QCheckBox, QLineEdit, QWidget

from ...core.heart.intensity_window import image_window
from ...io.dicom.files import is_pseudonym
from ..common.dock import ThemeFont, column_layout, explained
from ..common.grey import grey_image, grey_levels
from ..common.settings import Settings

THUMBNAIL_SIDE: Final = 96
"""Longer side in pixels."""
ALIAS_HINT: Final = "Your own name for this study"
ALIAS_HELP: Final = (
    "Only shown on this computer, in your account. It is never saved in studies, exports or "
    "reports."
)
DATES_HELP: Final = (
    "Show the date of the study from the DICOM headers. Dates of opened studies are kept on this "
    "computer, in your account, until you switch this off."
)


class AliasForm(QWidget):
    """Field for the alias of a study, and the switch for dates.

    ``changed`` is emitted when either has changed, and is already kept in the settings.
    """

    changed = Signal()

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self._key = ""
        self.alias = QLineEdit()
        ThemeFont(self.alias)
        self.alias.setPlaceholderText(ALIAS_HINT)
        self.alias.setToolTip(ALIAS_HELP)
        self.alias.setAccessibleName(ALIAS_HINT)
        self.dates = explained(QCheckBox("Show study dates"), DATES_HELP)
        self.dates.setChecked(settings.kept.shows_study_dates)
        column_layout(self, self.alias, self.dates)
        self.alias.editingFinished.connect(self._keep_alias)
        self.dates.toggled.connect(self._on_dates_toggled)
        self.set_study("")

    def set_study(self, key: str) -> None:
        """Show the alias kept under an `alias_key`; "" for no study."""
        # What was typed belongs to the study shown before.
        self._keep_alias()
        self._key = key
        self.alias.setEnabled(bool(key))
        self.alias.setText(self._settings.kept.study_aliases.get(key, ""))

    def _keep_alias(self) -> None:
        text = self.alias.text().strip()
        if self._key and text != self._settings.kept.study_aliases.get(self._key, ""):
            self._settings.add("study_aliases", {self._key: text})
            self.changed.emit()

    def _on_dates_toggled(self, shown: bool) -> None:
        dates = self._settings.kept.study_dates if shown else {}  # forget those that are known
        self._settings.keep(shows_study_dates=shown, study_dates=dates)
        self.changed.emit()


def alias_key(case: str, folder: Path) -> str:
    """Return what the alias of a study is kept under: its pseudonym, else its folder.

    Files of two patients often have one name, and so have their cases.
    """
    return case if is_pseudonym(case) else str(folder)


def make_thumbnail(pixels: Any) -> QPixmap:
    """Return a grey picture of (Y, X) intensities, 96 pixels at its longer side."""
    values = np.asarray(pixels, dtype=np.float32)
    grey = grey_levels(values, image_window(values))
    return QPixmap.fromImage(grey_image(grey)).scaled(
        QSize(THUMBNAIL_SIDE, THUMBNAIL_SIDE),
        Qt.AspectRatioMode.KeepAspectRatio,
        Qt.TransformationMode.SmoothTransformation,
    )
