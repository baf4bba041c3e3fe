"""Settings of a training, and the presets that are their starting values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from ..choices import Augmentation, DropoutPlacement
from ..fields import check_values, setting
from .schedule import MemberSelection, RestartSchedule

Preset = Literal["paper", "demo", "quick", "tiny"]
NetworkSize = Literal["full", "small", "tiny"]
NETWORKS: Final[Mapping[Preset, NetworkSize]] = {
    "paper": "full",
    "demo": "small",
    "quick": "small",
    "tiny": "tiny",
}
"""Size of the network of each preset."""


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Settings that the start of a training fixes for all its folds, by default the paper's.

    ``dropout`` is the probability that a channel is dropped in the blocks of the placement (for
    mc-dropout). ``augmentation`` "wide" changes training images as other scanners would, in
    addition to nnU-Net's own augmentation. ``keep_trajectory`` stores some layers of every epoch.
    A ``seed`` of None is drawn at the start. Raises InputError for a value that is impossible.
    """

    configuration: str = setting("2d", "Configuration of nnU-Net's plans.", shown="2d")
    preset: Preset = setting(
        "paper",
        "Named set of training settings, which the options below change.",
        shown="paper",
        choices=dict.fromkeys(NETWORKS, ""),
    )
    schedule: RestartSchedule = field(default_factory=RestartSchedule)
    selection: MemberSelection = field(default_factory=MemberSelection)
    batch_size: int = setting(
        20,
        "Images that the network processes together; fewer need less memory.",
        label="Batch size",
        shown="20 (presets paper and demo), 10 (others)",
        limits=(1, 10_000),
    )
    iterations_per_epoch: int = setting(
        250,
        "Batches per epoch. The duration of the training is proportional to this number.",
        label="Iterations",
        unit="per epoch",
        shown="250 (preset paper), 12 (others)",
        limits=(1, 1_000_000),
    )
    dropout: float = setting(
        0.0,
        "Probability of dropping a channel, such as 0.1 for the method mc-dropout.",
        limits=(0, 1),
        max_open=True,
    )
    dropout_placement: DropoutPlacement = setting(
        "encoder",
        "Blocks with dropout, either those of the encoder (as in nnU-Net v1) or all.",
        shown="encoder",
        choices={"encoder": "Encoder", "everywhere": "Everywhere"},
    )
    augmentation: Augmentation = setting(
        "nnunet",
        "Random changes of training images: nnU-Net's own, or also the mild bias fields, coarser "
        "pixels, contrasts, gamma and ghosts of other scanners.",
        label="Augment",
        shown="nnunet",
        choices={"nnunet": "nnU-Net", "wide": "Wide"},
    )
    seed: int | None = setting(
        None,
        "Seed of the random numbers, with which a training on the CPU is repeatable.",
        limits=(0, None),
    )
    keep_trajectory: bool = setting(False, "Keep some layers of every epoch, for trajectory.")
    licence: str = setting("unknown", "Licence of the weights.", shown="that of the dataset")

    def __post_init__(self) -> None:
        check_values(self)


# Short trainings have short plateaus, so every epoch of these gives a member.
PRESETS: Final[Mapping[Preset, TrainingSettings]] = {
    "paper": TrainingSettings(),
    "demo": TrainingSettings(
        preset="demo",
        schedule=RestartSchedule(epochs=150, restart_first_cycle=False),
        selection=MemberSelection(per_cycle=30, step=1),
        iterations_per_epoch=12,
    ),
    "quick": TrainingSettings(
        preset="quick",
        schedule=RestartSchedule(epochs=60, restart_first_cycle=False),
        selection=MemberSelection(per_cycle=30, step=1),
        batch_size=10,
        iterations_per_epoch=12,
    ),
    "tiny": TrainingSettings(
        preset="tiny",
        schedule=RestartSchedule(epochs=150, restart_first_cycle=False),
        selection=MemberSelection(per_cycle=30, step=1),
        batch_size=10,
        iterations_per_epoch=12,
    ),
}
