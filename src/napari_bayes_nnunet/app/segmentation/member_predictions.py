"""What the passes of an ensemble say of images: taken from where it is kept, or computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ...core.types import Mirroring
from ...io.ensemble.ensemble_folder import EnsembleFolder, Member
from ...nnunet import Stopped
from .forward_pass import ForwardPass
from .member_statistics import to_numpy
from .prediction_cache import Files, PredictionCache, cache_key, image_digest, member_files

if TYPE_CHECKING:
    from ...nnunet.inference import Predictor, PreparedImage
    from ...nnunet.weights import StateDict


class _Opened(NamedTuple):
    """The mean of some members' weights, the axes they may be mirrored along, and their files."""

    weights: StateDict
    axes: tuple[int, ...] | None
    files: Files


@dataclass
class InputImage:
    """An image (channels, Z, Y, X), its spacing (z, y, x) in mm, and what was made of it."""

    channels: Any
    spacing: tuple[float, float, float]
    digest: str = ""
    prepared: PreparedImage | None = None


class MemberPredictor:
    """Asks the members of ``folder``; each is read once, and only when it is asked."""

    def __init__(
        self, predictor: Predictor, folder: EnsembleFolder, kept: PredictionCache | None
    ) -> None:
        self._predictor = predictor
        self._kept = kept
        self._plans = repr((folder.plans, folder.dataset_json, folder.configuration))
        self._opened: dict[tuple[Member, ...], _Opened] = {}

    def of(
        self,
        one: ForwardPass,
        images: Sequence[InputImage],
        *,
        mirroring: Mirroring,
        should_stop: Callable[[], bool],
    ) -> list[Any]:
        """Softmax (C, Z, Y, X) float32 of each image by one pass, tensors on the device.

        What is not known of the images is computed for all of them together. Raises Stopped.
        """
        if should_stop():
            raise Stopped
        known = [self._find(one, image, mirroring) for image in images]
        unknown = [image for image, answer in zip(images, known, strict=True) if answer is None]
        computed = iter(self._compute(one, unknown, mirroring, should_stop) if unknown else ())
        return [next(computed) if answer is None else answer for answer in known]

    def _find(self, one: ForwardPass, image: InputImage, mirroring: Mirroring) -> Any:
        if self._kept is None:
            return None
        answer = self._kept.find(self._question(one, image, mirroring))
        if answer is None or answer.shape[1:] != image.channels.shape[1:]:  # a damaged file
            return None
        return self._predictor.on_device(answer)

    def _compute(
        self,
        one: ForwardPass,
        images: Sequence[InputImage],
        mirroring: Mirroring,
        should_stop: Callable[[], bool],
    ) -> list[Any]:
        from ...nnunet.inference import mirrors_of

        opened = self.open(one.members)
        answers: list[Any] = self._predictor.probabilities(
            [self._prepared(image) for image in images],
            opened.weights,
            mirrors=mirrors_of(mirroring, opened.axes, turn=one.turn),
            dropout_seed=one.dropout_seed,
            should_stop=should_stop,
        )
        if self._kept is not None:
            for image, answer in zip(images, answers, strict=True):
                self._kept.keep(self._question(one, image, mirroring), to_numpy(answer))
        return answers

    def _prepared(self, image: InputImage) -> PreparedImage:
        if image.prepared is None:
            image.prepared = self._predictor.prepare(image.channels, image.spacing)
        return image.prepared

    def _question(self, one: ForwardPass, image: InputImage, mirroring: Mirroring) -> str:
        """What tells an answer from others; of opened members the files that were read count."""
        image.digest = image.digest or image_digest(image.channels, image.spacing)
        opened = self._opened.get(one.members)
        files = opened.files if opened else member_files(one.members)
        network = self._predictor.network
        computed = f"{network.device} {network.dtype}"
        return cache_key(
            *(image.digest, self._plans, one, files), mirroring=mirroring, computed=computed
        )

    def open(self, members: tuple[Member, ...]) -> _Opened:
        """The members, read once."""
        from ...nnunet.weights import mean_weights, read_checkpoint

        if members not in self._opened:
            files = member_files(members)
            checkpoints = [read_checkpoint(member.path) for member in members]
            axes = checkpoints[-1].get("inference_allowed_mirroring_axes")
            weights = mean_weights([checkpoint["network_weights"] for checkpoint in checkpoints])
            self._opened[members] = _Opened(weights, tuple(axes) if axes else None, files)
        return self._opened[members]
