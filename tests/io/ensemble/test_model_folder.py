"""What plans.json, dataset.json and ensemble.json say of a network, and what they must not say."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from napari_bayes_nnunet.core.ensemble.schedule import MemberSelection, RestartSchedule
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.ensemble.model_folder import (
    configuration_in,
    model_difference,
    read_model,
    why_unreadable,
)
from napari_bayes_nnunet.io.ensemble.run_folder import TrainingRecord, write_record

LABELS: dict[str, Any] = {"background": 0, "RV": 1, "MYO": 2}
NETWORK: dict[str, Any] = {
    "network_class_name": "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet",
    "arch_kwargs": {
        "n_stages": 6,
        "conv_op": "torch.nn.modules.conv.Conv2d",
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d",
        "dropout_op": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    },
    "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
}
SETTINGS: dict[str, Any] = {"patch_size": [64, 64], "spacing": [1.5, 1.5], "architecture": NETWORK}


def make(
    path: Path,
    *,
    labels: Any = LABELS,
    channels: Any = None,
    configurations: Any = None,
    **plans: Any,
) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    dataset = {"labels": labels, "channel_names": channels or {"0": "cine"}}
    (path / "dataset.json").write_text(json.dumps(dataset))
    plans["configurations"] = {"2d": SETTINGS} if configurations is None else configurations
    (path / "plans.json").write_text(json.dumps(plans))
    return path


def make_record(path: Path, configuration: str) -> None:
    record = TrainingRecord(
        name="run",
        configuration=configuration,
        schedule=RestartSchedule(),
        selection=MemberSelection(),
        batch_size=2,
        iterations_per_epoch=1,
        labels=LABELS,
        channels=["cine"],
    )
    write_record(path / "ensemble.json", record)


def make_checkpoint(file: Path, content: object) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(content, 2))
    return file


# Checkpoint files


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda whole: whole, ""),
        (lambda whole: whole[:-30], "the file is damaged or cut short"),
        (lambda whole: whole[: len(whole) // 2], "the file is damaged or cut short"),
        (lambda whole: b"", "the file is empty"),
        (lambda whole: b"\x80\x02}q\x00.", "it is no checkpoint of nnU-Net v2 (no zip archive"),
        (lambda whole: whole.replace(b"data.pkl", b"data.png"), "a zip archive without PyTorch"),
    ],
)
def test_whole_and_damaged_checkpoints(
    tmp_path: Path, damage: Callable[[bytes], bytes], reason: str
) -> None:
    file = make_checkpoint(tmp_path / "a.pth", list(range(100)))
    file.write_bytes(damage(file.read_bytes()))
    size, found = why_unreadable(file)
    assert size == file.stat().st_size
    assert reason in found
    assert bool(reason) == bool(found)


def test_checkpoint_that_is_gone(tmp_path: Path) -> None:
    assert why_unreadable(tmp_path / "a.pth") == (0, "it cannot be read: No such file or directory")


# Labels and channels


def test_labels_are_in_the_order_of_their_values_without_ignore(tmp_path: Path) -> None:
    labels = {"LV": 2, "background": 0, "ignore": 3, "RV": [1]}
    model = read_model(make(tmp_path, labels=labels))
    assert list(model.labels.items()) == [("background", 0), ("RV", 1), ("LV", 2)]


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ({"background": 0, "whole": [1, 2], "core": [2]}, r"overlapping regions.*Eq. 3 needs excl"),
        ({"0": "background", "1": "RV"}, "needs labels with a background"),
        ({"background": 0, "RV": "one"}, "are not numbers"),
        ({"background": 0, "RV": []}, "are not numbers"),
        ({"background": 0, "RV": 2}, "background 0, then 1, 2, 3"),
        ({"background": 1, "RV": 0}, "background 0, then 1, 2, 3"),
        (["background", "RV"], "needs labels with a background"),
    ],
)
def test_labels_that_cannot_be_used(tmp_path: Path, labels: Any, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        read_model(make(tmp_path, labels=labels))


def test_channels_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    channels = {"10": "T2", "2": "T1", "0": "cine"}
    assert read_model(make(tmp_path, channels=channels)).channels == ["cine", "T1", "T2"]


@pytest.mark.parametrize("channels", [["cine"], {"first": "cine"}])
def test_channels_that_cannot_be_used(tmp_path: Path, channels: Any) -> None:
    with pytest.raises(DataError, match="needs numbered channel_names"):
        read_model(make(tmp_path, channels=channels))


# Files


@pytest.mark.parametrize("file", ["plans.json", "dataset.json"])
def test_missing_and_broken_files(tmp_path: Path, file: str) -> None:
    make(tmp_path)
    (tmp_path / file).write_text('{"labels": ')
    with pytest.raises(DataError, match=f"{file} is damaged"):
        read_model(tmp_path)
    (tmp_path / file).write_text("[]")
    with pytest.raises(DataError, match=f"{file} is damaged"):
        read_model(tmp_path)
    (tmp_path / file).unlink()
    with pytest.raises(
        DataError, match=f"{file} is missing; expected plans.json, dataset.json and"
    ):
        read_model(tmp_path)


@pytest.mark.parametrize("configurations", [{}, [], {"2d": None}])
def test_plans_without_configurations(tmp_path: Path, configurations: Any) -> None:
    with pytest.raises(DataError, match="holds no configurations"):
        read_model(make(tmp_path, configurations=configurations))


# Configuration


def test_configuration_of_the_record_comes_first(tmp_path: Path) -> None:
    folder = tmp_path / "nnUNetTrainer__nnUNetPlans__2d"
    make(folder, configurations={"2d": SETTINGS, "3d_fullres": SETTINGS})
    make_record(folder, "3d_fullres")
    assert read_model(folder).configuration == "3d_fullres"
    make_record(folder, "3d_lowres")
    with pytest.raises(DataError, match=r"names a configuration that plans.json does not have"):
        read_model(folder)


def test_configuration_of_the_folder_name_then_the_only_one(tmp_path: Path) -> None:
    both = {"2d": SETTINGS, "3d_fullres": SETTINGS}
    folder = make(tmp_path / "nnUNetTrainer__nnUNetPlans__3d_fullres", configurations=both)
    assert read_model(folder).configuration == "3d_fullres"
    only = make(tmp_path / "renamed", configurations={"3d_lowres": SETTINGS})
    assert read_model(only).configuration == "3d_lowres"


def test_configuration_of_a_renamed_folder_stands_in_its_checkpoints(tmp_path: Path) -> None:
    both = {"2d": SETTINGS, "3d_fullres": SETTINGS}
    folder = make(tmp_path / "renamed", configurations=both)
    arguments = {"plans": {"configurations": both}, "configuration": "3d_fullres", "fold": 0}
    file = make_checkpoint(folder / "a.pth", {"init_args": arguments})
    assert read_model(folder, checkpoint=file).configuration == "3d_fullres"
    assert read_model(folder).configuration == "2d"
    file.write_bytes(b"PK")
    assert read_model(folder, checkpoint=file).configuration == "2d"
    without = make(tmp_path / "other", configurations={"3d_b": SETTINGS, "3d_c": SETTINGS})
    assert read_model(without).configuration == "3d_b"


def test_configuration_is_read_without_unpickling(tmp_path: Path) -> None:
    name = "3d_fullres"
    content = {"plans": [name, Unpickled()], "init_args": {"configuration": name}}
    file = make_checkpoint(tmp_path / "a.pth", content)
    assert configuration_in(file) == name
    assert not Unpickled.happened


class Unpickled:
    """Notes when it is unpickled."""

    happened = False

    def __setstate__(self, state: object) -> None:
        Unpickled.happened = True

    def __getstate__(self) -> dict[str, int]:
        return {"a": 1}


def test_configuration_of_files_that_say_nothing(tmp_path: Path) -> None:
    assert configuration_in(make_checkpoint(tmp_path / "a.pth", {"epoch": 3})) is None
    assert configuration_in(tmp_path / "missing.pth") is None
    with zipfile.ZipFile(tmp_path / "b.pth", "w") as archive:
        archive.writestr("archive/data.pkl", b"\xff\xff no pickle")
    assert configuration_in(tmp_path / "b.pth") is None


def test_inherited_settings(tmp_path: Path) -> None:
    small = {"inherits_from": "2d", "patch_size": [32, 32]}
    folder = make(tmp_path / "a__b__small", configurations={"2d": SETTINGS, "small": small})
    settings = read_model(folder).settings
    assert (settings["patch_size"], settings["spacing"]) == ([32, 32], [1.5, 1.5])


@pytest.mark.parametrize("parent", ["missing", "small"])
def test_settings_inherited_from_nowhere(tmp_path: Path, parent: str) -> None:
    folder = make(tmp_path, configurations={"small": {"inherits_from": parent}})
    with pytest.raises(DataError, match="builds a configuration on one that it does not define"):
        read_model(folder)


def test_cascade_is_refused(tmp_path: Path) -> None:
    cascade = {**SETTINGS, "previous_stage": "3d_lowres"}
    folder = make(tmp_path, configurations={"3d_cascade_fullres": cascade})
    with pytest.raises(DataError, match=r"3d_cascade_fullres is the second stage of a cascade"):
        read_model(folder)


def test_incomplete_configuration(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"2d of plans.json lacks patch_size, spacing"):
        read_model(make(tmp_path, configurations={"2d": {"batch_size": 2}}))


@pytest.mark.parametrize(
    "part",
    [
        "os.system",
        "subprocess.Popen",
        "torch.nn.parallel.distributed.os.system",
        "torch.nn.modules.module.os.X",
        "nnunetv2.paths.os.system",
        "dynamic_network_architectures.architectures.unet.os.Popen",
        "antigravity",
    ],
)
def test_network_of_foreign_parts_is_refused(tmp_path: Path, part: str) -> None:
    kwargs = {**NETWORK["arch_kwargs"], "nonlin": part, "nonlin_kwargs": {"command": "true"}}
    for network in (
        {**NETWORK, "arch_kwargs": kwargs},
        {**NETWORK, "network_class_name": part},
    ):
        settings = {**SETTINGS, "architecture": network}
        with pytest.raises(DataError, match=r"builds the network from .*could run code"):
            read_model(make(tmp_path, configurations={"2d": settings}))


# Agreement


def test_equal_models_have_no_difference(tmp_path: Path) -> None:
    one, other = read_model(make(tmp_path / "a")), read_model(make(tmp_path / "b", plans_name="x"))
    assert model_difference(one, other) == ""


def test_difference_names_the_one_setting(tmp_path: Path) -> None:
    rest = read_model(make(tmp_path / "a"))
    kwargs = {**NETWORK["arch_kwargs"], "n_stages": 7}
    settings = {**SETTINGS, "architecture": {**NETWORK, "arch_kwargs": kwargs}}
    model = read_model(make(tmp_path / "b", configurations={"2d": settings}))
    assert model_difference(model, rest) == (
        "another architecture.arch_kwargs.n_stages than the rest: 7 instead of 6"
    )
    model = read_model(make(tmp_path / "c", channels={"0": "CT"}))
    assert (
        model_difference(model, rest) == "other channels than the rest: ['CT'] instead of ['cine']"
    )


def test_intensities_matter_where_they_normalise(tmp_path: Path) -> None:
    def model(name: str, scheme: str, mean: float) -> Any:
        settings = {**SETTINGS, "normalization_schemes": [scheme]}
        key = "foreground_intensity_properties_per_channel"
        plans = {key: {"0": {"mean": mean}}}
        return read_model(make(tmp_path / name, configurations={"2d": settings}, **plans))

    scheme = "ZScoreNormalization"
    assert model_difference(model("a", scheme, 1.0), model("b", scheme, 2.0)) == ""
    scheme = "CTNormalization"
    assert "0.mean than the rest" in model_difference(
        model("a", scheme, 1.0), model("b", scheme, 2.0)
    )


def test_schedule_of_unsound_plans_is_none(tmp_path: Path) -> None:
    entry = {"schedule": {"epochs": 10, "cycles": 3}}
    assert read_model(make(tmp_path, checkpoint_ensemble=entry)).schedule is None
    assert read_model(make(tmp_path)).schedule is None
