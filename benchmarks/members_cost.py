"""Cost of keeping members during a training, compared with nnU-Net's own trainer.

python benchmarks/members_cost.py DATASET   (an nnU-Net raw dataset; about 10 minutes on two cores)

Both trainers have the same network, batch, precision and initial weights. They alternate at every
step, so that other load on the machine affects both. Ours keeps a member after every epoch, which
is the worst case: the paper keeps 90 in 1200 epochs.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, fields
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import click
import torch
from nnunetv2.run.run_training import get_trainer_from_args
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from napari_bayes_nnunet.core.ensemble.schedule import MemberSelection, RestartSchedule
from napari_bayes_nnunet.core.ensemble.training_settings import TrainingSettings
from napari_bayes_nnunet.io.dataset.raw_dataset import RawDataset, patient_splits, read_dataset
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder, TrainingRecord, write_record
from napari_bayes_nnunet.nnunet.device import choose_device, training_environment
from napari_bayes_nnunet.nnunet.planning import (
    plan_and_preprocess,
    training_plans,
    workspace_environment,
    write_plans,
)
from napari_bayes_nnunet.nnunet.trainer import (
    CheckpointEnsembleTrainer,
    trainer_environment,
)

PAPER_MEMBERS_PER_EPOCH = 90 / 1200


@dataclass
class Times:
    """Seconds of every epoch, and of keeping members and saving states in it."""

    epochs: list[float] = field(default_factory=list)
    members: list[float] = field(default_factory=list)
    states: list[float] = field(default_factory=list)


def prepare_run(dataset: RawDataset, run: RunFolder, settings: TrainingSettings) -> None:
    """Plan, preprocess and write the training record."""
    os.environ.update(workspace_environment(run.workspace))
    os.environ.update(trainer_environment(run.path))
    plans = plan_and_preprocess(dataset, run.workspace, configuration="2d")
    splits = patient_splits([case.name for case in dataset.cases])
    write_plans(dataset, run.workspace, training_plans(plans, settings), splits)
    record = TrainingRecord(
        **{entry.name: getattr(settings, entry.name) for entry in fields(settings)},
        name="benchmark",
        labels=dataset.labels,
        channels=dataset.channels,
    )
    write_record(run.record, record)


def make_trainer(kind: type[nnUNetTrainer], dataset: RawDataset, device: torch.device) -> Any:
    """Return a started trainer that does not draw curves, which takes nnU-Net seconds per epoch."""
    arguments = (dataset.nnunet_name, "2d", 0, kind.__name__, "nnUNetPlans")
    trainer = get_trainer_from_args(*arguments, device=device)
    trainer.logger.plot_progress_png = lambda folder: None
    trainer.on_train_start()
    return trainer


def match_trainers(stock: Any, ours: CheckpointEnsembleTrainer) -> None:
    """Give nnU-Net's trainer the initial weights, epoch length and precision of our trainer."""
    stock.network.load_state_dict(ours.network.state_dict())
    stock.num_iterations_per_epoch = ours.num_iterations_per_epoch
    stock.num_val_iterations_per_epoch = ours.num_val_iterations_per_epoch
    for name in ("train_step", "validation_step"):
        setattr(stock, name, _in_precision(getattr(stock, name), ours))


def _in_precision(step: Callable[..., Any], ours: CheckpointEnsembleTrainer) -> Callable[..., Any]:
    def in_precision(batch: dict[str, Any]) -> Any:
        with ours._precision():
            return step(batch)

    return in_precision


@contextmanager
def measured(trainer: Any, method: str, seconds: list[float]) -> Iterator[None]:
    """Append the seconds of every call of a method to ``seconds``."""
    original = getattr(trainer, method)

    def timed(*arguments: Any) -> Any:
        started = perf_counter()
        outcome = original(*arguments)
        seconds.append(perf_counter() - started)
        return outcome

    setattr(trainer, method, timed)
    yield
    setattr(trainer, method, original)


def epoch(trainer: Any) -> Iterator[None]:
    """Run an epoch in the order of nnU-Net's ``run_training``, and yield after each step."""
    trainer.on_epoch_start()
    trainer.on_train_epoch_start()
    losses, outputs = [], []
    for _ in range(trainer.num_iterations_per_epoch):
        losses.append(trainer.train_step(next(trainer.dataloader_train)))
        yield
    trainer.on_train_epoch_end(losses)
    with torch.no_grad():
        trainer.on_validation_epoch_start()
    for _ in range(trainer.num_val_iterations_per_epoch):
        with torch.no_grad():
            outputs.append(trainer.validation_step(next(trainer.dataloader_val)))
        yield
    trainer.on_validation_epoch_end(outputs)
    trainer.on_epoch_end()
    yield


def epochs_in_turn(trainers: tuple[Any, Any]) -> list[float]:
    """Run an epoch of both trainers, alternating at every step, and return the seconds of each."""
    seconds = [0.0, 0.0]
    runs = [epoch(trainer) for trainer in trainers]
    steps = trainers[0].num_iterations_per_epoch + trainers[0].num_val_iterations_per_epoch + 1
    for _ in range(steps):
        for number, run in enumerate(runs):
            started = perf_counter()
            next(run)
            seconds[number] += perf_counter() - started
    return seconds


def train_both(stock: Any, ours: CheckpointEnsembleTrainer, epochs: int) -> tuple[Times, Times]:
    """Train with both after an untimed epoch, and return their times."""
    epochs_in_turn((stock, ours))
    of_stock, of_ours = Times(), Times()
    with (
        measured(ours, "_keep_member", of_ours.members),
        measured(ours, "save_checkpoint", of_ours.states),
        measured(stock, "save_checkpoint", of_stock.states),
    ):
        for number in range(epochs):
            pair = epochs_in_turn((stock, ours))
            of_stock.epochs.append(pair[0])
            of_ours.epochs.append(pair[1])
            text = f"Epoch {number + 1} of {epochs}: nnU-Net {pair[0]:.2f} s, ours {pair[1]:.2f} s"
            click.echo(text, err=True)
    return of_stock, of_ours


def report(stock: Times, ours: Times) -> str:
    """Return the medians and their shares of an epoch as text."""
    base, mine = median(stock.epochs), median(ours.epochs)
    member = median(ours.members)
    # Our trainer saves a state with every member, which nnU-Net does not.
    states = (sum(ours.states) - sum(stock.states)) / len(ours.epochs)
    return "\n".join(
        [
            f"epoch of nnU-Net's trainer    {base:8.2f} s  (median of {len(stock.epochs)})",
            f"epoch of our trainer        {mine:8.2f} s  ({_percent(mine - base, base, sign='+')})",
            f"keeping one member          {member:8.3f} s  ({_percent(member, base)} of an epoch)",
            f"additional states per epoch {states:8.3f} s  ({_percent(states, base)} of an epoch)",
            f"Keeping a member every epoch costs {_percent(member + states, base)}, "
            "keeping 90 in 1200 epochs, as in the paper, "
            f"{_percent(PAPER_MEMBERS_PER_EPOCH * (member + states), base)}",
        ]
    )


def _percent(part: float, whole: float, *, sign: str = "") -> str:
    return f"{100 * part / whole:{sign}.2f} %"


@click.command
@click.argument("dataset", type=click.Path(path_type=Path, exists=True))
@click.option("--iterations", default=250, show_default=True, type=click.IntRange(1))
@click.option("--batch", default=4, show_default=True, type=click.IntRange(1))
@click.option("--network", type=click.Choice(["small", "full"]), default="small", show_default=True)
@click.option(
    "--epochs",
    default=7,
    show_default=True,
    type=click.IntRange(1),
    help="Timed epochs of each trainer.",
)
@click.option("--device", default="auto", show_default=True)
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Working folder. Default: a temporary folder."
)
def main(
    dataset: Path,
    iterations: int,
    batch: int,
    network: str,
    epochs: int,
    device: str,
    folder: Path | None,
) -> None:
    """Measure what keeping members adds to nnU-Net's training time on DATASET."""
    with tempfile.TemporaryDirectory() as temporary, redirect_stdout(io.StringIO()):
        run = RunFolder((folder or Path(temporary)).absolute() / "run")
        chosen, raw = choose_device(device), read_dataset(dataset.absolute())
        settings = TrainingSettings(
            preset="demo" if network == "small" else "paper",
            batch_size=batch,
            schedule=RestartSchedule(
                epochs=epochs + 2, cycles=1, gamma=0, restart_first_cycle=False
            ),
            selection=MemberSelection(per_cycle=epochs + 2, step=1),
            iterations_per_epoch=iterations,
            seed=1,
        )
        prepare_run(raw, run, settings)
        os.environ.update(training_environment(chosen))
        ours = make_trainer(CheckpointEnsembleTrainer, raw, chosen)
        stock = make_trainer(nnUNetTrainer, raw, chosen)
        match_trainers(stock, ours)
        text = report(*train_both(stock, ours, epochs))
    click.echo(text)


if __name__ == "__main__":
    main()
