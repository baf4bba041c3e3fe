"""Cyclical learning rate with restarts, and the epochs whose weights become members.

Section 2.3 and Eq. 4 of Zhao et al., MICCAI 2022. Epochs are counted from 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from .. import InputError
from ..fields import check_values, setting

DecayOver = Literal["T", "Tc"]
Shape = Literal["restarts", "poly", "cosine"]
UNUSED: dict[str, tuple[str, ...]] = {
    "poly": ("gamma", "restart_lr", "decay_over", "restart_first_cycle"),
    "cosine": ("gamma", "exponent", "decay_over"),
}
"""Parameters of Eq. 4 that schedules of other shapes do not use."""
MOST_EPOCHS: Final = 100_000
"""Maximum number of epochs, so that a mistyped number cannot fill a disk or the window."""


@dataclass(frozen=True, kw_only=True)
class RestartSchedule:
    """Learning rate of every epoch of a training in ``cycles`` cycles (Eq. 4).

    The paper compares "restarts" with two other shapes, which have no plateau and give one member
    per cycle: "poly", nnU-Net's own decay from ``initial_lr`` to 0 in one cycle, and "cosine",
    which falls from ``restart_lr`` to 0 along half a cosine in every cycle (snapshot ensembles,
    reference 13).

    Parameters
    ----------
    epochs : int
        Length T of the training without added cycles.
    cycles : int
        Number M of cycles of equal length.
    gamma : float
        Fraction of a cycle after which the rate stays constant (the plateau).
    initial_lr, restart_lr : float
        Learning rate from which the decay starts, and that of a restart.
    exponent : float
        Exponent of the decay.
    decay_over : {"T", "Tc"}
        Denominator of the decay: the whole training ("T", as printed in the paper) or one cycle.
    restart_first_cycle : bool
        Whether epoch 0 has the restart rate, which is meant for leaving an optimum, or
        ``initial_lr``.
    shape : {"restarts", "poly", "cosine"}
        Learning rate schedule.
    added_cycles : int
        Cycles that extend a training. T and T_c do not change, so each of them has the rates of the
        last cycle, restart included.

    Raises
    ------
    InputError
        If Eq. 4 is not defined for the values, or the training has too many epochs.

    Examples
    --------
    >>> schedule = RestartSchedule(epochs=1200, cycles=3)
    >>> schedule.cycle_length, schedule.plateau_start
    (400, 320)
    >>> schedule.learning_rate(400)
    0.1
    >>> round(schedule.learning_rate(399), 4)
    0.0076
    """

    shape: Shape = setting(
        "restarts",
        "Learning rate schedule: Eq. 4, nnU-Net's own decay, or snapshot ensembles.",
        option="schedule",
        shown="restarts",
        choices={"restarts": "Restarts", "poly": "Decay", "cosine": "Snapshots"},
    )
    epochs: int = setting(
        1200,
        "Length T of the whole training (Eq. 4). It must be divisible by the number of cycles.",
        label="Epochs",
        limits=(1, None),
    )
    cycles: int = setting(
        3,
        "Number M of restarts of the learning rate. Each cycle finds another solution and gives "
        "members of its own.",
        label="Cycles",
        limits=(1, None),
    )
    gamma: float = setting(
        0.8,
        "Fraction of a cycle, 0 to 1, after which the learning rate stays constant (γ in Eq. 4). "
        "Members come from this plateau.",
        label="Plateau γ",
        limits=(0, 1),
    )
    initial_lr: float = setting(
        0.01,
        "Learning rate α0 from which every cycle decays (Eq. 4).",
        label="Rate α₀",
        limits=(0, None),
        min_open=True,
    )
    restart_lr: float = setting(
        0.1,
        "High learning rate αr of a cycle's first epoch, which leaves the previous solution "
        "(Eq. 4).",
        label="Restart αᵣ",
        limits=(0, None),
        min_open=True,
    )
    exponent: float = setting(
        0.9,
        "Steepness ε of the decay (Eq. 4); 0 keeps the learning rate constant.",
        label="Decay ε",
        limits=(0, None),
    )
    decay_over: DecayOver = setting(
        "T",
        "Denominator of the decay (Eq. 4): the whole training, as printed in the paper, or one "
        "cycle Tc, which ends with a smaller rate and was worse calibrated in a small experiment.",
        label="Decay over",
        choices={"T": "Whole training (T)", "Tc": "One cycle (Tc)"},
    )
    restart_first_cycle: bool = setting(
        True,
        "Start the first cycle with the restart rate, as printed in Eq. 4. Without it, training "
        "starts at the lower rate, which is safer for untrained weights.",
        label="Start",
        unit="Restart in the first cycle",
    )
    added_cycles: int = 0

    def __post_init__(self) -> None:
        check_values(self)
        if self.epochs % self.cycles:
            raise InputError(
                "{epochs} epochs cannot be divided into {cycles} cycles of equal length.",
                epochs=self.epochs,
                cycles=self.cycles,
            )
        if self.added_cycles < 0:
            raise InputError(
                "The added cycles must be 0 or more, not {added_cycles}.",
                added_cycles=self.added_cycles,
            )
        if self.all_epochs > MOST_EPOCHS:
            raise InputError(
                "A training can have at most {most} epochs, not {epochs}.",
                most=MOST_EPOCHS,
                epochs=self.all_epochs,
            )
        if self.shape == "poly" and self.cycles != 1:
            raise InputError("The schedule poly has one cycle, not {cycles}.", cycles=self.cycles)

    @property
    def without_option(self) -> tuple[str, ...]:
        """Fields that no option sets for a schedule of this shape."""
        return (*UNUSED.get(self.shape, ()), "added_cycles")

    @property
    def cycle_length(self) -> int:
        """Number of epochs of a cycle, T_c."""
        return self.epochs // self.cycles

    @property
    def all_epochs(self) -> int:
        """Number of epochs, added cycles included."""
        return self.all_cycles * self.cycle_length

    @property
    def all_cycles(self) -> int:
        """Number of cycles, added cycles included."""
        return self.cycles + self.added_cycles

    @property
    def plateau_start(self) -> int:
        """First epoch of a cycle with the constant rate, at most the last epoch of the cycle."""
        if self.shape != "restarts":
            return self.cycle_length - 1
        # A product such as 0.55 · 100 is slightly too large.
        first = math.ceil(self.gamma * self.cycle_length - 1e-9)
        return min(first, self.cycle_length - 1)

    def cycle(self, epoch: int) -> int:
        """Return the cycle of ``epoch``, from 0."""
        return epoch // self.cycle_length

    def epoch_in_cycle(self, epoch: int) -> int:
        """Return t_c = t mod T_c."""
        return epoch % self.cycle_length

    def learning_rate(self, epoch: int) -> float:
        """Return the learning rate of ``epoch`` (Eq. 4).

        It depends on the epoch alone, so a resumed training has the same rates.
        """
        t_c = self.epoch_in_cycle(epoch)
        if self.shape == "poly":
            return float(self.initial_lr * (1 - t_c / self.cycle_length) ** self.exponent)
        if self.shape == "cosine":
            starts_low = self.cycle(epoch) == 0 and not self.restart_first_cycle
            highest = self.initial_lr if starts_low else self.restart_lr
            return highest / 2 * (math.cos(math.pi * t_c / self.cycle_length) + 1)
        if t_c == 0 and (epoch > 0 or self.restart_first_cycle):
            return self.restart_lr
        span = self.epochs if self.decay_over == "T" else self.cycle_length
        decayed = min(t_c, self.gamma * self.cycle_length) / span
        # A power of a negative number is not real.
        return float(self.initial_lr * max(0.0, 1.0 - decayed) ** self.exponent)


@dataclass(frozen=True, kw_only=True)
class MemberSelection:
    """Selection of the epochs of a cycle whose weights become members.

    Epochs are counted back from the end of a cycle, so its last epoch is always selected.

    Parameters
    ----------
    per_cycle : int
        Largest number of members of a cycle. A short plateau gives fewer.
    step : int
        Epochs from one member to the next.

    Raises
    ------
    InputError
        If either number is below 1.

    Examples
    --------
    >>> schedule = RestartSchedule(epochs=30, cycles=3, gamma=0.6)
    >>> list(MemberSelection(per_cycle=2, step=2).epochs(schedule))
    [7, 9, 17, 19, 27, 29]
    """

    per_cycle: int = setting(
        30,
        "Maximum number of members of each cycle, the latest ones. There are fewer if the plateau "
        "is too short.",
        option="members_per_cycle",
        label="Members",
        prefix="up to ",
        unit="per cycle",
        limits=(1, None),
    )
    step: int = setting(
        2,
        "Epochs from one member to the next, counted back from the end of the cycle: 2 takes "
        "every second epoch.",
        option="member_step",
        label="Step",
        unit="epoch",
        units="epochs",
        limits=(1, None),
    )

    def __post_init__(self) -> None:
        check_values(self)

    def keeps(self, schedule: RestartSchedule, epoch: int) -> bool:
        """Return whether the weights at the end of ``epoch`` become a member."""
        in_cycle = schedule.epoch_in_cycle(epoch)
        before_end = schedule.cycle_length - 1 - in_cycle
        return (
            in_cycle >= schedule.plateau_start
            and before_end % self.step == 0
            and before_end // self.step < self.per_cycle
        )

    def epochs(self, schedule: RestartSchedule) -> Iterator[int]:
        """Return an iterator over all selected epochs, in order."""
        return (epoch for epoch in range(schedule.all_epochs) if self.keeps(schedule, epoch))


def select_latest(groups: Mapping[int, Sequence[int]], count: int) -> list[int]:
    """Return up to ``count`` epochs, the latest of each cycle, in ascending order (Section 2.3).

    ``groups`` maps a cycle to its epochs in ascending order. Cycles share the epochs evenly. The
    remainder, and the epochs a short cycle lacks, go to the latest cycles that have more.
    """
    cycles = sorted(cycle for cycle, epochs in groups.items() if epochs)
    cycles = cycles[-count:]  # with fewer epochs than cycles, the latest cycles give one each
    share, remainder = divmod(count, max(1, len(cycles)))
    taken = {cycle: min(share, len(groups[cycle])) for cycle in cycles}
    spare = remainder + sum(share - taken[cycle] for cycle in cycles)
    for cycle in reversed(cycles):
        more = min(spare, len(groups[cycle]) - taken[cycle])
        taken[cycle] += more
        spare -= more
    return sorted(e for c in cycles for e in groups[c][len(groups[c]) - taken[c] :])
