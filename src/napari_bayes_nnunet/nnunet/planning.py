"""nnU-Net's planning and preprocessing in the workspace of one training."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, Self, TypeAlias

import torch
from nnunetv2.experiment_planning import plan_and_preprocess_api as nnunet
from nnunetv2.experiment_planning.dataset_fingerprint import fingerprint_extractor
from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import (
    DatasetFingerprintExtractor,
)
from nnunetv2.preprocessing.preprocessors import default_preprocessor

from ..core.ensemble.training_settings import NETWORKS, TrainingSettings
from ..core.problems import Action
from ..io import DataError
from ..io.dataset.check import IGNORE
from ..io.dataset.raw_dataset import RawDataset, Split, splits_to_json
from ..io.ensemble.ensemble_folder import PLANS_ENTRY, PlansFormat
from ..io.files.atomic import write_json
from ..io.files.disk import has_filled_disk
from ..io.files.json_files import parse_json
from ..io.files.limits import read_small
from ..io.files.nnunet_names import check_plans
from . import ModelError
from .device import choose_device
from .memory import check_patch
from .network import Network
from .plans import open_plans, refuse_foreign_parts
from .seals import is_sealed, seal_files

DONE = "preprocessed.json"
"""File with nnU-Net's own plans, after which the preprocessed images are sealed."""

AUGMENTATION_PROCESSES = "nnUNet_n_proc_DA"
"""Variable that a training may set to 0, at which nnU-Net's planning fails."""

MOST_PROCESSES = 8

IMAGE_PLANS_KEYS = ("transpose_forward", "foreground_intensity_properties_per_channel")
IMAGE_CONFIGURATION_KEYS = (
    *("data_identifier", "preprocessor_name", "spacing", "normalization_schemes"),
    *("use_mask_for_norm", "resampling_fn_data", "resampling_fn_data_kwargs"),
    *("resampling_fn_seg", "resampling_fn_seg_kwargs"),
)
"""Entries of plans and configuration on which the preprocessed images depend."""

FEATURES = {"small": (16, 32, 64, 96, 96), "tiny": (8, 16, 32, 64, 64)}
LARGEST_PATCH = {"small": 160, "tiny": 128}
"""Features of each stage, and largest side of a 2D patch, of networks that train on a CPU."""

_UNUSABLE = (OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError)

DAMAGED_PLANS_FILE = "{file} is damaged or from another version of nnU-Net ({reason})."
NO_DICTIONARY = "it is not a JSON dictionary"
UNUSUAL_ENTRY = "an entry has a type or value that nnU-Net does not write"
OTHER_DATASET = "it names a different dataset from ensemble.json"
PLANNING_FILLED_DISK = (
    "The disk is full, so the images could not be preprocessed in {folder}. Free some disk space."
)
PLANNING_FAILED = (
    "nnU-Net could not plan and preprocess the dataset ({reason}). See train.log for details."
)


class LightFingerprintExtractor(DatasetFingerprintExtractor):
    """nnU-Net's fingerprint extractor with a tenth of the voxels for intensity statistics.

    nnU-Net draws 100 million voxels with replacement, however small the dataset. That takes a
    gigabyte and many seconds; ten million give the same percentiles to three digits.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.num_foreground_voxels_for_intensitystats = 10e6


def workspace_environment(workspace: Path) -> dict[str, str]:
    """Return variables with nnU-Net's three folders, for the process that plans or trains."""
    return {
        "nnUNet_raw": os.fspath(workspace / "raw"),
        "nnUNet_preprocessed": os.fspath(workspace / "preprocessed"),
        "nnUNet_results": os.fspath(workspace / "results"),
    }


def plan_and_preprocess(
    dataset: RawDataset,
    workspace: Path,
    *,
    configuration: str,
    plans: dict[str, Any] | None = None,
    on_cases: OnCases = lambda step, done, total: None,
) -> dict[str, Any]:
    """Plan ``configuration`` and preprocess all cases unless this is done, and return the plans.

    ``plans`` are those of a training to continue: they are returned unchanged, and cases are only
    preprocessed if the workspace is missing or was made with other ones. The environment must hold
    ``workspace_environment(workspace)``. The dataset is only read. ``on_cases`` is called for every
    case that is read, then for every case that is preprocessed. Raises ModelError if nnU-Net
    fails or does not plan the configuration.
    """
    folder = workspace / "preprocessed" / dataset.nnunet_name
    signature = dataset.signature()
    done = read_preprocessed_plans(folder, signature, configuration, dataset, plans=plans)
    if done is None:
        _clear(workspace)
        pools = threads_for_processes() if is_small(dataset) else nullcontext()
        counting = counting_cases(on_cases)
        with _without(AUGMENTATION_PROCESSES), _explained(workspace), pools, counting:
            _write_raw(dataset, workspace / "raw" / dataset.nnunet_name)
            done = _plan(dataset, folder, configuration)
            write_plans(dataset, workspace, plans or done)
            _preprocess(dataset, configuration, (plans or done)["plans_name"])
            write_json(folder / "dataset.json", dataset.json)
            # The seal is last, so a kill before it leaves images that are made again.
            write_json(folder / DONE, {"plans": done})
            made_from = _made_from(dataset, signature, plans or done, configuration)
            seal_files(_image_files(folder, plans or done, configuration), made_from)
    elif not _holds(folder / "dataset.json", dataset.json):  # the structures were renamed
        write_json(folder / "dataset.json", dataset.json)
    return plans or done


def _holds(file: Path, content: dict[str, Any]) -> bool:
    try:
        return parse_json(file.read_bytes(), dict[str, Any]) == content
    except (OSError, ValueError):
        return False


def read_plans(file: Path, dataset: RawDataset, *, configuration: str) -> dict[str, Any]:
    """Return the plans of a training to continue. Raises ModelError if nnU-Net cannot use them."""
    try:
        plans = _read_plans_file(file)
        _try_plans(copy.deepcopy(plans), dataset, configuration)
        if plans["dataset_name"] != dataset.nnunet_name:
            raise ValueError(OTHER_DATASET)
    except (DataError, *_UNUSABLE) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        reason = f"{reason} is missing" if isinstance(error, KeyError) else reason
        raise ModelError(DAMAGED_PLANS_FILE, Action.RESTORE, file=file, reason=reason) from error
    return plans


def _read_plans_file(file: Path) -> dict[str, Any]:
    """Return the checked content of a file of plans. Raises ValueError, DataError or OSError."""
    try:
        # nnU-Net would open a text, in place of a dictionary, as the path of a file.
        content = parse_json(text := read_small(file), dict[str, Any])
    except ValueError:
        raise ValueError(NO_DICTIONARY) from None
    check_plans(content)
    try:
        parse_json(text, PlansFormat)
    except ValueError:
        raise ValueError(UNUSUAL_ENTRY) from None
    return content


def _try_plans(plans: dict[str, Any], dataset: RawDataset, configuration: str) -> None:
    """Build the network of a training without allocating memory. Raises any error."""
    manager = open_plans(plans, dataset.json)
    settings = manager.get_configuration(configuration)
    with torch.device("meta"):
        network = Network(manager, settings, dataset.json, torch.device("meta"))
    check_patch(network.module, settings.patch_size, choose_device())


def training_plans(plans: dict[str, Any], settings: TrainingSettings) -> dict[str, Any]:
    """Return nnU-Net's plans with the network, batch size and settings of one training."""
    changed = copy.deepcopy(plans)
    configuration = changed["configurations"][settings.configuration]
    if (network := NETWORKS[settings.preset]) != "full":
        shrink_network(configuration, network)
    configuration["batch_size"] = settings.batch_size
    if settings.dropout:
        add_dropout(configuration, settings.dropout)
    return with_settings(changed, settings)


def with_settings(plans: dict[str, Any], settings: TrainingSettings) -> dict[str, Any]:
    """Return the plans with the settings of the training of one fold."""
    return {**plans, PLANS_ENTRY: asdict(settings)}


def write_plans(
    dataset: RawDataset,
    workspace: Path,
    plans: dict[str, Any],
    splits: list[Split] | None = None,
) -> None:
    """Write the plans and the split of a training where its trainer looks for them.

    Raises ModelError if they name anything that is not nnU-Net's own.
    """
    refuse_foreign_parts(plans, dataset.json)
    folder = workspace / "preprocessed" / dataset.nnunet_name
    write_json(folder / f"{plans['plans_name']}.json", plans)
    if splits is not None:
        write_json(folder / "splits_final.json", splits_to_json(splits))


def shrink_network(configuration: dict[str, Any], size: str) -> None:
    """Shrink a planned network to a "small" or "tiny" one of at most five stages, in place.

    Such a network trains in minutes on a CPU. In 2D the patch is limited too.
    """
    features, largest = FEATURES[size], LARGEST_PATCH[size]
    patch = configuration["patch_size"]
    arch = configuration["architecture"]["arch_kwargs"]
    stages = min(len(features), arch["n_stages"])
    if len(patch) == 2:
        # Every stage but the first halves the sides.
        smallest = 2 ** (stages - 1)
        configuration["patch_size"] = [
            max(smallest, min(largest, side) // smallest * smallest) for side in patch
        ]
    arch["n_stages"] = stages
    arch["features_per_stage"] = list(features[:stages])
    for key in ("strides", "kernel_sizes", "n_conv_per_stage", "n_blocks_per_stage"):
        if key in arch:
            arch[key] = arch[key][:stages]
    arch["n_conv_per_stage_decoder"] = arch["n_conv_per_stage_decoder"][: stages - 1]


def add_dropout(configuration: dict[str, Any], probability: float) -> None:
    """Add channel dropout to every block of a planned network, in place.

    Blocks outside the placement, which the plans of a training have too, drop nothing. Dropout
    layers shift the numbers in the names of the weights, so the members of such a network only fit
    plans with dropout.
    """
    architecture = configuration["architecture"]
    dimensions = len(configuration["patch_size"])
    architecture["arch_kwargs"] |= {
        "dropout_op": f"torch.nn.modules.dropout.Dropout{dimensions}d",
        "dropout_op_kwargs": {"p": probability, "inplace": True},
    }
    imported = architecture["_kw_requires_import"]
    architecture["_kw_requires_import"] = [*dict.fromkeys((*imported, "dropout_op"))]


def read_preprocessed_plans(
    folder: Path,
    signature: dict[str, Any],
    configuration: str,
    dataset: RawDataset,
    *,
    plans: dict[str, Any] | None = None,
) -> dict[str, Any] | None:
    """Return nnU-Net's own plans, or None if the workspace is not complete for this dataset.

    It is complete if this installation made the images with the channels and labels of the dataset
    and with ``plans``, by default nnU-Net's own. ``signature`` is that of its files.
    """
    try:
        own = parse_json(read_small(folder / DONE), dict[str, dict[str, Any]])["plans"]
    # A damaged note counts as none: the images are made again.
    except (FileNotFoundError, ValueError, KeyError):
        return None
    made_from = _made_from(dataset, signature, plans or own, configuration)
    files = _image_files(folder, plans or own, configuration)
    return own if is_sealed(files, made_from) else None


def _image_files(folder: Path, plans: dict[str, Any], configuration: str) -> list[Path]:
    settings = plans.get("configurations", {}).get(configuration, {})
    return [*(folder / str(settings.get("data_identifier"))).glob("*")]


def _made_from(
    dataset: RawDataset,
    signature: dict[str, Any],
    plans: dict[str, Any],
    configuration: str,
) -> dict[str, Any]:
    """Return what preprocessed images depend on; ``signature`` is that of the dataset's files."""
    settings = plans.get("configurations", {}).get(configuration, {})
    return {
        "dataset": signature,
        "configuration": configuration,
        "channels": list(dataset.channels),
        "labels": sorted(dataset.labels.values()),
        "ignored": dataset.labels.get(IGNORE),
        "plans": {key: plans.get(key) for key in IMAGE_PLANS_KEYS},
        "settings": {key: settings.get(key) for key in IMAGE_CONFIGURATION_KEYS},
    }


def _clear(workspace: Path) -> None:
    """Remove the files of an earlier planning: nnU-Net fails with two datasets of one number."""
    for name in ("raw", "preprocessed"):
        shutil.rmtree(workspace / name, ignore_errors=True)


def _plan(dataset: RawDataset, folder: Path, configuration: str) -> dict[str, Any]:
    number = _number(dataset)
    nnunet.extract_fingerprint_dataset(
        number,
        LightFingerprintExtractor,
        num_processes=_processes(dataset),
        show_progress_bar=False,
    )
    _, identifier = nnunet.plan_experiment_dataset(number)
    plans = _read_plans_file(folder / f"{identifier}.json")
    if configuration not in plans["configurations"]:
        raise ModelError(
            "nnU-Net did not plan {configuration} for this dataset. Choose one of {planned}.",
            configuration=configuration,
            planned=", ".join(plans["configurations"]),
        )
    return plans


def _preprocess(dataset: RawDataset, configuration: str, plans_name: str) -> None:
    nnunet.preprocess_dataset(
        _number(dataset),
        plans_name,
        [configuration],
        [_processes(dataset)],
        show_progress_bar=False,
    )


def _number(dataset: RawDataset) -> int:
    return int(dataset.nnunet_name[7:10])  # of a name such as Dataset027_ACDC


def _processes(dataset: RawDataset) -> int:
    """Return a small number: a process starts slowly and holds an image in several copies."""
    allowed = getattr(os, "sched_getaffinity", None)  # on a cluster fewer than the computer has
    cores = len(allowed(0)) if allowed else os.cpu_count() or 1
    return min(MOST_PROCESSES, cores, len(dataset.cases))


@contextmanager
def _without(variable: str) -> Iterator[None]:
    value = os.environ.pop(variable, None)
    try:
        yield
    finally:
        if value is not None:
            os.environ[variable] = value


@contextmanager
def _explained(workspace: Path) -> Iterator[None]:
    """Turn nnU-Net's errors into ModelError, with the likely cause if nnU-Net names none.

    If the disk is full, the unfinished files are removed, so that other files can be written again.
    """
    try:
        yield
    except (OSError, RuntimeError, AssertionError) as error:
        # blosc2 does not say why it could not write, so the free space counts, too.
        if has_filled_disk(error, workspace.parent):
            _clear(workspace)
            raise ModelError(PLANNING_FILLED_DISK, Action.START_AGAIN, folder=workspace) from error
        if isinstance(error, OSError):
            raise
        reason = str(error).partition("\n")[0].rstrip(".")
        # nnU-Net's words for a process of its pools that has ended.
        if "background worker" in reason:
            reason = "one of its processes ended, probably because memory ran out"
        raise ModelError(PLANNING_FAILED, reason=reason) from error


def _write_raw(dataset: RawDataset, folder: Path) -> None:
    """Write a raw folder without images: nnU-Net reads their paths from its dataset.json."""
    paths = {
        case.name: {
            "images": [os.path.realpath(image) for image in case.images],
            "label": os.path.realpath(case.label),
        }
        for case in dataset.cases
    }
    content = {**dataset.json, "numTraining": len(dataset.cases), "dataset": paths}
    write_json(folder / "dataset.json", content)


CaseStep: TypeAlias = Literal["read", "preprocessed"]
OnCases: TypeAlias = Callable[[CaseStep, int, int], None]
"""Function called with a step, and how many of how many cases have taken it."""
MOST_CASES = 16
MOST_BYTES = 16 * 2**20
"""Size on disk of the images of a dataset that one thread preprocesses in seconds."""

# nnU-Net has no options for progress and threads, but takes its bars and its pools from the modules
# that do the work, where others with the same methods stand in for them.
_MODULES: dict[CaseStep, Any] = {
    "read": fingerprint_extractor,
    "preprocessed": default_preprocessor,
}
_THREADS = SimpleNamespace(get_context=lambda method: SimpleNamespace(Pool=ThreadPool))


def counting_cases(on_cases: OnCases) -> AbstractContextManager[None]:
    """Call ``on_cases`` for every case that is read or preprocessed inside this block."""
    return _replacing("tqdm", lambda step: partial(_Counter, partial(on_cases, step)))


def threads_for_processes() -> AbstractContextManager[None]:
    """Let nnU-Net extract fingerprints and preprocess in threads of this process.

    Each process of nnU-Net's pools would import torch first.
    """
    return _replacing("multiprocessing", lambda step: _THREADS)


@contextmanager
def _replacing(name: str, make: Callable[[CaseStep], Any]) -> Iterator[None]:
    originals = {step: getattr(module, name) for step, module in _MODULES.items()}
    for step, module in _MODULES.items():
        setattr(module, name, make(step))
    try:
        yield
    finally:
        for step, module in _MODULES.items():
            setattr(module, name, originals[step])


def is_small(dataset: RawDataset) -> bool:
    """Return whether starting nnU-Net's processes would take longer than the work itself."""
    sizes = (image.stat().st_size for case in dataset.cases for image in case.images)
    return len(dataset.cases) <= MOST_CASES and sum(sizes) <= MOST_BYTES


class _Counter:
    """Stand-in for a bar of tqdm that reports each step."""

    def __init__(self, on_step: Callable[[int, int], None], *, total: int, **_: Any) -> None:
        self._on_step = on_step
        self._done, self._total = 0, total

    def __enter__(self) -> Self:
        self._on_step(0, self._total)
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def update(self) -> None:
        self._done += 1
        self._on_step(self._done, self._total)
