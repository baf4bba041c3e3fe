"""Segment an image with an ensemble: labels, uncertainty, volumes and how far the models agree."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..core.cardiac import Spread, canonical_structure, end_diastole_and_systole, spread, volumes_ml
from ..core.posterior import RunningPosterior, most_probable
from ..io.ensemble_folder import EnsembleFolder, Member, find_ensemble
from . import AppError
from .case_scores import validation_warnings
from .inspection import why_refused
from .methods import METHODS, choose_members
from .tally import Tally, to_numpy

if TYPE_CHECKING:
    from ..nnunet.inference import Prepared
    from ..nnunet.weights import StateDict

Image = NDArray[Any]
Spacing = tuple[float, float, float]
Mirroring = Literal["full", "none"]


@dataclass(frozen=True)
class Snapshot:
    """The posterior after ``done`` of ``total`` members, valid until the next step."""

    done: int
    total: int
    eta_seconds: float
    tally: Tally

    @property
    def labels(self) -> NDArray[np.uint8]:
        """(Z, Y, X) most probable label."""
        return self.tally.measure(RunningPosterior.labels)

    @property
    def entropy(self) -> NDArray[np.float32]:
        """(Z, Y, X) predictive entropy, 0 … log2 C bit (Eq. 3)."""
        return self.tally.measure(RunningPosterior.total_entropy)

    @property
    def mutual_information(self) -> NDArray[np.float32]:
        """(Z, Y, X) the part of the entropy the members disagree on, bit."""
        return self.tally.measure(RunningPosterior.mutual_information)


@dataclass(frozen=True, kw_only=True)
class Segmentation:
    """What an ensemble says of one 3D image, and how it was asked.

    ``probabilities`` (C, Z, Y, X) float32 is the mean over the members (Eq. 2), ``entropy`` and
    ``mutual_information`` (Z, Y, X) are in bit. Per structure: ``volumes`` in mL of the labels,
    ``volume_spread`` in mL over the members, ``pairwise_dice`` between the members (NaN for one).
    ``member_labels`` (n, Z, Y, X) are those of each of the ``members``, where they were kept.
    """

    labels: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    entropy: NDArray[np.float32]
    mutual_information: NDArray[np.float32]
    volumes: dict[str, float]
    volume_spread: dict[str, Spread]
    pairwise_dice: dict[str, float]
    ensemble: str
    ensemble_kind: str
    method: str
    members: tuple[Member, ...]
    mirroring: str
    device: str
    seconds: float
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    member_labels: NDArray[np.uint8] | None = None

    def report(self) -> dict[str, Any]:
        """The content of ``<case>.json``; a number that does not exist is null."""
        volumes = {
            name: {"ensemble": ml, **asdict(self.volume_spread[name])}
            for name, ml in self.volumes.items()
        }
        report = {
            "ensemble": self.ensemble,
            "ensemble_kind": self.ensemble_kind,
            "method": self.method,
            "member_epochs": [member.epoch for member in self.members],
            "members": [
                {"training": m.training, "fold": m.fold, "cycle": m.cycle, "epoch": m.epoch}
                for m in self.members
            ],
            "mirroring": self.mirroring,
            "device": self.device,
            "seconds": round(self.seconds, 2),
            "volumes_ml": volumes,
            "pairwise_dice": self.pairwise_dice,
            "warnings": list(self.warnings),
            "notes": list(self.notes),
        }
        return dict(_without_nan(report))


class Ensemble:
    """An ensemble folder ready to segment on a device.

    Every member is read and checked once; those that do not fit are refused in ``folder``.
    ``notify`` is told in one sentence when memory was short. Raises DataError, ModelError or
    AppError with one sentence.
    """

    def __init__(
        self,
        folder: EnsembleFolder | Path | str,
        *,
        device: str = "auto",
        notify: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        from ..nnunet.device import choose_device
        from ..nnunet.inference import Predictor

        found = folder if isinstance(folder, EnsembleFolder) else find_ensemble(Path(folder))
        self._notes: list[str] = []
        self._notify = notify
        self._predictor = Predictor(
            found.plans,
            found.dataset_json,
            found.configuration,
            device=choose_device(device),
            notify=self._note,
        )
        self.folder = found.refusing(why_refused(found))
        self._opened: dict[Path, tuple[StateDict, tuple[int, ...] | None]] = {}

    @property
    def device(self) -> str:
        """Name of the device it computes on now."""
        return str(self._predictor.network.device)

    @property
    def structures(self) -> dict[str, int]:
        """Label of every structure, without background and ignored voxels."""
        return {name: label for name, label in self.folder.labels.items() if label != 0}

    def segment(
        self,
        image: Image,
        spacing: Spacing,
        *,
        method: str = "multi",
        members: int = 30,
        mirroring: Mirroring = "full",
    ) -> Segmentation:
        """Segment ``image`` (Z, Y, X) or (channels, Z, Y, X) with ``spacing`` (z, y, x) in mm."""
        steps = self.steps(image, spacing, method=method, members=members, mirroring=mirroring)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]

    def steps(
        self,
        image: Image,
        spacing: Spacing,
        *,
        method: str = "multi",
        members: int = 30,
        mirroring: Mirroring = "full",
        keep_members: bool = False,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Generator[Snapshot, None, Segmentation]:
        """Like ``segment``, yielding the posterior after every member.

        ``keep_members``: the result has the labels of every member, a byte per member and voxel
        (24 MB for 30 members of 12 x 256 x 256 voxels); without it memory does not grow with them.
        """
        chosen = choose_members(self.folder, method, members)
        refused = [member.path.name for member in self.folder.members if not member.usable]
        self._notes = [f"Refused members: {', '.join(refused)}."] if refused else []
        started = perf_counter()
        self._predictor.start_over()
        tally = Tally(
            structures=self.structures,
            spacing=spacing,
            step_down=self._predictor.step_down,
            keep_members=keep_members,
        )
        probabilities = self.member_probabilities(
            image, spacing, interleaved(chosen), mirroring=mirroring, should_stop=should_stop
        )
        for done, member_probabilities in enumerate(probabilities, start=1):
            tally.add(member_probabilities)
            elapsed = perf_counter() - started
            eta = elapsed / done * (len(chosen) - done)
            yield Snapshot(done, len(chosen), eta, tally)
        if len(chosen) < members and METHODS[method].averages:
            self._notes.append(
                f"{len(chosen)} members were used: the method finds no more in this folder."
            )
        elif len(chosen) > members:
            self._notes.append(
                f"All {len(chosen)} members were used: there are no cycles to choose by."
            )
        return self._result(tally, chosen, method, mirroring, perf_counter() - started)

    def member_probabilities(
        self,
        image: Image,
        spacing: Spacing,
        members: Sequence[Member],
        *,
        mirroring: Mirroring = "full",
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[Any]:
        """Softmax (C, Z, Y, X) float32 of one member after the other, tensors on the device."""
        prepared = self._prepare(image, spacing)
        for member in members:
            yield self._probabilities(member, prepared, mirroring, should_stop)

    def find_phases(
        self, cine: Image, spacing: Spacing, *, should_stop: Callable[[], bool] = lambda: False
    ) -> tuple[int, int]:
        """End-diastole and end-systole of (channels, T, Z, Y, X), phases from 1.

        The largest and the smallest LV volume that the last member finds, without mirrors. Raises
        AppError where the ensemble knows no LV or finds none.
        """
        lv = next((v for n, v in self.structures.items() if canonical_structure(n) == "LV"), None)
        if lv is None:
            raise AppError("ED and ES are found by the LV, which this ensemble does not segment.")
        member = choose_members(self.folder, "vanilla", 1)[0]
        volumes = []
        for phase in range(cine.shape[1]):
            (probabilities,) = self.member_probabilities(
                cine[:, phase], spacing, [member], mirroring="none", should_stop=should_stop
            )
            labels = to_numpy(most_probable(probabilities))
            volumes.append(volumes_ml(labels, spacing, {"LV": lv})["LV"])
        try:
            return end_diastole_and_systole(volumes)
        except ValueError as error:
            raise AppError(f"ED and ES were not found; name the phases instead. {error}") from error

    def _prepare(self, image: Image, spacing: Spacing) -> Prepared:
        channels = image[None] if image.ndim == 3 else image
        if channels.ndim != 4 or 0 in channels.shape or channels.dtype.kind not in "buif":
            raise AppError(
                "Expected a (Z, Y, X) image of real numbers, found shape "
                f"{image.shape} of {image.dtype}."
            )
        if not np.isfinite(channels).all():
            raise AppError("The image holds NaN or infinite voxels; they cannot be segmented.")
        if len(spacing) != 3 or not all(math.isfinite(s) and s > 0 for s in spacing):
            raise AppError(f"The spacing must be three positive lengths in mm, not {spacing}.")
        if not channels.any():
            raise AppError("The image is empty: all its voxels are 0.")
        return self._predictor.prepare(channels, spacing)

    def _probabilities(
        self,
        member: Member,
        prepared: Prepared,
        mirroring: Mirroring,
        should_stop: Callable[[], bool],
    ) -> Any:
        from ..nnunet.inference import mirrors_of

        weights, axes = self._open(member)
        mirrors = mirrors_of(mirroring, axes)
        return self._predictor.probabilities(
            prepared, weights, mirrors=mirrors, should_stop=should_stop
        )

    def _open(self, member: Member) -> tuple[StateDict, tuple[int, ...] | None]:
        from ..nnunet.weights import read_checkpoint

        if member.path not in self._opened:
            checkpoint = read_checkpoint(member.path)
            axes = checkpoint.get("inference_allowed_mirroring_axes")
            self._opened[member.path] = (
                checkpoint["network_weights"],
                tuple(axes) if axes else None,
            )
        return self._opened[member.path]

    def _note(self, sentence: str) -> None:
        self._notes.append(sentence)
        self._notify(sentence)

    def _result(
        self, tally: Tally, chosen: tuple[Member, ...], method: str, mirroring: str, seconds: float
    ) -> Segmentation:
        labels = tally.measure(RunningPosterior.labels)
        volumes = volumes_ml(labels, tally.spacing, self.structures)
        spreads = {name: spread(values) for name, values in tally.volumes.items()}
        agreement = tally.agreement.mean()
        return Segmentation(
            labels=labels,
            probabilities=tally.measure(RunningPosterior.mean),
            entropy=tally.measure(RunningPosterior.total_entropy),
            mutual_information=tally.measure(RunningPosterior.mutual_information),
            volumes=volumes,
            volume_spread=spreads,
            pairwise_dice=agreement,
            ensemble=self.folder.name,
            ensemble_kind=self.folder.kind,
            method=method,
            members=chosen,
            mirroring=mirroring,
            device=self.device,
            seconds=seconds,
            warnings=validation_warnings(self.folder, volumes, spreads, agreement),
            notes=tuple(self._notes),
            member_labels=_in_order_of(chosen, tally.member_labels),
        )


def interleaved(members: tuple[Member, ...]) -> list[Member]:
    """The members in an order that visits all modes early: the last of each cycle first."""
    seen: dict[tuple[str, str, int | None], int] = {}
    ranks = []
    for member in reversed(members):
        mode = (member.training, member.fold, member.cycle)
        seen[mode] = seen.get(mode, 0) + 1
        ranks.append((seen[mode], member))
    return [member for _, member in sorted(ranks, key=lambda pair: pair[0])]


def _in_order_of(
    chosen: tuple[Member, ...], labels: list[NDArray[np.uint8]]
) -> NDArray[np.uint8] | None:
    """(n, Z, Y, X) labels of the members as they are listed; they came in another order."""
    if not labels:
        return None
    order = interleaved(chosen)
    return np.stack([labels[order.index(member)] for member in chosen])


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
