"""Messages of a cohort in a terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from ...core.counts import format_count
from ...core.problems import Action, Statement, statement
from ...io.search.studies import FoundStudies
from ..messages import FINISHED, STOPPED, JobEnded, Message, Notice, StageStarted, StudyDone
from ..terminal import ProgressView, time_left_text
from .table import PAGE

LISTED: Final = 20
"""Maximum number of studies listed before the run."""


class CohortText:
    """Readable messages: a bar on the error stream, a line per failure, a sentence at the end."""

    def __init__(self, output: Path) -> None:
        self._page = output / PAGE
        self._view = ProgressView(sys.stderr, leave=True)

    def show(self, message: Message) -> None:
        """Show stages, notices, studies and the end; the command line shows an error itself."""
        if isinstance(message, StageStarted):
            self._view.line(f"{message.text}…")
        elif isinstance(message, Notice):
            self._view.line(message.text)
        elif isinstance(message, StudyDone):
            self._show_study(message)
        elif isinstance(message, JobEnded):
            self.close()
            if message.outcome == FINISHED:
                click.echo(f"{message.text} Summary: {self._page}")
            elif message.outcome == STOPPED:
                click.echo(message.text, err=True)

    def close(self) -> None:
        """End the bar."""
        self._view.close()

    def _show_study(self, message: StudyDone) -> None:
        if message.outcome == "failed":
            self._view.line(f"{message.case}: {message.text}")
        count = f"{message.done} of {format_count(message.total, 'study', 'studies')}"
        note = time_left_text(message.eta_seconds)
        line = ", ".join(filter(None, (count, note)))
        self._view.progress(count, message.done, message.total, note=note, line=line)


class StudyCounts:
    """Numbers of studies that have ended and failed, of ``total``."""

    def __init__(self) -> None:
        self.total = self.done = self.failed = 0

    def add(self, study: StudyDone) -> None:
        """Count a study that ended."""
        self.done = study.done
        self.failed += study.outcome == "failed"

    @property
    def finished(self) -> str:
        """Sentence for a run that has ended."""
        failed = f", {self.failed} failed" if self.failed else ""
        studies = format_count(self.total, "study", "studies")
        return f"Segmented {self.done - self.failed} of {studies}{failed}."

    @property
    def stopped(self) -> Statement:
        """Statement for a run that was stopped."""
        return statement("Stopped. {summary}", Action.CONTINUE, summary=self.finished)


def describe_cohort(cohort: FoundStudies) -> str:
    """Return the list of studies to segment and of files left out."""
    kinds = [study.kind for study in cohort.inputs]
    counts = (f"{kinds.count(kind)} {kind}" for kind in ("NIfTI", "DICOM") if kind in kinds)
    lines = [f"Found {format_count(len(kinds), 'study', 'studies')}: {', '.join(counts)}"]
    width = len(str(len(kinds)))
    for number, study in enumerate(cohort.inputs[:LISTED], start=1):
        lines.append(f"  {number:{width}}  {study.kind}  {study.name}")
    if len(kinds) > LISTED:
        lines.append(f"  … and {len(kinds) - LISTED} more")
    lines += [f"Left out: {sentence}" for sentence in cohort.left_out]
    return "\n".join(lines)
