"""Types and ranges of the entries of plans.json and dataset.json that nnU-Net reads.

Missing entries are left to nnU-Net, because the files of its versions differ.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, TypeAlias

from annotated_types import Interval, Len

from ..files.json_files import Count, Ordinal

Few: TypeAlias = Annotated[int, Interval(ge=1, le=64)]
Features: TypeAlias = Annotated[int, Interval(ge=1, le=4096)]
Axis: TypeAlias = Annotated[int, Interval(ge=0, le=2)]
Side: TypeAlias = Annotated[int, Interval(ge=1, le=4096)]
Length: TypeAlias = Annotated[float, Interval(ge=1e-4, le=1e4)]
Kernels: TypeAlias = Few | list[Few | Annotated[list[Few], Len(1, 3)]]
Axes: TypeAlias = Annotated[list[Axis], Len(3, 3)]
Share: TypeAlias = Annotated[float, Interval(ge=0, le=1)]


@dataclass(frozen=True, kw_only=True)
class _Resampling:
    is_seg: bool = False
    order: Annotated[int, Interval(ge=0, le=5)] = 3
    order_z: Annotated[int, Interval(ge=0, le=5)] = 0
    force_separate_z: bool | None = None


@dataclass(frozen=True, kw_only=True)
class _Options:
    """Options of normalisation, dropout and activation layers."""

    eps: Share = 1e-5
    affine: bool = True
    p: Share = 0.5
    inplace: bool = True
    negative_slope: Share = 0.01


@dataclass(frozen=True, kw_only=True)
class _Parts:
    n_stages: Few = 1
    features_per_stage: Features | list[Features] = 1
    conv_op: str = ""
    kernel_sizes: Kernels = 1
    strides: Kernels = 1
    n_conv_per_stage: Few | list[Few] = 1
    n_blocks_per_stage: Few | list[Few] = 1
    n_conv_per_stage_decoder: Few | list[Few] = 1
    conv_bias: bool = True
    norm_op: str | None = None
    norm_op_kwargs: _Options | None = None
    dropout_op: str | None = None
    dropout_op_kwargs: _Options | None = None
    nonlin: str | None = None
    nonlin_kwargs: _Options | None = None

    def __post_init__(self) -> None:
        """Raise ValueError unless kernels and strides have the dimensions of the network."""
        sizes = (size for sizes in (self.kernel_sizes, self.strides) for size in _lists(sizes))
        if any(not self.conv_op.endswith(f"Conv{len(size)}d") for size in sizes):
            raise ValueError("A kernel or a stride does not have the dimensions of the network.")


def _lists(sizes: Kernels) -> list[list[int]]:
    """Return the sizes that have a number for each dimension."""
    return [size for size in sizes if isinstance(size, list)] if isinstance(sizes, list) else []


@dataclass(frozen=True, kw_only=True)
class _Architecture:
    network_class_name: str = ""
    arch_kwargs: _Parts = field(default_factory=_Parts)


@dataclass(frozen=True, kw_only=True)
class _Configuration:
    """Entries of a configuration; the last seven replace ``architecture`` before nnU-Net 2.4."""

    data_identifier: str = ""
    preprocessor_name: str = ""
    inherits_from: str = ""
    batch_size: Ordinal = 1
    patch_size: Annotated[list[Side], Len(2, 3)] = field(default_factory=lambda: [1, 1])
    spacing: Annotated[list[Length], Len(2, 3)] = field(default_factory=lambda: [1.0, 1.0])
    normalization_schemes: list[str] = field(default_factory=list)
    use_mask_for_norm: list[bool] = field(default_factory=list)
    resampling_fn_data: str = ""
    resampling_fn_seg: str = ""
    resampling_fn_probabilities: str = ""
    resampling_fn_data_kwargs: _Resampling = field(default_factory=_Resampling)
    resampling_fn_seg_kwargs: _Resampling = field(default_factory=_Resampling)
    resampling_fn_probabilities_kwargs: _Resampling = field(default_factory=_Resampling)
    architecture: _Architecture = field(default_factory=_Architecture)
    batch_dice: bool = True
    UNet_class_name: str = ""
    UNet_base_num_features: Features = 1
    unet_max_num_features: Features = 1
    n_conv_per_stage_encoder: Few | list[Few] = 1
    n_conv_per_stage_decoder: Few | list[Few] = 1
    pool_op_kernel_sizes: Kernels = 1
    conv_kernel_sizes: Kernels = 1


@dataclass(frozen=True, kw_only=True)
class PlansFormat:
    """Entries of ``plans.json``."""

    dataset_name: str = ""
    plans_name: str = ""
    image_reader_writer: str = ""
    label_manager: str = ""
    transpose_forward: Axes = field(default_factory=lambda: [0, 1, 2])
    transpose_backward: Axes = field(default_factory=lambda: [0, 1, 2])
    configurations: dict[str, _Configuration] = field(default_factory=dict)
    foreground_intensity_properties_per_channel: dict[str, dict[str, float]] = field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        """Raise ValueError unless ``transpose_backward`` undoes ``transpose_forward``."""
        back = [self.transpose_forward.index(axis) for axis in range(3)]
        if self.transpose_backward != back:
            raise ValueError("transpose_backward does not undo transpose_forward.")


@dataclass(frozen=True, kw_only=True)
class DatasetFormat:
    """Entries of ``dataset.json``, besides labels and channels, which have errors of their own."""

    file_ending: str = ""
    regions_class_order: list[Count] | None = None
