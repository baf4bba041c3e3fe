"""Probabilities of each member on the image's grid, as nnU-Net's own predictor exports them.

Logits are blended over tiles and mirrors in float32 and resampled to the image, then softmax is
applied. Members are averaged after softmax, as in the paper; nnU-Net averages their logits. An
image is preprocessed once for all members.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, get_args

import numpy as np
import torch
from acvl_utils.cropping_and_padding.padding import pad_nd_image
from nnunetv2.preprocessing.resampling.default_resampling import determine_do_sep_z_and_axis
from nnunetv2.utilities.helpers import empty_cache
from numpy.typing import NDArray

from ..core.choices import Mirroring, Precision
from ..core.counts import format_count
from ..core.slice_axis import is_stack, order_with_slices_on
from ..core.types import Mask
from . import ModelError, Stopped
from .cutout import Cutout, cutout_around
from .device import is_out_of_memory
from .memory import check_image, check_patch
from .network import Network, Tiles, TileSlices, patches_of, place_windows
from .plans import open_plans
from .weights import StateDict, without_duplicates

# nnU-Net does not check its plans, so damaged ones end in any of these.
DAMAGED_PLANS = (
    AssertionError,
    AttributeError,
    ImportError,
    KeyError,
    RuntimeError,
    TypeError,
    ValueError,
)
UNUSABLE_PLANS = (
    "This version of nnU-Net cannot use plans.json ({reason}). Install the version that wrote it."
)
WRONG_SIZE = (
    "With voxels of {spacing} mm, the image measures {size} mm (z, y, x), which is too small or "
    "too large to segment. Correct the voxel size of the image, or its unit."
)
MOST_RESAMPLED = 2**29
"""Voxels at the spacing of the network."""
ON_CPU = torch.device("cpu")
UNUSABLE_DEVICE = (
    "The device {device} cannot be used ({reason}). End the program that uses it, or choose "
    "another device."
)
FEWER_SLICES = "The device is short of memory. It now computes {slices} at a time."
SUMS_ON_CPU = "The device is short of memory. Sums are now kept on the CPU."
ALL_ON_CPU = "The device is short of memory. Everything is now computed on the CPU, more slowly."


@dataclass(frozen=True)
class PreparedImage:
    """An image ready for the network: (channels, Z, Y, X) float32, at least one patch large.

    ``order`` has the axes of the image in the order in which the network got them. With a
    ``cutout``, only this part of the slices is computed.
    """

    data: torch.Tensor
    unpad: tuple[slice, ...]
    properties: dict[str, Any]
    order: tuple[int, int, int] = (0, 1, 2)
    cutout: Cutout | None = None

    @property
    def computed(self) -> torch.Tensor:
        """(channels, Z, y, x) of what the network gets."""
        return self.data if self.cutout is None else self.cutout.take(self.data)


class Predictor:
    """Member probabilities of images for one plans file and device.

    ``slice_axis`` is the axis of an image that held the slices in the training, None if the images
    of the training had no slices.

    ``class_order`` has the label of each class if these are overlapping regions, else ().

    When CUDA runs out of memory, the predictor steps down: smaller batches, then sums on the CPU,
    then everything on the CPU. ``notify`` receives a sentence for each step. If logits overflow in
    half precision, the predictor continues in float32.
    """

    def __init__(
        self,
        plans: dict[str, Any],
        dataset_json: dict[str, Any],
        configuration: str,
        *,
        device: torch.device,
        precision: Precision = "auto",
        notify: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self._dataset_json = dataset_json
        self._notify = notify
        try:
            self._plans = open_plans(plans, dataset_json)
            self._configuration = self._plans.get_configuration(configuration)
            self._check_functions()
            self.slice_axis = self._slice_axis_of_training()
            # On the CPU first: a full GPU would be reported as damaged plans.
            self.network = Network(
                self._plans, self._configuration, dataset_json, ON_CPU, precision=precision
            )
            check_patch(self.network.module, self.patch_size, device)
            manager = self._plans.get_label_manager(dataset_json)
            self.classes = manager.num_segmentation_heads
            self.class_order = tuple(manager.regions_class_order) if manager.has_regions else ()
        except DAMAGED_PLANS as error:
            reason = str(error) or type(error).__name__
            raise ModelError(UNUSABLE_PLANS, reason=reason.rstrip(".")) from error
        self._device = device
        if device.type == "cpu":
            self.network.run_by_openvino(notify)
        self._residents: dict[int, tuple[StateDict, StateDict]] = {}
        self.start_over()

    def _check_functions(self) -> None:
        """Look up now the functions that nnU-Net would look up only with an image."""
        settings = self._configuration
        needed = (self._plans.transpose_forward, self._plans.transpose_backward)
        schemes = (settings.normalization_schemes, settings.use_mask_for_norm)
        functions = (
            settings.resampling_fn_data,
            settings.resampling_fn_seg,
            settings.resampling_fn_probabilities,
        )
        if settings.preprocessor_class is None or not all((*needed, *schemes, *functions)):
            raise ValueError("the preprocessing is missing")
        for channel in range(len(self._names)):
            _ = self._plans.foreground_intensity_properties_per_channel[str(channel)]
            _ = settings.normalization_schemes[channel], settings.use_mask_for_norm[channel]

    @property
    def _names(self) -> dict[str, Any]:
        """Names of the channels by number."""
        names = self._dataset_json.get("channel_names") or self._dataset_json["modality"]
        return dict(names)

    def _slice_axis_of_training(self) -> int | None:
        """Return the axis of an image that held the slices in the training; None without slices.

        nnU-Net puts the axis with the largest spacing first. A 2D network computes its slices.
        """
        spacing = self._plans.plans.get("original_median_spacing_after_transp")
        has_slices = len(self.patch_size) == 2 if spacing is None else is_stack(spacing)
        return int(self._plans.transpose_forward[0]) if has_slices else None

    def start_over(self) -> None:
        """Undo all steps down, because the next image may be smaller."""
        is_2d = len(self.patch_size) == 2
        # On CPUs small batches are faster, because they stay in the cache; only large ones fill a
        # GPU.
        self.batch_size = 1 if not is_2d else 2 if self._device.type == "cpu" else 64
        self.sums_device = self._device
        if self.network.device != self._device:
            self._move_to_device()

    def _move_to_device(self) -> None:
        """Move the network to its device, or compute on the CPU if the device is full.

        Raises ModelError if the device cannot be used.
        """
        try:
            self.network.to(self._device)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                # Such as a GPU that another program has for itself; torch adds advice for
                # programmers.
                reason = str(error).partition("\n")[0]
                raise ModelError(UNUSABLE_DEVICE, device=self._device, reason=reason) from error
            self.network.to(ON_CPU)
            self.batch_size, self.sums_device = 1, ON_CPU
            self._notify(ALL_ON_CPU)

    def images_at_once(self, *, slices: int, mirrors: int) -> int:
        """Return the number of images of this many slices that fill one batch."""
        return max(1, self.batch_size // (slices * mirrors))

    @property
    def patch_size(self) -> tuple[int, ...]:
        """Patch of the network: (y, x) for 2D, (z, y, x) for 3D plans, in voxels."""
        return tuple(self._configuration.patch_size)

    def prepare(self, image: NDArray[Any], spacing: tuple[float, ...]) -> PreparedImage:
        """Return an image after `preprocess`, on ``sums_device``."""
        return self.moved(self.preprocess(image, spacing))

    def moved(self, image: PreparedImage) -> PreparedImage:
        """Return a preprocessed image on ``sums_device``."""
        return replace(image, data=self.on_device(image.data))

    def preprocess(self, image: NDArray[Any], spacing: tuple[float, ...]) -> PreparedImage:
        """Crop, normalise and resample ``image`` (channels, Z, Y, X) with ``spacing`` (z, y, x) mm.

        The result is in main memory. Another thread may do this while the network computes.

        The slices are first put on the axis that held them in the training; `probabilities` puts
        them back. Raises ModelError if the network takes another number of channels.
        """
        names = self._names
        if len(image) != len(names):
            raise ModelError(
                "The ensemble needs {needed} ({names}), but the image has {channels}. "
                "Choose an image with the channels of the training.",
                needed=format_count(len(names), "channel"),
                names=", ".join(str(name) for name in names.values()),
                channels=len(image),
            )
        order = self._order(image.shape, spacing)
        image = image.transpose(0, *(axis + 1 for axis in order))
        properties: dict[str, Any] = {"spacing": [spacing[axis] for axis in order]}
        self._check_size(image, properties["spacing"])
        preprocessor = self._configuration.preprocessor_class(verbose=False)
        data, _, properties = preprocessor.run_case_npy(
            image, None, properties, self._plans, self._configuration, self._dataset_json
        )
        tensor = torch.from_numpy(np.ascontiguousarray(data, dtype=np.float32))
        padded, unpad = pad_nd_image(tensor, self.patch_size, "constant", {"value": 0}, True)
        return PreparedImage(padded, (slice(None), *unpad[1:]), properties, order)

    def patch_sides(self, shape: Sequence[int], spacing: tuple[float, ...]) -> tuple[int, int, int]:
        """Return how many voxels of an image (Z, Y, X) a patch takes in its slices, 0 across them.

        0 on every axis if the network does not compute slices.
        """
        sides = [0, 0, 0]
        if self.slice_axis is not None and len(self.patch_size) == 2:
            steps = self._configuration.spacing[-2:]
            order = self._order(shape, spacing)
            axes = [order[axis] for axis in self._plans.transpose_forward[1:]]
            for axis, size, step in zip(axes, self.patch_size, steps, strict=True):
                sides[axis] = math.ceil(size * step / spacing[axis])
        return sides[0], sides[1], sides[2]

    def _order(self, shape: Sequence[int], spacing: Sequence[float]) -> tuple[int, int, int]:
        if self.slice_axis is None:
            return 0, 1, 2
        return order_with_slices_on(self.slice_axis, shape, spacing)

    def _check_size(self, image: NDArray[Any], spacing: tuple[float, ...]) -> None:
        """Raise ModelError if the image has no voxel, or too many, at the network's spacing.

        It is also raised if the image would fill the memory.

        nnU-Net resamples the part of an image that is not 0.
        """
        order = self._plans.transpose_forward
        is_part = np.any(image, axis=0)
        if not is_part.any():
            return
        sides = (np.moveaxis(is_part, axis, 0).reshape(is_part.shape[axis], -1) for axis in order)
        lengths = np.array([np.ptp(np.flatnonzero(side.any(axis=1))) + 1 for side in sides])
        steps = np.array([spacing[a] for a in order])
        target = self._configuration.spacing
        # A 2D configuration has no spacing across the slices, and keeps that of the image.
        target = [*steps[: 3 - len(target)], *target]
        resampled = np.round(lengths * steps / target)
        if resampled.min() < 1 or resampled.prod() > MOST_RESAMPLED:
            raise ModelError(
                WRONG_SIZE,
                size=_lengths_text(lengths * steps, order),
                spacing=_lengths_text(steps, order),
            )
        check_image(
            image.shape,
            resampled,
            self.patch_size,
            spacing=target,
            classes=self.classes,
            sums_on=self.sums_device,
        )

    def probabilities(
        self,
        images: Sequence[PreparedImage],
        weights: StateDict,
        *,
        mirrors: list[tuple[int, ...]],
        dropout_seed: int | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> list[torch.Tensor]:
        """Return the probabilities (C, Z, Y, X) float32 of one member on the grid of each image.

        They are the softmax of the classes, or a sigmoid for each region.

        The slices, tiles and mirrors of all images are batched together. Outside the non-zero box
        of an image, which nnU-Net crops away, background has probability 1. Of an image with a
        cutout, only the voxels of the cutout's box are returned. ``dropout_seed``
        switches dropout on, with the same channels everywhere. Raises Stopped, and ModelError if
        even the CPU runs out of memory.
        """
        while True:
            try:
                self.network.load(self._resident(weights), in_torch=dropout_seed is not None)
                with self.network.dropping_out(dropout_seed):
                    parts = [image.computed for image in images]
                    logits = self._logits(parts, mirrors, should_stop)
                if self.network.dtype != torch.float32 and not _all_finite(logits):
                    self._in_full_precision()
                    continue
                return [
                    self._on_image_grid(of_part, image)
                    for of_part, image in zip(logits, images, strict=True)
                ]
            except (RuntimeError, MemoryError) as error:
                self.step_down(error)

    def heart_features(
        self, image: PreparedImage, weights: StateDict
    ) -> NDArray[np.float64] | None:
        """Return means and SDs of a member's activations in the heart it finds, (2 · features,).

        Without mirroring, see `Network.heart_sums`. None for a network without an encoder, and if
        it finds no heart.
        """
        data, flat = image.computed, len(self.patch_size) == 2
        windows = place_windows(tuple(data.shape[1:]), self.patch_size, self.batch_size)
        while True:
            try:
                self.network.load(self._resident(weights))
                sums = [
                    self.network.heart_sums(patches_of(data, window, flat=flat))
                    for window in windows
                ]
                break
            except (RuntimeError, MemoryError) as error:
                self.step_down(error)
        # On the CPU, because mps has no float64.
        known = [part.cpu().double() for part in sums if part is not None]
        total = torch.cat(known).sum(0).numpy() if known else np.zeros(1)
        if not total[0] > 0:
            return None
        means, squares = np.split(total[1:] / total[0], 2)
        # Rounding can make a variance negative.
        features = np.concatenate([means, np.sqrt(np.maximum(squares - means**2, 0))])
        return features if np.isfinite(features).all() else None

    def _resident(self, weights: StateDict) -> StateDict:
        """Return the weights on the GPU, and keep them there while half of its memory is free."""
        device = self.network.device
        if device.type != "cuda" or id(weights) in self._residents:
            _, resident = self._residents.get(id(weights), (weights, weights))
            return resident
        free, total = torch.cuda.mem_get_info(device)
        if free < total / 2:
            return weights
        moved = {
            n: t.to(device, self.network.dtype) for n, t in without_duplicates(weights).items()
        }
        # Kept with them, because the next weights may get the id of those that nobody holds.
        self._residents[id(weights)] = weights, moved
        return moved

    def _logits(
        self,
        images: list[torch.Tensor],
        mirrors: list[tuple[int, ...]],
        should_stop: Callable[[], bool],
    ) -> list[torch.Tensor]:
        """Return the mean logits (C, Z, Y, X) of each prepared image, on ``sums_device``."""
        patches_at_once = max(1, self.batch_size // len(mirrors))
        tilings = [
            Tiles(
                image,
                self.patch_size,
                slices=patches_at_once,
                classes=self.classes,
                sums_on=self.sums_device,
            )
            for image in images
        ]
        for batch in _batches(tilings, patches_at_once):
            if should_stop():
                raise Stopped
            patches = [tiles.patches(window) for tiles, window in batch]
            logits = self.network.logits(torch.cat(patches), mirrors, at_once=self.batch_size)
            of_windows = torch.split(logits, [len(patch) for patch in patches])
            for (tiles, window), part in zip(batch, of_windows, strict=True):
                tiles.add(window, part)
        return [tiles.mean() for tiles in tilings]

    def _on_image_grid(self, logits: torch.Tensor, image: PreparedImage) -> torch.Tensor:
        """Resample logits, activate them, and undo crop, transposition and order of the axes."""
        back = [axis + 1 for axis in self._backward(image)]
        if image.cutout is not None:
            return self._activated(image.cutout.resample(logits)).permute(0, *back)
        properties = image.properties
        probabilities = self._activated(self._resample(logits[image.unpad], image))
        whole = properties["shape_before_cropping"]
        box = tuple(slice(*edges) for edges in properties["bbox_used_for_cropping"])
        if tuple(probabilities.shape[1:]) != tuple(whole):
            inside = probabilities
            probabilities = torch.zeros((self.classes, *whole), device=inside.device)
            # Regions have no class for the background.
            if not self.class_order:
                probabilities[0] = 1
            probabilities[(slice(None), *box)] = inside
        return probabilities.permute(0, *back)

    def _activated(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the probabilities (C, Z, Y, X) of logits."""
        if self.class_order:
            return torch.sigmoid(logits.float())
        return torch.softmax(logits.float(), dim=0)

    def _backward(self, image: PreparedImage) -> list[int]:
        """Return the axes of the network in the order of the image's."""
        backward = self._plans.transpose_backward
        return [backward[image.order.index(axis)] for axis in range(3)]

    def cutout(self, image: PreparedImage, found: Mask, *, margin: float) -> Cutout | None:
        """Return the part of the slices around ``found`` voxels (Z, Y, X), ``margin`` in mm wider.

        None if nothing was found, the part would not be smaller than the slices, or the network is
        not a 2D one whose logits are resampled slice by slice.
        """
        margins = [margin / spacing for spacing in self._configuration.spacing[-2:]]
        part = self._cutout(image, found, margins)
        return None if part is None or part.is_whole else part

    def whole_slices(self, image: PreparedImage) -> Cutout | None:
        """Return the part that is all of an image, None if slices cannot be computed apart."""
        every = np.ones(
            [image.properties["shape_before_cropping"][a] for a in self._backward(image)]
        )
        return self._cutout(image, every > 0, image.data.shape[-2:])

    def _cutout(self, image: PreparedImage, found: Mask, margin: Sequence[float]) -> Cutout | None:
        """Return the part of the slices around ``found`` voxels, ``margin`` (y, x) pixels wider."""
        properties = image.properties
        if len(self.patch_size) != 2 or not self._resamples_in_slices(image):
            return None
        unpad = image.unpad[-2:]
        backward = self._backward(image)
        z, y, x = (backward.index(axis) for axis in range(3))
        return cutout_around(
            found,
            properties,
            network=[int(side.stop - side.start) for side in unpad],
            padded=image.data.shape[-2:],
            pads=[int(side.start) for side in unpad],
            numbers=(z, y, x),
            margin=margin,
            patch=self.patch_size,
        )

    def _resample(self, logits: torch.Tensor, image: PreparedImage) -> torch.Tensor:
        """Resample the logits of an image, which have no padding."""
        shape = tuple(image.properties["shape_after_cropping_and_before_resampling"])
        if tuple(logits.shape[1:]) == shape:
            return logits
        if self._resamples_in_slices(image):
            slices = logits.transpose(0, 1)
            size = shape[1:]
            resized = torch.nn.functional.interpolate(
                slices, size=size, mode="bilinear", align_corners=False
            )
            return resized.transpose(0, 1)
        function = self._configuration.resampling_fn_probabilities
        return torch.as_tensor(
            function(logits.cpu(), shape, *self._spacings(image.properties)), device=logits.device
        )

    def _spacings(self, properties: dict[str, Any]) -> tuple[list[float], list[float]]:
        """Return the spacing of the network and that of the image, along the network's axes."""
        spacing = [properties["spacing"][axis] for axis in self._plans.transpose_forward]
        current = list(self._configuration.spacing)
        return current if len(current) == 3 else [spacing[0], *current], spacing

    def _resamples_in_slices(self, image: PreparedImage) -> bool:
        """Return whether nnU-Net's resampling of an image's logits is bilinear in each slice.

        Then one batched call does the same, equal to 4e-4 in logits and 4 to 20 times faster.
        """
        function = self._configuration.resampling_fn_probabilities
        resampling = getattr(function, "func", None)
        options = getattr(function, "keywords", {})
        if getattr(resampling, "__name__", "") != "resample_data_or_seg_to_shape":
            return False
        spacings = self._spacings(image.properties)
        _, axis = determine_do_sep_z_and_axis(options.get("force_separate_z"), *spacings)
        slices = image.unpad[1].stop - image.unpad[1].start
        shape = image.properties["shape_after_cropping_and_before_resampling"]
        return bool(options.get("order") == 1 and slices == shape[0] and axis in (None, 0))

    def _in_full_precision(self) -> None:
        self._residents.clear()
        self.network.use_full_precision()

    def on_device(self, array: NDArray[np.float32] | torch.Tensor) -> torch.Tensor:
        """Return an array, such as an image or kept probabilities, on ``sums_device``."""
        while True:
            try:
                return torch.as_tensor(array).to(self.sums_device)
            except (RuntimeError, MemoryError) as error:
                self.step_down(error)

    def step_down(self, error: Exception) -> None:
        """Use less memory from now on; raise ``error`` again if that cannot help.

        Raises ModelError if no step is left.
        """
        if isinstance(error, NotImplementedError) and self.network.dtype != torch.float32:
            self._in_full_precision()  # torch lacks a layer for this type on this device
            return
        # nnU-Net takes every RuntimeError for a lack of memory, and starts again on the CPU.
        if not is_out_of_memory(error):
            raise error
        self._residents.clear()
        # nnU-Net's function, which also empties the cache of Apple's GPUs.
        empty_cache(self.network.device)
        if len(self.patch_size) == 2 and self.batch_size > 1:
            self.batch_size = max(1, self.batch_size // 4)
            self._notify(FEWER_SLICES.format(slices=format_count(self.batch_size, "slice")))
        elif self.sums_device.type != "cpu":
            self.sums_device = ON_CPU
            self._notify(SUMS_ON_CPU)
        elif self.network.device.type != "cpu":
            self.network.to(ON_CPU)
            self._notify(ALL_ON_CPU)
        else:
            raise ModelError(
                "This computer does not have enough memory for this image. Close other programs, "
                "or use a computer with more memory."
            ) from error


def _lengths_text(lengths: NDArray[Any], order: Sequence[int]) -> str:
    """Return lengths along the transposed axes as a text in the order (z, y, x)."""
    return " x ".join(f"{lengths[list(order).index(axis)]:.3g}" for axis in range(3))


def _all_finite(logits: Sequence[torch.Tensor]) -> bool:
    # Minimum and maximum are NaN if any value is.
    return all(bool(torch.isfinite(torch.stack(torch.aminmax(part))).all()) for part in logits)


def _batches(
    tilings: Sequence[Tiles], patches_at_once: int
) -> Iterator[list[tuple[Tiles, TileSlices]]]:
    """Yield the windows of all images in batches of at most ``patches_at_once`` patches.

    A window with more patches is a batch of its own. The largest come first, so that what is left
    of one image is computed with what is left of others.
    """
    batch: list[tuple[Tiles, TileSlices]] = []
    patches = 0
    every = [(tiles, window) for tiles in tilings for window in tiles.windows]
    for tiles, window in sorted(every, key=lambda one: one[0].count(one[1]), reverse=True):
        count = tiles.count(window)
        if batch and patches + count > patches_at_once:
            yield batch
            batch, patches = [], 0
        batch.append((tiles, window))
        patches += count
    if batch:
        yield batch


def mirrors_of(
    mirroring: Mirroring, axes: tuple[int, ...] | None, *, turn: int | None = None
) -> list[tuple[int, ...]]:
    """Return the axes to flip of a batch (N, channels, …), one tuple for each mirrored copy.

    "full" gives all combinations of the allowed ``axes``, "spread" the combination number ``turn``.
    """
    if mirroring not in get_args(Mirroring):
        raise ModelError(
            "{mirroring!r} is not a kind of mirroring. Choose full, spread or none.",
            mirroring=mirroring,
        )
    if mirroring == "none" or not axes:
        return [()]
    shifted = [axis + 2 for axis in axes]
    mirrors = [c for n in range(len(shifted) + 1) for c in combinations(shifted, n)]
    return [mirrors[(turn or 0) % len(mirrors)]] if mirroring == "spread" else mirrors
