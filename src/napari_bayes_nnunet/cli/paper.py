"""Commands of the paper's tools. Heavy imports happen inside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .options import PATH, Command, output_option, patient_option


@click.command("evaluate-queue", cls=Command, short_help="Evaluate orders of the review queue.")
@click.argument("studies", type=PATH)
@click.argument("labels", type=PATH)
@output_option("File to write, without its ending.", metavar="REPORT")
@patient_option
def evaluate_queue_command(studies: Path, labels: Path, output: Path, patient: str | None) -> None:
    """Evaluate review-queue orderings against reference labels.

    STUDIES is a folder of studies (predict --save study). LABELS contains NAME.nii.gz or
    NAME_gt.nii.gz for each study NAME. The command writes REPORT.csv and the figure REPORT.png.
    """
    from ..paper.review.queue import (
        check_queue_report,
        evaluate_queue,
        queue_text,
        write_queue_report,
    )

    check_queue_report(output)
    evaluation = evaluate_queue(studies, labels, **_pattern(patient))
    write_queue_report(evaluation, output)
    click.echo(queue_text(evaluation))


@click.command("evaluate-reader", cls=Command, short_help="Simulate a reader who corrects studies.")
@click.argument("studies", type=PATH)
@click.argument("labels", type=PATH)
@output_option("File to write, without its ending.", metavar="REPORT")
@patient_option
def evaluate_reader_command(studies: Path, labels: Path, output: Path, patient: str | None) -> None:
    """Simulate a reader who corrects STUDIES toward the reference LABELS.

    In every slice the reader takes the cheapest correction after which no voxel is wrong by more
    than 3 mm from the reference contour. REPORT.csv has the errors left, Dice and the errors of EF,
    volumes and mass against the number of actions, REPORT_tools.csv what each tool contributes.
    REPORT_stop.csv says after how many slices a review may end, and whether its numbers change
    later; REPORT_intervals.csv whether the numbers lie in their intervals after some slices.
    REPORT.png draws the errors left, Dice and the error of the LV EF against the actions.
    The arguments are those of evaluate-queue.
    """
    from ..app.terminal import drain_with_bar
    from ..paper.review.reader import (
        check_reader_report,
        evaluate_reader,
        reader_text,
        write_reader_report,
    )

    check_reader_report(output)
    evaluation = drain_with_bar(evaluate_reader(studies, labels, **_pattern(patient)))
    write_reader_report(evaluation, output)
    click.echo(reader_text(evaluation))


def _pattern(patient: str | None) -> dict[str, str]:
    return {} if patient is None else {"patient": patient}


@click.command("prepare", cls=Command, short_help="Make a dataset of the ACDC or M&Ms release.")
@click.argument("release", type=click.Choice(["acdc", "mnms"]))
@click.argument("folder", type=PATH)
@output_option("Folder of the new dataset.", metavar="DATASET")
def prepare_command(release: str, folder: Path, output: Path) -> None:
    """Create an nnU-Net raw dataset from the ACDC or M&Ms release in FOLDER.

    FOLDER has the layout of the download and is not changed. ED and ES of every labelled patient
    become cases with the spacing of their headers. Cases of the release's test set go to imagesTs.
    groups.csv lists vendor, centre, pathology and phase of every case.
    """
    from ..app.terminal import drain_with_bar
    from ..paper.releases.prepare import prepare_dataset

    steps = prepare_dataset(release, folder, output)
    sentences = drain_with_bar(steps, lambda step: ("Cases", *step))
    click.echo("\n".join(sentences))


@click.command("trajectory", cls=Command, short_help="Draw the path of a training.")
@click.argument("run", type=PATH)
@output_option("Folder to write the report to.", metavar="REPORT")
@click.option("--fold", default="0", show_default=True, help="Fold of RUN.")
@click.option(
    "--control",
    type=PATH,
    metavar="RUN",
    help="Run of the same training with --schedule poly, for comparison.",
)
def trajectory_command(run: Path, output: Path, **flags: Any) -> None:
    """Draw and measure the trajectory of the training RUN through the space of its weights.

    It has all epochs if RUN was trained with --keep-trajectory, otherwise only the members. The
    command writes REPORT/trajectory.html, trajectory.csv, distances.csv and the figures as PNG.
    """
    from ..paper.trajectory.output_files import trajectory_in_terminal

    trajectory_in_terminal(run, output, **flags)
