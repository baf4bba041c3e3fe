"""The nnU-Net trainer with the restart schedule, which keeps the members of an ensemble.

It differs from nnU-Net's in the learning rate (Eq. 4), in what it saves and when, and in running
its training step in bfloat16 on CPUs. Its settings are the entry ``checkpoint_ensemble`` of the
plans, so that nnU-Net's own command line can start it too.
"""

from __future__ import annotations

import io
import math
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch._dynamo import OptimizedModule

from ..core.durations import TimeLeft
from ..core.ensemble.schedule import MemberSelection, RestartSchedule
from ..io.ensemble.run_folder import EpochReport, RunFolder, add_member
from ..io.ensemble.trajectory import write_epoch
from ..io.files.atomic import replacing
from . import ModelError
from .device import has_fast_bfloat16, is_out_of_memory, used_memory
from .ranks import Mailbox, agreed, be_killed_with_parent, end_without_teardown
from .weights import read_checkpoint, trajectory_layers, write_member

PLANS_ENTRY = "checkpoint_ensemble"
RUN_VARIABLE = "BAYES_NNUNET_RUN"
SAVE_EVERY = 10
"""Epochs between two saved states where no member is kept; a kill costs at most these."""


class TrainingStopped(Exception):
    """The training was asked to stop and has saved its state."""


@dataclass(frozen=True, kw_only=True)
class TrainerSettings:
    """What the trainer reads from the plans."""

    schedule: RestartSchedule = field(default_factory=RestartSchedule)
    selection: MemberSelection = field(default_factory=MemberSelection)
    iterations_per_epoch: int = 250
    validation_iterations: int = 50
    seed: int | None = None
    keep_trajectory: bool = False

    def to_plans(self) -> dict[str, Any]:
        """As JSON for the plans file."""
        return asdict(self)

    @classmethod
    def from_plans(cls, plans: dict[str, Any]) -> TrainerSettings:
        """From a plans file; the paper's settings where it says nothing. Raises ModelError."""
        entry = plans.get(PLANS_ENTRY)
        if entry is None:
            return cls()
        try:
            schedule = RestartSchedule(**entry["schedule"])
            selection = MemberSelection(**entry["selection"])
            return cls(**{**entry, "schedule": schedule, "selection": selection})
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"The entry {PLANS_ENTRY!r} of the plans is of another version: {error}."
            ) from error


class CheckpointEnsembleTrainer(nnUNetTrainer):
    """nnU-Net's trainer with cyclical restarts, whose plateau epochs are kept as members.

    With the environment variable BAYES_NNUNET_RUN it works in that run folder, otherwise where
    nnU-Net would. ``on_epoch`` receives a report of every epoch, ``stop_requested`` is asked after
    every epoch. Raises ModelError when a loss is no longer a number. As one of several processes
    (DDP) of a run folder it reports to the folder's mailbox, and the file RUN/stop stops it.
    """

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int | str,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 (nnU-Net's own signature)
    ) -> None:
        settings = TrainerSettings.from_plans(plans)
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.settings = settings
        self.num_epochs = settings.schedule.all_epochs
        self.initial_lr = settings.schedule.initial_lr
        self.num_iterations_per_epoch = settings.iterations_per_epoch
        self.num_val_iterations_per_epoch = settings.validation_iterations
        self.on_epoch: Callable[[EpochReport], None] = lambda report: None
        self.stop_requested: Callable[[], bool] = lambda: False
        self._time_left = TimeLeft(latest=20, average=median)
        if fold == "all":
            # Its validation cases are its training cases: no validation, and no best epoch.
            self.num_val_iterations_per_epoch = 0
            self._best_ema = math.inf
        # nnU-Net draws a 30 × 54 inch figure after every epoch, which takes seconds on a CPU.
        draw = self.logger.plot_progress_png
        self.logger.plot_progress_png = lambda folder: draw(folder) if self._ends_cycle() else None
        if device.type == "cuda" and device.index and not self.is_ddp:
            self.device = device  # nnU-Net always takes the first GPU
        self._mailbox: Mailbox | None = None
        if self.is_ddp and RUN_VARIABLE in os.environ:
            be_killed_with_parent()
            self._mailbox = Mailbox(self.run, str(fold))
            self.on_epoch = self._mailbox.report
            self.stop_requested = self.run.stop.exists

    @property
    def output_folder_base(self) -> str | None:
        """The run folder where one is given, else where nnU-Net puts its results."""
        return self._output_folder_base

    @output_folder_base.setter
    def output_folder_base(self, folder: str | None) -> None:
        # nnU-Net's constructor sets it and derives everything else from it at once.
        in_constructor = not hasattr(self, "_output_folder_base")
        given = os.environ.get(RUN_VARIABLE) if in_constructor else None
        self._output_folder_base = given or folder

    @property
    def run(self) -> RunFolder:
        """Folder of this training."""
        return RunFolder(Path(str(self.output_folder_base)))

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, Any]:
        """SGD as nnU-Net's, its rate set by Eq. 4; the momentum is not reset at a restart."""
        schedule = self.settings.schedule
        optimizer, _ = super().configure_optimizers()
        return optimizer, EpochRate(optimizer, schedule)

    def initialize(self) -> None:
        """Build the network, from the seed where there is one."""
        self._seed(0, 0)
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
            torch.backends.cudnn.benchmark = True  # as nnU-Net's own command does
        super().initialize()

    def do_split(self) -> tuple[list[str], list[str]]:
        """Training and validation cases; for the fold "all" in an order that is always the same."""
        training, validation = super().do_split()
        if self.fold == "all":
            return sorted(training), sorted(validation)
        return training, validation

    def load_checkpoint(self, filename_or_checkpoint: str) -> None:
        """Load the state of a training. Raises ModelError when it is damaged or would run code."""
        read_checkpoint(Path(filename_or_checkpoint))
        super().load_checkpoint(filename_or_checkpoint)

    def run_training(self) -> None:
        """Train; where nnU-Net runs one process a card, being stopped is no error of any."""
        if self._mailbox is None:
            super().run_training()
            return
        with self._mailbox.told_of_failures():
            try:
                super().run_training()
            except TrainingStopped:
                self._mailbox.note_stop()
        end_without_teardown()

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """nnU-Net's validation, not in a run folder: what is used there is not one network."""
        if RUN_VARIABLE not in os.environ:
            super().perform_actual_validation(save_probabilities)

    def on_train_start(self) -> None:
        """Prepare, and put plans.json and its like into the run folder, whole or not at all."""
        run, scratch = self.run, Path(self.output_folder) / f".starting-{self.local_rank}"
        scratch.mkdir(exist_ok=True)
        self.output_folder_base = str(scratch)
        try:
            super().on_train_start()
        finally:
            self.output_folder_base = str(run.path)
        for file in scratch.iterdir():
            with replacing(run.path / file.name) as temporary:
                shutil.copyfile(file, temporary)
        shutil.rmtree(scratch)
        self._time_left.restart()

    def on_epoch_start(self) -> None:
        """Seed every epoch by itself, so that a resumed training draws what it would have drawn."""
        self._seed(self.current_epoch + 1, self.local_rank)
        super().on_epoch_start()

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One step; nnU-Net's autocast is for CUDA alone, bfloat16 halves the time on CPUs."""
        with self._precision(), self._memory_explained():
            outcome: dict[str, Any] = super().train_step(batch)
        if not np.isfinite(outcome["loss"]).all():
            raise self._diverged(f"The loss became {outcome['loss']}")
        return outcome

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One validation step, in the precision of the training step."""
        with self._precision(), self._memory_explained():
            outcome: dict[str, Any] = super().validation_step(batch)
        return outcome

    def on_validation_epoch_end(self, val_outputs: list[dict[str, Any]]) -> None:
        """Log the validation, NaN where there is none."""
        if val_outputs:
            super().on_validation_epoch_end(val_outputs)
            return
        structures = len(self.label_manager.foreground_labels)
        self.logger.log("mean_fg_dice", math.nan, self.current_epoch)
        self.logger.log("dice_per_class_or_region", [math.nan] * structures, self.current_epoch)
        self.logger.log("val_losses", math.nan, self.current_epoch)

    def on_epoch_end(self) -> None:
        """Keep the member, report, save the state; then stop if asked to.

        In this order, so that wherever it is killed the saved state is the oldest: what is newer
        than it is dropped on a resume and comes again.
        """
        epoch = self.current_epoch
        if not self._weights_are_finite():  # the last step of an epoch shows in no loss of it
            raise self._diverged("The weights are no longer finite numbers")
        member = self.settings.selection.keeps(self.settings.schedule, epoch)
        stop = agreed(self.stop_requested) if self.is_ddp else self.stop_requested()
        if self.local_rank == 0:
            if member:
                self._keep_member(epoch)
            if self.settings.keep_trajectory:
                self._keep_layers(epoch)
            self.on_epoch(self._report(epoch, member))
        saves = member or stop or (epoch + 1) % SAVE_EVERY == 0
        self.save_every = 1 if saves else self.num_epochs + 1
        super().on_epoch_end()
        if stop and self.current_epoch < self.num_epochs:
            raise TrainingStopped

    def save_checkpoint(self, filename: str) -> None:
        """Save the state of the training, atomically."""
        if self.local_rank != 0 or self.disable_checkpointing:
            return
        buffer = io.BytesIO()  # torch hides the cause of a failed write
        super().save_checkpoint(buffer)
        path = Path(filename)
        with self._writing_explained(path), replacing(path) as temporary:
            temporary.write_bytes(buffer.getbuffer())

    @property
    def _weights(self) -> dict[str, torch.Tensor]:
        """Of the bare network, without the wrappers of DDP and of torch.compile."""
        module = self.network.module if self.is_ddp else self.network
        if isinstance(module, OptimizedModule):
            module = module._orig_mod
        weights: dict[str, torch.Tensor] = module.state_dict()
        return weights

    def _keep_member(self, epoch: int) -> None:
        path = self.run.member(fold := str(self.fold), epoch)
        with self._writing_explained(path):
            write_member(
                path,
                self._weights,
                configuration=self.configuration_name,
                mirroring_axes=self.inference_allowed_mirroring_axes,
            )
            if self.run.record.exists():
                add_member(self.run, fold, epoch)

    def _keep_layers(self, epoch: int) -> None:
        with self._writing_explained(folder := self.run.trajectory(str(self.fold))):
            write_epoch(folder, epoch, trajectory_layers(self._weights))

    def _report(self, epoch: int, member: bool) -> EpochReport:
        seconds = self._time_left.step()
        left = self._time_left.seconds(self.num_epochs - epoch - 1) or 0.0
        dice = self.logger.get_value("dice_per_class_or_region", step=-1)
        of_structure = dict(zip(self._structures, map(_number, dice), strict=True))
        return EpochReport(
            fold=str(self.fold),
            epoch=epoch,
            cycle=self.settings.schedule.cycle(epoch),
            learning_rate=self.optimizer.param_groups[0]["lr"],
            train_loss=float(self.logger.get_value("train_losses", step=-1)),
            val_loss=_number(self.logger.get_value("val_losses", step=-1)),
            pseudo_dice={} if self.fold == "all" else of_structure,
            seconds=round(seconds, 3),
            eta_seconds=round(left, 1),
            member=member,
            memory_bytes=used_memory(self.device),
        )

    @property
    def _structures(self) -> list[str]:
        """Names in the order of the label values, as nnU-Net lists Dice."""
        names = {int(value): str(name) for name, value in self.dataset_json["labels"].items()}
        return [names[value] for value in self.label_manager.foreground_labels]

    def _weights_are_finite(self) -> bool:
        """In the members' float16, too."""
        return all(bool(t.half().isfinite().all()) for t in self._weights.values())

    def _diverged(self, what: str) -> ModelError:
        rate = self.settings.schedule.learning_rate(self.current_epoch)
        return ModelError(
            f"{what} in epoch {self.current_epoch} at learning rate {rate:g}. {self._what_stays}"
            "With --resume it would become so again: start anew, in another --output, with a lower "
            "--restart-lr or --initial-lr, or with --no-restart-first-cycle."
        )

    @property
    def _what_stays(self) -> str:
        has_members = any(self.run.members(str(self.fold)).glob("*.pth"))
        return "The members so far stay usable. " if has_members else ""

    def _ends_cycle(self) -> bool:
        return self.settings.schedule.epoch_in_cycle(self.current_epoch + 1) == 0

    def _seed(self, *numbers: int) -> None:
        if self.settings.seed is None:
            return
        sequence = np.random.SeedSequence([self.settings.seed, *numbers])
        state = int(sequence.generate_state(1)[0])
        random.seed(state)
        np.random.seed(state)  # noqa: NPY002 (nnU-Net draws from the global generator)
        torch.manual_seed(state)

    def _precision(self) -> AbstractContextManager[Any]:
        if self.device.type == "cpu" and has_fast_bfloat16():
            return torch.autocast("cpu", dtype=torch.bfloat16)
        return nullcontext()

    @contextmanager
    def _memory_explained(self) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
            if not is_out_of_memory(error):
                raise
            size = self.configuration_manager.batch_size
            cards = torch.distributed.get_world_size() if self.is_ddp else 1
            smaller = size // 2 // cards * cards
            advice = (
                f"start again with --batch-size {smaller}"
                if smaller
                else "the network is too large for it; try --preset demo or another device"
            )
            raise ModelError(
                f"The memory of the device ({self.device.type}) did not suffice for the batch size "
                f"{size}: {advice}."
            ) from error

    @contextmanager
    def _writing_explained(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            free = shutil.disk_usage(path.parent).free / 2**20
            raise ModelError(
                f"{path} could not be written: {error.strerror} ({free:.0f} MiB are free there). "
                f"{self._what_stays}Once there is room, go on with --resume."
            ) from error


class EpochRate:
    """Sets the rate of an epoch by Eq. 4; nnU-Net steps its scheduler with the epoch's number."""

    def __init__(self, optimizer: torch.optim.Optimizer, schedule: RestartSchedule) -> None:
        self.optimizer = optimizer
        self.schedule = schedule

    def step(self, epoch: int) -> None:
        """Set the rate of ``epoch``."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.learning_rate(epoch)


def _number(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


def trainer_environment(run: Path) -> dict[str, str]:
    """Variables with which nnU-Net finds this trainer and works in the folder ``run``."""
    return {
        "nnUNet_extTrainer": os.fspath(Path(__file__).with_name("trainers")),
        RUN_VARIABLE: os.fspath(run),
    }
