"""Names in plans.json and dataset.json that nnU-Net would import, call or use as a path.

nnU-Net looks up each of these names in Python's modules and calls what it finds, and deletes the
folder of preprocessed data that the plans name. So only nnU-Net's own parts and plain names are
accepted. Messages do not repeat the names, because a stranger may have chosen them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import DataError

# Reasons why plans are refused; each is a clause of a sentence.
NO_CONFIGURATIONS = "plans.json has no configurations, unlike the plans of nnU-Net v2"
NO_NETWORK = "plans.json does not describe the network of {configuration}"
NO_NAMES = "a list of names in the configuration {configuration} of plans.json is damaged"
FOREIGN_PART = "the entry {entry} of {file} names something outside nnU-Net, which could run code"
FOREIGN_PATH = "the entry {entry} of {file} is not a plain name and could lead to another folder"

_ARCHITECTURES = "dynamic_network_architectures.architectures"
_NETWORKS = {
    *(f"{_ARCHITECTURES}.unet.{name}" for name in ("PlainConvUNet", "ResidualUNet")),
    *(f"{_ARCHITECTURES}.{file}.ResidualEncoderUNet" for file in ("unet", "residual_unet")),
}
_LAYERS = {
    "conv": ("Conv1d", "Conv2d", "Conv3d"),
    "instancenorm": ("InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"),
    "batchnorm": ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d"),
    "dropout": ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d"),
    "activation": ("ReLU", "LeakyReLU", "PReLU", "ELU", "GELU", "SiLU", "Mish"),
}
_PARTS = {
    *(f"torch.nn.modules.{file}.{name}" for file, names in _LAYERS.items() for name in names),
    *(f"torch.nn.{name}" for names in _LAYERS.values() for name in names),
    "dynamic_network_architectures.building_blocks.residual.BasicBlockD",
    "dynamic_network_architectures.building_blocks.residual.BottleneckD",
}
_READERS = {
    *("SimpleITKIO", "SimpleITKIOWithReorient", "NibabelIO", "NibabelIOWithReorient"),
    *("NaturalImage2DIO", "Tiff3DIO"),
}
_RESAMPLINGS = {
    *("resample_data_or_seg_to_shape", "resample_torch_simple", "resample_torch_fornnunet"),
    "no_resampling_hack",
}
_NORMALISATIONS = {
    *("ZScoreNormalization", "CTNormalization", "NoNormalization", "RescaleTo01Normalization"),
    "RGBTo01Normalization",
}
_OF_PLANS = {"image_reader_writer": _READERS, "label_manager": {"LabelManager"}}
_OF_CONFIGURATION = {
    "preprocessor_name": {"DefaultPreprocessor"},
    "resampling_fn_data": _RESAMPLINGS,
    "resampling_fn_seg": _RESAMPLINGS,
    "resampling_fn_probabilities": _RESAMPLINGS,
}
_OF_DATASET = {"overwrite_image_reader_writer": {*_READERS, "None"}}


def check_plans(plans: Mapping[str, Any]) -> None:
    """Raise DataError if nnU-Net would run or write something that is not its own.

    All configurations are checked, even those that the caller does not use. Missing entries are
    left to nnU-Net.
    """
    configurations = plans.get("configurations")
    if (
        not isinstance(configurations, dict)
        or not configurations
        or not all(isinstance(settings, dict) for settings in configurations.values())
    ):
        raise DataError(NO_CONFIGURATIONS)
    _check_names(plans, _OF_PLANS)
    _check_paths(plans, ("plans_name", "dataset_name"))
    for name, settings in configurations.items():
        _check_names(settings, _OF_CONFIGURATION)
        _check_paths(settings, ("data_identifier", "previous_stage", "next_stage"))
        _check_normalisation(name, settings)
        if "architecture" in settings:
            _check_architecture(name, settings["architecture"])


def check_dataset_json(content: Mapping[str, Any]) -> None:
    """Raise DataError if nnU-Net would look up a reader that is not its own."""
    _check_names(content, _OF_DATASET, file="dataset.json")


def is_plain_name(name: object) -> bool:
    """Return whether a name stays in its folder when it is used as that of a file."""
    if not isinstance(name, str) or name in ("", ".", "..") or name[1:2] == ":":
        return False
    return not {*name} & {*"/\\\0"}


def _check_names(
    content: Mapping[str, Any], allowed: Mapping[str, set[str]], file: str = "plans.json"
) -> None:
    for entry, names in allowed.items():
        if entry in content and not _is_one_of(content[entry], names):
            raise DataError(FOREIGN_PART, entry=entry, file=file)


def _check_paths(content: Mapping[str, Any], entries: tuple[str, ...]) -> None:
    for entry in entries:
        values = content.get(entry)
        for value in values if isinstance(values, list) else [values]:
            if value is not None and not is_plain_name(value):
                raise DataError(FOREIGN_PATH, entry=entry, file="plans.json")


def _check_normalisation(configuration: str, settings: Mapping[str, Any]) -> None:
    schemes = settings.get("normalization_schemes", [])
    if not _is_texts(schemes):
        raise DataError(NO_NAMES, configuration=configuration)
    if not {*schemes} <= _NORMALISATIONS:
        raise DataError(FOREIGN_PART, entry="normalization_schemes", file="plans.json")


def _check_architecture(configuration: str, architecture: Any) -> None:
    parts = architecture.get("arch_kwargs") if isinstance(architecture, dict) else None
    if not isinstance(parts, dict):
        raise DataError(NO_NETWORK, configuration=configuration)
    names = architecture.get("_kw_requires_import", [])
    if not _is_texts(names):
        raise DataError(NO_NAMES, configuration=configuration)
    _check_names(architecture, {"network_class_name": _NETWORKS})
    for name in names:
        if parts.get(name) is not None and not _is_one_of(parts[name], _PARTS):
            raise DataError(FOREIGN_PART, entry=name, file="plans.json")


def _is_one_of(value: object, names: set[str]) -> bool:
    return isinstance(value, str) and value in names


def _is_texts(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)
