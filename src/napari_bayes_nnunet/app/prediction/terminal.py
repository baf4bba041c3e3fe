"""Segmentation in a terminal: a progress bar over the members, one line a case."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from ...core.types import Precision
from ..segmentation.ensemble import Ensemble
from ..segmentation.result import Snapshot
from .predict import CaseOutcome, PredictionRequest, predict


def predict_in_terminal(
    folder: Path, request: PredictionRequest, *, device: str, precision: Precision
) -> bool:
    """Segment the images of ``request``; True when every one of them succeeded."""
    notify = partial(click.echo, err=True)
    ensemble = Ensemble(folder, device=device, precision=precision, notify=notify)
    for sentence in ensemble.folder.problems:
        click.echo(sentence, err=True)
    for member in ensemble.folder.members:
        if not member.usable:
            click.echo(f"{member.path.name} is not used: {member.refused}", err=True)
    bar = MemberBar()
    succeeded = True
    for outcome in predict(ensemble, request, on_member=bar.show):
        bar.close()
        succeeded &= not outcome.failure
        _print(outcome)
    return succeeded


class MemberBar:
    """A bar "patient001 member 4 of 30", one for each 3D image or those asked together."""

    def __init__(self) -> None:
        self._bar: Any = None

    def show(self, frame: str, snapshot: Snapshot) -> None:
        """Advance the bar, or begin another where ``frame`` starts anew."""
        if self._bar is None or snapshot.done < self._bar.n:
            self.close()
            self._bar = tqdm(total=snapshot.total, desc=frame, unit="member", leave=False)
        self._bar.set_description(frame, refresh=False)
        self._bar.update(snapshot.done - self._bar.n)

    def close(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _print(outcome: CaseOutcome) -> None:
    if outcome.failure:
        click.echo(outcome.failure, err=True)
    elif outcome.skipped:
        click.echo(f"{outcome.case}: finished before")
    else:
        click.echo(f"{outcome.case}: done")
    for note in outcome.notes:
        click.echo(f"  {note}")
