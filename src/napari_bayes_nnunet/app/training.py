"""Train a checkpoint ensemble: plan, preprocess, train, and measure the validation range.

Runs in the process it is called in, which must be the training's own: nnU-Net reads its folders
from the environment. The terminal, the window and a cluster all start it through the command.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shlex
import signal
import sys
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..core.schedule import MemberSelection, RestartSchedule
from ..io import DataError
from ..io.nnunet_dataset import (
    DEFAULT_PATIENT,
    RawDataset,
    Split,
    patient_splits,
    read_dataset,
    read_splits,
)
from ..io.run_folder import EpochReport, RunFolder, TrainingRecord, forget_from, read_record, write_record
from . import AppError
from .validation import measure_validation_range

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..nnunet.trainer import CheckpointEnsembleTrainer

Preset = Literal["paper", "demo"]


@dataclass(frozen=True, kw_only=True)
class TrainingRequest:
    """Everything a training is told. ``None`` leaves a value to the preset or to nnU-Net's plan."""

    dataset: Path
    output: Path
    configuration: str = "2d"
    fold: str = "0"
    preset: Preset = "paper"
    schedule: RestartSchedule = field(default_factory=RestartSchedule)
    selection: MemberSelection = field(default_factory=MemberSelection)
    batch_size: int | None = None
    iterations_per_epoch: int | None = None
    split: Path | None = None
    patient: str = DEFAULT_PATIENT
    device: str = "auto"
    seed: int | None = None
    resume: bool = False
    licence: str | None = None


@dataclass(frozen=True)
class PresetValues:
    """The settings a preset stands for."""

    schedule: RestartSchedule
    selection: MemberSelection
    batch_size: int
    iterations_per_epoch: int
    small_network: bool


PRESETS: dict[Preset, PresetValues] = {
    "paper": PresetValues(RestartSchedule(), MemberSelection(), 20, 250, small_network=False),
    "demo": PresetValues(
        RestartSchedule(epochs=150, restart_first_cycle=False),
        MemberSelection(per_cycle=30, step=1),
        20,
        12,
        small_network=True,
    ),
}


def train(
    request: TrainingRequest,
    *,
    on_stage: Callable[[str], None],
    on_epoch: Callable[[EpochReport], None],
) -> bool:
    """Train as requested; True when all epochs are done, False when it was asked to stop.

    Raises AppError, DataError or ModelError with one sentence for the user.
    """
    run = RunFolder(request.output.absolute())
    dataset = read_dataset(request.dataset)
    _check_start(request, run)
    run.path.mkdir(parents=True, exist_ok=True)
    run.stop.unlink(missing_ok=True)
    _prepare_environment(run)
    split = choose_split(request, dataset)
    on_stage("Planning and preprocessing")
    plans, record = _plan(request, run, dataset, split)
    trainer = _make_trainer(request, run, dataset, plans)
    if request.resume:
        forget_from(run, request.fold, trainer.current_epoch)
    elif not run.record.exists():
        write_record(run.record, record)
    trainer.on_epoch = on_epoch
    on_stage("Training")
    finished = _run_until_stopped(trainer, run)
    if finished:
        measure_validation_range(
            run, request.fold, dataset, device=request.device, on_stage=on_stage
        )
    return finished


def choose_split(request: TrainingRequest, dataset: RawDataset) -> list[Split] | None:
    """The folds: a given file, else the dataset's own, else by patient; None for ``--fold all``."""
    names = [case.name for case in dataset.cases]
    if request.fold == "all":
        return None
    own = dataset.path / "splits_final.json"
    file = request.split or (own if own.is_file() else None)
    splits = (
        read_splits(file, names) if file else patient_splits(names, pattern=request.patient)
    )
    if int(request.fold) >= len(splits):
        raise AppError(
            f"Fold {request.fold} does not exist: the split has the folds 0 to {len(splits) - 1}."
        )
    return splits


def _check_start(request: TrainingRequest, run: RunFolder) -> None:
    exists = run.record.exists()
    if request.resume and not exists:
        raise AppError(f"{run.path} holds no training to resume.")
    if exists and not request.resume:
        done = read_record(run.record).folds.get(request.fold)
        if done is not None:
            raise AppError(
                f"{run.path} already holds a training of fold {request.fold}. Continue it with "
                "--resume, or choose another --output."
            )
    if "cascade" in request.configuration:
        raise AppError("Cascades are not supported: train 2d, 3d_lowres or 3d_fullres.")


def _prepare_environment(run: RunFolder) -> None:
    """Variables for this process alone; it must not have imported torch's thread settings yet."""
    from ..nnunet.planning import workspace_environment
    from ..nnunet.trainer import trainer_environment

    os.environ.update(workspace_environment(run.workspace))
    os.environ.update(trainer_environment(run.path))
    os.environ.setdefault("nnUNet_compile", "f")


def _plan(
    request: TrainingRequest, run: RunFolder, dataset: RawDataset, split: list[Split] | None
) -> tuple[dict[str, Any], TrainingRecord]:
    from ..nnunet.planning import make_small, plan_and_preprocess, write_plans
    from ..nnunet.trainer import PLANS_ENTRY, TrainerSettings

    plans = plan_and_preprocess(
        dataset, run.workspace, configuration=request.configuration, processes=os.cpu_count() or 1
    )
    if request.resume:
        plans = json.loads((run.path / "plans.json").read_text(encoding="utf-8"))
        return plans, read_record(run.record)
    preset = PRESETS[request.preset]
    configuration = plans["configurations"][request.configuration]
    if preset.small_network:
        make_small(configuration)
    configuration["batch_size"] = request.batch_size or preset.batch_size
    iterations = request.iterations_per_epoch or preset.iterations_per_epoch
    settings = TrainerSettings(
        schedule=request.schedule,
        selection=request.selection,
        iterations_per_epoch=iterations,
        validation_iterations=max(1, iterations // 5),
        seed=request.seed,
    )
    plans[PLANS_ENTRY] = settings.to_plans()
    write_plans(dataset, run.workspace, plans, split)
    return plans, _new_record(request, dataset, split, settings, configuration["batch_size"])


def _new_record(
    request: TrainingRequest,
    dataset: RawDataset,
    split: list[Split] | None,
    settings: Any,
    batch_size: int,
) -> TrainingRecord:
    names = [case.name for case in dataset.cases]
    fold = split[int(request.fold)] if split else Split(tuple(names), ())
    return TrainingRecord(
        name=request.output.name,
        configuration=request.configuration,
        schedule=settings.schedule,
        selection=settings.selection,
        batch_size=batch_size,
        iterations_per_epoch=settings.iterations_per_epoch,
        labels=dataset.labels,
        channels=dataset.channels,
        seed=request.seed,
        licence=request.licence or dataset.json.get("licence") or dataset.json.get("license", "unknown"),
        command=shlex.join(["bayes-nnunet", *sys.argv[1:]]),
        software={p: importlib.metadata.version(p) for p in ("torch", "nnunetv2")},
        dataset={"name": dataset.path.name, "cases": dataset.signature()},
        folds={
            request.fold: {
                "training_cases": list(fold.train),
                "validation_cases": list(fold.validation),
                "members": [],
            }
        },
    )


def _make_trainer(
    request: TrainingRequest, run: RunFolder, dataset: RawDataset, plans: dict[str, Any]
) -> CheckpointEnsembleTrainer:
    from nnunetv2.run.run_training import get_trainer_from_args, maybe_load_checkpoint

    from ..nnunet.device import choose_device
    from ..nnunet.trainer import CheckpointEnsembleTrainer

    device = choose_device(request.device)
    # Augmenting in this process makes a seeded training repeatable, and two cores have no room
    # for more; nnU-Net's planning cannot run with this setting, so it is set only now.
    if device.type != "cuda":
        os.environ["nnUNet_n_proc_DA"] = "0"
    fold: Any = request.fold if request.fold == "all" else int(request.fold)
    trainer = get_trainer_from_args(
        dataset.nnunet_name,
        request.configuration,
        fold,
        CheckpointEnsembleTrainer.__name__,
        plans["plans_name"],
        continue_training=request.resume,
        device=device,
    )
    maybe_load_checkpoint(trainer, request.resume, validation_only=False)
    return trainer  # type: ignore[no-any-return]


def _run_until_stopped(trainer: CheckpointEnsembleTrainer, run: RunFolder) -> bool:
    """Train until the last epoch (True) or until asked to stop (False)."""
    from ..nnunet.trainer import TrainingStopped

    with _asked_to_stop(run) as stop_requested:
        trainer.stop_requested = stop_requested
        try:
            trainer.run_training()
        except TrainingStopped:
            run.stop.unlink(missing_ok=True)
            return False
    return True


@contextmanager
def _asked_to_stop(run: RunFolder) -> Iterator[Callable[[], bool]]:
    """Whether SIGTERM, Ctrl-C or the file RUN/stop asked to stop; a second Ctrl-C stops at once."""
    asked: list[int] = []

    def note(number: int, frame: object) -> None:
        asked.append(number)
        signal.signal(number, previous[number])

    numbers = (signal.SIGTERM, signal.SIGINT)
    previous = {number: signal.signal(number, note) for number in numbers}
    try:
        yield lambda: bool(asked) or run.stop.exists()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
