"""What a run over many studies tells: a person, with a bar and few lines, or a program, in JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click
from tqdm import tqdm

from ...io.search.studies import FoundStudies
from ..messages import (
    FAILED,
    FINISHED,
    STOPPED,
    JobEnded,
    Message,
    Notice,
    StageStarted,
    StudiesFound,
    StudyDone,
)
from .page import PAGE

LISTED: Final = 20
"""Studies that are named before the run begins."""


class CohortView:
    """What both tell; ``done`` of ``total`` studies have ended, ``failed`` of them badly."""

    def __init__(self) -> None:
        self.done = self.failed = self.total = 0

    def show_found(self, found: FoundStudies) -> None:
        """What was found, before anything is segmented."""
        self.total = len(found.inputs)

    def show_study(self, study: StudyDone) -> None:
        """Another study ended."""
        self.done = study.done
        self.failed += study.outcome == "failed"

    def show_stage(self, text: str) -> None:
        """Something begins that takes a while."""

    def show_notice(self, sentence: str) -> None:
        """Something to know meanwhile."""

    def show_end(self) -> None:
        """All studies ended."""

    def show_stopped(self) -> None:
        """The run was asked to stop."""

    def show_failure(self, sentence: str) -> None:
        """The run cannot begin, or go on."""

    @property
    def counts(self) -> str:
        """How the studies ended, in a sentence without its end."""
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.done - self.failed} of {self.total} studies are segmented{failed}"

    @property
    def stopped(self) -> str:
        """The sentence for a run that was stopped."""
        return f"Stopped: {self.counts}. The same command with --continue goes on."


class CohortBar(CohortView):
    """For a person: a list on the standard output, then a bar and a line for each failure."""

    def __init__(self, output: Path) -> None:
        super().__init__()
        self._output = output
        self._bar: Any = None

    def show_found(self, found: FoundStudies) -> None:
        super().show_found(found)
        click.echo(found_text(found))
        self._bar = tqdm(total=self.total, unit="study")

    def show_study(self, study: StudyDone) -> None:
        super().show_study(study)
        if study.outcome == "failed":
            self._tell(f"{study.case}: {study.text}")
        self._bar.update()

    def show_stage(self, text: str) -> None:
        self._tell(f"{text}…")

    def show_notice(self, sentence: str) -> None:
        self._tell(sentence)

    def show_end(self) -> None:
        self._close()
        click.echo(f"{self.counts}. Summary: {self._output / PAGE}")

    def show_stopped(self) -> None:
        self._close()
        click.echo(self.stopped, err=True)

    def show_failure(self, sentence: str) -> None:
        self._close()

    def _tell(self, sentence: str) -> None:
        """A line above the bar."""
        with tqdm.external_write_mode():
            click.echo(sentence, err=True)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class CohortLines(CohortView):
    """For a program: nothing but JSON lines on the standard output."""

    def show_found(self, found: FoundStudies) -> None:
        super().show_found(found)
        _print(StudiesFound(studies=self.total, left_out=found.left_out))

    def show_study(self, study: StudyDone) -> None:
        super().show_study(study)
        _print(study)

    def show_stage(self, text: str) -> None:
        _print(StageStarted(text=text))

    def show_notice(self, sentence: str) -> None:
        _print(Notice(text=sentence))

    def show_end(self) -> None:
        _print(JobEnded(outcome=FINISHED, text=f"{self.counts}."))

    def show_stopped(self) -> None:
        _print(JobEnded(outcome=STOPPED, text=self.stopped))

    def show_failure(self, sentence: str) -> None:
        _print(JobEnded(outcome=FAILED, text=sentence))


def found_text(found: FoundStudies) -> str:
    """What there is to segment and what is left out, for a terminal."""
    kinds = [study.kind for study in found.inputs]
    of_kinds = (f"{kinds.count(kind)} {kind}" for kind in ("NIfTI", "DICOM") if kind in kinds)
    lines = [
        f"Found {len(kinds)} {'study' if len(kinds) == 1 else 'studies'}: {', '.join(of_kinds)}"
    ]
    width = len(str(len(kinds)))
    for number, study in enumerate(found.inputs[:LISTED], start=1):
        lines.append(f"  {number:{width}}  {study.kind}  {study.name}")
    if len(kinds) > LISTED:
        lines.append(f"  … and {len(kinds) - LISTED} more")
    lines += [f"Left out: {sentence}" for sentence in found.left_out]
    return "\n".join(lines)


def _print(message: Message) -> None:
    click.echo(message.to_line())
