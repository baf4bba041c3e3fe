"""The methods of the paper as choices of members; every other step is the same for all.

A method is one entry of ``METHODS``: its words for the window and a function that chooses. It
gets the folder and the number of members asked for, and raises AppError with the reason when the
folder cannot serve it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..core.schedule import latest_of_each
from ..io.ensemble_folder import EnsembleFolder, Member
from . import AppError

Choice = Callable[[EnsembleFolder, int], Sequence[Member]]

DEFAULT_METHOD = "multi"
DEFAULT_COUNT = 30
"""n of the paper."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way to choose members. ``title`` and ``help`` are for the window, in plain words.

    ``averages`` is False for a method that takes one member whatever the number asked for.
    """

    name: str
    title: str
    help: str
    choose: Choice
    averages: bool = True


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
    return [members[index] for index in latest_of_each(dict(enumerate(groups)), count)]


def _single(folder: EnsembleFolder, count: int) -> Sequence[Member]:
    """The latest of the last cycle of one training."""
    members = folder.usable_members
    if not _has_cycles(members):
        raise AppError(
            "The method single takes the members of the last cycle, and this folder "
            f"({folder.kind}) has no cycles; multi averages all its members."
        )
    origins = _origins(members)
    if len(origins) > 1:
        raise AppError(
            f"The method single takes one cycle of one training, and this {folder.kind} is made "
            f"of {len(origins)} trainings; choose the folder of one of them, or multi."
        )
    last = max(member.cycle for member in members if member.cycle is not None)
    return [member for member in members if member.cycle == last][-count:]


def _vanilla(folder: EnsembleFolder, count: int) -> Sequence[Member]:
    """The last epoch; of several trainings or folds that of the first."""
    members = folder.usable_members
    first = members[0]
    return [m for m in members if (m.training, m.fold) == (first.training, first.fold)][-1:]


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
    )
}
