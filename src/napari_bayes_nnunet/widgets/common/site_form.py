"""Form that tests and calibrates the intervals with the reviewed studies of a site."""

from __future__ import annotations

import os
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Final

from qtpy.QtWidgets import QCheckBox, QPushButton, QWidget

from ...app.review.learnt_profile import learn_from_studies
from ...core.heart.site_profile import SiteProfile
from ...io.heart.site_profile import SITE_FILE, write_profile
from .dock import MessageLabel, column_layout, explained, row_layout
from .long_work import LongWork
from .progress_row import ProgressRow
from .settings import Settings

CALIBRATE_HELP: Final = (
    "Learn from the reviewed studies of this folder how wide the intervals must be at your site. "
    "It takes 9 studies of a scanner."
)
USED_HELP: Final = (
    "Studies that you open have the intervals of your site if they are of the same ensemble, "
    "settings and scanner. Otherwise they keep those of the ensemble."
)
NOT_ENOUGH: Final = (
    "These studies give no intervals of your site. It takes 9 of a scanner, reviewed and "
    "corrected, with one calibrated ensemble and the same settings."
)
NOW_OF_SITE: Final = "The studies that you open from now on have the intervals of your site."
NOT_CALIBRATED: Final = "Stopped. The intervals have not changed."


class SiteForm(QWidget):
    """Button that calibrates for the site of a folder, and whether its intervals are used.

    `set_folder` tests the intervals in the background, and says so if they do not hold.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings, self._folder = settings, Path()
        self._work = LongWork(self)
        self.button = explained(QPushButton("Calibrate for this site"), CALIBRATE_HELP)
        self.used = explained(QCheckBox("Intervals of this site"), USED_HELP)
        self.progress = ProgressRow()
        self.message = MessageLabel()
        row = row_layout(None, self.button, self.used, None)
        column_layout(self, row, self.progress, self.message)
        self.button.clicked.connect(self.calibrate)
        self.used.clicked.connect(self._on_used_clicked)
        self.progress.stop_requested.connect(self._work.stop)
        self._work.progressed.connect(self.progress.progress)
        self.set_folder(None)

    def set_folder(self, folder: Path | None) -> None:
        """Test the intervals with the reviewed studies in a folder, in the background."""
        if folder == self._folder and not self.progress.isHidden():  # the list was refreshed
            return
        self._work.drop()
        self._end("")
        self._folder = folder or Path()
        self.button.setEnabled(folder is not None)
        self._show_used()
        self.used.setVisible(self.used.isChecked() or bool(folder and os.path.exists(self._file)))
        if folder is not None:
            work = partial(learn_from_studies, [folder], "")
            # Nobody has asked for this test, so its errors are not shown.
            self._work.start(work, self._on_tested, lambda sentence: None)

    def stop_testing(self) -> None:
        """Stop a test, so that the window has the computer to itself; a calibration continues."""
        if self.progress.isHidden():
            self._work.drop()

    def calibrate(self) -> None:
        """Learn intervals from the reviewed studies, write them into the folder and use them."""
        self._end("")
        self.button.setEnabled(False)
        self.progress.begin("Reading study {done} of {total}")
        work = partial(_calibrate, self._folder)
        self._work.start(work, self._on_learnt, self._end, partial(self._end, NOT_CALIBRATED))

    def _on_tested(self, profile: SiteProfile) -> None:
        self.message.show_message("\n".join(profile.void), "warning")

    def _on_learnt(self, profile: SiteProfile) -> None:
        if profile.intervals:
            self._settings.keep(site_profile=str(self._folder / SITE_FILE))
        self._show_used()
        self._end("\n".join([NOW_OF_SITE if profile.intervals else NOT_ENOUGH, *profile.learnt]))

    def _end(self, sentence: str) -> None:
        self.progress.hide()
        self.button.setEnabled(True)
        self.message.show_message(sentence, "fine")

    def _show_used(self) -> None:
        used = self._settings.kept.site_profile
        self._file = Path(used) if used else self._folder / SITE_FILE
        self.used.setChecked(bool(used))
        self.used.setVisible(bool(used))

    def _on_used_clicked(self, is_used: bool) -> None:
        self._settings.keep(site_profile=str(self._file) if is_used else "")


def _calibrate(folder: Path) -> Generator[tuple[int, int], None, SiteProfile]:
    """Learn the intervals of a site and write them into the folder of its studies."""
    profile = yield from learn_from_studies([folder], folder.name or "site", draws=False)
    if profile.intervals:
        write_profile(folder / SITE_FILE, profile)
    return profile
