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
NO_NETWORK = "plans.json does not describe its network"
FOREIGN_PART = "the entry {entry} of {file} names something outside nnU-Net, which could run code"
FOREIGN_PATH = "the entry {entry} of {file} is not a plain name and could lead to another folder"

REGIONS_WITHOUT_ORDER = (
    "regions_class_order in dataset.json must give each region one of its labels, and each label "
    "to one region"
)
LABELS_NO_NUMBERS = "the labels in dataset.json are not numbers"
NO_CHANNELS = "dataset.json needs numbered channel_names"

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
_ALLOWED = {
    "image_reader_writer": _READERS,
    "overwrite_image_reader_writer": {*_READERS, "None"},
    "label_manager": {"LabelManager"},
    "preprocessor_name": {"DefaultPreprocessor"},
    **{f"resampling_fn_{of}": _RESAMPLINGS for of in ("data", "seg", "probabilities")},
    "normalization_schemes": _NORMALISATIONS,
    "network_class_name": _NETWORKS,
}
"""Entry → names that it may have."""
_PATHS = ("plans_name", "dataset_name", "data_identifier", "previous_stage", "next_stage")


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
    # nnU-Net also reads some of these entries from the plans themselves.
    for content in (plans, *configurations.values()):
        _check_names(content)
        if "architecture" in content:
            _check_architecture(content["architecture"])


def check_dataset_json(content: Mapping[str, Any]) -> None:
    """Raise DataError if nnU-Net would look up a reader that is not its own."""
    _check_names(content, file="dataset.json")


def label_numbers(content: Mapping[str, Any]) -> dict[str, int]:
    """Return the number of each label in ``dataset.json``. Raises DataError with a clause.

    The label of a region is drawn where no later region covers it, so it is called "whole only",
    not "whole", unless the region is this label.
    """
    labels = content.get("labels")
    if not isinstance(labels, dict):
        raise DataError(LABELS_NO_NUMBERS)
    if regions := regions_of(content):
        named = {
            n if len(part) == 1 else f"{n} only": label for n, (label, part) in regions.items()
        }
        labels = {n: labels[n] for n in ("background", "ignore") if n in labels} | named
    values = {k: v[0] if isinstance(v, list) and len(v) == 1 else v for k, v in labels.items()}
    if any(isinstance(value, list) for value in values.values()):
        raise DataError(LABELS_NO_NUMBERS)
    if not all(_is_number(str(value)) for value in values.values()):  # nnU-Net v1: name by number
        raise DataError(LABELS_NO_NUMBERS)
    return {name: int(value) for name, value in values.items()}


def regions_of(content: Mapping[str, Any]) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Return region → its label by ``regions_class_order``, and all labels in it.

    They are in the order of the network's outputs; {} if the labels exclude each other. Raises
    DataError with a clause.
    """
    labels = content.get("labels")
    if not isinstance(labels, dict) or not any(
        isinstance(value, list) and len(value) > 1 for value in labels.values()
    ):
        return {}
    parts = {n: v if isinstance(v, list) else [v] for n, v in labels.items() if n != "ignore"}
    regions = {name: part for name, part in parts.items() if part != [0]}
    order = content.get("regions_class_order")
    numbers = [number for part in regions.values() for number in part]
    if (
        not isinstance(order, list)
        or not all(type(number) is int and 0 < number < 256 for number in (*order, *numbers))
        or sorted(order) != sorted({*numbers})
        or len(order) != len(regions)
        or any(label not in part for label, part in zip(order, regions.values(), strict=True))
    ):
        raise DataError(REGIONS_WITHOUT_ORDER)
    return {
        name: (label, tuple(part))
        for label, (name, part) in zip(order, regions.items(), strict=True)
    }


def channel_names(content: Mapping[str, Any]) -> list[str]:
    """Return the names of the channels in ``dataset.json``. Raises DataError with a clause."""
    names = content.get("channel_names") or content.get("modality")
    if not isinstance(names, dict) or not all(map(_is_number, names)):
        raise DataError(NO_CHANNELS)
    return [str(names[key]) for key in sorted(names, key=int)]


def is_plain_name(name: object) -> bool:
    """Return whether a name stays in its folder when it is used as that of a file."""
    # The second character is a colon in a path with a drive of Windows.
    if not isinstance(name, str) or name in ("", ".", "..") or name[1:2] == ":":
        return False
    return not {*name} & {*"/\\\0"}


def _check_names(content: Mapping[str, Any], file: str = "plans.json") -> None:
    for entry, value in content.items():
        values = value if isinstance(value, list) else [value]
        if entry in _ALLOWED and not all(_is_one_of(v, _ALLOWED[entry]) for v in values):
            raise DataError(FOREIGN_PART, entry=entry, file=file)
        if entry in _PATHS and not all(v is None or is_plain_name(v) for v in values):
            raise DataError(FOREIGN_PATH, entry=entry, file=file)


def _check_architecture(architecture: Any) -> None:
    if not isinstance(architecture, dict):
        raise DataError(NO_NETWORK)
    parts, names = architecture.get("arch_kwargs"), architecture.get("_kw_requires_import", [])
    if not isinstance(parts, dict) or not isinstance(names, list):
        raise DataError(NO_NETWORK)
    _check_names(architecture)
    for name in map(str, names):
        if parts.get(name) is not None and not _is_one_of(parts[name], _PARTS):
            raise DataError(FOREIGN_PART, entry=name, file="plans.json")


def _is_one_of(value: object, names: set[str]) -> bool:
    return isinstance(value, str) and value in names


def _is_number(text: str) -> bool:
    """Return whether the text is a number that `int` reads; `int` refuses very long ones."""
    return text.isdecimal() and len(text) < 10
