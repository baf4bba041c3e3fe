"""Commands that evaluate and export results. Heavy imports happen inside them."""

from __future__ import annotations

from pathlib import Path

import click

from .options import PATH, Command, output_option, patient_option


@click.command("evaluate", cls=Command, short_help="Compare predictions with reference labels.")
@click.argument("predictions", type=PATH)
@click.argument("labels", type=PATH)
@output_option("Folder to write the report to.", metavar="REPORT")
@click.option(
    "--name", show_default="name of the folder", help="Name of PREDICTIONS in the report."
)
@click.option(
    "--compare",
    multiple=True,
    metavar="NAME=PREDICTIONS",
    help="Predictions of another method to compare with; repeatable.",
)
@patient_option
@click.option(
    "--images",
    type=PATH,
    help="Folder of the images, for the report's pictures.",
)
def evaluate_command(
    predictions: Path,
    labels: Path,
    output: Path,
    name: str | None,
    compare: tuple[str, ...],
    patient: str | None,
    images: Path | None,
) -> None:
    """Compare PREDICTIONS with reference LABELS: overlap, calibration and error detection.

    PREDICTIONS is a folder written by predict --save probabilities,entropy,mutual-information, or
    by nnUNetv2_predict --save_probabilities. LABELS contains NAME.nii.gz or NAME_gt.nii.gz for each
    case NAME. The command writes REPORT/cases.csv, REPORT/summary.json and REPORT/report.html.
    """
    from ..app.evaluation.request import (
        EvaluationRequest,
        named_methods,
        preview_evaluation,
        run_evaluation,
    )
    from ..app.terminal import drain_with_bar
    from ..io.dataset.patients import DEFAULT_PATIENT

    request = EvaluationRequest(
        methods=named_methods(predictions, name, compare),
        labels=labels,
        report=output,
        images=images,
        patient=patient or DEFAULT_PATIENT,
    )
    preview_evaluation(request)
    outcome = drain_with_bar(run_evaluation(request))
    click.echo(outcome.text)
    click.echo(f"Report: {outcome.page}")


@click.command("compare-readings", cls=Command, short_help="Compare readers and the prediction.")
@click.argument("studies", type=PATH)
@output_option("File to write, without its ending.", metavar="REPORT")
def compare_readings_command(studies: Path, output: Path) -> None:
    """Compare the finished readings of STUDIES with each other and with the prediction.

    STUDIES is a study or a folder of studies. REPORT.html has EF, volumes and mass (over several
    studies with bias and limits of agreement), and Dice and the mean contour distance of each
    structure at ED and ES, for base, middle and apex. REPORT.csv has all differences. A study is
    left out while one of its readers has not finished.
    """
    from ..app.evaluation.readings import compare_readings, write_comparison_report

    comparison = compare_readings(studies)
    for note in comparison.notes:
        click.echo(note, err=True)
    click.echo(write_comparison_report(comparison, output))


@click.command("export-dicom", cls=Command, short_help="Write a study as DICOM SEG and SR.")
@click.argument("study", type=PATH)
@click.argument("images", type=PATH)
@output_option("Folder to write the DICOM files to.")
@click.option(
    "--normal-ranges", default="petersen2017", show_default=True, metavar="FILE",
    help="CSV file with normal ranges for the numbers, or petersen2017, or none.",
)  # fmt: skip
@click.option(
    "--contours", is_flag=True, help="Also write the smooth contours of each phase (RTSTRUCT)."
)
@click.option(
    "--labelmap", is_flag=True,
    help="Write SEG as label maps (Supplement 243), which fewer programs read.",
)  # fmt: skip
def export_dicom_command(
    study: Path, images: Path, output: Path, normal_ranges: str, **flags: bool
) -> None:
    """Write the labels and measurements of STUDY as DICOM SEG and SR.

    IMAGES is the folder of the DICOM images from which the study was made. The files refer to these
    images and contain the patient's name as they do. Their descriptions say how many slices were
    accepted in the review.
    """
    from ..app.review.accepted_slices import describe_open_slices
    from ..app.review.dicom_export import export_session, open_session

    session = open_session(study, normal_ranges)
    for file in export_session(session, images, output, **flags):
        click.echo(file)
    # Standard output has only the files, one a line, for other programs.
    if note := describe_open_slices(session, session.phases):
        click.echo(note, err=True)
