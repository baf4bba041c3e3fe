"""Forward passes of a method: the weights, the dropout and the mirrored copy of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ...core.choices import Mirroring
from ...core.ensemble.pass_order import interleaved
from ...io.ensemble.ensemble_folder import Member

Combine = Literal["probabilities", "weights", "dropout"]
"""Averaged values: the members' probabilities (Eq. 2), weights, or probabilities with dropout."""
Mode = tuple[str, str, int | None]
"""Training, fold and cycle."""
_FEWEST = 3
"""Minimum number of passes between two stability checks."""


@dataclass(frozen=True)
class ForwardPass:
    """One pass over an image with the mean weights of ``members`` (several only for SWA).

    With ``dropout_seed`` dropout is active and drawn from that seed. If mirrored copies are spread
    over the passes, ``turn`` is the running number of the copy; else it is None.
    """

    members: tuple[Member, ...]
    dropout_seed: int | None = None
    turn: int | None = None


def make_passes(
    members: Sequence[Member], combine: Combine, *, mirroring: Mirroring = "full"
) -> list[ForwardPass]:
    """Return the passes that combine the members, in the order of the members.

    Spread mirrored copies are assigned in turn, starting at the last member of each cycle. The
    four copies are used equally often, within one, in each cycle and in all.
    """
    if combine == "weights":
        passes = [ForwardPass(tuple(members))]
    elif combine == "dropout":
        passes = [ForwardPass((member,), seed) for seed, member in enumerate(members)]
    else:
        passes = [ForwardPass((member,)) for member in members]
    if mirroring != "spread":
        return passes
    return [replace(p, turn=turn) for p, turn in zip(passes, _turns(passes), strict=True)]


def _turns(passes: Sequence[ForwardPass]) -> list[int]:
    indices_of_mode: dict[Mode, list[int]] = {}
    for index, forward_pass in enumerate(passes):
        indices_of_mode.setdefault(_mode(forward_pass.members[-1]), []).append(index)
    turns, assigned = [0] * len(passes), 0
    for number, indices in enumerate(indices_of_mode.values()):
        # Otherwise every cycle of a multiple of four members would start with the same copy.
        shift = number if len(indices) % 4 == 0 else 0
        for rank, index in enumerate(reversed(indices)):
            turns[index] = assigned + shift + rank
        assigned += len(indices)
    return turns


def _mode(member: Member) -> Mode:
    """Return the mode of the posterior that a member belongs to."""
    return member.training, member.fold, member.cycle


def count_modes(members: Sequence[Member]) -> int:
    """Return the number of modes of the posterior that members belong to."""
    return len({_mode(member) for member in members})


def stability_interval(members: Sequence[Member]) -> int:
    """Return the number of passes between two stability checks, at least three, of all modes.

    Each mode is used equally often, so that members stand only for others of their mode.
    """
    modes = count_modes(members)
    return modes * -(-_FEWEST // modes)


def interleave_passes(passes: Sequence[ForwardPass]) -> list[ForwardPass]:
    """Return the passes so that all modes are visited early, the last of each cycle first."""
    modes = [_mode(forward_pass.members[-1]) for forward_pass in passes]
    return [passes[index] for index in interleaved(modes)]
