"""The way of a training through the space of weights: maps of it, and distances as numbers.

Fig. 2 of Zhao et al., MICCAI 2022. Epochs and cycles count from 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...core.ensemble.schedule import RestartSchedule
from ...core.ensemble.weight_space import (
    Modes,
    Spreading,
    modes,
    pairwise_distances,
    spreading,
    steps,
)
from ...io.ensemble.run_folder import RunFolder, TrainingRecord, read_record
from ...io.ensemble.trajectory import Trajectory, read_trajectory
from .. import AppError
from ..messages import EpochDone
from ..training.progress import progress_of
from ..training.progress_file import messages_in, unreachable


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerDistances:
    """How far apart the E epochs of a layer of ``weights`` numbers lie, in the unit of these.

    ``distances`` (E, E); ``steps`` (E,) to the epoch before, NaN where that is not there; ``step``
    is their mean, ``restart`` that of the first epochs of cycles, which are not in the former.
    ``norm`` is the members' mean norm, of all epochs where there are no members. ``modes`` and
    ``spreading`` are of the members; ``control`` are the modes that the same epochs of a training
    without restarts form, where there is one.
    """

    name: str
    weights: int
    norm: float
    distances: NDArray[np.float64]
    steps: NDArray[np.float64]
    step: float
    restart: float
    modes: Modes
    spreading: Spreading
    control: Modes | None = None

    def relative(self, distance: float) -> float:
        """A distance in norms of the layer's weights."""
        return distance / self.norm if self.norm > 0 else math.nan


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerMaps:
    """Fig. 2 for one layer: (a) all ``epochs``, (b) the ``members``; None where there are too few.

    ``epochs`` is None too where only members were kept.
    """

    epochs: WeightMap | None
    members: WeightMap | None


@dataclass(frozen=True, kw_only=True, eq=False)
class TrajectoryAnalysis:
    """What the weights of a training did. ``epochs`` (E,) are those whose weights are known.

    ``is_member`` (E,) says which became members; ``is_whole`` whether epochs between them are
    known too. ``layers`` are all, in the network's order; ``maps`` those asked for, in this order.
    ``reports`` are the finished epochs in progress.jsonl, of the fold.
    """

    name: str
    fold: str
    schedule: RestartSchedule
    epochs: NDArray[np.int64]
    is_member: NDArray[np.bool_]
    is_whole: bool
    layers: tuple[LayerDistances, ...]
    maps: Mapping[str, LayerMaps]
    reports: tuple[EpochDone, ...]

    @property
    def cycles(self) -> NDArray[np.int64]:
        """(E,) cycle of every epoch."""
        return self.epochs // self.schedule.cycle_length

    @property
    def members(self) -> NDArray[np.int64]:
        """(n,) epochs that became members."""
        return self.epochs[self.is_member]

    @property
    def first(self) -> LayerDistances:
        """The layer that was asked for first."""
        return self.layer(next(iter(self.maps)))

    def layer(self, name: str) -> LayerDistances:
        """The layer of this name."""
        return next(layer for layer in self.layers if layer.name == name)


def analyse(run: Path, *, fold: str = "0", layers: Sequence[str] = ()) -> TrajectoryAnalysis:
    """Look at the weights that the training ``run`` kept: of every epoch, else of its members.

    ``layers`` are to be drawn, a part of a name is enough; by default the last of the decoder, as
    in the paper. Raises AppError, DataError or ModelError in one sentence where there is no such
    training, fold or layer, where fewer than five epochs are known, or a file is damaged.
    """
    folder = RunFolder(run)
    record = _record(folder, fold)
    trajectory = _known_weights(folder, record, fold)
    names = chosen_layers(list(trajectory.layers), layers)
    if len(trajectory.epochs) < FEWEST_EPOCHS:
        raise AppError(
            f"{len(trajectory.epochs)} epochs of {folder.fold(fold)} are known, and a t-SNE needs "
            f"at least {FEWEST_EPOCHS}: train longer, or with "
            "--keep-trajectory, which keeps every epoch."
        )
    members = [member.epoch for member in record.members(fold)]
    is_member = np.isin(trajectory.epochs, members)
    length = record.schedule.cycle_length
    return TrajectoryAnalysis(
        name=record.name or run.resolve().name,
        fold=fold,
        schedule=record.schedule_of(fold),
        epochs=trajectory.epochs,
        is_member=is_member,
        is_whole=not is_member.all(),
        layers=tuple(
            _layer(name, weights, trajectory.epochs, is_member, length)
            for name, weights in trajectory.layers.items()
        ),
        maps={
            name: _maps(trajectory.layers[name], is_member, trajectory.epochs // length)
            for name in names
        },
        reports=_reports(folder, fold),
    )


def chosen_layers(kept: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The layers that ``wanted`` names, or parts of names; the decoder's last where it is empty.

    Raises AppError for a part that fits none or several, with the names that were kept.
    """
    if not wanted:
        return [([n for n in kept if n.startswith("decoder.stages")] or list(kept))[-1]]
    found = [_chosen(kept, part) for part in wanted]
    return list(dict.fromkeys(found))


def _chosen(kept: Sequence[str], part: str) -> str:
    fits = [name for name in kept if name == part] or [name for name in kept if part in name]
    if len(fits) == 1:
        return fits[0]
    which = f"{len(fits)} layers are called like" if fits else "No layer is called like"
    raise AppError(f"{which} {part!r}; {', '.join(fits or kept)} are to choose from.")


def _record(folder: RunFolder, fold: str) -> TrainingRecord:
    if not folder.record.is_file():
        raise AppError(
            f"{folder.path} is no training: expected the --output of bayes-nnunet train with its "
            f"{folder.record.name}, found {'no such file' if folder.path.is_dir() else 'nothing'}."
        )
    record = read_record(folder.record)
    if fold not in record.folds:
        raise AppError(f"{folder.path} has no fold {fold}; it has {', '.join(record.folds)}.")
    return record


def _known_weights(folder: RunFolder, record: TrainingRecord, fold: str) -> Trajectory:
    """Of every epoch where they were kept, else of the members."""
    kept = folder.trajectory(fold)
    if any(kept.glob("epoch_*.npz")):
        return read_trajectory(kept)
    members = record.members(fold)
    if not members:
        raise AppError(
            f"{folder.fold(fold)} has no members and no trajectory: train on until the first "
            "member, or anew with --keep-trajectory."
        )
    from ...nnunet.weights import read_checkpoint, trajectory_layers

    layers = [
        trajectory_layers(read_checkpoint(folder.path / member.file)["network_weights"])
        for member in members
    ]
    return Trajectory(
        epochs=np.array([member.epoch for member in members]),
        layers={name: np.stack([of[name].ravel() for of in layers]) for name in layers[0]},
    )


def _layer(
    name: str,
    weights: NDArray[np.float32],
    epochs: NDArray[np.int64],
    is_member: NDArray[np.bool_],
    cycle_length: int,
) -> LayerDistances:
    distances = pairwise_distances(weights)
    of_members = distances[np.ix_(is_member, is_member)]
    members = epochs[is_member]
    cycles = members // cycle_length
    norms = np.linalg.norm(weights[is_member] if is_member.any() else weights, axis=1)
    of_epochs = steps(distances, epochs)
    starts = epochs % cycle_length == 0
    return LayerDistances(
        name=name,
        weights=weights.shape[1],
        norm=float(norms.mean(dtype=np.float64)),
        distances=distances,
        steps=of_epochs,
        step=_mean(of_epochs[~starts]),
        restart=_mean(of_epochs[starts]),
        modes=modes(of_members, cycles),
        spreading=spreading(of_members, members, cycles),
    )


def _mean(values: NDArray[np.float64]) -> float:
    """Of those that are numbers."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan


def _maps(
    weights: NDArray[np.float32], is_member: NDArray[np.bool_], cycles: NDArray[np.int64]
) -> LayerMaps:
    enough = np.count_nonzero(is_member) >= FEWEST_EPOCHS
    return LayerMaps(
        epochs=None if is_member.all() else t_sne(weights, cycles),
        members=t_sne(weights[is_member], cycles[is_member]) if enough else None,
    )


def _reports(folder: RunFolder, fold: str) -> tuple[EpochDone, ...]:
    try:
        lines = folder.progress.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise unreachable(folder.path, error) from error
    return progress_of(messages_in(lines)).reports_of.get(fold, ())


def with_control(
    analysis: TrajectoryAnalysis, run: Path, *, fold: str | None = None
) -> TrajectoryAnalysis:
    """Add the modes that the members' epochs of another training ``run`` form, layer by layer.

    It should differ in its rates alone (train --schedule poly --keep-trajectory), and ``fold`` is
    that of the analysis unless another is named. Raises AppError where it has restarts, or lacks
    such epochs or layers, DataError where it kept none.
    """
    _check_never_restarted(run)
    control = read_trajectory(RunFolder(run).trajectory(fold or analysis.fold))
    missing = np.setdiff1d(analysis.members, control.epochs)
    if len(missing):
        raise AppError(f"{run} has kept no epoch {missing[0]}, which is a member here: train on.")
    places = np.searchsorted(control.epochs, analysis.members)
    cycles = analysis.cycles[analysis.is_member]
    layers = []
    for layer in analysis.layers:
        weights = control.layers.get(layer.name)
        if weights is None or weights.shape[1] != layer.weights:
            raise AppError(f"{run} is of another network: its {layer.name} is not the same.")
        found = modes(pairwise_distances(weights[places]), cycles)
        layers.append(replace(layer, control=found))
    return replace(analysis, layers=tuple(layers))


def _check_never_restarted(run: Path) -> None:
    record = RunFolder(run).record
    if not record.exists():
        raise AppError(f"{run} is no training: expected the --output of bayes-nnunet train.")
    schedule = read_record(record).schedule
    if schedule.shape != "poly" and schedule.all_cycles > 1:
        raise AppError(
            f"{run} was trained with restarts and shows nothing about a training without: choose "
            "one of --schedule poly."
        )


FEWEST_EPOCHS: Final = 5
"""Sets of weights below which a t-SNE shows nothing."""
PERPLEXITY: Final = 15.0
"""Neighbours that each epoch of a t-SNE is kept near to, at most: a part of a cycle."""
SEED: Final = 2022


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightMap:
    """t-SNE of n sets of weights: ``places`` (n, 2), which have no unit, at a ``perplexity``."""

    places: NDArray[np.float64]
    perplexity: float


def t_sne(weights: NDArray[np.float32], cycles: NDArray[np.int64]) -> WeightMap:
    """Map n (n, P) sets of weights of (n,) cycles, the same way each time.

    n is at least ``FEWEST_EPOCHS``.

    The perplexity is half as many as a cycle has, within limits: with more neighbours than there
    are of its own cycle, every cycle would shrink to a point.
    """
    from sklearn.manifold import TSNE

    of_cycle = len(weights) / len(np.unique(cycles))
    perplexity = min(PERPLEXITY, max(2.0, of_cycle / 2))
    machine = TSNE(init="pca", perplexity=perplexity, random_state=SEED)
    places = machine.fit_transform(weights)
    return WeightMap(places=places.astype(np.float64), perplexity=perplexity)
