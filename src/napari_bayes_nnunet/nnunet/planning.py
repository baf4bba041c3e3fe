"""nnU-Net's planning and preprocessing, in a workspace that belongs to one training."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ..io.atomic import write_json
from ..io.nnunet_dataset import RawDataset, Split, splits_to_json
from . import ModelError

PLANS = "nnUNetPlans"
DONE = "preprocessed.json"
"""Written last: says for which data and which configurations the workspace is complete."""

SMALL_FEATURES = (16, 32, 64, 96, 96)
SMALL_PATCH = 160


def workspace_environment(workspace: Path) -> dict[str, str]:
    """nnU-Net's three folders for the process that plans or trains."""
    return {
        "nnUNet_raw": os.fspath(workspace / "raw"),
        "nnUNet_preprocessed": os.fspath(workspace / "preprocessed"),
        "nnUNet_results": os.fspath(workspace / "results"),
    }


def plan_and_preprocess(
    dataset: RawDataset, workspace: Path, *, configuration: str, processes: int
) -> dict[str, Any]:
    """Plan ``configuration`` and preprocess all cases, unless that was done; returns the plans.

    The process's environment must hold ``workspace_environment(workspace)``. The dataset is read
    where it lies and may be read-only. Raises ModelError for a configuration nnU-Net did not plan.
    """
    from nnunetv2.experiment_planning import plan_and_preprocess_api as nnunet

    folder = workspace / "preprocessed" / dataset.nnunet_name
    signature = dataset.signature()
    if _is_done(folder, signature, configuration):
        return _read(folder / f"{PLANS}.json")
    number = int(dataset.nnunet_name[7:10])
    _write_raw(dataset, workspace / "raw" / dataset.nnunet_name)
    nnunet.extract_fingerprint_dataset(number, num_processes=processes, show_progress_bar=False)
    plans, identifier = nnunet.plan_experiment_dataset(number)
    if configuration not in plans["configurations"]:
        raise ModelError(
            f"nnU-Net planned {', '.join(plans['configurations'])} for this dataset, "
            f"not {configuration}."
        )
    nnunet.preprocess_dataset(
        number, identifier, [configuration], [processes], show_progress_bar=False
    )
    write_json(folder / "dataset.json", dataset.json)
    write_json(folder / DONE, {"signature": signature, "configurations": [configuration]})
    return _read(folder / f"{PLANS}.json")


def write_plans(
    dataset: RawDataset, workspace: Path, plans: dict[str, Any], splits: list[Split] | None
) -> None:
    """Put the plans and the split of a training where its trainer looks for them."""
    folder = workspace / "preprocessed" / dataset.nnunet_name
    write_json(folder / f"{plans['plans_name']}.json", plans)
    if splits is not None:
        write_json(folder / "splits_final.json", splits_to_json(splits))


def make_small(configuration: dict[str, Any]) -> None:
    """Shrink a planned network to at most five stages of 16-32-64-96-96 features, in place.

    In 2D the patch is at most 160 × 160, so that a training takes minutes on a CPU.
    """
    patch = configuration["patch_size"]
    arch = configuration["architecture"]["arch_kwargs"]
    stages = min(len(SMALL_FEATURES), arch["n_stages"])
    if len(patch) == 2:
        smallest = 2 ** (stages - 1)
        configuration["patch_size"] = [
            max(smallest, min(SMALL_PATCH, side) // smallest * smallest) for side in patch
        ]
    arch["n_stages"] = stages
    arch["features_per_stage"] = list(SMALL_FEATURES[:stages])
    for key in ("strides", "kernel_sizes", "n_conv_per_stage", "n_blocks_per_stage"):
        if key in arch:
            arch[key] = arch[key][:stages]
    arch["n_conv_per_stage_decoder"] = arch["n_conv_per_stage_decoder"][: stages - 1]


def _is_done(folder: Path, signature: dict[str, Any], configuration: str) -> bool:
    done = folder / DONE
    if not done.is_file():
        return False
    content = _read(done)
    return content["signature"] == signature and configuration in content["configurations"]


def _write_raw(dataset: RawDataset, folder: Path) -> None:
    """A raw folder that only points at the images: nnU-Net reads paths from its dataset.json."""
    paths = {
        case.name: {
            "images": [os.fspath(image.resolve()) for image in case.images],
            "label": os.fspath(case.label.resolve()),
        }
        for case in dataset.cases
    }
    content = {**dataset.json, "numTraining": len(dataset.cases), "dataset": paths}
    write_json(folder / "dataset.json", content)


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))
