"""Segment an image with an ensemble: labels, uncertainty, volumes and how far the models agree."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.cardiac import canonical_structure, end_diastole_and_systole, spread, volumes_ml
from ..core.posterior import RunningPosterior, most_probable
from ..core.stability import Stability
from ..io.ensemble_folder import EnsembleFolder, Member, find_ensemble
from . import AppError
from .case_scores import validation_warnings
from .inspection import why_refused
from .kept_answers import Files, KeptAnswers, files_of, image_digest, question
from .methods import METHODS, Method, choose_members
from .passes import Mirroring, Pass, interleaved, look_after, passes_of
from .segmentation import Segmentation, Snapshot
from .tally import Tally, to_numpy

if TYPE_CHECKING:
    from ..nnunet.inference import Prepared
    from ..nnunet.weights import StateDict

Image = NDArray[Any]
Spacing = tuple[float, float, float]


class _Opened(NamedTuple):
    """The mean of some members' weights, the axes they may be mirrored along, and their files."""

    weights: StateDict
    axes: tuple[int, ...] | None
    files: Files


class _Pace:
    """How long the passes take; those that were kept, in no time, do not count."""

    def __init__(self) -> None:
        self._last = perf_counter()
        self._seconds: list[float] = []

    def seconds_for(self, passes: int) -> float:
        """Another pass is done: the time that so many more will take."""
        now = perf_counter()
        self._seconds.append(now - self._last)
        self._last = now
        computed = [taken for taken in self._seconds if taken > max(self._seconds) / 4]
        return passes * sum(computed) / max(1, len(computed))


class Ensemble:
    """An ensemble folder ready to segment on a device.

    Every member is read and checked once; those that do not fit are refused in ``folder``.
    ``notify`` is told in one sentence when memory was short, ``kept`` are answers that are not to
    be computed again. Raises DataError, ModelError or AppError with one sentence.
    """

    def __init__(
        self,
        folder: EnsembleFolder | Path | str,
        *,
        device: str = "auto",
        notify: Callable[[str], None] = lambda sentence: None,
        kept: KeptAnswers | None = None,
    ) -> None:
        from ..nnunet.device import choose_device
        from ..nnunet.inference import Predictor

        found = folder if isinstance(folder, EnsembleFolder) else find_ensemble(Path(folder))
        self._notes: list[str] = []
        self._notify = notify
        self._kept = kept
        self._predictor = Predictor(
            found.plans,
            found.dataset_json,
            found.configuration,
            device=choose_device(device),
            notify=self._note,
        )
        self.folder = found.refusing(why_refused(found))
        self._network = repr((found.plans, found.dataset_json, found.configuration))
        self._opened: dict[tuple[Member, ...], _Opened] = {}

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
        temperature: float | None = None,
        until_stable: bool = False,
    ) -> Segmentation:
        """Segment ``image`` (Z, Y, X) or (channels, Z, Y, X) with ``spacing`` (z, y, x) in mm.

        ``temperature`` calibrates the mean probabilities; None takes the method's.
        ``until_stable`` asks no more members once the answer has come to rest (`Stability`).
        """
        steps = self.steps(
            *(image, spacing),
            method=method,
            members=members,
            mirroring=mirroring,
            temperature=temperature,
            until_stable=until_stable,
        )
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
        temperature: float | None = None,
        until_stable: bool = False,
        keep_members: bool = False,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Generator[Snapshot, None, Segmentation]:
        """Like ``segment``, yielding the posterior after every member.

        ``keep_members``: the result has the labels of every member, a byte per member and voxel
        (24 MB for 30 members of 12 x 256 x 256 voxels); without it memory does not grow with them.
        """
        chosen = choose_members(self.folder, method, members)
        way = METHODS[method]
        passes = passes_of(chosen, way.combine, mirroring=mirroring)
        refused = [member.path.name for member in self.folder.members if not member.usable]
        self._notes = [f"Refused members: {', '.join(refused)}."] if refused else []
        started = perf_counter()
        self._predictor.start_over()
        tally = Tally(
            structures=self.structures,
            spacing=spacing,
            posterior=_posterior(way.temperature if temperature is None else temperature),
            step_down=self._predictor.step_down,
            keep_members=keep_members,
        )
        order = interleaved(passes)
        answers = self.pass_probabilities(
            image, spacing, order, mirroring=mirroring, should_stop=should_stop
        )
        stability, pace, done = Stability(), _Pace(), 0
        for done, probabilities in enumerate(answers, start=1):
            tally.add(probabilities)
            yield Snapshot(done, len(passes), pace.seconds_for(len(passes) - done), tally)
            looks = until_stable and done % look_after(chosen) == 0
            if looks and stability.look(*_answer(tally)):
                break
        taken = [one for one in passes if one in order[:done]]
        self._notes += _about_members(len(chosen), members, way, taken=len(taken), of=len(order))
        tally.member_labels = _reordered(tally.member_labels, order, taken)
        return self._result(
            tally,
            method=way.name,
            members=tuple(member for one in taken for member in one.members),
            members_asked=len(chosen),
            until_stable=until_stable,
            mirroring=mirroring,
            seconds=perf_counter() - started,
        )

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
        passes = [Pass((member,)) for member in members]
        return self.pass_probabilities(
            image, spacing, passes, mirroring=mirroring, should_stop=should_stop
        )

    def pass_probabilities(
        self,
        image: Image,
        spacing: Spacing,
        passes: Iterable[Pass],
        *,
        mirroring: Mirroring = "full",
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[Any]:
        """Softmax (C, Z, Y, X) float32 of one pass after the other, tensors on the device."""
        from ..nnunet.inference import Stopped

        channels = _checked(image, spacing)
        digest = image_digest(channels, spacing) if self._kept else ""
        prepared: Prepared | None = None
        for one in passes:
            if should_stop():
                raise Stopped
            if self._kept:
                known = self._kept.find(self._question(digest, one, mirroring))
                if known is not None:
                    yield self._predictor.on_device(known)
                    continue
            prepared = prepared or self._predictor.prepare(channels, spacing)
            answer = self._probabilities(one, prepared, mirroring, should_stop)
            if self._kept:
                self._kept.keep(self._question(digest, one, mirroring), to_numpy(answer))
            yield answer

    def _question(self, digest: str, one: Pass, mirroring: Mirroring) -> str:
        """What tells an answer from others; of opened members the files that were read count."""
        opened = self._opened.get(one.members)
        files = opened.files if opened else files_of(one.members)
        return question(
            *(digest, self._network, one, files), mirroring=mirroring, device=self.device
        )

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

    def _probabilities(
        self,
        one: Pass,
        prepared: Prepared,
        mirroring: Mirroring,
        should_stop: Callable[[], bool],
    ) -> Any:
        from ..nnunet.inference import mirrors_of

        opened = self._open(one.members)
        return self._predictor.probabilities(
            prepared,
            opened.weights,
            mirrors=mirrors_of(mirroring, opened.axes, turn=one.turn),
            dropout_seed=one.dropout_seed,
            should_stop=should_stop,
        )

    def _open(self, members: tuple[Member, ...]) -> _Opened:
        """The members, read once."""
        from ..nnunet.weights import mean_weights, read_checkpoint

        if members not in self._opened:
            files = files_of(members)
            checkpoints = [read_checkpoint(member.path) for member in members]
            axes = checkpoints[-1].get("inference_allowed_mirroring_axes")
            weights = mean_weights([checkpoint["network_weights"] for checkpoint in checkpoints])
            self._opened[members] = _Opened(weights, tuple(axes) if axes else None, files)
        return self._opened[members]

    def _note(self, sentence: str) -> None:
        self._notes.append(sentence)
        self._notify(sentence)

    def _result(
        self,
        tally: Tally,
        *,
        members: tuple[Member, ...],
        **asked: Any,
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
            members=members,
            device=self.device,
            temperature=tally.posterior.temperature,
            structures=self.structures,
            warnings=validation_warnings(self.folder, volumes, spreads, agreement),
            notes=tuple(self._notes),
            member_labels=np.stack(tally.member_labels) if tally.member_labels else None,
            **asked,
        )


def _checked(image: Image, spacing: Spacing) -> Image:
    """The image as (channels, Z, Y, X). Raises AppError where it cannot be segmented."""
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
    return channels


def _posterior(temperature: float) -> RunningPosterior:
    if not 0 < temperature < math.inf:
        raise AppError(f"The temperature is a number above 0, not {temperature}.")
    return RunningPosterior(temperature=temperature)


def _answer(tally: Tally) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Labels and entropy by now."""
    return tally.measure(RunningPosterior.labels), tally.measure(RunningPosterior.total_entropy)


def _about_members(chosen: int, members: int, way: Method, *, taken: int, of: int) -> list[str]:
    """What to say where not as many members were asked as was wished."""
    if taken < of:
        return [f"Stopped after {taken} of {of} members: the answer had come to rest."]
    if chosen < members and way.averages:
        return [f"{chosen} members were used: the method finds no more in this folder."]
    if chosen > members:
        return [f"All {chosen} members were used: there are no cycles to choose by."]
    return []


def _reordered(
    labels: list[NDArray[np.uint8]], order: Sequence[Pass], passes: Sequence[Pass]
) -> list[NDArray[np.uint8]]:
    """The (Z, Y, X) labels of the ``passes`` as these are listed; they came in another ``order``.

    Nothing where none were kept.
    """
    of_pass = dict(zip(order, labels, strict=False))
    return [of_pass[one] for one in passes if one in of_pass]
