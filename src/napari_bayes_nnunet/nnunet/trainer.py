"""The nnU-Net trainer with the restart schedule, which keeps the members of an ensemble.

It differs from nnU-Net's in the learning rate (Eq. 4), in what it saves and when, and in running
its training step in bfloat16 on CPUs. Its settings are the entry ``checkpoint_ensemble`` of the
plans, so that nnU-Net's own command line can start it too.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import time
from typing import Any

import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch._dynamo import OptimizedModule

from ..core.schedule import MemberSelection, RestartSchedule
from ..io.atomic import replacing
from ..io.run_folder import EpochReport, RunFolder, add_member
from . import ModelError
from .weights import write_member

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

    def to_plans(self) -> dict[str, Any]:
        """As JSON for the plans file."""
        return asdict(self)

    @classmethod
    def from_plans(cls, plans: dict[str, Any]) -> TrainerSettings:
        """From a plans file; the paper's settings where it says nothing."""
        entry = dict(plans.get(PLANS_ENTRY, {}))
        if not entry:
            return cls()
        entry["schedule"] = RestartSchedule(**entry["schedule"])
        entry["selection"] = MemberSelection(**entry["selection"])
        return cls(**entry)


class CheckpointEnsembleTrainer(nnUNetTrainer):  # type: ignore[misc]
    """nnU-Net's trainer with cyclical restarts, whose plateau epochs are kept as members.

    With the environment variable BAYES_NNUNET_RUN it works in that run folder, otherwise where
    nnU-Net would. ``on_epoch`` receives a report of every epoch, ``stop_requested`` is asked after
    every epoch. Raises ModelError when a loss is no longer a number.
    """

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 (nnU-Net's own signature)
    ) -> None:
        settings = TrainerSettings.from_plans(plans)
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.settings = settings
        self.num_epochs = settings.schedule.epochs
        self.initial_lr = settings.schedule.initial_lr
        self.num_iterations_per_epoch = settings.iterations_per_epoch
        self.num_val_iterations_per_epoch = settings.validation_iterations
        self.on_epoch: Callable[[EpochReport], None] = lambda report: None
        self.stop_requested: Callable[[], bool] = lambda: False
        # nnU-Net draws a 30 × 54 inch figure after every epoch, which takes seconds on a CPU.
        draw = self.logger.plot_progress_png
        self.logger.plot_progress_png = (
            lambda folder: draw(folder) if self._ends_cycle() else None
        )

    @property
    def output_folder_base(self) -> str | None:
        """The run folder where one is given, else where nnU-Net puts its results."""
        return os.environ.get(RUN_VARIABLE) or self._stock_output_folder_base

    @output_folder_base.setter
    def output_folder_base(self, folder: str | None) -> None:
        self._stock_output_folder_base = folder

    @property
    def run(self) -> RunFolder:
        """Folder of this training."""
        return RunFolder(Path(str(self.output_folder_base)))

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, Any]:
        """SGD as nnU-Net's, its rate set by Eq. 4; the momentum is not reset at a restart."""
        schedule = self.settings.schedule
        optimizer, _ = super().configure_optimizers()
        return optimizer, EpochRate(optimizer, schedule)

    def on_epoch_start(self) -> None:
        """Seed every epoch by itself, so that a resumed training draws what it would have drawn."""
        if self.settings.seed is not None:
            seed = np.random.SeedSequence([self.settings.seed, self.current_epoch, self.local_rank])
            state = int(seed.generate_state(1)[0])
            random.seed(state)
            np.random.seed(state)  # noqa: NPY002 (nnU-Net draws from the global generator)
            torch.manual_seed(state)
        super().on_epoch_start()

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One step; nnU-Net's autocast is for CUDA alone, bfloat16 halves the time on CPUs."""
        with self._cpu_autocast():
            outcome: dict[str, Any] = super().train_step(batch)
        if not np.isfinite(outcome["loss"]).all():
            raise ModelError(
                f"The loss became {outcome['loss']} in epoch {self.current_epoch} at learning rate "
                f"{self.settings.schedule.learning_rate(self.current_epoch):g}. Start again with a "
                "lower --restart-lr or --initial-lr, or with --no-restart-first-cycle; the members "
                "kept so far stay usable."
            )
        return outcome

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One validation step, in the precision of the training step."""
        with self._cpu_autocast():
            outcome: dict[str, Any] = super().validation_step(batch)
        return outcome

    def on_epoch_end(self) -> None:
        """Keep the member, save the state, report; then stop if asked to."""
        epoch = self.current_epoch
        member = self.settings.selection.keeps(self.settings.schedule, epoch)
        stop = self.stop_requested()
        if member and self.local_rank == 0:
            self._keep_member(epoch)
        saves = member or stop or (epoch + 1) % SAVE_EVERY == 0
        self.save_every = 1 if saves else self.num_epochs + 1
        super().on_epoch_end()
        if self.local_rank == 0:
            self.on_epoch(self._report(epoch, member))
        if stop and self.current_epoch < self.num_epochs:
            raise TrainingStopped

    def save_checkpoint(self, filename: str) -> None:
        """Save the state of the training, atomically."""
        if self.local_rank != 0 or self.disable_checkpointing:
            return
        with replacing(Path(filename)) as temporary:
            super().save_checkpoint(str(temporary))

    def _keep_member(self, epoch: int) -> None:
        fold = str(self.fold)
        module = self.network.module if self.is_ddp else self.network
        if isinstance(module, OptimizedModule):
            module = module._orig_mod
        write_member(
            self.run.member(fold, epoch),
            module.state_dict(),
            configuration=self.configuration_name,
            mirroring_axes=self.inference_allowed_mirroring_axes,
        )
        if self.run.record.exists():
            add_member(self.run, fold, epoch)

    def _report(self, epoch: int, member: bool) -> EpochReport:
        seconds = time() - self.logger.get_value("epoch_start_timestamps", step=epoch)
        starts = self.logger.get_value("epoch_start_timestamps", step=None)
        ends = self.logger.get_value("epoch_end_timestamps", step=None)
        typical = float(np.median(np.subtract(ends[-20:], starts[-20:])))
        dice = self.logger.get_value("dice_per_class_or_region", step=-1)
        names = [str(name) for name in self.dataset_json["labels"] if name != "background"]
        has_validation = self.fold != "all"
        return EpochReport(
            fold=str(self.fold),
            epoch=epoch,
            cycle=self.settings.schedule.cycle(epoch),
            learning_rate=self.optimizer.param_groups[0]["lr"],
            train_loss=float(self.logger.get_value("train_losses", step=-1)),
            val_loss=float(self.logger.get_value("val_losses", step=-1))
            if has_validation
            else None,
            pseudo_dice={n: _number(d) for n, d in zip(names, dice, strict=False)}
            if has_validation
            else {},
            seconds=round(seconds, 3),
            eta_seconds=round(typical * (self.num_epochs - epoch - 1), 1),
            member=member,
        )

    def _ends_cycle(self) -> bool:
        return self.settings.schedule.epoch_in_cycle(self.current_epoch + 1) == 0

    def _cpu_autocast(self) -> Any:
        if self.device.type == "cpu":
            return torch.autocast("cpu", dtype=torch.bfloat16)
        return nullcontext()


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
