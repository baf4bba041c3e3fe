"""One nnU-Net model folder: what its plans, dataset and training record say of the network.

Read without torch. The network of the plans may only be made of parts of torch.nn and of
dynamic_network_architectures, because nnU-Net imports and calls whatever plans.json names.
"""

from __future__ import annotations

import pickletools
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.ensemble.schedule import RestartSchedule
from .. import DataError
from ..files.json_files import read_json
from .run_folder import RECORD, TrainingRecord, read_record

EXPECTED = "plans.json, dataset.json and fold_0 … fold_4 or fold_all side by side"

# Entry of the plans and name of the trainer class that this package's trainer leaves behind.
_PLANS_ENTRY = "checkpoint_ensemble"
_TRAINER = "CheckpointEnsembleTrainer"

_BUILDING_BLOCK = re.compile(
    r"torch\.nn\.(modules\.\w+\.)?[A-Z]\w*"
    r"|dynamic_network_architectures\.(architectures|building_blocks)\.\w+\.[A-Z]\w*"
)

# What has to be equal for two trainings to share preprocessing and network; in plans of nnU-Net
# before 2.4 the network is spread over the entries of the last lines.
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
    """What a model folder says of its network.

    ``labels``: structure → label value, 0 … C−1 in order, background included, without nnU-Net's
    "ignore", which is never predicted. ``settings``: the configuration with what it inherits.
    ``schedule`` is None where the training had no cycles.
    """

    path: Path
    plans: dict[str, Any]
    dataset_json: dict[str, Any]
    labels: dict[str, int]
    channels: list[str]
    configuration: str
    settings: dict[str, Any]
    record: TrainingRecord | None
    schedule: RestartSchedule | None
    problems: tuple[str, ...] = ()

    def shared(self) -> dict[str, Any]:
        """All that must be equal between trainings that segment together."""
        shared: dict[str, Any] = {"labels": self.labels, "channels": self.channels}
        shared["transpose_forward"] = self.plans.get("transpose_forward")
        if "CTNormalization" in self.settings.get("normalization_schemes", []):
            key = "foreground_intensity_properties_per_channel"
            shared[key] = self.plans.get(key)
        return shared | {key: self.settings.get(key) for key in _SHARED}


def read_model(path: Path, *, checkpoint: Path | None = None) -> ModelFolder:
    """Read a model folder.

    The configuration is the one ``ensemble.json`` names, else the one in the folder's name
    (``Trainer__Plans__configuration``), else the plans' only one, else the one ``checkpoint`` was
    trained for, else 2d, else the plans' first.

    Raises DataError, its message without the folder: nnU-Net v1, missing or broken files,
    overlapping regions, a cascade, or a network of foreign parts.
    """
    if is_version_1(path):
        raise DataError(
            "it is a model of nnU-Net v1 (plans.pkl, *.model); only nnU-Net v2 models can be read"
        )
    plans, dataset = _read_json(path / "plans.json"), _read_json(path / "dataset.json")
    _check_configurations(plans)
    labels = _read_labels(dataset)
    record, problems = _read_record(path / RECORD)
    configuration = _choose_configuration(path.name, plans, record, checkpoint)
    settings = _inherited(plans["configurations"], configuration)
    _check_settings(configuration, settings)
    return ModelFolder(
        path=path,
        plans=plans,
        dataset_json=dataset,
        labels=labels,
        channels=_read_channels(dataset),
        configuration=configuration,
        settings=settings,
        record=record,
        schedule=_schedule(path.name, plans, record),
        problems=problems,
    )


def is_version_1(path: Path) -> bool:
    """Whether a folder was made by nnU-Net v1."""
    return (path / "plans.pkl").is_file() or any(path.glob("fold_*/*.model"))


def model_difference(model: ModelFolder, rest: ModelFolder) -> str:
    """Why ``model`` cannot segment together with ``rest``: the first difference, "" for none."""
    ours, theirs = model.shared(), rest.shared()
    for key in ours:
        if ours[key] != theirs[key]:
            where, one, other = _first_difference(key, ours[key], theirs[key])
            what = f"other {key}" if key in ("labels", "channels") else f"another {where}"
            return f"{what} than the rest: {one} instead of {other}"
    return ""


def _first_difference(where: str, one: Any, other: Any) -> tuple[str, Any, Any]:
    """Descend into nested settings, so that one differing number is named, not a whole network."""
    if where != "labels" and isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}):
            if one.get(key) != other.get(key):
                return _first_difference(f"{where}.{key}", one.get(key), other.get(key))
    return where, one, other


def _read_json(file: Path) -> dict[str, Any]:
    try:
        return read_json(file, dict[str, Any], repair="Copy it again from where it was trained.")
    except FileNotFoundError as error:
        raise DataError(f"{file.name} is missing; expected {EXPECTED}") from error
    except DataError as error:
        raise DataError(str(error).rstrip(".")) from None  # a part of another sentence


def _read_record(file: Path) -> tuple[TrainingRecord | None, tuple[str, ...]]:
    """A broken record costs the members' rates and checksums, not the members."""
    if not file.exists():
        return None, ()
    try:
        return read_record(file), ()
    except DataError as error:
        return None, (f"{str(error).rstrip('.')}; its entries were left out.",)


def _read_labels(dataset: dict[str, Any]) -> dict[str, int]:
    found = dataset.get("labels")
    if not isinstance(found, dict) or "background" not in found:
        raise DataError("dataset.json needs labels with a background")
    regions = [name for name, value in found.items() if isinstance(value, list) and len(value) > 1]
    if regions:
        raise DataError(
            "its labels are overlapping regions; the entropy of Eq. 3 needs exclusive labels"
        )
    try:
        values = {
            str(name): int(value[0] if isinstance(value, list) else value)
            for name, value in found.items()
            if name != "ignore"
        }
    except (TypeError, ValueError, IndexError):
        raise DataError("the labels of dataset.json are not numbers") from None
    if sorted(values.values()) != list(range(len(values))) or values["background"]:
        raise DataError(
            "the labels of dataset.json must be background 0, then 1, 2, 3 …, without gaps"
        )
    return dict(sorted(values.items(), key=lambda item: item[1]))


def _read_channels(dataset: dict[str, Any]) -> list[str]:
    names = dataset.get("channel_names") or dataset.get("modality")
    if not isinstance(names, dict) or not all(key.isdecimal() for key in names):
        raise DataError("dataset.json needs numbered channel_names")
    return [str(names[key]) for key in sorted(names, key=int)]


def _check_configurations(plans: dict[str, Any]) -> None:
    found = plans.get("configurations")
    sound = isinstance(found, dict) and found and all(isinstance(c, dict) for c in found.values())
    if not sound:
        raise DataError("plans.json holds no configurations, as the plans of nnU-Net v2 do")


def _choose_configuration(
    name: str, plans: dict[str, Any], record: TrainingRecord | None, checkpoint: Path | None
) -> str:
    known = plans["configurations"]
    if record is not None:
        if record.configuration not in known:
            raise DataError(
                "ensemble.json names a configuration that plans.json does not have; one of the two "
                "files belongs to another training"
            )
        return record.configuration
    in_name = name.split("__")[-1]
    if in_name in known:
        return in_name
    if len(known) == 1:
        return str(next(iter(known)))
    trained_for = configuration_in(checkpoint) if checkpoint else None
    if trained_for in known:
        return str(trained_for)
    return "2d" if "2d" in known else str(next(iter(known)))


def configuration_in(checkpoint: Path) -> str | None:
    """The configuration a checkpoint names in its init_args, read without unpickling anything."""
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            pickled = next(n for n in archive.namelist() if n.endswith("data.pkl"))
            return _value_after("configuration", archive.read(pickled))
    except (OSError, ValueError, StopIteration, zipfile.BadZipFile):
        return None


def why_unreadable(checkpoint: Path) -> tuple[int, str]:
    """Size of a checkpoint in bytes, and why it is no whole one as far as its table of contents."""
    try:
        size = checkpoint.stat().st_size
        with zipfile.ZipFile(checkpoint) as archive:
            whole = any(name.endswith("data.pkl") for name in archive.namelist())
        return size, "" if whole else "it is a zip archive without PyTorch weights"
    except OSError as error:
        return 0, f"it cannot be read: {error.strerror or error}"
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        with checkpoint.open("rb") as stream:
            start = stream.read(4)
    if not start:
        return size, "the file is empty"
    if start == b"PK\x03\x04":
        return size, "the file is damaged or cut short"
    return size, "it is no checkpoint of nnU-Net v2 (no zip archive, as torch.save makes)"


def _value_after(key: str, pickled: bytes) -> str | None:
    """The string that follows the string ``key``; a repeated string is a GET of an earlier PUT."""
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


def _inherited(known: dict[str, Any], name: str, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    if name not in known or name in seen:
        raise DataError("plans.json builds a configuration on one that it does not define")
    own: dict[str, Any] = known[name]
    if "inherits_from" not in own:
        return dict(own)
    return {**_inherited(known, str(own["inherits_from"]), (*seen, name)), **own}


def _check_settings(configuration: str, settings: dict[str, Any]) -> None:
    if settings.get("previous_stage"):
        raise DataError(
            f"the configuration {configuration} is the second stage of a cascade; only one-stage "
            "ones can be used"
        )
    missing = [key for key in ("patch_size", "spacing") if key not in settings]
    if missing:
        raise DataError(
            f"the configuration {configuration} of plans.json lacks {', '.join(missing)}"
        )
    if not _is_lengths(settings["patch_size"]) or not _is_lengths(settings["spacing"]):
        raise DataError(
            f"the patch size and spacing of {configuration} in plans.json must be positive numbers"
        )
    network = settings.get("architecture", {})
    parts = network.get("arch_kwargs", {}) if isinstance(network, dict) else None
    if not isinstance(parts, dict):
        raise DataError(f"the network of {configuration} in plans.json is not described")
    names = network.get("_kw_requires_import", [])
    if not _is_texts(names) or not _is_texts(settings.get("normalization_schemes", [])):
        raise DataError(f"the lists of names of {configuration} in plans.json are damaged")
    imported = [parts.get(name) for name in names]
    for part in (network.get("network_class_name"), *imported):
        if part is not None and not _BUILDING_BLOCK.fullmatch(str(part)):
            raise DataError(
                "plans.json builds the network from parts outside torch.nn and "
                "dynamic_network_architectures; these are refused, as any name could run code"
            )


def _is_texts(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _is_lengths(values: object) -> bool:
    return (
        isinstance(values, list)
        and len(values) in (2, 3)
        and all(isinstance(value, (int, float)) and value > 0 for value in values)
    )


def _schedule(
    name: str, plans: dict[str, Any], record: TrainingRecord | None
) -> RestartSchedule | None:
    """The cycles: from the record, else from the plans of a training started by nnU-Net itself."""
    if record is not None:
        return record.schedule
    entry = plans.get(_PLANS_ENTRY)
    if isinstance(entry, dict) and isinstance(entry.get("schedule"), dict):
        try:
            return RestartSchedule(**entry["schedule"])
        except (TypeError, ValueError):
            return None
    return RestartSchedule() if name.startswith(f"{_TRAINER}__") else None
