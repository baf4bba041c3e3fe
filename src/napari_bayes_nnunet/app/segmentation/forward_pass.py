"""How often the network looks at an image, and with which weights: a method's members combined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ...core.types import Mirroring
from ...io.ensemble.ensemble_folder import Member

Combine = Literal["probabilities", "weights", "dropout"]
"""What is averaged: the members' answers (Eq. 2), their weights, or answers with dropout."""
Mode = tuple[str, str, int | None]
_FEWEST = 3
"""Members between two looks, where there are fewer modes."""


@dataclass(frozen=True)
class ForwardPass:
    """One look at the image, with the mean of the weights of ``members``: one, but for SWA.

    With ``dropout_seed`` the network's dropout is armed and drawn from that seed. ``turn`` is the
    number of the mirror it sees where these are spread over the passes, counted on without end.
    """

    members: tuple[Member, ...]
    dropout_seed: int | None = None
    turn: int | None = None


def passes_of(
    members: Sequence[Member], combine: Combine, *, mirroring: Mirroring = "full"
) -> list[ForwardPass]:
    """The passes that the chosen members are combined by, in the order of the members.

    Spread mirrors are dealt out in turn, in every cycle from its last member on and from cycle to
    cycle: how often each of four is seen in a cycle, and in all, differs by one at most.
    """
    if combine == "weights":
        passes = [ForwardPass(tuple(members))]
    elif combine == "dropout":
        passes = [ForwardPass((member,), seed) for seed, member in enumerate(members)]
    else:
        passes = [ForwardPass((member,)) for member in members]
    if mirroring != "spread":
        return passes
    return [replace(one, turn=turn) for one, turn in zip(passes, _turns(passes), strict=True)]


def _turns(passes: Sequence[ForwardPass]) -> list[int]:
    places: dict[Mode, list[int]] = {}
    for place, one in enumerate(passes):
        places.setdefault(mode_of(one.members[-1]), []).append(place)
    turns, dealt = [0] * len(passes), 0
    for number, mine in enumerate(places.values()):
        # Where cycles end with the last mirror, the next one would start with the same again.
        shift = number if len(mine) % 4 == 0 else 0
        for rank, place in enumerate(reversed(mine)):
            turns[place] = dealt + shift + rank
        dealt += len(mine)
    return turns


def mode_of(member: Member) -> Mode:
    """The mode of the posterior a member is of: its training, fold and cycle."""
    return member.training, member.fold, member.cycle


def stability_interval(members: Sequence[Member]) -> int:
    """After so many members another look shows whether the answer rests: once round the modes."""
    return max(_FEWEST, len({mode_of(member) for member in members}))


def interleaved(passes: Sequence[ForwardPass]) -> list[ForwardPass]:
    """The passes in an order that visits all modes early: the last of each cycle first."""
    seen: dict[Mode, int] = {}
    ranks = []
    for one in reversed(passes):
        mode = mode_of(one.members[-1])
        seen[mode] = seen.get(mode, 0) + 1
        ranks.append((seen[mode], one))
    return [one for _, one in sorted(ranks, key=lambda pair: pair[0])]
