"""Network of a plans file, built once for the weights of all members, and the tiles it sees."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from itertools import product
from typing import TYPE_CHECKING, Any, Final, get_args

import torch
from nnunetv2.inference.sliding_window_prediction import (
    compute_gaussian,
    compute_steps_for_sliding_window,
)
from torch.nn.functional import interpolate, max_pool2d

from ..core.choices import Precision
from . import ModelError
from .architecture import Architecture, WithFeatures
from .dropout import dropout_placement, one_weight_sample, place_dropout
from .openvino_network import FAILURES, OpenVinoNetwork, is_installed, openvino_version
from .weights import StateDict, without_duplicates

if TYPE_CHECKING:
    from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

HEART_BORDER: Final = 4
"""Pixels around the heart that count as its border."""
FEWEST_HEART_PIXELS: Final = 30
"""Pixels of the heart in a slice from which it counts."""
WITHOUT_OPENVINO: Final = (
    "OpenVINO failed on this computer ({reason}). torch computes instead, with the same results "
    "but more slowly."
)
_log = logging.getLogger(__name__)


class Network:
    """One network in evaluation mode on a device; ``load`` gives it the weights of a member.

    ``precision`` "auto" is half precision if the device is fast with it, "full" is float32. Logits
    are always float32. On a CPU, OpenVINO computes the network from `run_by_openvino` on, and torch
    if it cannot.
    """

    def __init__(
        self,
        plans: PlansManager,
        configuration: ConfigurationManager,
        dataset_json: dict[str, Any],
        device: torch.device,
        *,
        precision: Precision = "auto",
    ) -> None:
        if precision not in get_args(Precision):
            raise ModelError(
                "{precision!r} is not a precision. Choose auto or full.", precision=precision
            )
        self._architecture = Architecture.planned(plans, configuration, dataset_json)
        self.module = self._architecture.build()
        place_dropout(self.module, dropout_placement(plans.plans))
        self._with_features = WithFeatures(self.module).eval()
        self._precision: Precision = precision
        self._openvino: OpenVinoNetwork | None = None
        self._is_in_torch = True
        # As it was built.
        self.device, self._dtype = next(self.module.parameters()).device, torch.float32
        self.to(device)

    def to(self, device: torch.device) -> None:
        """Move the network, in the precision that suits the device.

        After an error, `device` and `dtype` are those before; the device is the CPU if the network
        does not even fit where it was.
        """
        try:
            self._place(device, self._type_on(device))
        except (RuntimeError, MemoryError):
            self._place_again()
            raise

    def _place_again(self) -> None:
        """Undo a move that failed in the middle: torch moves one tensor after the other."""
        cpu = torch.device("cpu")
        for device, dtype in ((self.device, self._dtype), (cpu, self._type_on(cpu))):
            with suppress(RuntimeError, MemoryError):
                self._place(device, dtype)
                return

    def _type_on(self, device: torch.device) -> torch.dtype:
        # nnU-Net's predictor also computes in float16 on CUDA, by autocast; sums are float32.
        is_half = device.type == "cuda" and self._precision == "auto"
        return torch.float16 if is_half else torch.float32

    def _place(self, device: torch.device, dtype: torch.dtype) -> None:
        self.module.to(device, dtype)
        self.device, self._dtype = device, dtype
        # nnU-Net has up to three names for a tensor; each is loaded once.
        self._tensors = without_duplicates(self.module.state_dict())

    def run_by_openvino(self, notify: Callable[[str], None]) -> None:
        """Let OpenVINO compute the network, which is on the CPU, if it is installed.

        ``notify`` receives a sentence if it fails.
        """
        self._notify = notify
        if is_installed():
            is_full = self._precision == "full"
            self._openvino = OpenVinoNetwork(self._architecture, is_full=is_full, notify=notify)
        else:
            _log.info("OpenVINO is not installed, so torch computes on the CPU.")

    def _without_openvino(self, error: Exception) -> None:
        self._openvino = None
        reason = (str(error) or type(error).__name__).strip().splitlines()[0].rstrip(".")
        self._notify(WITHOUT_OPENVINO.format(reason=reason))

    @property
    def runtime(self) -> str:
        """What computes the network, with its version: "OpenVINO 2026.4.1" or "torch 2.13.0"."""
        return f"torch {torch.__version__}" if self._openvino is None else openvino_version()

    @property
    def dtype(self) -> torch.dtype:
        """Number type of the network."""
        if self._openvino is not None:
            try:
                return self._openvino.dtype
            except FAILURES as error:
                self._without_openvino(error)
        return self._dtype

    def use_full_precision(self) -> None:
        """Compute in float32 from now on."""
        self._precision = "full"
        self.to(self.device)
        if self._openvino is not None:
            self.run_by_openvino(self._notify)

    @torch.inference_mode()
    def load(self, weights: StateDict, *, in_torch: bool = False) -> None:
        """Load the weights of a member, in place; ``in_torch`` to sample with dropout.

        Raises ModelError if they belong to another network.
        """
        for name, tensor in self._tensors.items():
            loaded = weights.get(name)
            if loaded is None or loaded.shape != tensor.shape:
                raise ModelError(
                    "A member does not fit the network in plans.json ({tensor}). Choose members "
                    "and plans of the same training.",
                    tensor=name,
                )
        self._weights, self._is_in_torch = weights, in_torch or self._openvino is None
        if self._openvino is not None and not in_torch:
            try:
                self._openvino.load(weights)
                return
            except FAILURES as error:
                self._without_openvino(error)
                self._is_in_torch = True
        for name, tensor in self._tensors.items():
            tensor.copy_(weights[name])

    def dropping_out(self, seed: int | None) -> AbstractContextManager[None]:
        """Switch dropout on, with the channels of ``seed``, see `one_weight_sample`.

        Do nothing if it is None.
        """
        return nullcontext() if seed is None else one_weight_sample(self.module, seed)

    def _outputs(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return what `WithFeatures` returns, float32."""
        if self._openvino is not None and not self._is_in_torch:
            try:
                return self._openvino(batch.to(self.device, torch.float32))
            except FAILURES as error:
                self._without_openvino(error)
                self.load(self._weights)
        outputs = self._with_features(batch.to(self.device, self._dtype))
        return tuple(output.float() for output in outputs)

    @torch.inference_mode()
    def logits(
        self, patches: torch.Tensor, mirrors: list[tuple[int, ...]], *, at_once: int
    ) -> torch.Tensor:
        """Return mean logits (N, C, …) of ``patches`` (N, channels, …) over ``mirrors``, float32.

        A mirror is a tuple of the axes to flip; ``()`` flips none. Logits are averaged over mirrors
        as in nnU-Net's predictor; mirrored copies are not members of the posterior. All mirrors of
        all patches form one batch, of which the network sees ``at_once`` at a time.
        """
        if not mirrors:
            raise ModelError("No mirrored copy was chosen.")
        batch = torch.cat([_flipped(patches, axes) for axes in mirrors])
        logits = torch.cat([self._outputs(part)[0] for part in torch.split(batch, at_once)])
        of_mirrors = zip(mirrors, logits.chunk(len(mirrors)), strict=True)
        return torch.stack([_flipped(part, axes) for axes, part in of_mirrors]).mean(0)

    @torch.inference_mode()
    def heart_sums(self, patches: torch.Tensor) -> torch.Tensor | None:
        """Return sums (N, 1 + 2 · features) over the heart that the network finds in ``patches``.

        float32: the number of pixels of the heart and its border in the second deepest stage of the
        encoder, and the sums of its activations and of their squares there. Patches with hardly any
        heart do not count. None if the network has no encoder with several stages.
        """
        logits, *features = self._outputs(patches)
        if not features:
            return None
        (values,) = features
        heart = (logits.argmax(1, keepdim=True) > 0).float()
        few = heart.flatten(1).sum(1) <= FEWEST_HEART_PIXELS
        heart[few] = 0
        grown = max_pool2d(heart.flatten(0, -3), 2 * HEART_BORDER + 1, 1, HEART_BORDER)
        share = interpolate(grown.view_as(heart), values.shape[2:], mode="area")
        sums = [part.flatten(2).sum(2) for part in (share, share * values, share * values**2)]
        return torch.cat(sums, dim=1)


def _flipped(batch: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
    return batch.flip(axes) if axes else batch


TileSlices = tuple[slice, ...]
STEP = 0.5
"""Distance between tiles as a share of their size, as in nnU-Net's predictor."""


class Tiles:
    """Tiles of an image (channels, Z, Y, X) with the running sum of a network's logits.

    With a 2D ``patch`` (y, x) a tile is a stack of up to ``slices`` slices; with a 3D patch
    (z, y, x) it is one patch.
    """

    def __init__(
        self,
        image: torch.Tensor,
        patch: tuple[int, ...],
        *,
        slices: int,
        classes: int,
        sums_on: torch.device,
    ) -> None:
        self._image = image
        self._flat = len(patch) == 2
        self._total = torch.zeros((classes, *image.shape[1:]), device=sums_on)
        self._weight = torch.zeros(image.shape[1:], device=sums_on)
        # nnU-Net's float16 weights; only the sums are more exact here.
        self._gaussian = compute_gaussian(patch, value_scaling_factor=10, device=sums_on).float()
        self.windows = place_windows(tuple(image.shape[1:]), patch, slices)

    def patches(self, window: TileSlices) -> torch.Tensor:
        """Return the patches (N, channels, …) of a window: its slices in 2D, one patch in 3D."""
        return patches_of(self._image, window, flat=self._flat)

    def count(self, window: TileSlices) -> int:
        """Return the number of patches in a window."""
        return window[0].stop - window[0].start if self._flat else 1

    def add(self, window: TileSlices, logits: torch.Tensor) -> None:
        """Add the logits (N, C, …) of the patches of a window."""
        part = logits.to(self._total.device)
        part = part.transpose(0, 1) if self._flat else part[0]
        self._total[(slice(None), *window)] += part * self._gaussian
        self._weight[window] += self._gaussian

    def mean(self) -> torch.Tensor:
        """Return the weighted mean of the logits, (C, Z, Y, X)."""
        return self._total.div_(self._weight)


def patches_of(image: torch.Tensor, window: TileSlices, *, flat: bool) -> torch.Tensor:
    """Return the patches (N, channels, …) of a window: its slices if ``flat``, else one patch."""
    tile = image[(slice(None), *window)]
    return tile.transpose(0, 1) if flat else tile[None]


def place_windows(shape: tuple[int, ...], patch: tuple[int, ...], slices: int) -> list[TileSlices]:
    """Return the tiles (z, y, x) of an image, in 2D in stacks of up to ``slices`` slices."""
    steps = compute_steps_for_sliding_window(shape[-len(patch) :], patch, STEP)
    tiles = [
        tuple(slice(start, start + side) for start, side in zip(starts, patch, strict=True))
        for starts in product(*steps)
    ]
    if len(patch) == 3:
        return tiles
    stacks = [slice(z, min(z + slices, shape[0])) for z in range(0, shape[0], slices)]
    return [(stack, *tile) for stack in stacks for tile in tiles]
