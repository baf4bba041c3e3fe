"""Folder of trained models: the members of an ensemble, and files that cannot be used.

This is the first of two checks of an ensemble. It reads names, sizes and JSON files, and tests
without torch if each file is a zip archive. The second check (``nnunet.weights``) tests if the
weights fit the network; ``EnsembleFolder.with_refused`` adds its results.

Accepted are the runs of this package (``RUN/fold_0/members/epoch_0399.pth``), the result folders
of nnU-Net v2 (``Trainer__Plans__2d/fold_0/checkpoint_final.pth`` and checkpoints next to it), and
a folder with several trainings. Any folder or file inside them can be chosen.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickletools
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from annotated_types import Interval, Len

from ...core.ensemble.schedule import RestartSchedule
from ...core.heart.measurements import canonical_structure
from .. import DataError
from ..files.access import UNREADABLE, reading
from ..files.checksum import sha256
from ..files.given_path import expand_home, resolve_links
from ..files.json_files import Ordinal, parse_json, reading_json
from ..files.limits import LFS_START, is_stored
from ..files.nnunet_names import (
    channel_names,
    check_dataset_json,
    check_plans,
    label_numbers,
    regions_of,
)
from ..files.special import SPECIAL_FILE, is_special
from .model_zip import unpacked
from .run_folder import FOLD_NAME, RECORD, MemberRecord, TrainingRecord, read_record

Few: TypeAlias = Annotated[int, Interval(ge=1, le=64)]
Features: TypeAlias = Annotated[int, Interval(ge=1, le=4096)]
Axis: TypeAlias = Annotated[int, Interval(ge=0, le=2)]
Side: TypeAlias = Annotated[int, Interval(ge=1, le=4096)]
Length: TypeAlias = Annotated[float, Interval(ge=1e-4, le=1e4)]
Kernels: TypeAlias = Few | list[Few | Annotated[list[Few], Len(1, 3)]]
Axes: TypeAlias = Annotated[list[Axis], Len(3, 3)]


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
    dropout_op_kwargs: dict[str, float | bool] | None = None

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
    arch_kwargs: _Parts = field(default_factory=_Parts)


@dataclass(frozen=True, kw_only=True)
class _Configuration:
    """Entries of a configuration; the last six replace ``architecture`` before nnU-Net 2.4."""

    batch_size: Ordinal = 1
    patch_size: Annotated[list[Side], Len(2, 3)] = field(default_factory=lambda: [1, 1])
    spacing: Annotated[list[Length], Len(2, 3)] = field(default_factory=lambda: [1.0, 1.0])
    use_mask_for_norm: list[bool] = field(default_factory=list)
    architecture: _Architecture = field(default_factory=_Architecture)
    UNet_base_num_features: Features = 1
    unet_max_num_features: Features = 1
    n_conv_per_stage_encoder: Few | list[Few] = 1
    n_conv_per_stage_decoder: Few | list[Few] = 1
    pool_op_kernel_sizes: Kernels = 1
    conv_kernel_sizes: Kernels = 1


@dataclass(frozen=True, kw_only=True)
class PlansFormat:
    """Entries of ``plans.json`` on which memory and geometry depend.

    Missing entries are left to nnU-Net, because the files of its versions differ.
    """

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

    @property
    def class_order(self) -> tuple[int, ...]:
        """Label of each overlapping region, in the order of drawing; () for exclusive labels."""
        return tuple(label for label, _ in regions_of(self.dataset_json).values())

    @property
    def classes(self) -> int:
        """Classes that exclude each other, with background: 2 for regions, inside and outside."""
        return 2 if self.class_order else len(self.labels)

    def shared(self) -> dict[str, Any]:
        """Return all settings that must be equal in trainings that segment together."""
        shared: dict[str, Any] = {"labels": self.labels, "channels": self.channels}
        shared["transpose_forward"] = self.plans.get("transpose_forward")
        if self.class_order:
            shared["regions"] = [[*region] for region in regions_of(self.dataset_json).values()]
        # Only this normalisation depends on the intensities of the training.
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
        # Files that differ only in nulls, or in 1 and 1.0, hold the same settings.
        content = _plain({**self.shared(), _PLACEMENT: placement or "everywhere"})
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def read_model(path: Path, *, checkpoint: Path | None = None) -> ModelFolder:
    """Read a model folder.

    The configuration is that of ``ensemble.json``, else that in the folder's name
    (``Trainer__Plans__configuration``), else the only one of the plans, else that of
    ``checkpoint``, else 2d, else the first of the plans.

    Raises DataError for nnU-Net v1, missing or damaged files, regions without an order, a
    cascade, a record of another training, or a network with foreign parts. Its message is a clause
    that does not name the folder, or a sentence on a damaged file.
    """
    if is_version_1(path):
        raise DataError(VERSION_1)
    plans = _read_json(path / "plans.json", check_plans, PlansFormat)
    dataset = _read_json(path / "dataset.json", check_dataset_json)
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


def _read_json(
    file: Path, check_names: Callable[[dict[str, Any]], None], kind: Any = dict[str, Any]
) -> dict[str, Any]:
    """Return the entries of a file, those of ``kind`` with the right types and ranges."""
    try:
        with reading_json(file, repair="Copy it again from where it was trained.") as text:
            content = parse_json(text, dict[str, Any])
            check_names(content)
            # The dictionary is used, not the dataclass: nnU-Net needs the entries that it does not
            # name.
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
    # A pointer of Git LFS and an empty file get their own sentences.
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
    # A circle of parents would never end.
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
    return RestartSchedule() if name.startswith("CheckpointEnsembleTrainer__") else None


EnsembleKind = Literal[
    "checkpoint ensemble", "cross-validation ensemble", "deep ensemble", "checkpoints"
]

_FOLD = re.compile(f"fold_({FOLD_NAME.pattern})")
_EPOCH = re.compile(r"epoch_\d+")
_DATASET = re.compile(r"Dataset\d{3}_.+")
_LEVELS_UP, _LEVELS_DOWN = 2, 3
_MOST_FOLDERS = 2000
"""Folders of one level that are searched; a home folder or a disk has more."""

NOT_USED = "{file} is not used, because {reason}."
UNUSABLE_TRAINING = "{training} cannot be used, because {reason}."
LEFT_OUT = "{training} was left out, because {reason}."
MISSING_MEMBER = "{file} is listed in ensemble.json but missing."
NEVER_A_MEMBER = "{file} is never a member. The members of its fold are listed instead."
OTHER_MEMBER_SIZE = "it has {size} bytes, but {recorded} in ensemble.json"
FOLD_ALL = "fold_all was trained on the cases of the other folds; choose fold_all to use it alone"
NO_MEMBERS = "it has no members (members/epoch_0399.pth, checkpoint_final.pth or other .pth)"
NO_MEMBERS_YET = "it has no members yet; the first is kept at the end of epoch {epoch}"
POINTERS = (
    "{count} of {members} members are only Git LFS pointers, without the weights. Run git lfs pull "
    "in {folder} to download them."
)
HOLDS_NO_TRAINING = "{folder} holds no training (found {content}). Choose a folder with {expected}."
SEVERAL_DATASETS = "{folder} holds trainings on several datasets. Choose one of {datasets}."
TOO_MANY_FOLDERS = "{folder} holds too many folders to search. Choose the folder of the training."
NOT_FOUND = "{path} does not exist. Choose another folder."


@dataclass(frozen=True, kw_only=True)
class Member:
    """One set of trained weights. Epochs and cycles count from 0, None if unknown.

    ``refused`` is the reason why the member cannot be used, "" if it can. ``sha256`` is the
    checksum in ``ensemble.json`` or, see `EnsembleFolder.with_checksums`, of the file; else "".
    """

    path: Path
    training: str
    fold: str
    epoch: int | None
    cycle: int | None
    learning_rate: float | None
    bytes: int
    refused: str = ""
    sha256: str = ""

    @property
    def usable(self) -> bool:
        """Whether no reason against the member is known so far."""
        return not self.refused


@dataclass(frozen=True, kw_only=True)
class EnsembleFolder(ModelFolder):
    """Members of an ensemble, in the order training, fold, epoch, with their model.

    ``path`` is the model folder. Of several trainings it is the first that agrees with most others;
    plans, labels and record are also taken from it. ``plans_sha256`` is its checksum. ``problems``
    are sentences about what was left out.
    """

    name: str
    kind: EnsembleKind
    members: tuple[Member, ...]
    plans_sha256: str = ""

    @property
    def usable_members(self) -> tuple[Member, ...]:
        """Members that were not refused."""
        return tuple(member for member in self.members if member.usable)

    @property
    def usable(self) -> bool:
        """Whether any member is usable."""
        return any(member.usable for member in self.members)

    @property
    def refusals(self) -> list[str]:
        """Sentences about members that cannot be used and are not among the ``problems``."""
        refused = (m for m in self.members if not m.usable and m.refused != LFS_POINTER)
        return [NOT_USED.format(file=m.path.name, reason=m.refused) for m in refused]

    def with_refused(self, reasons: Mapping[Path, str]) -> EnsembleFolder:
        """Return the folder with the members of ``reasons`` refused, except for the reason ""."""
        members = tuple(
            replace(m, refused=m.refused or reasons.get(m.path, "")) for m in self.members
        )
        return replace(self, members=members, kind=_kind(members))

    def with_checksums(self) -> EnsembleFolder:
        """Return the folder with the checksum of every usable member; unknown ones are computed.

        Raises DataError if a file cannot be read.
        """
        members = (m if m.sha256 or m.refused else _with_checksum(m) for m in self.members)
        return replace(self, members=tuple(members))

    @property
    def validation_dice(self) -> dict[str, float]:
        """Structure → mean Dice with the reference of the validation cases, {} if unknown."""
        scores = self._validation.get("dice")
        known = scores.items() if isinstance(scores, dict) else ()
        return {name: value for name, value in known if isinstance(value, float)}

    @property
    def validation_cases(self) -> int:
        """Number of validation cases that were measured, 0 if none or unknown."""
        count = self._validation.get("cases")
        return count if isinstance(count, int) else 0

    @property
    def _validation(self) -> dict[str, Any]:
        """Results on the validation cases of the only fold, {} if unknown."""
        folds = {(member.training, member.fold) for member in self.usable_members}
        if self.record is None or len(folds) != 1:
            return {}
        return self.record.validation.get(folds.pop()[1], {})


@dataclass(frozen=True, kw_only=True)
class _Training:
    """One model folder that may become part of the ensemble."""

    path: Path
    name: str
    model: ModelFolder | None
    members: tuple[Member, ...] = ()
    refused: str = ""
    problems: tuple[str, ...] = ()


def find_ensemble(path: Path) -> EnsembleFolder:
    """Find the ensemble that ``path`` belongs to or holds.

    The folder of a fold, or a file in it, stands for this fold alone; a zip file for the folder
    that it is `unpacked` to. Members that cannot be used are listed as refused.

    Raises
    ------
    DataError
        If there is no usable model folder.

    Examples
    --------
    >>> from importlib.resources import files
    >>> from napari_bayes_nnunet import find_ensemble
    >>> folder = find_ensemble(files("napari_bayes_nnunet") / "demo_ensemble")
    >>> folder.kind, len(folder.members)
    ('checkpoint ensemble', 9)
    """
    given = resolve_links(expand_home(path))
    zipped = given.suffix == ".zip" and given.is_file()
    chosen = unpacked(given) if zipped else given
    start = _folder_of(chosen)
    inside = _training_around(start)
    folders = [inside] if inside else _trainings_below(start, given if zipped else start)
    fold = _fold_of(start, inside) if inside else None
    names = [f.name if inside else f.relative_to(start).as_posix() for f in folders]
    candidates = [_read_training(f, name, fold) for f, name in zip(folders, names, strict=True)]
    trainings = _refuse_different(sorted(candidates, key=lambda training: _natural(training.name)))
    usable = [t for t in trainings if not t.refused]
    if not usable:
        reasons = [UNUSABLE_TRAINING.format(training=t.path, reason=t.refused) for t in trainings]
        raise DataError("{reasons}", reasons=" ".join(reasons))
    ensemble = _ensemble(trainings, usable, start if len(usable) > 1 else usable[0].path)
    if chosen.suffix != ".pth" or any(m.path == chosen for m in ensemble.members):
        return ensemble
    problem = NEVER_A_MEMBER.format(file=chosen.name)
    return replace(ensemble, problems=(problem, *ensemble.problems))


def _ensemble(
    trainings: Sequence[_Training], usable: Sequence[_Training], named: Path
) -> EnsembleFolder:
    first = usable[0]
    assert first.model is not None
    record = first.model.record
    members = tuple(member for training in usable for member in training.members)
    left_out = [LEFT_OUT.format(training=t.name, reason=t.refused) for t in trainings if t.refused]
    return EnsembleFolder(
        **{
            f.name: getattr(first.model, f.name)
            for f in fields(ModelFolder)
            if f.name != "problems"
        },
        name=(record.name if record and len(usable) == 1 else "") or named.name,
        kind=_kind(members),
        members=members,
        plans_sha256=first.model.checksum(),
        problems=(
            *left_out,
            *(p for t in trainings for p in t.problems),
            *_pointers(members, named),
        ),
    )


def _pointers(members: Sequence[Member], folder: Path) -> Iterable[str]:
    """Return one sentence for all members that Git has not downloaded."""
    count = sum(member.refused == LFS_POINTER for member in members)
    return [POINTERS.format(count=count, members=len(members), folder=folder)] if count else []


def _kind(members: Sequence[Member]) -> EnsembleKind:
    """Return the kind of the usable members, or of all members if none is usable."""
    used = [m for m in members if m.usable] or members
    if len({m.training for m in used}) > 1:
        return "deep ensemble"
    if len({m.fold for m in used}) > 1:
        return "cross-validation ensemble"
    return "checkpoint ensemble" if any(m.cycle is not None for m in used) else "checkpoints"


def _folder_of(chosen: Path) -> Path:
    with reading(chosen):
        if not chosen.exists():
            raise DataError(NOT_FOUND, path=chosen)
        if is_special(chosen):
            raise DataError(SPECIAL_FILE, path=chosen)
        return chosen.parent if chosen.is_file() else chosen


def _training_around(start: Path) -> Path | None:
    around = (start, *list(start.parents)[:_LEVELS_UP])
    return next((folder for folder in around if _is_training(folder)), None)


def _fold_of(start: Path, training: Path) -> str | None:
    if not start.is_relative_to(training):  # such as an absolute path in a damaged record
        return None
    parts = start.relative_to(training).parts
    match = _FOLD.fullmatch(parts[0]) if parts else None
    return match.group(1) if match else None


def _trainings_below(start: Path, shown: Path) -> list[Path]:
    """Return the trainings of the first level that has any; an error names ``shown``."""
    level = [start]
    if not os.access(start, os.R_OK | os.X_OK):
        raise DataError(UNREADABLE, file=start, reason="permission denied")
    for _ in range(_LEVELS_DOWN):
        level = [child for folder in level for child in _subfolders(folder)]
        if len(level) > _MOST_FOLDERS:
            raise DataError(TOO_MANY_FOLDERS, folder=start)
        trainings = [folder for folder in level if _is_training(folder)]
        if trainings:
            _check_one_dataset(start, trainings)
            return trainings
    names = [name for name in sorted(os.listdir(start)) if not name.startswith(".")]
    content = f"{', '.join(names[:8]) or 'nothing'}{' …' if len(names) > 8 else ''}"
    raise DataError(HOLDS_NO_TRAINING, folder=shown, content=content, expected=EXPECTED)


def _check_one_dataset(start: Path, trainings: Sequence[Path]) -> None:
    parts = {p for t in trainings for p in t.relative_to(start).parts if _DATASET.fullmatch(p)}
    if len(parts) > 1:
        raise DataError(SEVERAL_DATASETS, folder=start, datasets=", ".join(sorted(parts)))


def _is_training(folder: Path) -> bool:
    """Return whether a folder holds folds; a ``fold_0`` with its own plans is a training itself."""
    folds = (f for f in _subfolders(folder) if _FOLD.fullmatch(f.name))
    return is_version_1(folder) or any(not (f / "plans.json").is_file() for f in folds)


def _subfolders(folder: Path) -> list[Path]:
    try:
        return [f for f in folder.iterdir() if not f.name.startswith(".") and f.is_dir()]
    except OSError:  # a folder that the user may not read holds no training of the user
        return []


def _read_training(path: Path, name: str, only: str | None) -> _Training:
    """Read one model folder with all its folds, or with the fold ``only``."""
    folds = {f.name.removeprefix("fold_"): f for f in _subfolders(path) if _FOLD.fullmatch(f.name)}
    files = [
        (fold, f) for fold in folds if only in (None, fold) for f in _member_files(folds[fold])
    ]
    try:
        model = read_model(path, checkpoint=files[0][1] if files else None)
    except DataError as error:
        return _Training(path=path, name=name, model=None, refused=str(error).rstrip("."))
    entries = _entries(model)
    rows = [_member(f, name, fold, model, entries.get(f)) for fold, f in files]
    existing = {file for _, file in files}
    missing = [f for f in entries if f not in existing and only in (None, _fold_of(f, path))]
    why = _why_no_members(model)
    known = {fold for fold, _ in files} | {_fold_of(f, path) for f in missing}
    empty = sorted({*folds} - known) if rows and only is None else ()
    return _Training(
        path=path,
        name=name,
        model=model,
        members=_refuse_fold_all(sorted(rows, key=_order)),
        refused="" if rows else why,
        problems=(
            *model.problems,
            *(LEFT_OUT.format(training=f"{name}/fold_{f}", reason=why) for f in empty),
            *(MISSING_MEMBER.format(file="/".join(f.parts[-3:])) for f in missing),
        ),
    )


def _entries(model: ModelFolder) -> dict[Path, MemberRecord]:
    """Return the entry of each member file in ``ensemble.json``."""
    if model.record is None:
        return {}
    folds = model.record.folds
    return {model.path / m.file: m for fold in folds for m in model.record.members(fold)}


def _member_files(fold: Path) -> list[Path]:
    """Return files that can be members: in runs those in ``members/``, never checkpoint_best."""
    members = fold / "members"
    if members.is_dir() or (fold.parent / RECORD).exists():
        return [f for f in _weights_in(members) if _EPOCH.fullmatch(f.stem)]
    # The best epoch is chosen by the validation cases, and need not lie in a plateau.
    files = [f for f in _weights_in(fold) if not f.stem.startswith("checkpoint_best")]
    # A latest state next to the final one is an earlier epoch of the same training.
    finished = any(f.stem == "checkpoint_final" for f in files)
    return [f for f in files if not (finished and f.stem == "checkpoint_latest")]


def _weights_in(folder: Path) -> list[Path]:
    files = folder.glob("*.pth")
    return sorted(f for f in files if f.is_file() and not f.name.startswith("."))


def _member(
    file: Path, training: str, fold: str, model: ModelFolder, entry: MemberRecord | None
) -> Member:
    epoch = _epoch(file.stem)
    # Only the names of members are known to count the epochs of the schedule.
    schedule = model.schedule if file.parent.name == "members" else None
    cycle = rate = None
    if schedule and epoch is not None:
        cycle, rate = schedule.cycle(epoch), schedule.learning_rate(epoch)
    size, refused = why_unreadable(file)
    if entry and entry.bytes != size and not refused:
        refused = OTHER_MEMBER_SIZE.format(size=size, recorded=entry.bytes)
    return Member(
        path=file,
        training=training,
        fold=fold,
        epoch=epoch,
        cycle=entry.cycle if entry else cycle,
        learning_rate=entry.learning_rate if entry else rate,
        bytes=size,
        refused=refused,
        sha256=entry.sha256 if entry else "",
    )


def _with_checksum(member: Member) -> Member:
    with reading(member.path):
        return replace(member, sha256=sha256(member.path))


def _epoch(stem: str) -> int | None:
    """Return the epoch in a file's name: the number after "ep" or "epoch", else the last one."""
    named = re.findall(r"ep(?:och)?[_-]?(\d+)", stem) or re.findall(r"\d+", stem)
    return int(named[-1]) if named else None


def _refuse_fold_all(members: Sequence[Member]) -> tuple[Member, ...]:
    """Refuse fold_all next to numbered folds, as nnU-Net does: its network has seen all cases."""
    if {m.fold for m in members if m.usable} <= {"all"}:
        return tuple(members)
    return tuple(
        replace(m, refused=m.refused or FOLD_ALL) if m.fold == "all" else m for m in members
    )


def _why_no_members(model: ModelFolder) -> str:
    if model.record is None:
        return NO_MEMBERS
    first = next(model.record.selection.epochs(model.record.schedule), None)
    return NO_MEMBERS_YET.format(epoch=first)


def _refuse_different(trainings: Sequence[_Training]) -> list[_Training]:
    """Refuse trainings that differ from most others; of equally many the first ones stay."""
    models = [t.model for t in trainings if t.model and not t.refused]
    if len(models) < 2:
        return list(trainings)
    # The majority decides, so that one stray folder does not refuse all others.
    shared = [json.dumps(m.shared(), sort_keys=True) for m in models]
    rest = models[shared.index(Counter(shared).most_common(1)[0][0])]
    return [
        replace(t, refused=model_difference(t.model, rest)) if t.model and not t.refused else t
        for t in trainings
    ]


def _order(member: Member) -> tuple[Any, ...]:
    """Return the order by fold, then epoch; checkpoint_final and others without one come last."""
    fold = int(member.fold) if member.fold != "all" else -1
    return (member.fold == "all", fold, member.epoch is None, member.epoch or 0, member.path.name)


def _natural(name: str) -> list[Any]:
    """Return the order in which seed2 comes before seed10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
