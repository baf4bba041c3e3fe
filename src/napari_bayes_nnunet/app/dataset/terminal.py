"""Conversion of a release in a terminal."""

from __future__ import annotations

from pathlib import Path

from ...core.steps import drain
from ..terminal import progress_bar
from .prepare import prepare_dataset, prepared_text


def prepare_in_terminal(release: str, source: Path, output: Path, *, overwrite: bool) -> str:
    """Write the dataset with a progress bar on the error stream; return its description."""
    steps = prepare_dataset(release, source, output, overwrite=overwrite)
    with progress_bar() as bar:
        return prepared_text(drain(steps, lambda step: bar.progress("Cases", *step)))
