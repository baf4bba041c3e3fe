"""nnU-Net trainer with the restart schedule, which keeps the members of an ensemble.

It differs from nnU-Net's trainer in the learning rate (Eq. 4), in what it saves and when, in its
bfloat16 training step on CPUs and, if asked to, in augmentation and in noise on the steps. Its
settings are the entry ``checkpoint_ensemble`` of the plans, so nnU-Net's own command line can start
it too.
"""

from __future__ import annotations

import io
import math
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch._dynamo import OptimizedModule

from ..core.durations import TimeLeft
from ..core.ensemble.schedule import MemberSelection, RestartSchedule
from ..core.ensemble.training_settings import TrainingSettings
from ..core.problems import Action, Remedy, Setting, change
from ..io.ensemble.ensemble_folder import PLANS_ENTRY
from ..io.ensemble.run_folder import EpochReport, RunFolder, add_member
from ..io.ensemble.trajectory import write_epoch
from ..io.files.atomic import replacing
from ..io.files.nnunet_names import regions_of
from . import ModelError, Stopped
from .augmentation import add_scanner_changes
from .cpu_kernels import train_channels_last
from .device import has_fast_bfloat16, is_out_of_memory, training_environment, used_memory
from .dropout import dropout_placement, place_dropout
from .fork_guard import end_forks_with_this_process
from .plans import refuse_foreign_parts
from .weights import loading_only_weights, read_checkpoint, trajectory_layers, write_member

if TYPE_CHECKING:
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

RUN_VARIABLE = "BAYES_NNUNET_RUN"
SAVE_EVERY = 10
"""Epochs between two saved states while no member is kept; a kill loses at most these.

The first epoch is saved, so that no member is ever without a state from which to resume.
"""

MOST_SKIPPED = 20
"""Steps in a row that float16 may lose; the scale of the gradients falls by a million meanwhile."""

_LOSS_DIVERGED = "The loss became {loss} in epoch {epoch} at learning rate {rate:g}."
_WEIGHTS_DIVERGED = "The weights became infinite or NaN in epoch {epoch} at learning rate {rate:g}."
_RESUMING_REPEATS = " Resuming would repeat this."
_OUT_OF_MEMORY = "The {device} ran out of memory with batch size {batch_size}."
_NOT_WRITTEN = (
    "{file} could not be written ({reason}; {free:.0f} MiB are free). Free some disk space."
)
_LOWER_RATE = (
    " Start again in another {output} with a lower {restart} or {initial}, or without a restart "
    "in the first cycle."
)
MEMBERS_USABLE = " The members so far can still be used."


def read_settings(plans: dict[str, Any]) -> TrainingSettings:
    """Return the settings in a plans file, or the paper's if it has none.

    Raises ModelError for settings of another version.
    """
    entry = plans.get(PLANS_ENTRY)
    if entry is None:
        return TrainingSettings()
    try:
        schedule = RestartSchedule(**entry["schedule"])
        selection = MemberSelection(**entry["selection"])
        entry = {**entry, "schedule": schedule, "selection": selection}
        if entry.pop("sampler", "sgd") != "sgd":
            raise ValueError("its sampler no longer exists")
        for name in ("posterior_temperature", "validation_iterations"):  # of version 0.2.0
            entry.pop(name, None)
        return TrainingSettings(**entry)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            "The entry {entry} of the plans belongs to another version of this program "
            "({reason}). Plan and preprocess again with this version.",
            entry=PLANS_ENTRY,
            reason=str(error),
        ) from error


class CheckpointEnsembleTrainer(nnUNetTrainer):
    """nnU-Net's trainer with cyclical restarts, which keeps plateau epochs as members.

    The environment variable BAYES_NNUNET_RUN names the run folder; without it nnU-Net's own results
    folder is used. ``on_epoch`` receives a report of every epoch, and ``stop_requested`` is called
    after every epoch. Raises ModelError if the training diverges, and Stopped if it was asked to
    stop and has saved its state.
    """

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int | str,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 (nnU-Net's own signature)
    ) -> None:
        refuse_foreign_parts(plans, dataset_json)
        settings = read_settings(plans)
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.settings = settings
        self.num_epochs = settings.schedule.all_epochs
        self.initial_lr = settings.schedule.initial_lr
        self.num_iterations_per_epoch = settings.iterations_per_epoch
        # A fifth of the training batches, as in nnU-Net with 50 and 250.
        self.num_val_iterations_per_epoch = max(1, settings.iterations_per_epoch // 5)
        self.on_epoch: Callable[[EpochReport], None] = lambda report: None
        self.stop_requested: Callable[[], bool] = lambda: False
        self._skipped = 0
        self._time_left = TimeLeft(latest=20, average=median)
        if fold == "all":
            # The validation cases are the training cases: no validation, and no best epoch.
            self.num_val_iterations_per_epoch = 0
            self._best_ema = math.inf
        # nnU-Net draws a 30 × 54 inch figure after every epoch, which takes seconds on a CPU.
        draw = self.logger.plot_progress_png
        self.logger.plot_progress_png = lambda folder: draw(folder) if self._ends_cycle() else None
        if device.type == "cuda" and device.index and not self.is_ddp:
            self.device = device  # nnU-Net always takes the first GPU

    @property
    def output_folder_base(self) -> str | None:
        """Run folder if there is one, else nnU-Net's results folder."""
        return self._output_folder_base

    @output_folder_base.setter
    def output_folder_base(self, folder: str | None) -> None:
        # nnU-Net's constructor sets this folder and derives all other paths from it at once.
        in_constructor = not hasattr(self, "_output_folder_base")
        given = os.environ.get(RUN_VARIABLE) if in_constructor else None
        self._output_folder_base = given or folder

    @property
    def run(self) -> RunFolder:
        """Folder of this training."""
        return RunFolder(Path(str(self.output_folder_base)))

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, Any]:
        """Return nnU-Net's SGD with the rate of Eq. 4; a restart does not reset the momentum."""
        optimizer, _ = super().configure_optimizers()
        return optimizer, EpochRate(optimizer, self.settings.schedule)

    def initialize(self) -> None:
        """Build the network, from the seed if there is one."""
        self._seed(0, 0)
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
            torch.backends.cudnn.benchmark = True  # as nnU-Net's own command does
        super().initialize()
        if self._has_fast_bfloat16:
            train_channels_last(self.network)

    @staticmethod
    def build_network_architecture(
        plans_manager: PlansManager, *arguments: Any, **options: Any
    ) -> torch.nn.Module:
        """Return nnU-Net's network, which drops channels only where the plans say so."""
        network: torch.nn.Module = nnUNetTrainer.build_network_architecture(
            plans_manager, *arguments, **options
        )
        place_dropout(network, dropout_placement(plans_manager.plans))
        return network

    def get_training_transforms(self, *arguments: Any, **options: Any) -> Any:
        """Return nnU-Net's augmentation, with the changes of other scanners if it is wide."""
        transforms = super().get_training_transforms(*arguments, **options)
        if self.settings.augmentation == "wide":
            add_scanner_changes(transforms)
        return transforms

    def do_split(self) -> tuple[list[str], list[str]]:
        """Return training and validation cases; for fold "all" in an order that never changes."""
        training, validation = super().do_split()
        if self.fold == "all":
            return sorted(training), sorted(validation)
        return training, validation

    def load_checkpoint(self, filename_or_checkpoint: str) -> None:
        """Load the state of a training. Raises ModelError if it is damaged or would run code."""
        read_checkpoint(Path(filename_or_checkpoint))
        with loading_only_weights():
            super().load_checkpoint(filename_or_checkpoint)

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """Validate as nnU-Net does, but not in a run folder, whose members are validated later."""
        if RUN_VARIABLE not in os.environ:
            super().perform_actual_validation(save_probabilities)

    def on_train_start(self) -> None:
        """Prepare the training, and copy plans.json and its like atomically into the run folder."""
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
        """Seed each epoch separately, so that a resumed training draws the same numbers.

        This holds where this process augments the images, on CPUs and mps. On CUDA they are
        augmented by processes of nnU-Net, which have no seed.
        """
        self._seed(self.current_epoch + 1, self.local_rank)
        super().on_epoch_start()

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Run one training step, on CPUs in bfloat16, which halves the time.

        nnU-Net's own autocast only covers CUDA.
        """
        with self._precision(), self._memory_explained():
            outcome: dict[str, Any] = super().train_step(batch)
        self._check_loss(outcome["loss"])
        return outcome

    def _check_loss(self, loss: Any) -> None:
        """Raise ModelError if the loss of a step shows that the training has diverged.

        On CUDA a loss that is not finite is no divergence yet: a number overflowed in float16, and
        the scaler of the gradients has skipped the step and halved its scale for the next one.
        """
        if np.isfinite(loss).all():
            self._skipped = 0
            return
        self._skipped += 1
        can_recover = self.grad_scaler is not None and self._skipped <= MOST_SKIPPED
        if not (can_recover and self._weights_are_finite()):
            raise self._diverged(_LOSS_DIVERGED, loss=str(loss))

    def on_train_epoch_end(self, train_outputs: list[dict[str, Any]]) -> None:
        """Log the mean loss of the steps that were not skipped.

        Raises ModelError if all were skipped.
        """
        losses = np.array([outcome["loss"] for outcome in train_outputs], np.float64)
        made = np.isfinite(losses)
        if not made.any():
            raise self._diverged(_LOSS_DIVERGED, loss=str(losses[-1]))
        if not made.all():  # with -num_gpus of nnU-Net each has to report as many steps
            losses[~made] = losses[made].mean()
            train_outputs = [{"loss": loss} for loss in losses]
        super().on_train_epoch_end(train_outputs)

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Run one validation step in the precision of the training step."""
        with self._precision(), self._memory_explained():
            outcome: dict[str, Any] = super().validation_step(batch)
        return outcome

    def on_validation_epoch_end(self, val_outputs: list[dict[str, Any]]) -> None:
        """Log the validation, NaN if there is none."""
        if val_outputs:
            super().on_validation_epoch_end(val_outputs)
            return
        structures = len(self._structures)
        self.logger.log("mean_fg_dice", math.nan, self.current_epoch)
        self.logger.log("dice_per_class_or_region", [math.nan] * structures, self.current_epoch)
        self.logger.log("val_losses", math.nan, self.current_epoch)

    def on_epoch_end(self) -> None:
        """Keep the member, report, save the state, then stop if asked to.

        In this order the saved state is the oldest file after a kill at any moment: on resume all
        newer files are dropped and made again.
        """
        epoch = self.current_epoch
        if not self._weights_are_finite():  # no loss is computed after the last step of an epoch
            raise self._diverged(_WEIGHTS_DIVERGED)
        member = self.settings.selection.keeps(self.settings.schedule, epoch)
        stop = self.stop_requested()
        if self.local_rank == 0:
            if member:
                self._keep_member(epoch)
            if self.settings.keep_trajectory:
                self._keep_layers(epoch)
            self.on_epoch(self._report(epoch, member))
        # nnU-Net saves after every ``save_every``-th epoch: now, or not in this training.
        saves = member or stop or epoch % SAVE_EVERY == 0
        self.save_every = 1 if saves else self.num_epochs + 1
        super().on_epoch_end()
        # After the last epoch nothing is left to stop, and the training ends as usual.
        if stop and self.current_epoch < self.num_epochs:
            raise Stopped

    def save_checkpoint(self, filename: str) -> None:
        """Save the state of the training, atomically."""
        if self.local_rank != 0 or self.disable_checkpointing:
            return
        buffer = io.BytesIO()  # torch hides the cause of a failed write
        super().save_checkpoint(buffer)
        path = Path(filename)
        with (
            self._writing_explained(path),
            replacing(path) as temporary,
            temporary.open("wb") as file,
        ):
            file.write(buffer.getbuffer())

    @property
    def _weights(self) -> dict[str, torch.Tensor]:
        """Weights of the network without the wrappers of DDP and torch.compile."""
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
            pseudo_dice=of_structure if self.num_val_iterations_per_epoch else {},
            seconds=round(seconds, 3),
            eta_seconds=round(left, 1),
            member=member,
            memory_bytes=used_memory(self.device),
        )

    @property
    def _structures(self) -> list[str]:
        """Regions, or structures in the order of their labels, in which nnU-Net lists Dice."""
        if regions := regions_of(self.dataset_json):
            return [*regions]
        names = {int(value): str(name) for name, value in self.dataset_json["labels"].items()}
        return [names[value] for value in self.label_manager.foreground_labels]

    def _weights_are_finite(self) -> bool:
        # A finite float32 weight may overflow in the float16 of a member, which keeps the counts of
        # batch normalisation as they are.
        weights = (t for t in self._weights.values() if t.is_floating_point())
        return all(bool(t.half().isfinite().all()) for t in weights)

    def _diverged(self, template: str, **values: Any) -> ModelError:
        rate = self.settings.schedule.learning_rate(self.current_epoch)
        is_repeatable = self.settings.seed is not None and self.device.type != "cuda"
        repeats = _RESUMING_REPEATS if is_repeatable else ""
        return ModelError(
            template + repeats + self._members_usable + _LOWER_RATE,
            output=Setting("output"),
            restart=Setting("restart_lr"),
            initial=Setting("initial_lr"),
            epoch=self.current_epoch,
            rate=rate,
            **values,
        )

    @property
    def _members_usable(self) -> str:
        has_members = any(self.run.members(str(self.fold)).glob("*.pth"))
        return MEMBERS_USABLE if has_members else ""

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

    @property
    def _has_fast_bfloat16(self) -> bool:
        return self.device.type == "cpu" and has_fast_bfloat16()

    def _precision(self) -> AbstractContextManager[Any]:
        if self._has_fast_bfloat16:
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
            remedies = [change("batch_size", size // 2)] if size > 1 else [
                change("preset", "demo"), Remedy(Action.OTHER_VALUE, {"setting": Setting("device")})
            ]  # fmt: skip
            raise ModelError(
                _OUT_OF_MEMORY, *remedies, device=self.device.type, batch_size=size
            ) from error

    @contextmanager
    def _writing_explained(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ModelError(
                _NOT_WRITTEN + self._members_usable,
                Action.RESUME,
                file=path,
                reason=error.strerror,
                free=shutil.disk_usage(self.run.path).free / 2**20,
            ) from error


class EpochRate:
    """Scheduler of the rate of Eq. 4; nnU-Net steps it with the number of the epoch."""

    def __init__(self, optimizer: torch.optim.Optimizer, schedule: RestartSchedule) -> None:
        self.optimizer = optimizer
        self.schedule = schedule

    def step(self, epoch: int) -> None:
        """Set the rate of ``epoch``."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.learning_rate(epoch)


def _number(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


def make_trainer(
    plans: dict[str, Any],
    dataset_json: dict[str, Any],
    configuration: str,
    fold: str,
    *,
    device: torch.device,
    resume: bool,
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> CheckpointEnsembleTrainer:
    """Return the trainer of a preprocessed dataset, with the last saved state if it resumes.

    `workspace_environment` and `trainer_environment` must be set,
    because they name the folders to read and to write.
    """
    # Here, because nnU-Net's command is that module and imports this one.
    from nnunetv2.run.run_training import maybe_load_checkpoint

    os.environ.update(training_environment(device))
    if device.type == "cuda":
        end_forks_with_this_process()
    # Not by nnU-Net's get_trainer_from_args: its search for the class imports timm and torchvision.
    trainer = CheckpointEnsembleTrainer(
        # nnU-Net's command adds this entry to the plans, and its trainer takes it out again.
        {**deepcopy(plans), "continue_training": resume},
        configuration,
        fold if fold == "all" else int(fold),
        deepcopy(dataset_json),
        device,
    )
    trainer.on_epoch, trainer.stop_requested = on_epoch, stop_requested
    maybe_load_checkpoint(trainer, resume, validation_only=False)
    return trainer


def trainer_environment(run: Path) -> dict[str, str]:
    """Return variables with which nnU-Net finds this trainer and works in the folder ``run``."""
    return {
        "nnUNet_extTrainer": os.fspath(Path(__file__).with_name("trainers")),
        RUN_VARIABLE: os.fspath(run),
    }
