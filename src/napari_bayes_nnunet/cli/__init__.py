"""The command ``bayes-nnunet``: thin commands around ``app``; heavy imports happen inside them."""

from __future__ import annotations

import csv
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..core.ensemble.schedule import MemberSelection, RestartSchedule
from .options import (
    METHOD_HELP,
    MIRRORING,
    Command,
    Resources,
    Temperature,
    parse_schedule,
    schedule_options,
)

if TYPE_CHECKING:
    from ..nnunet.network import Precision


@click.group()
@click.version_option(package_name="napari-bayes-nnunet")
def main() -> None:
    """Bayesian nnU-Net: checkpoint ensembles for segmentation with uncertainty."""


@main.command(cls=Command)
@schedule_options
@click.option("--csv", "file", type=click.File("w"), default="-", help="File, or - for the screen.")
def schedule(file: Any, **flags: Any) -> None:
    """Print the learning rate of every epoch and which epochs training keeps as members."""
    rates, selection = parse_schedule(flags, RestartSchedule(), MemberSelection())
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(["epoch", "cycle", "epoch_in_cycle", "learning_rate", "keeps_member"])
    for epoch in range(rates.all_epochs):
        keeps = int(selection.keeps(rates, epoch))
        place = rates.cycle(epoch), rates.epoch_in_cycle(epoch)
        rows.writerow([epoch, *place, f"{rates.learning_rate(epoch):.9g}", keeps])


@main.command(cls=Command)
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("--output", required=True, type=click.Path(path_type=Path), help="The run folder.")
@click.option("--configuration", help="Of nnU-Net's plans.  [default: 2d]")
@click.option("--fold", type=click.Choice(["all", *"01234"]), help="[default: 0]")
@click.option(
    "--preset", type=click.Choice(["paper", "demo", "quick", "tiny"]), help="[default: paper]"
)
@schedule_options
@click.option("--batch-size", type=click.IntRange(1), help="[paper, demo: 20, else 10]")
@click.option("--iterations-per-epoch", type=click.IntRange(1), help="[paper: 250, else 12]")
@click.option("--dropout", type=click.FloatRange(0, 1, max_open=True), help="For mc-dropout: 0.1.")
@click.option("--split", type=click.Path(path_type=Path), help="A splits_final.json.")
@click.option("--patient", help="Pattern of the patient's part of a case name.")
@click.option("--device", default="auto", show_default=True, help="auto, cuda, mps or cpu.")
@click.option(
    "--num-gpus", default=1, type=click.IntRange(1), help="CUDA cards to share the work (DDP)."
)
@click.option("--seed", type=click.IntRange(0), help="Makes a CPU training repeatable.")
@click.option("--keep-trajectory", is_flag=True, help="Keep some layers of every epoch.")
@click.option("--licence", help="Of the weights; the dataset's by default.")
@click.option("--resume", is_flag=True, help="Go on where a stopped or killed training ended.")
@click.option("--add-cycle", is_flag=True, help="Train a finished ensemble for one more cycle.")
@click.option("--jsonl", is_flag=True, help="One JSON line per epoch instead of a progress bar.")
def train(jsonl: bool, **flags: Any) -> None:
    """Train a checkpoint ensemble on the nnU-Net raw dataset DATASET.

    With --resume and --add-cycle the flags that were given at the start can be left out. DATASET
    may have new cases when a cycle is added: it trains on them too.
    """
    from ..app.training.request import TrainingRequest, starting_values
    from ..app.training.terminal import train_in_terminal

    goes_on = flags["resume"] or flags["add_cycle"]
    values = starting_values(flags["output"], preset=flags["preset"], resume=goes_on)
    rates, selection = parse_schedule(flags, *values)
    command = shlex.join(["bayes-nnunet", *sys.argv[1:]])
    request = TrainingRequest(schedule=rates, selection=selection, command=command, **flags)
    ending = train_in_terminal(request, jsonl=jsonl)
    try:
        click.echo(ending, err=True)
    except OSError:  # The terminal is gone; Python flushes again at its end, and would fail then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


@main.command(cls=Command)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def inspect(folder: Path, as_json: bool) -> None:
    """List the members of the ensemble in FOLDER, and why others cannot be used."""
    import json

    from ..app.segmentation import inspection

    found = inspection.inspect(folder)
    click.echo(
        json.dumps(inspection.inspection_json(found), indent=1)
        if as_json
        else inspection.inspection_text(found)
    )


@main.command(cls=Command)
@click.argument("ensemble", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path))
@click.option("--method", default="multi", show_default=True, help=METHOD_HELP)
@click.option("--members", default=30, show_default=True, type=click.IntRange(1))
@click.option("--mirroring", type=MIRRORING, default="full", show_default=True)
@click.option(
    "--temperature",
    type=Temperature(),
    help="Above 1 less sure of itself; or fitted, by calibrate.  [1; for temperature 1.5]",
)
@click.option("--until-stable", is_flag=True, help="Ask no more members once nothing moves.")
@click.option("--device", default="auto", show_default=True, help="auto, cuda, mps or cpu.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "full"]),
    default="auto",
    show_default=True,
    help="auto: half where the device is fast with it; full: float32.",
)
@click.option("--phases", default="all", show_default=True, help="Of a cine: 1,8 or ED,ES or all.")
@click.option(
    "--save",
    help="entropy,mutual-information,probabilities,study  [labels alone; of folders: study]",
)
@click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
@click.option("--continue", "skip_finished", is_flag=True, help="Leave finished cases alone.")
@click.option("--series", type=int, help="The DICOM series to take where there are several cines.")
@click.option("--folder-names", is_flag=True, help="Name DICOM cases as their folders.")
@click.option("--scheduler", metavar="ADDRESS", help="Of a Dask cluster: tls://server:8786.")
@click.option(
    "--certificates",
    type=click.Path(path_type=Path),
    help="Folder with ca.pem, cert.pem and key.pem for tls://.",
)
@click.option("--resources", type=Resources(), help="What a study needs of a worker: GPU=1.")
@click.option("--jsonl", is_flag=True, help="JSON lines instead of a progress bar; of folders.")
def predict(
    ensemble: Path,
    images: tuple[Path, ...],
    device: str,
    precision: Precision,
    save: str | None,
    scheduler: str | None,
    certificates: Path | None,
    resources: dict[str, float] | None,
    jsonl: bool,
    **flags: Any,
) -> None:
    """Segment IMAGES with the checkpoint ensemble in the folder ENSEMBLE.

    IMAGES are NIfTI files, or folders that are searched for studies: NIfTI images and the short-
    axis cines of DICOM studies. The results repeat the tree of a folder, with cohort.csv and
    cohort.html. DICOM studies are called by a pseudonym; with --folder-names by their folders,
    which may name the patients.
    """
    from ..app.prediction.predict import PredictionRequest

    if (certificates or resources) and not scheduler:
        raise click.UsageError("--certificates and --resources belong to --scheduler.")
    has_folders = any(image.is_dir() for image in images)
    of_many = has_folders or jsonl or scheduler is not None
    if save is None:
        save = "study" if has_folders else ""
    wanted = frozenset(part.strip() for part in save.split(",") if part.strip()) - {"labels"}
    request = PredictionRequest(images=images, save=wanted, **flags)
    if of_many:
        from ..app.cohort.run import CohortRequest
        from ..app.cohort.terminal import run_in_terminal

        code = run_in_terminal(
            CohortRequest(
                ensemble=ensemble, prediction=request, device=device, precision=precision
            ),
            scheduler=scheduler,
            certificates=certificates,
            resources=resources,
            jsonl=jsonl,
        )
    else:
        from ..app.prediction.terminal import predict_in_terminal

        done = predict_in_terminal(ensemble, request, device=device, precision=precision)
        code = 0 if done else 1
    if code:
        raise click.exceptions.Exit(code)


@main.command(cls=Command)
@click.argument("study", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path))
def export_dicom(study: Path, images: Path, output: Path) -> None:
    """Write the labels and numbers of STUDY as DICOM SEG and SR.

    IMAGES is the folder of the DICOM images it was made of: the files refer to them, and hold the
    patient's name as they do.
    """
    from ..app.review.dicom_export import export_dicom

    for file in export_dicom(study, images, output):
        click.echo(file)


@main.command(cls=Command)
@click.argument("ensemble", type=click.Path(path_type=Path))
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("--method", default="temperature", show_default=True, help=METHOD_HELP)
@click.option("--members", default=30, show_default=True, type=click.IntRange(1))
@click.option("--mirroring", type=MIRRORING, default="full", show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cuda, mps or cpu.")
def calibrate(ensemble: Path, dataset: Path, device: str, **asked: Any) -> None:
    """Fit the temperature of a method on the cases the training of ENSEMBLE held back.

    DATASET is the nnU-Net raw dataset it was trained on. The temperature is kept in ENSEMBLE, for
    predict --temperature fitted.
    """
    from ..app.segmentation.ensemble import Ensemble
    from ..app.segmentation.temperature import calibrate

    for told in calibrate(Ensemble(ensemble, device=device), dataset, **asked):
        if isinstance(told, str):
            click.echo(told, err=True)
        else:
            click.echo(f"Temperature {told.temperature:g}, fitted on {len(told.cases)} cases.")


@main.command(cls=Command)
@click.argument("predictions", type=click.Path(path_type=Path))
@click.argument("labels", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="REPORT")
@click.option("--name", help="What PREDICTIONS are called.  [default: the folder's name]")
@click.option("--compare", multiple=True, metavar="NAME=PREDICTIONS", help="Another method.")
@click.option("--patient", help="Pattern of the patient's part of a case name.")
@click.option("--images", type=click.Path(path_type=Path), help="Folder of the images.")
def evaluate(predictions: Path, labels: Path, output: Path, **flags: Any) -> None:
    """Compare PREDICTIONS with reference LABELS: overlap, calibration, and whether doubt helps.

    PREDICTIONS is a folder of predict --save probabilities,entropy,mutual-information, or of
    nnUNetv2_predict --save_probabilities. LABELS holds NAME.nii.gz or NAME_gt.nii.gz. Writes
    REPORT/cases.csv, REPORT/summary.json and REPORT/report.html.
    """
    from ..app.evaluation.terminal import evaluate_in_terminal

    evaluate_in_terminal(predictions, labels, output, **flags)


@main.command(cls=Command)
@click.argument("studies", type=click.Path(path_type=Path))
@click.argument("labels", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="REPORT")
@click.option("--patient", help="Pattern of the patient's part of a case name.")
def evaluate_queue(studies: Path, labels: Path, output: Path, patient: str | None) -> None:
    """Measure whether the review's queue leads to the errors, with reference labels.

    STUDIES is a folder of studies (predict --save study), LABELS holds NAME.nii.gz or
    NAME_gt.nii.gz for a study called NAME. Writes REPORT.csv and the picture REPORT.png.
    """
    from ..app.evaluation.queue import evaluate_queue
    from ..app.evaluation.queue_report import queue_text, write_queue_report

    evaluation = evaluate_queue(studies, labels, **({"patient": patient} if patient else {}))
    write_queue_report(evaluation, output)
    click.echo(queue_text(evaluation))


@main.command(cls=Command)
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def devices(as_json: bool) -> None:
    """List the devices of this machine that can train and segment, the fastest first."""
    import json

    from ..nnunet.device import describe_devices

    found = describe_devices()
    lines = [f"{name}: {text}" for name, text in found.items()]
    click.echo(json.dumps(found) if as_json else "\n".join(lines))


@main.command(cls=Command)
@click.option(
    "--screenshot",
    type=click.Path(path_type=Path),
    help="Run unattended, save a picture of the window after the last member and exit.",
)
def demo(screenshot: Path | None) -> None:
    """Open napari on a real heart, segmented by the built-in ensemble."""
    from ..widgets.segment.demo import run_demo

    run_demo(screenshot)


@main.command(cls=Command)
@click.argument("release", type=click.Choice(["acdc", "mnms"]))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="DATASET")
@click.option("--overwrite", is_flag=True, help="Replace the dataset that is there.")
def prepare(release: str, folder: Path, output: Path, overwrite: bool) -> None:
    """Make an nnU-Net raw dataset of the ACDC or M&Ms release in FOLDER.

    FOLDER is laid out as it was downloaded, and is only read. ED and ES of every labelled patient
    become cases with the spacing of their headers; what the release holds back goes to imagesTs.
    groups.csv tells vendor, centre, pathology and phase of every case.
    """
    from ..app.dataset.terminal import prepare_in_terminal

    click.echo(prepare_in_terminal(release, folder, output, overwrite=overwrite))


@main.command(cls=Command)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="REPORT")
@click.option("--fold", default="0", show_default=True, help="One of RUN's folds.")
@click.option(
    "--layers",
    multiple=True,
    metavar="NAME",
    help="A layer to draw, or a part of its name; repeatable.  [the decoder's last]",
)
@click.option(
    "--cases",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="IMAGE",
    help="An image for which single members are shown; repeatable.",
)
@click.option(
    "--control",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="The same training with --schedule poly, for comparison.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cuda, mps or cpu.")
def trajectory(run: Path, output: Path, **flags: Any) -> None:
    """Draw the way of the training RUN through the space of its weights, and measure it.

    All epochs where RUN was trained with --keep-trajectory, else its members. Writes
    REPORT/trajectory.html, trajectory.csv, distances.csv and the figures as PNG.
    """
    from ..app.trajectory.terminal import trajectory_in_terminal

    trajectory_in_terminal(run, output, **flags)
