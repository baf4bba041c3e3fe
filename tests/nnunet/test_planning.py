"""Plans of a training, and nnU-Net's planning in a workspace."""

import copy
import errno
import json
import os
import pickle
import shutil
import sys
from dataclasses import replace

import blosc2
import numpy as np
import pytest
import torch
from nnunetv2.preprocessing.preprocessors import default_preprocessor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from napari_bayes_nnunet.core.ensemble.training_settings import TrainingSettings
from napari_bayes_nnunet.core.problems import Action, Remedy
from napari_bayes_nnunet.io.dataset.raw_dataset import Split, read_dataset
from napari_bayes_nnunet.io.ensemble.ensemble_folder import PLANS_ENTRY
from napari_bayes_nnunet.nnunet import ModelError, memory, planning, seals
from napari_bayes_nnunet.nnunet.network import Network
from napari_bayes_nnunet.nnunet.planning import (
    DAMAGED_PLANS_FILE,
    DONE,
    MOST_BYTES,
    MOST_CASES,
    NO_DICTIONARY,
    OTHER_DATASET,
    PLANNING_FAILED,
    PLANNING_FILLED_DISK,
    UNUSUAL_ENTRY,
    add_dropout,
    counting_cases,
    is_small,
    plan_and_preprocess,
    read_plans,
    read_preprocessed_plans,
    shrink_network,
    threads_for_processes,
    training_plans,
    workspace_environment,
    write_plans,
)
from napari_bayes_nnunet.nnunet.trainer import read_settings

from ..helpers.checks.problems import says, says_only
from ..helpers.data.hearts import make_dataset
from ..helpers.data.models import LABELS, plans
from ..helpers.processes.small_disk import mounted_disk


def configuration(dimension, *, stages, patch, residual=False):
    """A planned network as nnU-Net writes it."""
    made = plans(residual=residual)["configurations"]["2d" if dimension == 2 else "3d_fullres"]
    kwargs = made["architecture"]["arch_kwargs"]
    blocks = "n_blocks_per_stage" if residual else "n_conv_per_stage"
    kwargs |= {
        "n_stages": stages,
        "features_per_stage": [32 * 2**n for n in range(stages)],
        "kernel_sizes": [[3] * dimension] * stages,
        "strides": [[1] * dimension, *[[2] * dimension] * (stages - 1)],
        blocks: [2] * stages,
        "n_conv_per_stage_decoder": [2] * (stages - 1),
    }
    return {**made, "patch_size": patch}


@pytest.mark.parametrize(
    ("dimension", "stages", "patch", "small_patch", "features"),
    [
        (2, 7, [256, 224], [160, 160], [16, 32, 64, 96, 96]),
        (2, 3, [50, 40], [48, 40], [16, 32, 64]),
        (3, 6, [14, 256, 224], [14, 256, 224], [16, 32, 64, 96, 96]),  # stays as planned
    ],
)
@pytest.mark.parametrize("residual", [False, True])
def test_the_small_network_has_five_stages(
    dimension, stages, patch, small_patch, features, residual
):
    made = configuration(dimension, stages=stages, patch=patch, residual=residual)
    shrink_network(made, "small")
    kwargs = made["architecture"]["arch_kwargs"]
    assert (made["patch_size"], kwargs["features_per_stage"]) == (small_patch, features)
    blocks = "n_blocks_per_stage" if residual else "n_conv_per_stage"
    for name in ("strides", "kernel_sizes", blocks):
        assert len(kwargs[name]) == len(features) == kwargs["n_stages"]
    assert len(kwargs["n_conv_per_stage_decoder"]) == len(features) - 1


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("dimension", [2, 3])
def test_dropout_in_every_block(dimension, residual):
    name = {2: "2d", 3: "3d_fullres"}[dimension]
    made = plans(residual=residual)
    add_dropout(made["configurations"][name], 0.1)
    manager = PlansManager(made)
    dataset = {"channel_names": {"0": "cine"}, "labels": LABELS, "file_ending": ".nii.gz"}
    network = Network(manager, manager.get_configuration(name), dataset, torch.device("cpu"))
    kind = getattr(torch.nn, f"Dropout{dimension}d")
    layers = [m for m in network.module.modules() if isinstance(m, kind)]
    assert len({id(layer) for layer in layers}) >= 5
    assert {layer.p for layer in layers} == {0.1}


def test_training_plans_are_a_copy_with_the_settings():
    stock = plans()
    before = json.dumps(stock)
    settings = TrainingSettings(preset="demo", batch_size=7, seed=3)
    changed = training_plans(stock, settings)
    assert json.dumps(stock) == before
    assert changed["configurations"]["2d"]["batch_size"] == 7
    assert changed["configurations"]["2d"]["architecture"]["arch_kwargs"]["features_per_stage"] == [
        16, 32, 64,
    ]  # fmt: skip
    assert read_settings(changed) == settings
    same = training_plans(stock, TrainingSettings(batch_size=7))
    assert (
        same["configurations"]["2d"]["architecture"]
        == (stock["configurations"]["2d"]["architecture"])
    )


def test_the_plans_of_a_training_whose_patch_fills_the_memory_are_refused(
    trained_run, hearts, monkeypatch
):
    monkeypatch.setattr(planning, "choose_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(memory, "free_main_memory", lambda: 1000)
    with pytest.raises(ModelError, check=says(memory.PATCH_NEEDS_MEMORY)):
        read_plans(trained_run / "plans.json", read_dataset(hearts), configuration="2d")


def two_d(content):
    return content["configurations"]["2d"]


# nnU-Net would read the plans in the file that a text names.
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (lambda plans: two_d(plans).pop("architecture"), "'UNet_class_name' is"),
        (lambda plans: plans["configurations"].pop("2d"), "2d"),
        (
            lambda plans: two_d(plans)["architecture"]["arch_kwargs"].update(a=1),
            "unexpected keyword argument 'a'",
        ),
        (lambda plans: plans.update(dataset_name="Dataset001_other"), OTHER_DATASET),
        (lambda plans: two_d(plans).update(patch_size=[0, 10**9]), UNUSUAL_ENTRY),
        *(
            (text, NO_DICTIONARY)
            for text in ('{"configurations": {', "[]", "", '"elsewhere.json"', '{"a": NaN}')
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Detected old nnU-Net plans")
def test_damaged_and_foreign_plans_are_refused(fault, reason, trained_run, hearts, tmp_path):
    file = tmp_path / "plans.json"
    content = json.loads((trained_run / "plans.json").read_text())
    if callable(fault):
        fault(content)
    file.write_text(json.dumps(content) if callable(fault) else fault)
    with pytest.raises(ModelError) as caught:
        read_plans(file, read_dataset(hearts), configuration="2d")
    assert caught.value.statement.template == DAMAGED_PLANS_FILE
    assert caught.value.values["file"] == file
    assert reason in caught.value.values["reason"]
    assert caught.value.remedies == (Remedy(Action.RESTORE),)
    assert "\n" not in str(caught.value)


def test_plans_and_split_are_written_for_the_trainer(tmp_path):
    dataset = read_dataset(make_dataset(tmp_path / "data", patients=2, frames=1))
    folder = tmp_path / "workspace" / "preprocessed" / dataset.nnunet_name
    write_plans(dataset, tmp_path / "workspace", plans(), [Split(("a",), ("b",))])
    assert json.loads((folder / "nnUNetPlans.json").read_text()) == plans()
    assert json.loads((folder / "splits_final.json").read_text()) == [
        {"train": ["a"], "val": ["b"]}
    ]


@pytest.fixture
def nnunet_environment(monkeypatch):
    def set_for(workspace):
        for name, value in workspace_environment(workspace).items():
            monkeypatch.setenv(name, value)
        return workspace

    return set_for


def test_a_complete_workspace_is_kept(planned_run, hearts, tmp_path, nnunet_environment):
    workspace = nnunet_environment(shutil.copytree(planned_run / "nnunet_data", tmp_path / "w"))
    files = {f: f.stat().st_mtime_ns for f in workspace.rglob("*")}
    dataset = read_dataset(hearts)
    stock = plan_and_preprocess(dataset, workspace, configuration="2d")
    assert PLANS_ENTRY not in stock  # nnU-Net's own plans, without the settings of a training
    kept = {**stock, "plans_name": "kept"}
    assert plan_and_preprocess(dataset, workspace, configuration="2d", plans=kept) is kept
    assert {f: f.stat().st_mtime_ns for f in workspace.rglob("*")} == files


def test_new_names_reach_a_complete_workspace(planned_run, hearts, tmp_path, nnunet_environment):
    workspace = nnunet_environment(shutil.copytree(planned_run / "nnunet_data", tmp_path / "w"))
    dataset = read_dataset(hearts).with_names({1: "right", 2: "wall"})
    plan_and_preprocess(dataset, workspace, configuration="2d")
    (file,) = (workspace / "preprocessed").glob("*/dataset.json")
    assert json.loads(file.read_text())["labels"] == dataset.labels


def test_plans_of_finished_training_fit_its_workspace(trained_run, hearts):
    dataset = read_dataset(hearts)
    folder = trained_run / "nnunet_data" / "preprocessed" / dataset.nnunet_name
    kept = read_plans(trained_run / "plans.json", dataset, configuration="2d")
    assert kept == json.loads((trained_run / "plans.json").read_text())
    assert read_preprocessed_plans(folder, dataset.signature(), "2d", dataset, plans=kept)


@pytest.fixture
def complete(planned_run, hearts, tmp_path, nnunet_environment):
    """Return a complete workspace and its dataset."""
    workspace = nnunet_environment(shutil.copytree(planned_run / "nnunet_data", tmp_path / "w"))
    return workspace, read_dataset(hearts)


def test_other_channels_or_plans_are_preprocessed_again(complete):
    workspace, dataset = complete
    kept = copy.deepcopy(plan_and_preprocess(dataset, workspace, configuration="2d"))
    kept["configurations"]["2d"]["spacing"] = [2.8, 2.8]
    scans = replace(dataset, json={**dataset.json, "channel_names": {"0": "CT"}})
    for data, plans_of_training, scheme, shape in (
        (scans, None, "CTNormalization", (1, 4, 40, 48)),
        (dataset, kept, "ZScoreNormalization", (1, 4, 20, 24)),
        (dataset, None, "ZScoreNormalization", (1, 4, 40, 48)),
    ):
        made = plan_and_preprocess(data, workspace, configuration="2d", plans=plans_of_training)
        assert made["configurations"]["2d"]["normalization_schemes"] == [scheme]
        file = next(workspace.rglob("nnUNetPlans_2d/patient001_frame01.b2nd"))
        assert blosc2.open(str(file)).shape == shape


def test_images_of_others_are_made_again(complete, tmp_path, monkeypatch):
    workspace, dataset = complete
    folder = workspace / "preprocessed" / dataset.nnunet_name
    (file,) = workspace.rglob("nnUNetPlans_2d/patient001_frame01.pkl")
    before = file.read_bytes()
    assert read_preprocessed_plans(folder, dataset.signature(), "2d", dataset)
    file.write_bytes(before + b"more")
    plan_and_preprocess(dataset, workspace, configuration="2d")
    assert file.read_bytes() == before
    monkeypatch.setattr(seals, "_folder", lambda: tmp_path / "seals")  # another installation
    assert not read_preprocessed_plans(folder, dataset.signature(), "2d", dataset)
    plan_and_preprocess(dataset, workspace, configuration="2d")
    assert read_preprocessed_plans(folder, dataset.signature(), "2d", dataset)


def test_the_dataset_is_neither_copied_nor_changed(planned_run, hearts):
    raw = [f for f in (planned_run / "nnunet_data" / "raw").rglob("*") if f.is_file()]
    assert [f.name for f in raw] == ["dataset.json"]
    assert {f.name for f in hearts.iterdir()} == {"imagesTr", "labelsTr", "dataset.json"}
    (folder,) = (planned_run / "nnunet_data" / "preprocessed").iterdir()
    assert folder.name == "Dataset001_Herzen_für_alle"
    assert "dataset" not in json.loads((folder / "dataset.json").read_text())


def test_another_dataset_replaces_what_was_preprocessed(tmp_path, monkeypatch, nnunet_environment):
    """nnU-Net fails with two datasets that have the same number."""
    dataset = read_dataset(make_dataset(tmp_path / "data", patients=1, frames=1))
    workspace = nnunet_environment(tmp_path / "workspace")
    for name in ("raw", "preprocessed"):
        (workspace / name / "Dataset001_other").mkdir(parents=True)
    note = workspace / "preprocessed" / dataset.nnunet_name / DONE
    note.parent.mkdir()
    note.write_text('{"signature": ')  # damaged, as if it were missing
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")  # planning alone would fail with it
    stock = plan_and_preprocess(dataset, workspace, configuration="2d")
    assert stock["dataset_name"] == "Dataset001_data"
    assert [f.name for f in (workspace / "preprocessed").iterdir()] == ["Dataset001_data"]
    with pytest.raises(ModelError, check=says_only(configuration="4d", planned="2d, 3d_fullres")):
        plan_and_preprocess(dataset, workspace, configuration="4d")


def test_an_error_of_nnunet_is_one_line(tmp_path, nnunet_environment):
    dataset = read_dataset(make_dataset(tmp_path / "data", patients=1, frames=1))
    dataset.cases[0].images[0].write_bytes(b"no image")
    workspace = nnunet_environment(tmp_path / "workspace")
    with pytest.raises(ModelError) as caught:
        plan_and_preprocess(dataset, workspace, configuration="2d")
    assert caught.value.statement.template == PLANNING_FAILED
    assert caught.value.values["reason"]
    assert "\n" not in str(caught.value)


def test_full_disk_names_its_remedy(hearts, tmp_path, nnunet_environment, monkeypatch):
    def fill(dataset, folder, configuration):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(planning, "_plan", fill)
    workspace = nnunet_environment(tmp_path / "workspace")
    check_filled(workspace, read_dataset(hearts))


def test_full_disk_while_preprocessing_names_its_remedy(hearts, tmp_path, nnunet_environment):
    """blosc2 raises an error that does not name the cause."""
    with mounted_disk(tmp_path / "disk") as disk:
        workspace = nnunet_environment(disk.folder / "workspace")
        disk.fill(leaving=150_000)
        check_filled(workspace, read_dataset(hearts))


def check_filled(workspace, dataset):
    with pytest.raises(ModelError) as caught:
        plan_and_preprocess(dataset, workspace, configuration="2d")
    assert caught.value.statement.template == PLANNING_FILLED_DISK
    assert caught.value.remedies == (Remedy(Action.START_AGAIN),)
    assert not [file for file in workspace.rglob("*") if file.is_file()]


def test_few_small_cases_are_a_small_dataset(hearts, tmp_path):
    assert is_small(read_dataset(hearts))
    many = make_dataset(tmp_path / "many", patients=MOST_CASES + 1, frames=1)
    assert not is_small(read_dataset(many))
    large = read_dataset(make_dataset(tmp_path / "large", patients=2, frames=1))
    for case in large.cases:
        with case.images[0].open("r+b") as stream:
            stream.truncate(MOST_BYTES // 2)
    assert is_small(large)
    with large.cases[0].images[0].open("ab") as stream:
        stream.write(b"\0")
    assert not is_small(large)


def test_nnunets_pools_are_restored_after_a_failure():
    modules = planning._MODULES.values()
    before = [module.multiprocessing for module in modules]
    with pytest.raises(ZeroDivisionError), threads_for_processes():
        assert default_preprocessor.multiprocessing not in before
        raise ZeroDivisionError
    assert [module.multiprocessing for module in modules] == before


@pytest.mark.skipif(sys.platform == "win32", reason="needs os.fork")
@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_threads_and_processes_write_equal_files(method, warm_command, tmp_path):
    """Two channels, so that each has its own intensities; nnU-Net itself spawns its processes."""
    data = make_dataset(tmp_path / "data", patients=3, channels=2)
    program = "tests.nnunet.pools:main"
    done = warm_command.run(data, tmp_path, method, folder=tmp_path, program=program)
    assert done.code == 0, done.errors
    threads, processes = (
        {str(file.relative_to(workspace)): content(file) for file in workspace.rglob("*.*")}
        for workspace in (tmp_path / "threads", tmp_path / "processes")
    )
    assert threads.keys() == processes.keys()
    assert sum(name.endswith(".b2nd") for name in threads) == 12
    for name, expected in processes.items():
        np.testing.assert_equal(threads[name], expected, err_msg=name)


def content(file):
    """Return the content of a file: an array, the properties of a case, or bytes."""
    if file.suffix == ".b2nd":
        return blosc2.open(str(file))[...]
    if file.suffix == ".pkl":
        return pickle.loads(file.read_bytes())
    return file.read_bytes()


def test_bars_of_nnunet_are_counted_and_restored():
    original, seen = default_preprocessor.tqdm, []
    with counting_cases(lambda *counts: seen.append(counts)):
        bar = default_preprocessor.tqdm(desc="Preprocessing cases", total=2, disable=True)
        with bar as pbar:
            pbar.update()
            pbar.update()
    assert seen == [("preprocessed", done, 2) for done in (0, 1, 2)]
    assert default_preprocessor.tqdm is original
