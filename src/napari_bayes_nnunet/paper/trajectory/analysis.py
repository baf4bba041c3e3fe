"""Trajectory of a training in the space of weights: maps and distances.

Fig. 2 of Zhao et al., MICCAI 2022. Epochs and cycles count from 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...app import AppError
from ...app.messages import EpochDone
from ...app.training.progress import messages_in, progress_of, unreachable
from ...core.ensemble.schedule import RestartSchedule
from ...core.problems import change
from ...io.ensemble.run_folder import RunFolder, TrainingRecord, read_record
from ...io.ensemble.trajectory import Trajectory, read_trajectory
from ...io.files.given_path import resolve_links
from ...io.files.limits import read_small
from .weight_space import Modes, compare_modes, pairwise_distances, step_lengths

TOO_FEW_EPOCHS: Final = (
    "{folder} has the weights of {count} epochs, but a t-SNE needs at least {needed}. Train again."
)
NO_TRAINING: Final = (
    "{folder} is not the folder of a training, because {record} is missing. Choose another folder."
)
NO_FOLD: Final = "{folder} has no fold {fold}, only {folds}."
NO_WEIGHTS: Final = (
    "{folder} has neither members nor a trajectory. Continue the training until its first member."
)
MISSING_EPOCH: Final = (
    "{run} has no weights of epoch {epoch}, which is a member here. Continue that training."
)
OTHER_NETWORK: Final = (
    "{run} has another network, because its layer {layer} differs. Choose a run with the same "
    "network."
)
RESTARTED: Final = (
    "{run} was trained with restarts, so it is not a control. Choose a training without restarts."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerDistances:
    """Distances of the E epochs of a layer of ``weights`` numbers, in the unit of the weights.

    ``distances`` (E, E). ``steps`` (E,) are distances to the previous epoch, NaN if that is not
    known; ``restart`` is their mean for the first epochs of cycles, ``step`` for all other epochs.
    ``norm`` is the mean norm of the members, or of all epochs without members. ``modes``
    describe the members; ``control`` are the modes of the same epochs in a training without
    restarts, if one is given.
    """

    name: str
    weights: int
    norm: float
    distances: NDArray[np.float64]
    steps: NDArray[np.float64]
    step: float
    restart: float
    modes: Modes
    control: Modes | None = None

    def relative(self, distance: float) -> float:
        """Return a distance in norms of the layer's weights."""
        return distance / self.norm if self.norm > 0 else math.nan


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerMaps:
    """Fig. 2 of the drawn layer: (a) all ``epochs``, (b) the ``members``; None if too few.

    ``epochs`` is also None if only members were kept. ``control`` has the known epochs of the
    training in a training without restarts, None if it was not given or lacks one of them.
    """

    epochs: WeightMap | None
    members: WeightMap | None
    control: WeightMap | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class TrajectoryAnalysis:
    """Trajectory of a training. ``epochs`` (E,) are those whose weights are known.

    ``is_member`` (E,) marks members.
    ``layers`` are all layers, in the order of the network; ``maps`` are those of the layer
    ``drawn_name``. ``reports`` are the finished epochs of the fold in progress.jsonl.
    """

    name: str
    fold: str
    schedule: RestartSchedule
    epochs: NDArray[np.int64]
    is_member: NDArray[np.bool_]
    layers: tuple[LayerDistances, ...]
    drawn_name: str
    maps: LayerMaps
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
    def drawn(self) -> LayerDistances:
        """The layer of the maps."""
        return next(layer for layer in self.layers if layer.name == self.drawn_name)


def analyse_trajectory(run: Path, *, fold: str = "0") -> TrajectoryAnalysis:
    """Analyse the weights that the training ``run`` kept: those of every epoch, or of its members.

    The last layer of the decoder is drawn, as in the paper. Raises AppError, DataError or
    ModelError if the training or the fold does not exist, fewer than five epochs are known, or a
    file is damaged.
    """
    folder = RunFolder(run)
    record = _record(folder, fold)
    trajectory = _read_weights(folder, record, fold)
    names = list(trajectory.layers)
    drawn = ([n for n in names if n.startswith("decoder.stages")] or names)[-1]
    members = [member.epoch for member in record.members(fold)]
    is_member = np.isin(trajectory.epochs, members)
    if len(trajectory.epochs) < FEWEST_EPOCHS:
        longer = change("epochs", f"{FEWEST_EPOCHS} or more")
        raise AppError(
            TOO_FEW_EPOCHS,
            change("keep_trajectory") if is_member.all() else longer,
            folder=folder.fold(fold),
            count=len(trajectory.epochs),
            needed=FEWEST_EPOCHS,
        )
    length = record.schedule.cycle_length
    weights, cycles = trajectory.layers[drawn], trajectory.epochs // length
    has_map = np.count_nonzero(is_member) >= FEWEST_EPOCHS
    return TrajectoryAnalysis(
        name=record.name or resolve_links(run).name,
        fold=fold,
        schedule=record.schedule_of(fold),
        epochs=trajectory.epochs,
        is_member=is_member,
        layers=tuple(
            _layer(name, of_layer, trajectory.epochs, is_member, length)
            for name, of_layer in trajectory.layers.items()
        ),
        drawn_name=drawn,
        maps=LayerMaps(
            epochs=None if is_member.all() else map_weights(weights, cycles),
            members=map_weights(weights[is_member], cycles[is_member]) if has_map else None,
        ),
        reports=_reports(folder, fold),
    )


def _record(folder: RunFolder, fold: str) -> TrainingRecord:
    if not folder.record.is_file():
        raise AppError(NO_TRAINING, folder=folder.path, record=folder.record.name)
    record = read_record(folder.record)
    if fold not in record.folds:
        raise AppError(
            NO_FOLD,
            change("fold"),
            folder=folder.path,
            fold=fold,
            folds=", ".join(record.folds),
        )
    return record


def _read_weights(folder: RunFolder, record: TrainingRecord, fold: str) -> Trajectory:
    """Return the weights of every epoch if they were kept, else those of the members."""
    kept = folder.trajectory(fold)
    if any(kept.glob("epoch_*.npz")):
        return read_trajectory(kept)
    members = record.members(fold)
    if not members:
        raise AppError(NO_WEIGHTS, folder=folder.fold(fold))
    from ...nnunet.weights import read_checkpoint, trajectory_layers

    layers = [
        trajectory_layers(read_checkpoint(folder.path / member.file)["network_weights"])
        for member in members
    ]
    return Trajectory(
        epochs=np.array([member.epoch for member in members]),
        layers={name: np.stack([w[name].ravel() for w in layers]) for name in layers[0]},
    )


def _layer(
    name: str,
    weights: NDArray[np.float32],
    epochs: NDArray[np.int64],
    is_member: NDArray[np.bool_],
    cycle_length: int,
) -> LayerDistances:
    distances = pairwise_distances(weights)
    member_distances = distances[np.ix_(is_member, is_member)]
    norms = np.linalg.norm(weights[is_member] if is_member.any() else weights, axis=1)
    lengths = step_lengths(distances, epochs)
    starts = epochs % cycle_length == 0
    return LayerDistances(
        name=name,
        weights=weights.shape[1],
        norm=float(norms.mean(dtype=np.float64)),
        distances=distances,
        steps=lengths,
        step=_mean(lengths[~starts]),
        restart=_mean(lengths[starts]),
        modes=compare_modes(member_distances, epochs[is_member] // cycle_length),
    )


def _mean(values: NDArray[np.float64]) -> float:
    """Return the mean of the finite values, NaN if there is none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else math.nan


def _reports(folder: RunFolder, fold: str) -> tuple[EpochDone, ...]:
    try:
        lines = read_small(folder.progress)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise unreachable(folder.path, error) from error
    return progress_of(messages_in(lines)).reports_of.get(fold, ())


def with_control(analysis: TrajectoryAnalysis, run: Path) -> TrajectoryAnalysis:
    """Return the analysis with map and modes of the same epochs in another training, the control.

    The training ``run`` should differ only in its learning rates (train --schedule poly
    --keep-trajectory). Raises AppError if the run has restarts or lacks an epoch or a layer,
    DataError if it kept no trajectory.
    """
    _check_never_restarted(run)
    control = read_trajectory(RunFolder(run).trajectory(analysis.fold))
    missing = np.setdiff1d(analysis.members, control.epochs)
    if len(missing):
        raise AppError(MISSING_EPOCH, run=run, epoch=int(missing[0]))
    # Epochs are in the order of the training, so a search finds their rows.
    rows = np.searchsorted(control.epochs, analysis.members)
    cycles = analysis.cycles[analysis.is_member]
    layers = []
    for layer in analysis.layers:
        weights = control.layers.get(layer.name)
        if weights is None or weights.shape[1] != layer.weights:
            raise AppError(OTHER_NETWORK, run=run, layer=layer.name)
        control_modes = compare_modes(pairwise_distances(weights[rows]), cycles)
        layers.append(replace(layer, control=control_modes))
    maps = replace(analysis.maps, control=_map_same_epochs(control, analysis))
    return replace(analysis, layers=tuple(layers), maps=maps)


def _map_same_epochs(control: Trajectory, analysis: TrajectoryAnalysis) -> WeightMap | None:
    """Return the map of the epochs of ``analysis`` in another training, if it has all of them."""
    if not np.isin(analysis.epochs, control.epochs).all():
        return None
    rows = np.searchsorted(control.epochs, analysis.epochs)
    return map_weights(control.layers[analysis.drawn_name][rows], analysis.cycles)


def _check_never_restarted(run: Path) -> None:
    record = RunFolder(run).record
    if not record.exists():
        raise AppError(NO_TRAINING, folder=run, record=record.name)
    schedule = read_record(record).schedule
    if schedule.shape != "poly" and schedule.all_cycles > 1:
        raise AppError(RESTARTED, run=run)


FEWEST_EPOCHS: Final = 5
"""Number of weight sets below which a t-SNE shows nothing."""
PERPLEXITY: Final = 15.0
"""Largest perplexity: each epoch keeps about as many neighbours, a part of a cycle."""
SEED: Final = 2022


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightMap:
    """t-SNE of n sets of weights: ``points`` (n, 2), without unit, for a ``perplexity``."""

    points: NDArray[np.float64]
    perplexity: float


def map_weights(weights: NDArray[np.float32], cycles: NDArray[np.int64]) -> WeightMap:
    """Return the t-SNE of (n, P) sets of weights of (n,) cycles; reproducible.

    n is at least ``FEWEST_EPOCHS``. The perplexity is half the number of sets a cycle, within
    limits: with more neighbours than a cycle has, every cycle would shrink to a point.
    """
    from sklearn.manifold import TSNE

    per_cycle = len(weights) / len(np.unique(cycles))
    perplexity = min(PERPLEXITY, max(2.0, per_cycle / 2))
    # From the principal components, so that the lie of the cycles does not depend on chance.
    tsne = TSNE(init="pca", perplexity=perplexity, random_state=SEED)
    points = tsne.fit_transform(weights)
    return WeightMap(points=points.astype(np.float64), perplexity=perplexity)
