"""Commands that evaluate and hand on results. Heavy imports happen inside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .options import (
    Command,
)


@click.command("evaluate", cls=Command)
@click.argument("predictions", type=click.Path(path_type=Path))
@click.argument("labels", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="REPORT")
@click.option("--name", help="What PREDICTIONS are called.  [default: the folder's name]")
@click.option("--compare", multiple=True, metavar="NAME=PREDICTIONS", help="Another method.")
@click.option("--patient", help="Pattern of the patient's part of a case name.")
@click.option("--images", type=click.Path(path_type=Path), help="Folder of the images.")
def evaluate_command(predictions: Path, labels: Path, output: Path, **flags: Any) -> None:
    """Compare PREDICTIONS with reference LABELS: overlap, calibration, and whether doubt helps.

    PREDICTIONS is a folder of predict --save probabilities,entropy,mutual-information, or of
    nnUNetv2_predict --save_probabilities. LABELS holds NAME.nii.gz or NAME_gt.nii.gz. Writes
    REPORT/cases.csv, REPORT/summary.json and REPORT/report.html.
    """
    from ..app.evaluation.terminal import evaluate_in_terminal

    evaluate_in_terminal(predictions, labels, output, **flags)


@click.command("evaluate-queue", cls=Command)
@click.argument("studies", type=click.Path(path_type=Path))
@click.argument("labels", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="REPORT")
@click.option("--patient", help="Pattern of the patient's part of a case name.")
def evaluate_queue_command(studies: Path, labels: Path, output: Path, patient: str | None) -> None:
    """Measure whether the review's queue leads to the errors, with reference labels.

    STUDIES is a folder of studies (predict --save study), LABELS holds NAME.nii.gz or
    NAME_gt.nii.gz for a study called NAME. Writes REPORT.csv and the picture REPORT.png.
    """
    from ..app.evaluation.queue import evaluate_queue
    from ..app.evaluation.queue_report import queue_text, write_queue_report

    evaluation = evaluate_queue(studies, labels, **({"patient": patient} if patient else {}))
    write_queue_report(evaluation, output)
    click.echo(queue_text(evaluation))


@click.command("export-dicom", cls=Command)
@click.argument("study", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path))
def export_dicom_command(study: Path, images: Path, output: Path) -> None:
    """Write the labels and numbers of STUDY as DICOM SEG and SR.

    IMAGES is the folder of the DICOM images it was made of: the files refer to them, and hold the
    patient's name as they do.
    """
    from ..app.review.dicom_export import export_dicom

    for file in export_dicom(study, images, output):
        click.echo(file)
