"""Training of a student on the probabilities and the mutual information of an ensemble."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, log_softmax

from ..trainer import CheckpointEnsembleTrainer
from ..weights import StateDict
from .student import first_weights, widen_output, write_student
from .targets import TaughtDataset, with_targets

if TYPE_CHECKING:
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

_SMOOTH = 1.0
"""Added to both parts of Dice, so that a structure in no image of a batch counts as found."""


@dataclass(frozen=True, kw_only=True)
class Teaching:
    """Folder of the targets, the cases to learn from, and the weights of a member to start from."""

    targets: Path
    cases: tuple[str, ...]
    start: StateDict


class StudentLoss(torch.nn.Module):
    """Distance of a student's outputs from its targets, 0 if they are equal.

    The sum of the Kullback-Leibler divergence of the probabilities, 1 − soft Dice of each
    structure, and the divergence of the mutual information, taken as a probability. Dice has the
    squares of the probabilities in its denominator: only so is it best if they are equal.
    """

    def __init__(self, *, batch_dice: bool) -> None:
        super().__init__()
        self.batch_dice = batch_dice

    def forward(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the loss of outputs (N, C + 1, …) for targets (N, C, …), see `write_targets`."""
        outputs = outputs.float()
        structures, information = targets[:, :-1], targets[:, -1]
        # Rounded probabilities may add up to more than 1.
        background = (1 - structures.sum(1, keepdim=True)).clamp(min=0)
        wanted = torch.cat([background, structures], dim=1)
        logarithms = log_softmax(outputs[:, :-1], dim=1)
        divergence = (torch.xlogy(wanted, wanted) - wanted * logarithms).sum(1).mean()
        cost = binary_cross_entropy_with_logits(outputs[:, -1], information)
        other = 1 - information
        # The entropy of the targets, which no cross-entropy is below.
        least = -(torch.xlogy(information, information) + torch.xlogy(other, other)).mean()
        dice = self._dice(logarithms[:, 1:].exp(), structures)
        return divergence + (1 - dice) + (cost - least)

    def _dice(self, found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        axes = [axis for axis in range(found.ndim) if axis > 1 or (axis == 0 and self.batch_dice)]
        common = (found * wanted).sum(axes)
        both = (found**2).sum(axes) + (wanted**2).sum(axes)
        return ((2 * common + _SMOOTH) / (both + _SMOOTH)).mean()


class StudentTrainer(CheckpointEnsembleTrainer):
    """Trainer of a student, which learns what ``teaching`` says, without validation cases."""

    teaching: Teaching

    @staticmethod
    def build_network_architecture(
        plans_manager: PlansManager, *arguments: Any, **options: Any
    ) -> torch.nn.Module:
        """Return the network of the plans, with an output for the mutual information."""
        network = CheckpointEnsembleTrainer.build_network_architecture(
            plans_manager, *arguments, **options
        )
        widen_output(network)
        return network

    def initialize(self) -> None:
        """Build the network with the weights of the member to start from."""
        # The loss is that of one output, in full resolution.
        self.enable_deep_supervision = False
        self.num_val_iterations_per_epoch = 0
        # Nothing exceeds this, so nnU-Net keeps no best epoch, for which it would need validation.
        self._best_ema = math.inf
        super().initialize()
        self._bare_network.load_state_dict(first_weights(self.teaching.start))

    def _build_loss(self) -> torch.nn.Module:
        return StudentLoss(batch_dice=self.configuration_manager.batch_dice)

    def get_training_transforms(self, *arguments: Any, **options: Any) -> Any:
        """Return the augmentation, in which the targets move with the images."""
        transforms = super().get_training_transforms(*arguments, **options)
        return with_targets(transforms, channels=self.num_input_channels)

    def get_tr_and_val_datasets(self) -> tuple[Any, Any]:
        """Return the training cases twice, because nnU-Net makes a loader of validation cases."""
        dataset = TaughtDataset(
            self.preprocessed_dataset_folder,
            list(self.teaching.cases),
            targets=self.teaching.targets,
        )
        return dataset, dataset

    def _write_weights(self, path: Path) -> None:
        write_student(
            path,
            self._weights,
            configuration=self.configuration_name,
            mirroring_axes=self.inference_allowed_mirroring_axes,
        )
