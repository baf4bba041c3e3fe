"""Networks in plans.json, dataset.json and ensemble.json, and content that is refused."""

from __future__ import annotations

import errno
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest

from napari_bayes_nnunet.core.problems import Statement, statement
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.ensemble.ensemble_folder import (
    CASCADE,
    COMPRESSED_WEIGHTS,
    DAMAGED_FILE,
    DIFFERENCE,
    EMPTY_FILE,
    EXPECTED,
    INCOMPLETE,
    LABEL_GAPS,
    MISSING_MODEL_FILE,
    NO_PARENT,
    NOT_AN_ARCHIVE,
    OTHER_ARCHIVE,
    OTHER_TRAINING,
    PLANS_ENTRY,
    UNREADABLE_FILE,
    configuration_in,
    model_difference,
    read_model,
    why_unreadable,
)
from napari_bayes_nnunet.io.ensemble.run_folder import TrainingRecord, write_record
from napari_bayes_nnunet.io.files.nnunet_names import (
    FOREIGN_PART,
    LABELS_NO_NUMBERS,
    NO_CHANNELS,
    REGIONS_WITHOUT_ORDER,
)

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


def make_record(path: Path, configuration: str, *, labels: dict[str, int] = LABELS) -> None:
    record = TrainingRecord(
        name="run",
        configuration=configuration,
        labels=labels,
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
        (lambda whole: whole[:-30], DAMAGED_FILE),
        (lambda whole: whole[: len(whole) // 2], DAMAGED_FILE),
        (lambda whole: b"", EMPTY_FILE),
        (lambda whole: b"\x80\x02}q\x00.", NOT_AN_ARCHIVE),
        (lambda whole: whole.replace(b"data.pkl", b"data.png"), OTHER_ARCHIVE),
    ],
)
def test_unreadable_checkpoints_have_a_reason(tmp_path, damage, reason):
    file = make_checkpoint(tmp_path / "a.pth", list(range(100)))
    file.write_bytes(damage(file.read_bytes()))
    assert why_unreadable(file) == (file.stat().st_size, reason)


def test_checkpoint_that_unpacks_to_more_is_refused(tmp_path):
    file = tmp_path / "a.pth"
    pickled = pickle.dumps({"init_args": {"configuration": "2d"}, "x": bytes(10**6)}, 2)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickled)
    assert why_unreadable(file) == (file.stat().st_size, COMPRESSED_WEIGHTS)
    assert configuration_in(file) is None


def test_checkpoint_with_overlapping_records_is_refused(tmp_path):
    file = tmp_path / "a.pth"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", bytes(10_000))
        archive.filelist *= 50
    assert why_unreadable(file) == (file.stat().st_size, COMPRESSED_WEIGHTS)


def test_missing_checkpoint_has_a_reason(tmp_path):
    reason = UNREADABLE_FILE.format(reason=os.strerror(errno.ENOENT))
    assert why_unreadable(tmp_path / "a.pth") == (0, reason)


# Labels and channels


def refusal(folder: Path) -> Statement:
    """Return the statement of the error of reading a folder."""
    with pytest.raises(DataError) as caught:
        read_model(folder)
    return caught.value.statement


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ({"background": 0, "whole": [1, 2], "core": [2]}, REGIONS_WITHOUT_ORDER),
        ({"0": "background", "1": "RV"}, LABELS_NO_NUMBERS),
        ({"background": 0, "RV": "one"}, LABELS_NO_NUMBERS),
        ({"background": 0, "RV": []}, LABELS_NO_NUMBERS),
        ({"background": 0, "RV": 2}, LABEL_GAPS),
        ({"background": 1, "RV": 0}, LABEL_GAPS),
        (["background", "RV"], LABELS_NO_NUMBERS),
    ],
)
def test_unusable_labels_are_refused(tmp_path, labels, reason):
    assert refusal(make(tmp_path, labels=labels)).template == reason


def test_labels_swapped_in_the_record_are_refused(tmp_path):
    folder = make(tmp_path, labels={"background": 0, "RV": 1, "MYO": 2, "LV": 3})
    make_record(folder, "2d", labels={"background": 0, "LV": 1, "MYO": 2, "RV": 3})
    assert refusal(folder) == statement(OTHER_TRAINING, entry="numbering of structures")


def test_channels_swapped_in_the_record_are_refused(tmp_path):
    folder = make(tmp_path, channels={"0": "late", "1": "cine"})
    make_record(folder, "2d")
    assert refusal(folder) == statement(OTHER_TRAINING, entry="order of channels")


@pytest.mark.parametrize("channels", [["cine"], {"first": "cine"}])
def test_unusable_channels_are_refused(tmp_path, channels):
    assert refusal(make(tmp_path, channels=channels)).template == NO_CHANNELS


# Files


@pytest.mark.parametrize("file", ["plans.json", "dataset.json"])
def test_missing_and_damaged_files_are_refused(tmp_path, file):
    make(tmp_path)
    for text in ('{"labels": ', "[]"):
        (tmp_path / file).write_text(text)
        assert str(refusal(tmp_path)).startswith(f"{tmp_path / file} is damaged")
    (tmp_path / file).unlink()
    assert refusal(tmp_path) == statement(MISSING_MODEL_FILE, file=file, expected=EXPECTED)


# Configuration


def test_configuration_of_a_renamed_folder_is_its_checkpoints(tmp_path):
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


class Unpickled:
    """Notes when it is unpickled."""

    happened = False

    def __setstate__(self, state: object) -> None:
        Unpickled.happened = True

    def __getstate__(self) -> dict[str, int]:
        return {"a": 1}


def test_configuration_of_other_files_is_none(tmp_path):
    assert configuration_in(make_checkpoint(tmp_path / "a.pth", {"epoch": 3})) is None
    assert configuration_in(tmp_path / "missing.pth") is None
    with zipfile.ZipFile(tmp_path / "b.pth", "w") as archive:
        archive.writestr("archive/data.pkl", b"\xff\xff no pickle")
    assert configuration_in(tmp_path / "b.pth") is None
    encrypted = make_checkpoint(tmp_path / "c.pth", {"init_args": {"configuration": "2d"}})
    content = bytearray(encrypted.read_bytes())
    content[content.find(b"PK\x01\x02") + 8] |= 1
    encrypted.write_bytes(content)
    assert configuration_in(encrypted) is None


@pytest.mark.parametrize("parent", ["missing", "small"])
def test_settings_without_a_parent_are_refused(tmp_path, parent):
    error = refusal(make(tmp_path, configurations={"small": {"inherits_from": parent}}))
    assert error == statement(NO_PARENT, configuration="small")


def test_cascade_is_refused(tmp_path):
    cascade = {**SETTINGS, "previous_stage": "3d_lowres"}
    error = refusal(make(tmp_path, configurations={"3d_cascade_fullres": cascade}))
    assert error == statement(CASCADE, configuration="3d_cascade_fullres")


def test_incomplete_configuration_is_refused(tmp_path):
    error = refusal(make(tmp_path, configurations={"2d": {"batch_size": 2}}))
    assert error == statement(INCOMPLETE, configuration="2d", missing="patch_size, spacing")


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
def test_network_of_foreign_parts_is_refused(tmp_path, part):
    kwargs = {**NETWORK["arch_kwargs"], "nonlin": part, "nonlin_kwargs": {"command": "true"}}
    for network in (
        {**NETWORK, "arch_kwargs": kwargs},
        {**NETWORK, "network_class_name": part},
    ):
        settings = {**SETTINGS, "architecture": network}
        error = refusal(make(tmp_path, configurations={"2d": settings}))
        assert error.template == FOREIGN_PART
        assert part not in str(error)


# Agreement


def test_difference_names_the_one_setting(tmp_path):
    rest = read_model(make(tmp_path / "a"))
    kwargs = {**NETWORK["arch_kwargs"], "n_stages": 7}
    settings = {**SETTINGS, "architecture": {**NETWORK, "arch_kwargs": kwargs}}
    model = read_model(make(tmp_path / "b", configurations={"2d": settings}))
    assert model_difference(model, rest) == DIFFERENCE.format(
        setting="architecture.arch_kwargs.n_stages", value=7, expected=6
    )
    model = read_model(make(tmp_path / "c", channels={"0": "CT"}))
    assert model_difference(model, rest) == DIFFERENCE.format(
        setting="channels", value=["CT"], expected=["cine"]
    )


def test_intensities_matter_where_they_normalise(tmp_path):
    def model(name: str, scheme: str, mean: float) -> Any:
        settings = {**SETTINGS, "normalization_schemes": [scheme]}
        key = "foreground_intensity_properties_per_channel"
        plans = {key: {"0": {"mean": mean}}}
        return read_model(make(tmp_path / name, configurations={"2d": settings}, **plans))

    scheme = "ZScoreNormalization"
    assert model_difference(model("a", scheme, 1.0), model("b", scheme, 2.0)) == ""
    scheme = "CTNormalization"
    assert model_difference(model("a", scheme, 1.0), model("b", scheme, 2.0)) == DIFFERENCE.format(
        setting="foreground_intensity_properties_per_channel.0.mean", value=1.0, expected=2.0
    )


def test_checksum_shows_what_decides_a_segmentation(tmp_path):
    models = [
        make(tmp_path / "a"),
        make(tmp_path / "b", configurations={"2d": {**SETTINGS, "spacing": [2, 2]}}),
        make(tmp_path / "c", configurations={"2d": {**SETTINGS, "patch_size": [96, 96]}}),
        make(tmp_path / "d", labels={"background": 0, "LV": 1, "MYO": 2, "RV": 3}),
        make(tmp_path / "e", **{PLANS_ENTRY: {"dropout_placement": "encoder"}}),
    ]
    assert len({read_model(model).checksum() for model in models}) == len(models)


def test_schedule_of_unsound_plans_is_none(tmp_path):
    entry = {"schedule": {"epochs": 10, "cycles": 3}}
    assert read_model(make(tmp_path, checkpoint_ensemble=entry)).schedule is None
    assert read_model(make(tmp_path)).schedule is None
