"""Tests of the command for a cohort and the check of its folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from napari_bayes_nnunet.app.remote.device import RemoteDevice
from napari_bayes_nnunet.app.segmentation.methods import METHODS
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.widgets.cohort.command import (
    CohortCommand,
    CohortSettings,
    propose_results,
)


def made_settings(**changes: object) -> CohortSettings:
    settings = SegmentationSettings(**({"temperature": 1.0} | changes))
    return CohortSettings(folder=Path("ensemble"), ensemble="Demo", settings=settings)


@pytest.mark.parametrize(
    ("changes", "ending"),
    [
        ({}, ""),
        ({"members": 1, "method": "vanilla"}, ""),
        ({"temperature": 1.5}, ""),
        ({"device": "cuda:0"}, ", on cuda:0"),
    ],
)
def test_settings_in_words_name_ensemble_and_device(changes, ending) -> None:
    made = made_settings(**changes)
    title = METHODS[made.settings.method].title
    assert str(made) == f"Demo, {title}, {made.settings.options}{ending}"


def test_the_command_has_all_choices(tmp_path) -> None:
    settings = SegmentationSettings(temperature=1.25, mirroring="none", device="cpu")
    chosen = CohortSettings(folder=tmp_path / "e", ensemble="Demo", settings=settings)
    request = CohortCommand(chosen=chosen, images=Path("images"), output=Path("out"), phases="all")
    here = Path(os.path.abspath("."))
    assert request.arguments == [
        *("predict", str(tmp_path / "e"), str(here / "images"), "-o", str(here / "out")),
        *("--method", "multi", "--members", "30", "--mirroring", "none"),
        *("--window", "heart", "--largest-component", "auto", "--temperature", "1.25"),
        *("--calibrated", "--device", "cpu", "--precision", "auto"),
        *("--phases", "all", "--continue", "--jsonl"),
    ]


def test_another_computer_is_a_device() -> None:
    there = RemoteDevice(address="ssh://server", command="other")
    chosen = made_settings(device=str(there))
    assert str(chosen).endswith(", on ssh://server")
    words = CohortCommand(chosen=chosen, images=Path("in"), output=Path("out")).arguments
    assert RemoteDevice.parse(words[words.index("--device") + 1]) == there


def test_results_are_proposed_next_to_the_images(tmp_path) -> None:
    assert propose_results(tmp_path / "acdc") == tmp_path / "acdc_segmented"
    assert propose_results(Path("/")) == Path("/segmented")
