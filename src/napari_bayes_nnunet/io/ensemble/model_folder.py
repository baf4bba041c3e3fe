"""nnU-Net model folder: the network described by its plans, dataset and training record.

The folder is read without torch. The names in its plans are checked by `files.nnunet_names`.
"""

from __future__ import annotations

import hashlib
import json
import pickletools
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from annotated_types import Interval, Len

from ...core.ensemble.schedule import RestartSchedule
from ...core.heart.measurements import canonical_structure
from .. import DataError
from ..files.json_files import Count, Ordinal, parse_json, reading_json
from ..files.limits import LFS_START, is_stored
from ..files.nnunet_names import channel_names, check_dataset_json, check_plans, label_numbers
from .run_folder import RECORD, TrainingRecord, read_record

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


EXPECTED = "plans.json, dataset.json and fold_0 … fold_4 or fold_all side by side"

# Reasons why a folder or file is refused; each is a clause of a sentence.
VERSION_1 = "it is a model of nnU-Net v1 (plans.pkl, *.model), and only nnU-Net v2 can be read"
MISSING_MODEL_FILE = "{file} is missing (expected are {expected})"
LABEL_GAPS = "the labels in dataset.json must be background 0, then 1, 2, 3 …, without gaps"
OTHER_TRAINING = (
    "ensemble.json has another {entry} than plans.json and dataset.json, so one of the files "
    "belongs to another training"
)
NO_PARENT = "{configuration} in plans.json inherits from a configuration that is not defined"
CASCADE = "{configuration} is the second stage of a cascade, which cannot be used"
INCOMPLETE = "the configuration {configuration} in plans.json lacks {missing}"
DIFFERENCE = "its entry {setting} differs from the other trainings ({value} instead of {expected})"
EMPTY_FILE = "the file is empty"
DAMAGED_FILE = "the file is damaged or cut short"
UNREADABLE_FILE = "the file cannot be read ({reason})"
LFS_POINTER = "it is only a Git LFS pointer, without the weights (run git lfs pull)"
NOT_AN_ARCHIVE = "it is not a checkpoint of nnU-Net v2 (not a zip archive)"
COMPRESSED_WEIGHTS = (
    "its records are compressed or larger than the file, which PyTorch never writes"
)
OTHER_ARCHIVE = "it is a zip archive without PyTorch weights"

PLANS_ENTRY = "checkpoint_ensemble"
"""Entry of the plans with the settings of this package's trainer."""
_PLACEMENT = "dropout_placement"
"""Key of a setting of the trainer; plans of nnU-Net lack it, which means everywhere."""

# Settings that must be equal for two trainings to share preprocessing and network. Before nnU-Net
# 2.4 the plans describe the network by the entries in the last lines.
_SHARED = (
    "patch_size",
    "spacing",
    "preprocessor_name",
    "normalization_schemes",
    "use_mask_for_norm",
    "resampling_fn_data",
    "resampling_fn_data_kwargs",
    "resampling_fn_probabilities",
    "resampling_fn_probabilities_kwargs",
    "architecture",
    *("UNet_class_name", "UNet_base_num_features", "unet_max_num_features"),
    *("n_conv_per_stage_encoder", "n_conv_per_stage_decoder"),
    *("pool_op_kernel_sizes", "conv_kernel_sizes"),
)


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """Network of a model folder and how it was trained.

    ``labels``: structure → label value, 0 … C−1 in order, with background but without nnU-Net's
    "ignore", which is never predicted. ``settings``: the configuration with inherited entries.
    ``schedule`` is None if the training had no cycles. ``problems`` are sentences on damaged files.
    """

    path: Path
    plans: dict[str, Any]
    dataset_json: dict[str, Any]
    labels: dict[str, int]
    channels: list[str]
    configuration: str
    settings: dict[str, Any] = field(default_factory=dict)
    record: TrainingRecord | None = None
    schedule: RestartSchedule | None = None
    problems: tuple[str, ...] = ()

    def shared(self) -> dict[str, Any]:
        """Return all settings that must be equal in trainings that segment together."""
        shared: dict[str, Any] = {"labels": self.labels, "channels": self.channels}
        shared["transpose_forward"] = self.plans.get("transpose_forward")
        if "CTNormalization" in self.settings.get("normalization_schemes", []):
            key = "foreground_intensity_properties_per_channel"
            shared[key] = self.plans.get(key)
        return shared | {key: self.settings.get(key) for key in _SHARED}

    def checksum(self) -> str:
        """Return the SHA-256 of all settings, besides the weights, that affect a segmentation.

        It does not depend on the format of the files.
        """
        trained_with = self.plans.get(PLANS_ENTRY)
        placement = trained_with.get(_PLACEMENT) if isinstance(trained_with, dict) else None
        content = _plain({**self.shared(), _PLACEMENT: placement or "everywhere"})
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def read_model(path: Path, *, checkpoint: Path | None = None) -> ModelFolder:
    """Read a model folder.

    The configuration is that of ``ensemble.json``, else that in the folder's name
    (``Trainer__Plans__configuration``), else the only one of the plans, else that of
    ``checkpoint``, else 2d, else the first of the plans.

    Raises DataError for nnU-Net v1, missing or damaged files, overlapping regions, a cascade, a
    record of another training, or a network with foreign parts. Its message is a clause that does
    not name the folder, or a sentence on a damaged file.
    """
    if is_version_1(path):
        raise DataError(VERSION_1)
    plans = _read_json(path / "plans.json", PlansFormat)
    dataset = _read_json(path / "dataset.json", DatasetFormat)
    labels = _read_labels(dataset)
    channels = channel_names(dataset)
    record, problems = _read_record(path / RECORD)
    if record is not None:
        _check_same_training(record, plans, labels, channels)
    configuration = _choose_configuration(path.name, plans, record, checkpoint)
    settings = _inherited(plans["configurations"], configuration)
    _check_settings(configuration, settings)
    return ModelFolder(
        path=path,
        plans=plans,
        dataset_json=dataset,
        labels=labels,
        channels=channels,
        configuration=configuration,
        settings=settings,
        record=record,
        schedule=_schedule(path.name, plans, record),
        problems=problems,
    )


def _plain(content: Any) -> Any:
    """Return JSON content without null entries, and with 1 for 1.0."""
    if isinstance(content, dict):
        return {key: _plain(value) for key, value in content.items() if value is not None}
    if isinstance(content, list):
        return [_plain(value) for value in content]
    return int(content) if isinstance(content, float) and content.is_integer() else content


def is_version_1(path: Path) -> bool:
    """Return whether a folder was made by nnU-Net v1."""
    return (path / "plans.pkl").is_file() or any(path.glob("fold_*/*.model"))


def model_difference(model: ModelFolder, usual: ModelFolder) -> str:
    """Return the first difference that keeps ``model`` from segmenting with ``usual``, or ""."""
    settings, expected = model.shared(), usual.shared()
    for key in settings:
        if settings[key] != expected[key]:
            return _first_difference(key, settings[key], expected[key])
    return ""


def _first_difference(setting: str, value: Any, expected: Any) -> str:
    """Return the difference of one nested setting, such as a number of a network."""
    if setting != "labels" and isinstance(value, dict) and isinstance(expected, dict):
        for key in sorted({*value, *expected}):
            if value.get(key) != expected.get(key):
                return _first_difference(f"{setting}.{key}", value.get(key), expected.get(key))
    return DIFFERENCE.format(setting=setting, value=value, expected=expected)


def _read_json(file: Path, kind: type[PlansFormat | DatasetFormat]) -> dict[str, Any]:
    """Return the entries of a file, those of ``kind`` with the right types and ranges."""
    check_names = check_plans if kind is PlansFormat else check_dataset_json
    try:
        with reading_json(file, repair="Copy it again from where it was trained.") as text:
            content = parse_json(text, dict[str, Any])
            check_names(content)
            parse_json(text, kind)
    except FileNotFoundError as error:
        raise DataError(MISSING_MODEL_FILE, file=file.name, expected=EXPECTED) from error
    return content


def _read_record(file: Path) -> tuple[TrainingRecord | None, tuple[str, ...]]:
    # Without its record a training loses the rates and checksums of its members, not the members.
    if not file.exists():
        return None, ()
    try:
        return read_record(file), ()
    except DataError as error:
        return None, (f"{error} Until then its entries are ignored.",)


def _read_labels(dataset: dict[str, Any]) -> dict[str, int]:
    values = {name: label for name, label in label_numbers(dataset).items() if name != "ignore"}
    if sorted(values.values()) != list(range(len(values))) or values.get("background") != 0:
        raise DataError(LABEL_GAPS)
    return dict(sorted(values.items(), key=lambda item: item[1]))


def _check_same_training(
    record: TrainingRecord, plans: dict[str, Any], labels: dict[str, int], channels: list[str]
) -> None:
    """Raise DataError if the record of the training is not that of these plans and labels.

    A structure may be called by another name of the same meaning, but its label must be the same.
    """
    equal = {
        "configuration": record.configuration in plans["configurations"],
        "numbering of structures": _meanings(record.labels) == _meanings(labels),
        "order of channels": record.channels == channels,
    }
    if wrong := [entry for entry, is_equal in equal.items() if not is_equal]:
        raise DataError(OTHER_TRAINING, entry=wrong[0])


def _meanings(labels: Mapping[str, int]) -> dict[int, str]:
    """Return label → structure, without background and "ignore"."""
    return {
        label: canonical_structure(name) or name.casefold()
        for name, label in labels.items()
        if label != 0 and name != "ignore"
    }


def _choose_configuration(
    name: str, plans: dict[str, Any], record: TrainingRecord | None, checkpoint: Path | None
) -> str:
    defined = plans["configurations"]
    if record is not None:
        return record.configuration
    in_name = name.split("__")[-1]
    if in_name in defined:
        return in_name
    if len(defined) == 1:
        return str(next(iter(defined)))
    trained_for = configuration_in(checkpoint) if checkpoint else None
    if trained_for in defined:
        return str(trained_for)
    return "2d" if "2d" in defined else str(next(iter(defined)))


def configuration_in(checkpoint: Path) -> str | None:
    """Return the configuration in a checkpoint's init_args, read without unpickling."""
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            pickled = next(n for n in archive.namelist() if n.endswith("data.pkl"))
            if not is_stored(archive, checkpoint.stat().st_size):
                return None
            return _value_after("configuration", archive.read(pickled))
    # zipfile raises RuntimeError for an encrypted entry and EOFError for one that is cut short.
    except (OSError, ValueError, StopIteration, RuntimeError, EOFError, zipfile.BadZipFile):
        return None


def why_unreadable(checkpoint: Path) -> tuple[int, str]:
    """Return the size of a checkpoint in bytes, and why it cannot be used, or "".

    Only the table of contents of the file is read.
    """
    try:
        size = checkpoint.stat().st_size
        with zipfile.ZipFile(checkpoint) as archive:
            has_pickle = any(name.endswith("data.pkl") for name in archive.namelist())
            stored = is_stored(archive, size)
        if not has_pickle:
            return size, OTHER_ARCHIVE
        return size, "" if stored else COMPRESSED_WEIGHTS
    except OSError as error:
        return 0, UNREADABLE_FILE.format(reason=error.strerror or error)
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        with checkpoint.open("rb") as stream:
            start = stream.read(len(LFS_START))
    if not start:
        return size, EMPTY_FILE
    if start == LFS_START:
        return size, LFS_POINTER
    return size, DAMAGED_FILE if start.startswith(b"PK\x03\x04") else NOT_AN_ARCHIVE


def _value_after(key: str, pickled: bytes) -> str | None:
    """Return the string that follows ``key``; a GET repeats the string of an earlier PUT."""
    memo: dict[Any, Any] = {}
    last: Any = None
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name.endswith("PUT"):
            memo[argument] = last
            continue
        value = memo.get(argument) if opcode.name.endswith("GET") else argument
        if last == key and isinstance(value, str):
            return value
        last = value
    return None


def _inherited(
    defined: dict[str, Any], name: str, children: tuple[str, ...] = ()
) -> dict[str, Any]:
    if name not in defined or name in children:
        raise DataError(NO_PARENT, configuration=[*children, name][0])
    own: dict[str, Any] = defined[name]
    if "inherits_from" not in own:
        return dict(own)
    return {**_inherited(defined, str(own["inherits_from"]), (*children, name)), **own}


def _check_settings(configuration: str, settings: dict[str, Any]) -> None:
    if settings.get("previous_stage"):
        raise DataError(CASCADE, configuration=configuration)
    missing = [key for key in ("patch_size", "spacing") if key not in settings]
    if missing:
        raise DataError(INCOMPLETE, configuration=configuration, missing=", ".join(missing))


def _schedule(
    name: str, plans: dict[str, Any], record: TrainingRecord | None
) -> RestartSchedule | None:
    """Return the cycles of the record, else of the plans of a training that nnU-Net started."""
    if record is not None:
        return record.schedule
    entry = plans.get(PLANS_ENTRY)
    if isinstance(entry, dict) and isinstance(entry.get("schedule"), dict):
        try:
            return RestartSchedule(**entry["schedule"])
        except (TypeError, ValueError):
            return None
    return RestartSchedule() if name.startswith(f"{'CheckpointEnsembleTrainer'}__") else None
