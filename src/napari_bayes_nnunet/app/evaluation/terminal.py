"""Evaluations in a terminal, with a progress bar and the main results."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from ...core.problems import Setting
from ...io.dataset.patients import DEFAULT_PATIENT
from ...io.files.given_path import check_folder
from .. import AppError
from ..terminal import drain_with_bar
from .evaluate import evaluate_methods, refuse_same_folders
from .example_cases import shown_cases
from .output_files import check_report_folder, evaluation_text, write_evaluation

DUPLICATE_METHOD = "Two methods are called {name}. Give each method its own name."


def evaluate_in_terminal(
    predictions: Path,
    labels: Path,
    report: Path,
    *,
    name: str | None = None,
    compare: Iterable[str] = (),
    patient: str | None = None,
    images: Path | None = None,
) -> None:
    """Evaluate ``predictions`` and those of ``compare`` ("NAME=FOLDER"), and write the report."""
    first = name or predictions.absolute().name
    methods = {first: predictions}
    for text in compare:
        other, folder = _named_folder(text)
        if other in methods:
            raise AppError(DUPLICATE_METHOD, name=other)
        methods[other] = folder
    if images is not None:
        check_folder(images, "images")
    refuse_same_folders(methods, labels)
    check_report_folder(report, labels=labels, images=images)
    steps = evaluate_methods(methods, labels, patient=patient or DEFAULT_PATIENT)
    evaluated = drain_with_bar(steps)
    page = write_evaluation(evaluated, report, shown=shown_cases(evaluated, labels, images=images))
    click.echo(evaluation_text(evaluated))
    click.echo(f"Report: {page}")


def _named_folder(text: str) -> tuple[str, Path]:
    """Return name and folder, split at the first "=" that a folder follows, else at the last."""
    parts = text.split("=")
    splits = [("=".join(parts[:n]), Path("=".join(parts[n:]))) for n in range(1, len(parts))]
    name, folder = next((s for s in splits if s[1].is_dir()), (splits or [("", Path())])[-1])
    if not name.strip() or not parts[-1]:
        raise AppError(
            "{setting} takes NAME=PREDICTIONS, such as SWA=out/swa, not “{text}”.",
            setting=Setting("compare"),
            text=text,
        )
    return name.strip(), folder
