"""Made model folders: real networks with random weights, which need no training."""

import json
from pathlib import Path
from typing import Any

import numpy as np

LABELS = {"background": 0, "RV": 1, "MYO": 2, "LV": 3}


def network(dimension: int, *, residual: bool = False) -> dict[str, Any]:
    """Return the architecture entry of a plans file: three stages, 4-8-8 features."""
    encoder = "n_blocks_per_stage" if residual else "n_conv_per_stage"
    name = "ResidualEncoderUNet" if residual else "PlainConvUNet"
    return {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{name}",
        "arch_kwargs": {
            "n_stages": 3,
            "features_per_stage": [4, 8, 8],
            "conv_op": f"torch.nn.modules.conv.Conv{dimension}d",
            "kernel_sizes": [[3] * dimension] * 3,
            "strides": [[1] * dimension, [2] * dimension, [2] * dimension],
            encoder: [1, 1, 1],
            "n_conv_per_stage_decoder": [1, 1],
            "conv_bias": True,
            "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dimension}d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def plans(*, residual: bool = False, channels: int = 1) -> dict[str, Any]:
    """Return plans with the configurations 2d and 3d_fullres at 1.5 × 1.5 (× 6) mm."""
    intensities = {"max": 1.0, "mean": 0.5, "median": 0.5, "min": 0.0, "std": 0.2}
    intensities |= {"percentile_00_5": 0.0, "percentile_99_5": 1.0}
    return {
        "dataset_name": "Dataset001_made",
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            str(c): intensities for c in range(channels)
        },
        "configurations": {
            "2d": _configuration([32, 24], [1.5, 1.5], network(2, residual=residual), channels),
            "3d_fullres": _configuration(
                [8, 32, 24], [6.0, 1.5, 1.5], network(3, residual=residual), channels
            ),
        },
    }


def make_model(
    folder: Path,
    *,
    configuration: str = "2d",
    members: int = 3,
    residual: bool = False,
    channels: int = 1,
    dropout: float = 0.0,
    written: dict[str, Any] | None = None,
    **entries: Any,
) -> Path:
    """Write an nnU-Net result folder with ``members`` checkpoints of random weights in fold 0.

    ``written`` are its plans, if not those of `plans`; ``entries`` go into ``dataset.json``.
    """
    import torch
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from napari_bayes_nnunet.nnunet.architecture import Architecture
    from napari_bayes_nnunet.nnunet.weights import write_member

    written = written or plans(residual=residual, channels=channels)
    if dropout:
        from napari_bayes_nnunet.nnunet.planning import add_dropout

        add_dropout(written["configurations"][configuration], dropout)
    dataset = {
        "channel_names": {str(c): f"cine{c}" for c in range(channels)},
        "labels": LABELS,
        "file_ending": ".nii.gz",
        "numTraining": 1,
        **entries,
    }
    model = folder / f"nnUNetTrainer__nnUNetPlans__{configuration}"
    (model / "fold_0").mkdir(parents=True)
    (model / "plans.json").write_text(json.dumps(written))
    (model / "dataset.json").write_text(json.dumps(dataset))
    manager = PlansManager(written)
    for number in range(members):
        torch.manual_seed(number)
        settings = manager.get_configuration(configuration)
        network: Any = Architecture.planned(manager, settings, dataset).build()
        network.apply(network.initialize)
        axes = tuple(range(len(manager.get_configuration(configuration).patch_size)))
        write_member(
            model / "fold_0" / f"checkpoint_epoch_{number + 1}.pth",
            network.state_dict(),
            configuration=configuration,
            mirroring_axes=axes,
        )
    return model


def made_image(shape: tuple[int, ...], *, seed: int = 0) -> np.ndarray:
    """Return float32 blobs, 0 in the first rows of axis 1 (which nnU-Net crops)."""
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    image = ndimage.gaussian_filter(rng.normal(size=shape), 2).astype(np.float32) * 100 + 50
    image[:, :3] = 0
    return image


def _configuration(
    patch: list[int], spacing: list[float], architecture: dict[str, Any], channels: int
) -> dict[str, Any]:
    resampling = {"is_seg": False, "order_z": 0, "force_separate_z": None}
    return {
        "data_identifier": "nnUNetPlans_made",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": patch,
        "median_image_size_in_voxels": patch,
        "spacing": spacing,
        "normalization_schemes": ["ZScoreNormalization"] * channels,
        "use_mask_for_norm": [False] * channels,
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": {**resampling, "order": 3},
        "resampling_fn_seg_kwargs": {**resampling, "is_seg": True, "order": 1},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": {**resampling, "order": 1},
        "architecture": architecture,
        "batch_dice": True,
    }
