"""How often the network looks at an image, and with which weights: a method's members combined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..io.ensemble_folder import Member

Combine = Literal["probabilities", "weights", "dropout"]
"""What is averaged: the members' answers (Eq. 2), their weights, or answers with dropout."""


@dataclass(frozen=True)
class Pass:
    """One look at the image, with the mean of the weights of ``members``: one, but for SWA.

    With ``dropout_seed`` the network's dropout is armed and drawn from that seed.
    """

    members: tuple[Member, ...]
    dropout_seed: int | None = None


def passes_of(members: Sequence[Member], combine: Combine) -> list[Pass]:
    """The passes that the chosen members are combined by, in the order of the members."""
    if combine == "weights":
        return [Pass(tuple(members))]
    if combine == "dropout":
        return [Pass((member,), seed) for seed, member in enumerate(members)]
    return [Pass((member,)) for member in members]


def interleaved(passes: Sequence[Pass]) -> list[Pass]:
    """The passes in an order that visits all modes early: the last of each cycle first."""
    seen: dict[tuple[str, str, int | None], int] = {}
    ranks = []
    for one in reversed(passes):
        member = one.members[-1]
        mode = (member.training, member.fold, member.cycle)
        seen[mode] = seen.get(mode, 0) + 1
        ranks.append((seen[mode], one))
    return [one for _, one in sorted(ranks, key=lambda pair: pair[0])]
