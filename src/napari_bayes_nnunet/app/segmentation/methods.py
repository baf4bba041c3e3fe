"""The methods of the paper, each a way to choose and combine members, and their passes.

A method is an entry of ``METHODS`` with a function that chooses members. This function gets the
folder and the number of members, and raises AppError if the folder cannot serve the method.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from ...core.choices import Mirroring
from ...core.ensemble.schedule import select_latest
from ...core.problems import Setting
from .. import AppError

if TYPE_CHECKING:  # numpy, which the pages of the commands are built without
    from ...io.ensemble.ensemble_folder import EnsembleFolder, Member

    Choice: TypeAlias = Callable[[EnsembleFolder, int], Sequence[Member]]

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
        # The seeds are fixed, so that a repeated segmentation drops the same channels.
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
    return modes * -(-_FEWEST // modes)  # the least multiple of all modes from _FEWEST on


def interleave_passes(passes: Sequence[ForwardPass]) -> list[ForwardPass]:
    """Return the passes so that all modes are visited early, the last of each cycle first."""
    modes = [_mode(forward_pass.members[-1]) for forward_pass in passes]
    return [passes[index] for index in interleaved(modes)]


DEFAULT_METHOD = "multi"
DEFAULT_COUNT = 30
"""n of the paper."""
NOT_FOR_REGIONS = (
    "There is no {what} for labels that overlap (regions). Train on labels that exclude each other."
)
NO_DEEP_ENSEMBLE = (
    "A deep ensemble needs several trainings, but this folder has one. Choose a folder that "
    "contains several trainings."
)
NO_CROSS_VALIDATION = (
    "A cross-validation ensemble needs several folds, but this training has one. Train further "
    "folds into the same folder."
)


@dataclass(frozen=True, kw_only=True)
class Method:
    """Way to choose and combine members, with a title and help for the user.

    ``averages`` is False for a method that always uses one member. ``temperature`` is its default
    τ for the mean probabilities.
    """

    name: str
    title: str
    help: str
    choose: Choice
    averages: bool = True
    combine: Combine = "probabilities"
    temperature: float = 1.0


def choose_members(
    folder: EnsembleFolder, method: str = DEFAULT_METHOD, count: int = DEFAULT_COUNT
) -> tuple[Member, ...]:
    """Return the members of ``method``, at most ``count``, in the order of the folder.

    These are fewer than ``count`` if the folder has fewer. Raises AppError if the folder cannot
    serve the method.
    """
    if method not in METHODS:
        raise AppError(
            "The method {method} does not exist. Choose one of {methods}.",
            method=method,
            methods=", ".join(METHODS),
        )
    if count < 1:
        raise AppError("{count} members were requested. Use at least one.", count=count)
    if not folder.usable:
        raise no_usable_member(folder)
    if METHODS[method].temperature != 1:
        refuse_regions(folder, "temperature")
    return tuple(METHODS[method].choose(folder, count))


def refuse_regions(folder: EnsembleFolder, what: str) -> None:
    """Raise AppError if the labels of an ensemble overlap, because ``what`` needs others."""
    if folder.class_order:
        raise AppError(NOT_FOR_REGIONS, what=what)


def no_usable_member(folder: EnsembleFolder) -> AppError:
    """Return the error for a folder that cannot segment at all."""
    reason = next((f"{m.path.name}: {m.refused}" for m in folder.members), "no files")
    return AppError(
        "{ensemble} has no usable member ({reason}). Choose another ensemble.",
        ensemble=folder.name,
        reason=reason,
    )


def refused_methods(folder: EnsembleFolder) -> dict[str, AppError]:
    """Return name → reason for every method that the folder cannot serve."""
    refused = {}
    for name in METHODS:
        try:
            # What a method needs of a folder does not depend on the count.
            choose_members(folder, name, 1)
        except AppError as reason:
            refused[name] = reason
    return refused


def _multi(folder: EnsembleFolder, count: int) -> Sequence[Member]:
    """Return the latest count/M of each cycle, or all members if there are no cycles (Eq. 2)."""
    members = folder.usable_members
    if not _has_cycles(members):
        return members
    groups: dict[tuple[int, str, str], list[int]] = {}
    for index, member in enumerate(members):
        cycle = -1 if member.cycle is None else member.cycle
        groups.setdefault((cycle, member.training, member.fold), []).append(index)
    # Later cycles come last, so that the remainder goes to them whatever the training.
    indices = [groups[key] for key in sorted(groups)]
    if len(_origins(members)) > 1:
        indices = indices[-count:]  # so that a few members do not all come from one training
    return [members[index] for index in select_latest(dict(enumerate(indices)), count)]


def _single(folder: EnsembleFolder, count: int) -> Sequence[Member]:
    """Return the latest members of the last cycle of a single training."""
    members = _members_with_cycles(folder)
    last = max(member.cycle for member in members if member.cycle is not None)
    return [member for member in members if member.cycle == last][-count:]


def _snapshot(folder: EnsembleFolder, count: int) -> Sequence[Member]:
    """Return the last member of every cycle of a single training with cosine restarts."""
    members = _members_with_cycles(folder)
    if folder.record is None or folder.record.schedule.shape != "cosine":
        raise AppError(
            "Snapshot ensembles need a training with cosine restarts. Train with {setting} cosine.",
            setting=Setting("schedule"),
        )
    # A later member takes the place of an earlier one of its cycle.
    return list({member.cycle: member for member in members}.values())[-count:]


def _members_with_cycles(folder: EnsembleFolder) -> Sequence[Member]:
    """Return the members. Raises AppError unless they are of a single training with cycles."""
    members = folder.usable_members
    if not _has_cycles(members):
        raise AppError(
            "This method needs training cycles, but this folder ({kind}) has none. Choose another "
            "method, such as multi.",
            kind=folder.kind,
        )
    trainings = len(_origins(members))
    if trainings > 1:
        raise AppError(
            "This method needs a single training, but this folder ({kind}) has {trainings}. Choose "
            "the folder of one training, or the method multi.",
            kind=folder.kind,
            trainings=trainings,
        )
    return members


def _vanilla(folder: EnsembleFolder, count: int) -> Sequence[Member]:
    """Return the last epoch of the first training and fold."""
    return list(_last_of_each(folder.usable_members).values())[:1]


def _mc_dropout(folder: EnsembleFolder, count: int) -> Sequence[Member]:
    """Return the last epoch ``count`` times."""
    if not _has_dropout(folder):
        raise AppError(
            "MC-Dropout needs a network that was trained with dropout. Train with {setting} 0.1.",
            setting=Setting("dropout"),
        )
    return list(_vanilla(folder, 1)) * count


def _deep_ensemble(folder: EnsembleFolder, count: int) -> Sequence[Member]:
    """Return the last epoch of every training."""
    of_training: dict[str, Member] = {}
    # Of several folds the first: other folds were trained on other cases.
    for (training, _), member in _last_of_each(folder.usable_members).items():
        of_training.setdefault(training, member)
    if len(of_training) < 2:
        raise AppError(NO_DEEP_ENSEMBLE)
    return list(of_training.values())[:count]


def _cross_validation(folder: EnsembleFolder, count: int) -> Sequence[Member]:
    """Return the last epoch of every fold of the first training."""
    last = _last_of_each(folder.usable_members)
    first = next(iter(last))[0]
    folds = [member for (training, _), member in last.items() if training == first]
    if len(folds) < 2:
        raise AppError(NO_CROSS_VALIDATION)
    return folds[:count]


def _last_of_each(members: Sequence[Member]) -> dict[tuple[str, str], Member]:
    """Return training and fold → last member."""
    return {(member.training, member.fold): member for member in members}


def _has_dropout(folder: EnsembleFolder) -> bool:
    settings = folder.plans.get("configurations", {}).get(folder.configuration, {})
    arguments = settings.get("architecture", {}).get("arch_kwargs", {})
    probability = (arguments.get("dropout_op_kwargs") or {}).get("p", 0)
    return bool(arguments.get("dropout_op")) and probability > 0


def _origins(members: Sequence[Member]) -> set[tuple[str, str]]:
    """Return training and fold of the members."""
    return {(member.training, member.fold) for member in members}


def _has_cycles(members: Sequence[Member]) -> bool:
    return any(member.cycle is not None for member in members)


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            name="multi",
            title="All cycles",
            help="Average the latest members of all cycles (multi-modal), or all members. So far "
            "better calibrated than one network. Choose it if all cycles are equally good.",
            choose=_multi,
        ),
        Method(
            name="single",
            title="Last cycle",
            help="Average the latest members of the last cycle (single-modal in the paper). "
            "More accurate than all cycles if these still improve.",
            choose=_single,
        ),
        Method(
            name="vanilla",
            title="One network",
            help="Use the last epoch alone, as nnU-Net does; with several folds or trainings, that "
            "of the first. Fastest, but overconfident, and less accurate after restarts.",
            choose=_vanilla,
            averages=False,
        ),
        Method(
            name="temperature",
            title="Softened",
            help="Use the last epoch alone and soften its probabilities with a temperature, 1.5 as "
            "in the paper. Labels do not change.",
            choose=_vanilla,
            averages=False,
            temperature=1.5,
        ),
        Method(
            name="swa",
            title="Mean weights",
            help="Use one network with the mean weights of the last cycle's members (stochastic "
            "weight averaging). Nearly as accurate as their average, but overconfident.",
            choose=_single,
            combine="weights",
        ),
        Method(
            name="mc-dropout",
            title="Dropout",
            help="Average passes of the last epoch, each with other channels dropped at random "
            "(Monte Carlo dropout). As accurate as one network if only the encoder has dropout.",
            choose=_mc_dropout,
            combine="dropout",
        ),
        Method(
            name="deep-ensemble",
            title="Trainings",
            help="Average the last epochs of trainings that differ in their seed (deep ensemble). "
            "Most accurate on images like those of the training, at several times its cost.",
            choose=_deep_ensemble,
        ),
        Method(
            name="cross-validation",
            title="Folds",
            help="Average the last epochs of the folds of a cross-validation, as nnU-Net does.",
            choose=_cross_validation,
        ),
        Method(
            name="snapshot",
            title="Snapshots",
            help="Average the last epoch of every cycle of a training with cosine restarts "
            "(snapshot ensemble). Few passes, so far about as good as the last cycle.",
            choose=_snapshot,
        ),
    )
}


def interleaved(modes: Sequence[Hashable]) -> list[int]:
    """Return the indices of passes with these modes, starting with the last pass of each mode.

    The last mode comes first.

    >>> interleaved(["first cycle", "first cycle", "second cycle", "second cycle"])
    [3, 1, 2, 0]
    """
    counts: dict[Hashable, int] = {}
    ranks = []
    for index in reversed(range(len(modes))):
        counts[modes[index]] = counts.get(modes[index], 0) + 1
        ranks.append((counts[modes[index]], index))
    return [index for _, index in sorted(ranks, key=lambda rank: rank[0])]
