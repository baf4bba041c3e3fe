"""Commands that train, and prepare or follow a training. Heavy imports happen inside them."""

from __future__ import annotations

import csv
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from ..core.ensemble.schedule import MemberSelection, RestartSchedule
from .options import (
    Command,
    parse_schedule,
    schedule_options,
)


@click.command("schedule", cls=Command)
@schedule_options
@click.option("--csv", "file", type=click.File("w"), default="-", help="File, or - for the screen.")
def schedule_command(file: Any, **flags: Any) -> None:
    """Print the learning rate of every epoch and which epochs training keeps as members."""
    rates, selection = parse_schedule(flags, RestartSchedule(), MemberSelection())
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(["epoch", "cycle", "epoch_in_cycle", "learning_rate", "keeps_member"])
    for epoch in range(rates.all_epochs):
        keeps = int(selection.keeps(rates, epoch))
        place = rates.cycle(epoch), rates.epoch_in_cycle(epoch)
        rows.writerow([epoch, *place, f"{rates.learning_rate(epoch):.9g}", keeps])


@click.command("train", cls=Command)
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
def train_command(jsonl: bool, **flags: Any) -> None:
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


@click.command("prepare", cls=Command)
@click.argument("release", type=click.Choice(["acdc", "mnms"]))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="DATASET")
@click.option("--overwrite", is_flag=True, help="Replace the dataset that is there.")
def prepare_command(release: str, folder: Path, output: Path, overwrite: bool) -> None:
    """Make an nnU-Net raw dataset of the ACDC or M&Ms release in FOLDER.

    FOLDER is laid out as it was downloaded, and is only read. ED and ES of every labelled patient
    become cases with the spacing of their headers; what the release holds back goes to imagesTs.
    groups.csv tells vendor, centre, pathology and phase of every case.
    """
    from ..app.dataset.terminal import prepare_in_terminal

    click.echo(prepare_in_terminal(release, folder, output, overwrite=overwrite))


@click.command("trajectory", cls=Command)
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
def trajectory_command(run: Path, output: Path, **flags: Any) -> None:
    """Draw the way of the training RUN through the space of its weights, and measure it.

    All epochs where RUN was trained with --keep-trajectory, else its members. Writes
    REPORT/trajectory.html, trajectory.csv, distances.csv and the figures as PNG.
    """
    from ..app.trajectory.terminal import trajectory_in_terminal

    trajectory_in_terminal(run, output, **flags)
