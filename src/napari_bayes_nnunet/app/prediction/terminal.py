"""Segmentation in a terminal, with a progress bar over the members and a line per case."""

from __future__ import annotations

import sys
from contextlib import closing
from functools import partial
from pathlib import Path

import click

from ..remote.ensemble import ensemble_on
from ..segmentation.calibration import uncalibrated_notes
from ..terminal import JobText, show_member
from .predict import predict
from .request import CaseOutcome, PredictionRequest


def predict_in_terminal(folder: Path, request: PredictionRequest) -> bool:
    """Segment the images of ``request`` and return whether all succeeded."""
    notify = partial(click.echo, err=True)
    settings = request.settings
    ensemble = ensemble_on(settings.device)(
        folder, device=settings.device, precision=settings.precision, notify=notify
    )
    for sentence in (*ensemble.folder.problems, *ensemble.folder.refusals):
        click.echo(sentence, err=True)
    succeeded, segmented = True, False
    said: set[str] = set()
    with closing(JobText(sys.stderr, is_brief=True)) as view:
        for outcome in predict(ensemble, request, on_member=partial(show_member, view)):
            # A line must not be written into the bar.
            view.close()
            succeeded &= not outcome.failure
            segmented |= not (outcome.failure or outcome.skipped)
            _print(outcome, said)
    # Without a new result, nothing lacks a calibration.
    if segmented and settings.calibrated:
        notes = uncalibrated_notes(ensemble.folder, settings)
        click.echo(" ".join(notes), nl=bool(notes), err=True)
    return succeeded


def _print(outcome: CaseOutcome, said: set[str]) -> None:
    """Print an outcome without the notes ``said`` before, to which those on the run are added."""
    if outcome.failure:
        click.echo(outcome.failure, err=True)
    elif outcome.skipped:
        click.echo(f"{outcome.case}: finished before")
    else:
        click.echo(f"{outcome.case}: done")
    for note in outcome.notes:
        if note not in said:
            click.echo(f"  {note}")
    said.update(outcome.run_notes)
