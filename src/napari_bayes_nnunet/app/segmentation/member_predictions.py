"""Members of an ensemble: checks of their files, and their predictions, computed or cached."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...core.choices import Mirroring
from ...core.ensemble.posterior import drawn_labels
from ...core.heart.intensity_window import muscle_to_blood
from ...core.heart.surroundings import find_heart
from ...core.types import LabelMap, VoxelBox
from ...io.ensemble.ensemble_folder import EnsembleFolder, Member
from ...io.files.checksum import file_state
from ...io.files.disk import RESERVE
from ...nnunet import Stopped
from .image_kind import HeartLook
from .methods import ForwardPass
from .result import to_numpy

if TYPE_CHECKING:
    from ...nnunet.cutout import Cutout
    from ...nnunet.inference import Predictor, PreparedImage
    from ...nnunet.weights import StateDict


class MemberChecks:
    """Running checks of the usable members of ``found``, in the order of the folder.

    Raises ModelError if the network of the folder cannot be built. Imports torch.
    """

    def __init__(self, found: EnsembleFolder) -> None:
        from ...nnunet.weights import check_member, expected_shapes

        self.found = found
        self._futures: dict[Path, Future[str]] = {}
        if not found.usable:
            return
        expected = expected_shapes(found.plans, found.dataset_json, found.configuration)
        self._check = partial(check_member, expected=expected)
        # One thread, because torch's list of harmless names is the same for all threads.
        thread = ThreadPoolExecutor(1, thread_name_prefix="check-members")
        for member in found.usable_members:
            self._futures[member.path] = thread.submit(
                self._check, member.path, sha256=member.sha256
            )
        thread.shutdown(wait=False)  # it ends after the last check

    @property
    def are_done(self) -> bool:
        """Whether all members are checked."""
        return all(future.done() for future in self._futures.values())

    def reason(self, member: Member) -> str:
        """Return why a member cannot be used, "" if it can; check it now if it still waits."""
        future = self._futures.get(member.path)
        if future is None:
            return member.refused
        # A check that has not begun would wait for all before it.
        if future.cancel():
            self._futures[member.path] = future = Future()
            future.set_result(self._check(member.path, sha256=member.sha256))
        return future.result()

    @cached_property
    def reasons(self) -> dict[Path, str]:
        """Path → reason for each member whose weights cannot be used; waits for all checks."""
        reasons = {m.path: self.reason(m) for m in self.found.usable_members}
        return {path: reason for path, reason in reasons.items() if reason}

    @cached_property
    def folder(self) -> EnsembleFolder:
        """Folder with the unusable members refused, and all checksums; waits for all checks."""
        return self.found.with_refused(self.reasons).with_checksums()


MOST_KEPT: Final = 128 * 2**20
"""Bytes of preprocessed images: 25 phases of 10 x 256 x 224 voxels take 55 MiB."""


class _Opened(NamedTuple):
    """Mean weights of some members, the axes they may be mirrored along, and their files."""

    weights: StateDict
    axes: tuple[int, ...] | None
    files: Files


@dataclass
class InputImage:
    """Image (channels, Z, Y, X) with its spacing (z, y, x) in mm, and its preprocessed form.

    ``cutout`` is the part to compute, None for the whole image. ``notes`` are sentences on what was
    changed.
    """

    channels: Any
    spacing: tuple[float, float, float]
    prepared: PreparedImage | None = None
    cutout: Cutout | None = None
    notes: tuple[str, ...] = ()

    @cached_property
    def digest(self) -> str:
        """Digest of the image and its spacing."""
        return image_digest(self.channels, self.spacing)

    @property
    def computed_box(self) -> VoxelBox:
        """Voxels (z, y, x) to compute, in all slices."""
        if self.cutout is not None:
            return self.cutout.box
        z, y, x = (slice(0, side) for side in self.channels.shape[1:])
        return z, y, x

    @property
    def computed_shape(self) -> tuple[int, ...]:
        """(Z, Y, X) of the voxels to compute."""
        shape: tuple[int, ...] = self.channels.shape[1:]
        if self.cutout is None:
            return shape
        return tuple(
            len(side) if isinstance(side, list) else side.stop - side.start
            for side in self.cutout.voxels
        )


class PreparedImages:
    """Preprocessed images in main memory that are used once more, at most ``limit`` bytes."""

    def __init__(self, *, limit: int = MOST_KEPT) -> None:
        self._limit = limit
        self._kept: dict[str, PreparedImage] = {}
        self._ahead: dict[str, Future[PreparedImage]] = {}
        self._thread = ThreadPoolExecutor(1, "prepare_ahead")

    def keep(self, digest: str, image: PreparedImage) -> None:
        """Keep an image until it is taken, if there is room for it."""
        others = [kept.data.nbytes for key, kept in self._kept.items() if key != digest]
        if sum(others) + image.data.nbytes <= self._limit:
            self._kept[digest] = replace(image, data=image.data.cpu())

    def take(self, digest: str) -> PreparedImage | None:
        """Return an image that was kept or prepared ahead, and forget it; None without it."""
        ahead = self._ahead.pop(digest, None)
        # An error in the thread comes again, and is reported, when the image is prepared here.
        if ahead is not None and ahead.exception() is None:
            return ahead.result()
        return self._kept.pop(digest, None)

    def prepare_ahead(self, digest: str, prepare: Callable[[], PreparedImage]) -> None:
        """Prepare an image in a thread, until it is taken; `take` waits for it."""
        if digest not in self._kept and digest not in self._ahead:
            self._ahead[digest] = self._thread.submit(prepare)

    def forget(self, but: Collection[str] = ()) -> None:
        """Forget all images but those with these digests."""
        self._kept = {digest: image for digest, image in self._kept.items() if digest in but}
        self._ahead.clear()


class MemberPredictor:
    """Predictions of the members of ``folder``; each member is read once, when it is needed."""

    def __init__(
        self, predictor: Predictor, folder: EnsembleFolder, cache: PredictionCache | None
    ) -> None:
        self._predictor = predictor
        self._cache = cache
        self._plans = repr((folder.plans, folder.dataset_json, folder.configuration))
        self._opened: dict[tuple[Member, ...], _Opened] = {}
        self.kept = PreparedImages()

    def predict(
        self,
        forward_pass: ForwardPass,
        images: Sequence[InputImage],
        *,
        mirroring: Mirroring,
        should_stop: Callable[[], bool],
    ) -> list[Any]:
        """Return each image's softmax (C, Z, Y, X) float32 of one pass, tensors on the device.

        Of an image with a cutout only the voxels of its box are returned. Images that are not in
        the cache are computed together. Raises Stopped.
        """
        if should_stop():
            raise Stopped
        cached = [self._find(forward_pass, image, mirroring) for image in images]
        missing = [image for image, kept in zip(images, cached, strict=True) if kept is None]
        computed = iter(
            self._compute(forward_pass, missing, mirroring, should_stop) if missing else ()
        )
        return [next(computed) if kept is None else kept for kept in cached]

    def heart_looks(
        self,
        member: Member,
        images: Sequence[InputImage],
        structures: Mapping[str, int],
        *,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[HeartLook]:
        """Yield what a member finds of the heart in each whole image, without mirrored copies.

        An image cropped around the heart gets a dark margin (`in_dark_margin`).
        """
        wholes = [self._with_margin(image) for image in images]
        found = self.predict(
            ForwardPass((member,)), wholes, mirroring="none", should_stop=should_stop
        )
        for image, probabilities in zip(wholes, found, strict=True):
            labels = to_numpy(drawn_labels(probabilities, self._predictor.class_order))
            yield HeartLook(
                features=self.heart_features(member, image, labels),
                muscle_to_blood=muscle_to_blood(image.channels[0], labels, structures),
            )

    def _with_margin(self, image: InputImage) -> InputImage:
        """Return the preprocessed whole image, with a margin if it is smaller than a patch."""
        sides = self._predictor.patch_sides(image.channels.shape[1:], image.spacing)
        wide = in_dark_margin(image.channels, sides)
        known = self.prepared(image) if wide is image.channels else None
        whole = replace(image, channels=wide, cutout=None, prepared=known)
        self.prepared(whole)
        return whole

    def heart_features(
        self, member: Member, image: InputImage, labels: LabelMap
    ) -> NDArray[np.float64] | None:
        """Return `Predictor.heart_features` in a patch around the largest piece of the labels.

        They are (Z, Y, X). A network that does not compute slices sees the whole image.
        """
        prepared, axis = self.prepared(image), self._predictor.slice_axis
        cutout = None
        if axis is not None:
            of_slices = prepared.order[axis]
            heart = np.expand_dims(find_heart(np.moveaxis(labels, of_slices, 0)), of_slices)
            cutout = self._predictor.cutout(prepared, (labels > 0) & heart, margin=0)
        weights = self.open((member,)).weights
        return self._predictor.heart_features(replace(prepared, cutout=cutout), weights)

    def _find(self, forward_pass: ForwardPass, image: InputImage, mirroring: Mirroring) -> Any:
        if self._cache is None:
            return None
        cached = self._cache.find(self._key(forward_pass, image, mirroring))
        if cached is None or cached.shape[1:] != image.computed_shape:  # a damaged file
            return None
        return self._predictor.on_device(cached)

    def _compute(
        self,
        forward_pass: ForwardPass,
        images: Sequence[InputImage],
        mirroring: Mirroring,
        should_stop: Callable[[], bool],
    ) -> list[Any]:
        from ...nnunet.inference import mirrors_of

        opened = self.open(forward_pass.members)
        computed: list[Any] = self._predictor.probabilities(
            [replace(self.prepared(image), cutout=image.cutout) for image in images],
            opened.weights,
            mirrors=mirrors_of(mirroring, opened.axes, turn=forward_pass.turn),
            dropout_seed=forward_pass.dropout_seed,
            should_stop=should_stop,
        )
        if self._cache is not None:
            for image, probabilities in zip(images, computed, strict=True):
                key = self._key(forward_pass, image, mirroring)
                self._cache.store(key, to_numpy(probabilities))
        return computed

    def prepared(self, image: InputImage) -> PreparedImage:
        """Return the preprocessed image, which ``image`` has from now on."""
        if image.prepared is None:
            kept = self.kept.take(image.digest)
            if kept is None:
                image.prepared = self._predictor.prepare(image.channels, image.spacing)
            else:
                image.prepared = self._predictor.moved(kept)
        return image.prepared

    def keep(self, image: InputImage) -> None:
        """Keep the preprocessed form of an image for the next time that it is computed."""
        if image.prepared is not None:
            self.kept.keep(image.digest, image.prepared)

    def prepare_ahead(self, image: InputImage) -> None:
        """Preprocess an image in a thread."""
        preprocess = self._predictor.preprocess
        self.kept.prepare_ahead(image.digest, lambda: preprocess(image.channels, image.spacing))

    def _key(self, forward_pass: ForwardPass, image: InputImage, mirroring: Mirroring) -> str:
        """Return the cache key; for members that were read, it has the state of their files then.

        A file that has been replaced since would otherwise stand for weights it does not have.
        """
        opened = self._opened.get(forward_pass.members)
        files = opened.files if opened else member_files(forward_pass.members)
        network = self._predictor.network
        # Rounding differs between devices, runtimes and types, and a cutout has other voxels.
        computed = f"{network.device} {network.runtime} {network.dtype} {image.cutout}"
        turn = None if forward_pass.turn is None else forward_pass.turn % MIRRORS
        seed = forward_pass.dropout_seed
        parts = (image.digest, self._plans, files, seed, turn, mirroring, computed)
        return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()

    def open(self, members: tuple[Member, ...]) -> _Opened:
        """Return the mean weights of the members, which are read only once."""
        from ...nnunet.weights import mean_weights, read_checkpoint

        if members not in self._opened:
            files = member_files(members)
            checkpoints = [read_checkpoint(member.path) for member in members]
            axes = checkpoints[-1].get("inference_allowed_mirroring_axes")
            weights = mean_weights([checkpoint["network_weights"] for checkpoint in checkpoints])
            self._opened[members] = _Opened(weights, tuple(axes) if axes else None, files)
        return self._opened[members]


def in_dark_margin(channels: NDArray[Any], sides: Sequence[int]) -> NDArray[Any]:
    """Return an image (channels, Z, Y, X) of at least these ``sides``, dark beside its voxels.

    Without the dark lungs and air around the chest, nnU-Net's normalisation makes a cropped cine
    darker and flatter than those of the training, and its contrast looks like another one.
    """
    missing = [max(0, side - own) for side, own in zip(sides, channels.shape[1:], strict=True)]
    if not any(missing):
        return channels
    margins = [(part // 2, part - part // 2) for part in missing]
    dark = np.percentile(channels, DARK, axis=(1, 2, 3))
    padded = [np.pad(c, margins, constant_values=d) for c, d in zip(channels, dark, strict=True)]
    return np.stack(padded)


DARK: Final = 5
"""Percentile of an image's intensities that fills a margin."""
LIMIT = 2**30
"""Bytes: 30 members with 4 classes for two phases of 12 x 256 x 256 voxels take 720 MiB."""
MIRRORS = 8
"""Number of mirrored copies of a 3D image, after which they repeat; also a multiple of 1, 2, 4."""
Files = tuple[tuple[str, int, int, int], ...]
"""Path and `file_state` of each."""


class PredictionCache:
    """Probabilities (C, Z, Y, X) float32 of passes, in ``folder`` with at most ``limit`` bytes."""

    def __init__(self, folder: Path, *, limit: int = LIMIT) -> None:
        self.folder = folder
        self._limit = limit

    def find(self, key: str) -> NDArray[np.float32] | None:
        """Return the probabilities of a key, or None if they are not in the cache."""
        file = self._file(key)
        try:
            probabilities: NDArray[np.float32] = np.load(file)
            file.touch()  # so that the files used last stay longest
        except (OSError, ValueError, EOFError):
            return None
        return probabilities

    def store(self, key: str, probabilities: NDArray[np.float32]) -> None:
        """Store probabilities, if there is room for them."""
        if probabilities.nbytes > self._limit:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._make_room(probabilities.nbytes)
            # A cache must not be what fills a disk.
            if shutil.disk_usage(self.folder).free >= RESERVE + probabilities.nbytes:
                np.save(self._file(key), probabilities)
            else:
                self._drop_all()
        except OSError:
            # The cache only saves time, so its failure stops nothing.
            self._drop_all()

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.npy"

    def _drop_all(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make_room(self, needed: int) -> None:
        # `find` touches its file, so what was used longest ago goes first.
        files = sorted(self.folder.glob("*.npy"), key=lambda file: file.stat().st_mtime_ns)
        used = sum(file.stat().st_size for file in files)
        for file in files:
            if used + needed <= self._limit:
                return
            used -= file.stat().st_size
            file.unlink()


def image_digest(image: NDArray[Any], spacing: tuple[float, ...]) -> str:
    """Return a digest of an image and its spacing."""
    digest = hashlib.blake2b(f"{image.shape} {image.dtype} {spacing}".encode(), digest_size=16)
    # hashlib takes only memory without gaps.
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def member_files(members: Sequence[Member]) -> Files:
    """Return the current state of the members' files."""
    return tuple((str(member.path), *file_state(member.path)) for member in members)
