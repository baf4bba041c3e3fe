"""Commands that train, prepare a training or follow it. Heavy imports happen inside them."""

from __future__ import annotations

import csv
import os
import shlex
import sys
from typing import Any

import click

from ..core.ensemble.schedule import MemberSelection, RestartSchedule
from ..core.ensemble.training_settings import PRESETS, Preset, TrainingSettings
from .options import (
    LABEL_NAMES,
    PATH,
    Command,
    device_option,
    options_of,
    parse_schedule,
    patient_option,
)


@click.command("schedule", cls=Command, short_help="Print the learning rate of every epoch.")
@options_of(TrainingSettings, only=("preset",), preset="paper")
@options_of(RestartSchedule, preset="paper")
@options_of(MemberSelection, preset="paper")
@click.option(
    "--csv",
    "file",
    type=click.File("w"),
    default="-",
    help="File to write; - prints to the terminal.",
)
def schedule_command(file: Any, preset: Preset | None, **flags: Any) -> None:
    """Print the learning rate of every epoch, and the epochs whose weights become members."""
    values = PRESETS[preset or "paper"]
    rates, selection = parse_schedule(flags, values.schedule, values.selection)
    # csv ends its lines as on Windows unless it is told otherwise.
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(["epoch", "cycle", "epoch_in_cycle", "learning_rate", "keeps_member"])
    for epoch in range(rates.all_epochs):
        keeps = int(selection.keeps(rates, epoch))
        place = rates.cycle(epoch), rates.epoch_in_cycle(epoch)
        rows.writerow([epoch, *place, f"{rates.learning_rate(epoch):.9g}", keeps])


@click.command(
    "train",
    cls=Command,
    short_help="Train a checkpoint ensemble.",
    groups={
        "Training": TrainingSettings,
        "Learning rate": RestartSchedule,
        "Members": MemberSelection,
    },
)
@click.argument("dataset", type=PATH)
@click.option("--output", required=True, type=PATH, help="Folder of the run.")
@click.option(
    "--fold",
    type=click.Choice(["all", *"01234"]),
    show_default="0",
    help="Fold to train; all has no validation cases.",
)
@options_of(TrainingSettings, preset="paper")
@click.option(
    "--labels",
    type=LABEL_NAMES,
    help="Names of label values, such as 1=RV,2=MYO,3=LV, which replace those of DATASET. Without "
    "a structure named LV, an ensemble does not give ED, ES or EF.",
)
@click.option("--split", type=PATH, help="File splits_final.json with the folds.")
@patient_option
@device_option
@click.option("--resume", is_flag=True, help="Continue a stopped or killed training.")
@click.option("--add-cycle", is_flag=True, help="Train a finished ensemble for one more cycle.")
@click.option(
    "--jsonl",
    is_flag=True,
    help="Print a JSON line for each epoch and for an error instead of a progress bar.",
)
def train_command(jsonl: bool, **flags: Any) -> None:
    """Train a checkpoint ensemble on the nnU-Net raw dataset DATASET.

    With --resume and --add-cycle, options keep the values of the start of the training if they are
    left out. DATASET may have new cases when a cycle is added: they are trained on too. The added
    cycle may have another --augmentation.
    """
    from ..app.training.request import TrainingRequest, starting_values
    from ..app.training.terminal import train_in_terminal

    continues = flags["resume"] or flags["add_cycle"]
    values = starting_values(flags["output"], preset=flags["preset"], resume=continues)
    rates, selection = parse_schedule(flags, values.schedule, values.selection)
    # The record of the run tells how it was started.
    command = shlex.join(["bayes-nnunet", *sys.argv[1:]])
    request = TrainingRequest(schedule=rates, selection=selection, command=command, **flags)
    ending = train_in_terminal(request, jsonl=jsonl)
    try:
        click.echo(ending, err=True)
    except OSError:  # The terminal is closed, so the flush at the exit of Python would fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
