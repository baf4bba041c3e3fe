"""Watch of an archive: its new cines are fetched, segmented, and perhaps stored back."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import click

from ...core.counts import format_count
from ...core.problems import Problem
from ...core.steps import drain
from ...io import DataError
from ...io.archive import Archive, ArchivedStudy, LoginRefusedError
from ...io.dicom.files import make_pseudonym
from ...io.files.appearing import appearing
from ...io.search.folder_walk import COHORT
from ...io.study.study import has_corrections, has_work, is_open_elsewhere
from .. import AppError
from ..prediction.output_files import locked_output
from ..review.dicom_export import export_session, open_session
from ..signals import on_first_signal
from .run import CohortRequest
from .table import ended_studies, forget_study, listed_studies
from .terminal import INTERRUPTED, interrupt, run_in_terminal

IMAGES: Final = "images"
"""Folder of the fetched studies in that of the cohort, each named by its pseudonym."""
FRESH: Final = "new-"
"""Start of the name of a folder whose study takes the place of an earlier one."""
OUTGOING: Final = "outgoing"
"""Folder of the DICOM files of a study that the archive does not have yet."""
HAS_WORK: Final = (
    "A reader has begun with this study, so it is not stored as unreviewed. Send it from the "
    "Review dock when it is finished."
)
GREW_IN_REVIEW: Final = (
    "The archive has more images, but a reader has begun with this study, so it stays as it "
    "is. Fetch it in the window Archive to see all of them."
)
GREW: Final = "The archive has more images, so the study is fetched and segmented again."
SENT: Final = "sent"
"""Name of this folder when the archive has all of them."""


@dataclass
class ArchiveWatch:
    """Looks for new studies of an archive, which become part of a cohort.

    ``request`` has no images yet. ``dates`` are those of `Archive.find_studies`; ``cluster`` are
    options of `run_in_terminal`. The folders alone tell what is done, so that a watch that was
    killed continues: a study is fetched if its folder exists, segmented (or refused, with the
    reason) if the table lists it, and stored if its files are in ``SENT``.
    """

    archive: Archive
    request: CohortRequest
    dates: str = ""
    stores: bool = False
    cluster: Mapping[str, Any] = field(default_factory=dict)
    _counts: dict[str, str] = field(default_factory=dict)
    _whole: dict[str, str] = field(default_factory=dict)
    """Number of images with which each fetched study was last found to be whole."""

    @property
    def _output(self) -> Path:
        return self.request.prediction.output

    def run(self, *, interval: float) -> int:
        """Look every ``interval`` seconds until Ctrl-C or SIGTERM, and return the exit code."""
        with suppress(KeyboardInterrupt), on_first_signal(interrupt):
            while True:
                try:
                    if self.look(waits=True) == INTERRUPTED:
                        break
                except LoginRefusedError:
                    raise
                except DataError as error:  # the archive may answer again later
                    click.echo(error, err=True)
                time.sleep(interval)
        return INTERRUPTED

    def look(self, *, waits: bool = False) -> int:
        """Fetch, segment and store what is new, and return the exit code of `run_in_terminal`.

        With ``waits``, a study is left for the next look while its number of images changes.
        """
        for study, folder in self._new_studies(waits=waits):
            self._fetch(study, folder)
        ended, images = ended_studies(self._output / COHORT), self._output / IMAGES
        fetched = sorted(images.glob("dicom-*")) if images.exists() else []
        new = tuple(folder for folder in fetched if folder.name not in ended)
        code = 0
        if new:
            prediction = replace(self.request.prediction, images=new)
            code = run_in_terminal(replace(self.request, prediction=prediction), **self.cluster)
        if self.stores and code != INTERRUPTED:
            code = max(code, *map(self._store, self._to_store()), 0)
        return code

    def _new_studies(self, *, waits: bool) -> Iterator[tuple[str, Path]]:
        """Yield UID and folder of each MR study that is neither fetched nor segmented.

        One that has grown since begins again, if no reader has begun with it.
        """
        ended = ended_studies(self._output / COHORT)
        before, self._counts = self._counts, {}
        for study in self.archive.find_studies(dates=self.dates, modality="MR"):
            # No folder is named after a patient.
            name = make_pseudonym(study.uid)
            self._counts[study.uid] = study.images
            is_still = not waits or before.get(study.uid) == study.images
            folder = self._output / IMAGES / name
            is_new = name not in ended and not folder.exists()
            if is_still and (is_new or (folder.exists() and self._has_grown(study, folder))):
                yield study.uid, folder

    def _has_grown(self, study: ArchivedStudy, folder: Path) -> bool:
        """Return whether a fetched study has grown and no reader has begun with it."""
        case, results = folder.name, self._output / folder.name
        known = [*folder.iterdir(), *(results / SENT).glob("*.dcm")]
        # What was stored back counts in the archive, too.
        is_known = study.images in (str(len(known)), self._whole.get(study.uid))
        if is_known or not self.archive.has_grown(study.uid, folder):
            self._whole[study.uid] = study.images
            return False
        study_folder = results / case
        if study_folder.exists() and (
            has_corrections(study_folder) or is_open_elsewhere(study_folder)
        ):
            self._whole[study.uid] = study.images
            click.echo(f"{case}: {GREW_IN_REVIEW}", err=True)
            return False
        click.echo(f"{case}: {GREW}")
        return True

    def _fetch(self, study: str, folder: Path) -> None:
        """Fetch a study, and forget what was made from fewer images.

        The row goes before the images, so that after a kill the study is found again.
        """
        fresh = folder.with_name(f"{FRESH}{folder.name}")
        shutil.rmtree(fresh, ignore_errors=True)  # of a look that was killed
        try:
            # Complete before anything is forgotten.
            total = drain(self.archive.fetch(study, fresh))
        except DataError as error:  # the next look fetches it again
            click.echo(f"{folder.name}: {error}", err=True)
            return
        if folder.exists():
            with locked_output(self._output):
                forget_study(self._output / COHORT, folder.name)
                for old in (self._output / folder.name, folder):
                    shutil.rmtree(old, ignore_errors=True)
        fresh.rename(folder)
        click.echo(f"{folder.name}: fetched {format_count(total, 'image')}")

    def _to_store(self) -> Iterator[str]:
        for case in listed_studies(self._output / COHORT):
            images, sent = self._output / IMAGES / case, self._output / case / SENT
            if images.exists() and not sent.exists():
                yield case

    def _store(self, case: str) -> int:
        """Store the DICOM files of a study; return 0, or 1 if that failed.

        They are sent again after a kill, with the same UIDs, so that the archive has each once.
        """
        place = self._output / case
        try:
            if not (place / OUTGOING).exists():
                if has_work(place / case):
                    raise AppError(HAS_WORK)
                session = open_session(place / case)
                with appearing(place / OUTGOING) as folder:
                    export_session(session, self._output / IMAGES / case, folder)
            files = sorted((place / OUTGOING).glob("*.dcm"))
            drain(self.archive.store(files))
        except Problem as error:  # the other studies are stored all the same
            click.echo(f"{case}: {error}", err=True)
            return 1
        (place / OUTGOING).rename(place / SENT)
        click.echo(f"{case}: stored {format_count(len(files), 'file')}")
        return 0
