"""Measuring of the validation cases after a training."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from napari_bayes_nnunet.app.messages import StageStarted
from napari_bayes_nnunet.app.signals import StopRequest
from napari_bayes_nnunet.app.training import validation
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder
from napari_bayes_nnunet.nnunet import Stopped


def test_request_to_stop_is_heeded_between_training_cases(
    trained_run: Path, hearts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = shutil.copytree(trained_run, tmp_path / "run")
    read = []

    def features(*_: object) -> Iterator[str]:
        for name in ("a", "b", "c"):
            read.append(name)
            yield name

    def send(stage: StageStarted) -> None:
        if stage.text == validation.READING_FEATURES.format(case="a"):
            (tmp_path / "stop").touch()

    monkeypatch.setattr(validation, "training_features", features)
    with pytest.raises(Stopped):
        validation.measure_validation_range(
            *(RunFolder(run), "0", read_dataset(hearts)),
            device="cpu",
            send=send,
            stop=StopRequest(tmp_path / "stop"),
        )
    assert read == ["a", "b"]
