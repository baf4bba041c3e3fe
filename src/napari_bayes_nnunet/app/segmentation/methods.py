"""The methods of the paper as choices of members; every other step is the same for all.

A method is one entry of ``METHODS``: its words for the window and a function that chooses. It
gets the folder and the number of members asked for, and raises AppError with the reason when the
folder cannot serve it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...core.ensemble.schedule import select_latest
from ...io.ensemble.ensemble_folder import EnsembleFolder, Member
from .. import AppError
from .forward_pass import Combine

Choice = Callable[[EnsembleFolder, int], Sequence[Member]]

DEFAULT_METHOD = "multi"
DEFAULT_COUNT = 30
"""n of the paper."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way to choose members and to combine them; words for the window in plain language.

    ``averages`` is False for a method that takes one member whatever the number asked for.
    ``temperature`` is the τ its mean probabilities are calibrated with unless another is asked for.
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
    """The members ``method`` takes, at most ``count``, in the order of the folder.

    Fewer than ``count`` where the folder holds fewer. Raises AppError when the folder cannot
    serve the method.
    """
    if method not in METHODS:
        raise AppError(f"The method must be one of {', '.join(METHODS)}, not {method!r}.")
    if count < 1:
        raise AppError(f"At least one member is needed, not {count}.")
    if not folder.usable:
        why = next((f": {m.path.name}: {m.refused}" for m in folder.members), "")
        raise AppError(f"{folder.name} holds no usable member{why}.")
    return tuple(METHODS[method].choose(folder, count))


def available(folder: EnsembleFolder) -> dict[str, str]:
    """Name of every method → "" or the reason why the folder cannot serve it."""
    return {name: _why_not(folder, name) for name in METHODS}


def _why_not(folder: EnsembleFolder, method: str) -> str:
    try:
        choose_members(folder, method, 1)
    except AppError as reason:
        return str(reason)
    return ""


def _multi(folder: EnsembleFolder, count: int) -> Sequence[Member]:
    """The latest count/M of each cycle, fold and training; without cycles all members (Eq. 2)."""
    members = folder.usable_members
    if not _has_cycles(members):
        return members
    places: dict[tuple[int, str, str], list[int]] = {}
    for index, member in enumerate(members):
        cycle = -1 if member.cycle is None else member.cycle
        places.setdefault((cycle, member.training, member.fold), []).append(index)
    # Later cycles come last, so that the remainder goes to them whatever the training.
    groups = [places[place] for place in sorted(places)]
    if len(_origins(members)) > 1:
        groups = groups[-count:]  # one of each, lest few members be all of one training
    return [members[index] for index in select_latest(dict(enumerate(groups)), count)]


def _single(folder: EnsembleFolder, count: int) -> Sequence[Member]:
    """The latest of the last cycle of one training."""
    members = _of_cycles(folder, "the members of the last cycle")
    last = max(member.cycle for member in members if member.cycle is not None)
    return [member for member in members if member.cycle == last][-count:]


def _snapshot(folder: EnsembleFolder, count: int) -> Sequence[Member]:
    """The last of every cycle of one training with cosine restarts."""
    members = _of_cycles(folder, "the last member of every cycle")
    if folder.record is None or folder.record.schedule.shape != "cosine":
        raise AppError(
            "Snapshot ensembles need a training with cosine restarts (bayes-nnunet train "
            "--schedule cosine), and this one has other rates; multi averages its cycles."
        )
    return list({member.cycle: member for member in members}.values())[-count:]


def _of_cycles(folder: EnsembleFolder, taken: str) -> Sequence[Member]:
    """The members of the folder, which must be one training in cycles."""
    members = folder.usable_members
    if not _has_cycles(members):
        raise AppError(
            f"This method takes {taken}, and this folder ({folder.kind}) has no cycles; multi "
            "averages all its members."
        )
    origins = _origins(members)
    if len(origins) > 1:
        raise AppError(
            f"This method takes {taken} of one training, and this {folder.kind} is made of "
            f"{len(origins)} trainings; choose the folder of one of them, or multi."
        )
    return members


def _vanilla(folder: EnsembleFolder, count: int) -> Sequence[Member]:
    """The last epoch; of several trainings or folds that of the first."""
    return list(_last_of_each(folder.usable_members).values())[:1]


def _mc_dropout(folder: EnsembleFolder, count: int) -> Sequence[Member]:
    """The last epoch, as often as asked for."""
    if not _drops_out(folder):
        raise AppError(
            "MC-Dropout needs a network that was trained with dropout (bayes-nnunet train "
            "--dropout 0.1), and this one was not."
        )
    return list(_vanilla(folder, 1)) * count


def _deep_ensemble(folder: EnsembleFolder, count: int) -> Sequence[Member]:
    """The last epoch of every training."""
    of_training: dict[str, Member] = {}
    for (training, _), member in _last_of_each(folder.usable_members).items():
        of_training.setdefault(training, member)
    if len(of_training) < 2:
        raise AppError(
            "A deep ensemble is made of several trainings, and this folder holds one; choose a "
            "folder with several side by side."
        )
    return list(of_training.values())[:count]


def _cross_validation(folder: EnsembleFolder, count: int) -> Sequence[Member]:
    """The last epoch of every fold of the first training."""
    last = _last_of_each(folder.usable_members)
    first = next(iter(last))[0]
    folds = [member for (training, _), member in last.items() if training == first]
    if len(folds) < 2:
        raise AppError(
            "A cross-validation ensemble is made of several folds, and this training has one; "
            "train further folds (bayes-nnunet train --fold 1) into the same folder."
        )
    return folds[:count]


def _last_of_each(members: Sequence[Member]) -> dict[tuple[str, str], Member]:
    """Training and fold → its last member."""
    return {(member.training, member.fold): member for member in members}


def _drops_out(folder: EnsembleFolder) -> bool:
    settings = folder.plans.get("configurations", {}).get(folder.configuration, {})
    arguments = settings.get("architecture", {}).get("arch_kwargs", {})
    chance = (arguments.get("dropout_op_kwargs") or {}).get("p", 0)
    return bool(arguments.get("dropout_op")) and chance > 0


def _origins(members: Sequence[Member]) -> set[tuple[str, str]]:
    """The trainings they come from; every fold is one."""
    return {(member.training, member.fold) for member in members}


def _has_cycles(members: Sequence[Member]) -> bool:
    return any(member.cycle is not None for member in members)


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            name="multi",
            title="All cycles",
            help="Averages the latest members of every cycle, an equal share of each (multi-modal "
            "in the paper): the best calibrated. Folders without cycles average all their members.",
            choose=_multi,
        ),
        Method(
            name="single",
            title="Last cycle",
            help="Averages the latest members of the last cycle (single-modal in the paper).",
            choose=_single,
        ),
        Method(
            name="vanilla",
            title="One network",
            help="The weights of the last epoch alone, as nnU-Net does it; of several folds or "
            "trainings those of the first. The fastest, and too sure of itself.",
            choose=_vanilla,
            averages=False,
        ),
        Method(
            name="temperature",
            title="Softened",
            help="The weights of the last epoch alone, its probabilities made less sure of "
            "themselves by a temperature of 1.5 as in the paper, or another: the labels stay.",
            choose=_vanilla,
            averages=False,
            temperature=1.5,
        ),
        Method(
            name="swa",
            title="Mean weights",
            help="One network with the mean of the weights of the last cycle's members "
            "(stochastic weight averaging).",
            choose=_single,
            combine="weights",
        ),
        Method(
            name="mc-dropout",
            title="Dropout",
            help="The weights of the last epoch look at the image again and again, each time with "
            "other channels left out (Monte Carlo dropout).",
            choose=_mc_dropout,
            combine="dropout",
        ),
        Method(
            name="deep-ensemble",
            title="Trainings",
            help="Averages the last epochs of trainings that differ in their seed (deep ensemble).",
            choose=_deep_ensemble,
        ),
        Method(
            name="cross-validation",
            title="Folds",
            help="Averages the last epochs of the folds of a cross-validation, as nnU-Net does it.",
            choose=_cross_validation,
        ),
        Method(
            name="snapshot",
            title="Snapshots",
            help="Averages the last epoch of every cycle of a training with cosine restarts "
            "(snapshot ensemble).",
            choose=_snapshot,
        ),
    )
}
