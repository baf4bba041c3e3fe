"""A release made into a dataset in a terminal: a progress bar over its cases, then a sentence."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from pathlib import Path

from tqdm import tqdm

from .prepare import PreparedDataset, prepare_dataset, prepared_text


def prepare_in_terminal(release: str, source: Path, output: Path, *, overwrite: bool) -> str:
    """What was written, in words; the bar goes to the error stream."""
    with closing(prepare_dataset(release, source, output, overwrite=overwrite)) as steps:
        return prepared_text(_with_bar(steps))


def _with_bar(steps: Generator[tuple[int, int], None, PreparedDataset]) -> PreparedDataset:
    _, total = next(steps)  # a release that cannot be used fails here, before there is a bar
    with tqdm(total=total, unit="case") as bar:
        while True:
            try:
                done, _ = next(steps)
            except StopIteration as end:
                prepared: PreparedDataset = end.value
                return prepared
            bar.update(done - bar.n)
