"""Measuring of the validation cases after a training."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from napari_bayes_nnunet.app.messages import Message, Notice, StageStarted
from napari_bayes_nnunet.app.segmentation.calibrate import CASE_LEFT_OUT
from napari_bayes_nnunet.app.segmentation.calibration import (
    Calibration,
    calibration_key,
    read_calibrations,
    write_calibration,
)
from napari_bayes_nnunet.app.segmentation.image_check import CONSTANT_IMAGE
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.app.signals import StopRequest
from napari_bayes_nnunet.app.training import validation
from napari_bayes_nnunet.core.problems import Statement
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from napari_bayes_nnunet.io.ensemble.ensemble_folder import find_ensemble
from napari_bayes_nnunet.io.ensemble.fingerprint import CALIBRATION_FILE
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder, read_record
from napari_bayes_nnunet.io.images.nifti import read_volume, write_image
from napari_bayes_nnunet.nnunet import Stopped


def test_request_to_stop_is_heeded_between_training_cases(
    trained_run, hearts, tmp_path, monkeypatch
) -> None:
    run = shutil.copytree(trained_run, tmp_path / "run")
    read = []

    def looks(*_: object) -> Iterator[str]:
        for name in ("a", "b", "c"):
            read.append(name)
            yield name

    def send(stage: StageStarted) -> None:
        if stage.text == validation.LEARNING_KIND.format(case="a"):
            (tmp_path / "stop").touch()

    monkeypatch.setattr(validation, "fit_kind_of_images", looks)
    with pytest.raises(Stopped):
        validation.measure_validation(
            *(RunFolder(run), "0", read_dataset(hearts)),
            device="cpu",
            send=send,
            stop=StopRequest(tmp_path / "stop"),
        )
    assert read == ["a", "b"]


def test_calibration_of_an_earlier_end_is_replaced(trained_run, tmp_path) -> None:
    """A calibration of fewer of the latest members, or of other mirrors, holds."""
    run = shutil.copytree(trained_run, tmp_path / "run")
    whole = find_ensemble(run)
    earlier = replace(whole, members=whole.members[:-1])
    names = ("multi", "single", "vanilla")
    (run / CALIBRATION_FILE).unlink()
    for folder, mirroring, members in (
        (earlier, "full", 30),
        (whole, "none", 30),
        (whole, "full", 2),
        (whole, "full", 30),
    ):
        for name in names:
            asked = SegmentationSettings(method=name, mirroring=mirroring, members=members)
            key = calibration_key(folder, asked)
            write_calibration(folder, Calibration(temperature=1.0, cases=(), **key))
    last = calibration_key(whole, SegmentationSettings(method="vanilla"))["members"][-1]
    rows = read_calibrations(run)
    assert {row.members[-1] for row in rows} == {last}
    kept = {(row.method, row.mirroring) for row in rows}
    assert kept == {(name, mirroring) for name in names for mirroring in ("none", "full")}
    assert len({len(row.members) for row in rows if row.method == "multi"}) == 2


def test_case_that_cannot_be_segmented_is_left_out(trained_run, hearts, tmp_path) -> None:
    run = RunFolder(shutil.copytree(trained_run, tmp_path / "run"))
    dataset = read_dataset(shutil.copytree(hearts, tmp_path / "data"))
    before = read_record(run.record)
    names = before.validation_cases("0")
    constant, other = (case for case in dataset.cases if case.name in names)
    volume = read_volume(constant.images[0])
    write_image(constant.images[0], np.full_like(volume.voxels, 5), volume)
    (stray,) = other.images
    shutil.copyfile(stray, stray.with_name(stray.name.replace("_0000", "_0001")))
    sent: list[Message] = []
    validation.measure_validation(
        *(run, "0", dataset),
        device="cpu",
        send=sent.append,
        stop=StopRequest(tmp_path / "stop"),
    )
    (notice,) = (message.sentence for message in sent if isinstance(message, Notice))
    assert isinstance(notice, Statement)
    assert (notice.template, notice.values["case"]) == (CASE_LEFT_OUT, constant.name)
    assert notice.values["reason"].template == CONSTANT_IMAGE
    measured = read_record(run.record).validation["0"]
    assert measured["cases"] == before.validation["0"]["cases"] - 1 == 1
    rows = read_calibrations(run.path)
    assert [row.method for row in rows] == ["multi", "single", "vanilla"]
    assert {row.cases for row in rows} == {(other.name,)}
