"""The probabilities of each member on the image's grid, as nnU-Net's own predictor exports them.

Per member: logits blended over tiles and mirrors in float32, resampled to the image as logits,
softmax there (docs: the paper averages softmax, nnU-Net averages logits). An image is preprocessed
once for all members.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import numpy as np
import torch
from acvl_utils.cropping_and_padding.padding import pad_nd_image
from nnunetv2.inference.sliding_window_prediction import (
    compute_gaussian,
    compute_steps_for_sliding_window,
)
from nnunetv2.preprocessing.resampling.default_resampling import determine_do_sep_z_and_axis
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from numpy.typing import NDArray

from . import ModelError
from .device import is_out_of_memory
from .network import Network
from .weights import StateDict

Window = tuple[slice, ...]
TILE_STEP = 0.5
DAMAGED_PLANS = (
    AssertionError,
    AttributeError,
    ImportError,
    KeyError,
    RuntimeError,
    TypeError,
    ValueError,
)


class Stopped(Exception):
    """The user stopped the work."""


@dataclass(frozen=True)
class Prepared:
    """An image ready for the network: (channels, Z, Y, X) float32, at least one patch large."""

    data: torch.Tensor
    unpad: tuple[slice, ...]
    properties: dict[str, Any]


class Predictor:
    """Computes member probabilities of images for one plans file and device.

    When CUDA runs out of memory it steps down, without changing the result: smaller batches, sums
    on the CPU, everything on the CPU. Each step is a sentence given to ``notify``.
    """

    def __init__(
        self,
        plans: dict[str, Any],
        dataset_json: dict[str, Any],
        configuration: str,
        *,
        device: torch.device,
        notify: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self._dataset_json = dataset_json
        self._notify = notify
        try:
            self._plans = PlansManager(plans)
            self._configuration = self._plans.get_configuration(configuration)
            self._check_functions()
            self.network = Network(self._plans, self._configuration, dataset_json, device)
            self.classes = self._plans.get_label_manager(dataset_json).num_segmentation_heads
        except DAMAGED_PLANS as error:
            reason = str(error) or type(error).__name__
            raise ModelError(f"plans.json cannot be used by this nnU-Net: {reason}.") from error
        self._device = device
        self.start_over()

    def _check_functions(self) -> None:
        """Touch all that nnU-Net looks up only when an image is there."""
        settings = self._configuration
        needed = (self._plans.transpose_forward, self._plans.transpose_backward)
        schemes = (settings.normalization_schemes, settings.use_mask_for_norm)
        functions = (settings.resampling_fn_data, settings.resampling_fn_probabilities)
        if settings.preprocessor_class is None or not all((*needed, *schemes, *functions)):
            raise ValueError("the preprocessing is not described")

    def start_over(self) -> None:
        """Take back all steps down: the next image may be smaller."""
        self.batch_size = 2 if self._device.type == "cpu" else 64
        self.sums_device = self._device
        if self.network.device != self._device:
            self.network.to(self._device)

    @property
    def patch_size(self) -> tuple[int, ...]:
        """Patch of the network: (y, x) for 2D, (z, y, x) for 3D plans."""
        return tuple(self._configuration.patch_size)

    def prepare(self, image: NDArray[Any], spacing: tuple[float, ...]) -> Prepared:
        """Crop, normalise and resample ``image`` (channels, Z, Y, X) with ``spacing`` (z, y, x) mm.

        Raises ModelError when the number of channels is not the network's.
        """
        names = self._dataset_json.get("channel_names") or self._dataset_json["modality"]
        if len(image) != len(names):
            wanted = ", ".join(str(name) for name in names.values())
            raise ModelError(
                f"The ensemble takes {len(names)} channel(s) ({wanted}), "
                f"the image has {len(image)}."
            )
        properties: dict[str, Any] = {"spacing": list(spacing)}
        preprocessor = self._configuration.preprocessor_class(verbose=False)
        data, _, properties = preprocessor.run_case_npy(
            image, None, properties, self._plans, self._configuration, self._dataset_json
        )
        tensor = torch.from_numpy(np.ascontiguousarray(data, dtype=np.float32))
        padded, unpad = pad_nd_image(tensor, self.patch_size, "constant", {"value": 0}, True)
        return Prepared(padded, (slice(None), *unpad[1:]), properties)

    def probabilities(
        self,
        prepared: Prepared,
        weights: StateDict,
        *,
        mirrors: list[tuple[int, ...]],
        dropout_seed: int | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> torch.Tensor:
        """Softmax (C, Z, Y, X) float32 of one member on the grid of the image.

        Outside the image's non-zero box, which nnU-Net does not look at, it is background with
        probability 1. ``dropout_seed`` arms the network's dropout. Raises Stopped, and ModelError
        when the memory does not suffice even on the CPU.
        """
        while True:
            try:
                self.network.load(weights)
                with self.network.dropping_out(dropout_seed):
                    logits = self._window_logits(prepared.data, mirrors, should_stop)
                return self._on_image_grid(logits[prepared.unpad], prepared.properties)
            except (RuntimeError, MemoryError) as error:
                self.step_down(error)

    def _window_logits(
        self,
        data: torch.Tensor,
        mirrors: list[tuple[int, ...]],
        should_stop: Callable[[], bool],
    ) -> torch.Tensor:
        shape = data.shape[1:]
        total = torch.zeros((self.classes, *shape), device=self.sums_device)
        weight = torch.zeros(shape, device=self.sums_device)
        # nnU-Net's own weights, which are float16; only the sums are more exact here.
        gaussian = compute_gaussian(
            self.patch_size, value_scaling_factor=10, device=self.sums_device
        ).float()
        flat = len(self.patch_size) == 2
        for window in self._windows(tuple(shape)):
            if should_stop():
                raise Stopped
            patch = data[(slice(None), *window)]
            batch = patch.transpose(0, 1) if flat else patch[None]
            logits = self.network.logits(batch, mirrors).to(self.sums_device)
            part = logits.transpose(0, 1) if flat else logits[0]
            total[(slice(None), *window)] += part * gaussian
            weight[window] += gaussian
        return total.div_(weight)

    def _windows(self, shape: tuple[int, ...]) -> list[Window]:
        """Tiles as nnU-Net lays them; in 2D each with up to ``batch_size`` slices."""
        tiled = shape[-len(self.patch_size) :]
        steps = compute_steps_for_sliding_window(tiled, self.patch_size, TILE_STEP)
        tiles = [
            tuple(slice(s, s + p) for s, p in zip(starts, self.patch_size, strict=True))
            for starts in product(*steps)
        ]
        if len(self.patch_size) == 3:
            return tiles
        slices = range(0, shape[0], self.batch_size)
        return [(slice(z, min(z + self.batch_size, shape[0])), *t) for z in slices for t in tiles]

    def _on_image_grid(self, logits: torch.Tensor, properties: dict[str, Any]) -> torch.Tensor:
        """Resample logits, softmax, undo the crop and nnU-Net's transposition."""
        probabilities = torch.softmax(self._resample(logits, properties).float(), dim=0)
        whole = properties["shape_before_cropping"]
        box = tuple(slice(*edges) for edges in properties["bbox_used_for_cropping"])
        if tuple(probabilities.shape[1:]) != tuple(whole):
            inside = probabilities
            probabilities = torch.zeros((self.classes, *whole), device=inside.device)
            probabilities[0] = 1
            probabilities[(slice(None), *box)] = inside
        backward = self._plans.transpose_backward
        return probabilities.permute(0, *[axis + 1 for axis in backward])

    def _resample(self, logits: torch.Tensor, properties: dict[str, Any]) -> torch.Tensor:
        shape = tuple(properties["shape_after_cropping_and_before_resampling"])
        if tuple(logits.shape[1:]) == shape:
            return logits
        spacing = [properties["spacing"][axis] for axis in self._plans.transpose_forward]
        current = list(self._configuration.spacing)
        current = current if len(current) == 3 else [spacing[0], *current]
        function = self._configuration.resampling_fn_probabilities
        if self._resamples_slices(function, current, spacing, shape, logits):
            slices = logits.transpose(0, 1)
            size = shape[1:]
            resized = torch.nn.functional.interpolate(
                slices, size=size, mode="bilinear", align_corners=False
            )
            return resized.transpose(0, 1)
        return torch.as_tensor(
            function(logits.cpu(), shape, current, spacing), device=logits.device
        )

    def _resamples_slices(
        self,
        function: Any,
        current: list[float],
        spacing: list[float],
        shape: tuple[int, ...],
        logits: torch.Tensor,
    ) -> bool:
        """Whether nnU-Net's resampling is the bilinear one of each slice by itself.

        Then one batched call does it: equal to 4e-4 in logits and 4 to 20 times faster.
        """
        stock = getattr(function, "func", None)
        options = getattr(function, "keywords", {})
        if getattr(stock, "__name__", "") != "resample_data_or_seg_to_shape":
            return False
        _, axis = determine_do_sep_z_and_axis(options.get("force_separate_z"), current, spacing)
        same_slices = logits.shape[1] == shape[0]
        return bool(options.get("order") == 1 and same_slices and axis in (None, 0))

    def on_device(self, probabilities: NDArray[np.float32]) -> torch.Tensor:
        """An answer that was kept, as `probabilities` gives them."""
        while True:
            try:
                return torch.from_numpy(probabilities).to(self.sums_device)
            except (RuntimeError, MemoryError) as error:
                self.step_down(error)

    def step_down(self, error: Exception) -> None:
        """Ask for less memory from now on; raises ``error`` again where that was not the trouble.

        Raises ModelError when there is no step left.
        """
        if not is_out_of_memory(error):
            raise error
        if self.network.device.type == "cuda":
            torch.cuda.empty_cache()
        if len(self.patch_size) == 2 and self.batch_size > 1:
            self.batch_size = max(1, self.batch_size // 4)
            self._notify(
                f"Not enough memory on the device: now {self.batch_size} slices at a time."
            )
        elif self.sums_device.type != "cpu":
            self.sums_device = torch.device("cpu")
            self._notify("Not enough memory on the device: sums are now kept on the CPU.")
        elif self.network.device.type != "cpu":
            self.network.to(torch.device("cpu"))
            self._notify("Not enough memory on the device: now computing on the CPU, more slowly.")
        else:
            raise ModelError(
                "Not enough memory on this computer for an image this large."
            ) from error


def mirrors_of(
    mirroring: str, axes: tuple[int, ...] | None, *, turn: int | None = None
) -> list[tuple[int, ...]]:
    """The flips of a batch (N, channels, …): with "full" all combinations of the allowed axes.

    With "spread" the one whose ``turn`` it is.
    """
    if mirroring not in ("full", "spread", "none"):
        raise ModelError(f"Mirroring is 'full', 'spread' or 'none', not {mirroring!r}.")
    if mirroring == "none" or not axes:
        return [()]
    shifted = [axis + 2 for axis in axes]
    found = [c for n in range(len(shifted) + 1) for c in combinations(shifted, n)]
    return [found[(turn or 0) % len(found)]] if mirroring == "spread" else found
