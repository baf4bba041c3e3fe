"""Settings of a segmentation as options, as JSON, in words and as fields of a form."""

from __future__ import annotations

from dataclasses import asdict, fields, replace

import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.cli.segment import predict_command
from napari_bayes_nnunet.core.fields import to_arguments

OTHER = SegmentationSettings(
    method="single",
    members=9,
    mirroring="spread",
    window="whole",
    largest_component="on",
    temperature=1.234567891,
    until_stable=True,
    device="cuda:0",
    precision="full",
)


@pytest.mark.parametrize(
    "settings", [SegmentationSettings(), OTHER, replace(OTHER, temperature="fitted")]
)
def test_the_command_reads_its_arguments(settings) -> None:
    words = [*to_arguments(settings), "ensemble", "image.nii.gz", "-o", "out"]
    given = predict_command.make_context("predict", words).params
    assert {name: given[name] for name in asdict(settings)} == asdict(settings)


def test_arguments_without_a_temperature() -> None:
    assert to_arguments(SegmentationSettings(members=3, device="cpu")) == [
        *("--method", "multi", "--members", "3", "--mirroring", "full"),
        *("--window", "heart", "--largest-component", "auto"),
        *("--calibrated", "--device", "cpu", "--precision", "auto"),
    ]


@pytest.mark.parametrize("settings", [SegmentationSettings(), OTHER])
def test_json_restores_all_values(settings) -> None:
    assert asdict(SegmentationSettings.from_json(settings.to_json())) == asdict(settings)


def test_json_has_the_keys_of_a_report() -> None:
    assert OTHER.to_json() == {
        "method": "single",
        "members_asked": 9,
        "until_stable": True,
        "mirroring": "spread",
        "window": "whole",
        "largest_component": "on",
        "temperature": 1.234567891,
        "calibrated": True,
        "device": "cuda:0",
        "precision": "full",
    }


@pytest.mark.parametrize(
    ("dtype", "precision"), [("float32", "full"), ("float16", "auto"), ("bfloat16", "auto")]
)
def test_precision_of_a_report(dtype, precision) -> None:
    report = {**OTHER.to_json(), "precision": dtype, "members": [{"epoch": 1}] * 4}
    found = SegmentationSettings.from_json(report)
    assert (found.precision, found.members) == (precision, 9)


def test_a_report_of_a_stopped_case_is_incomplete() -> None:
    report = OTHER.to_json()
    for missing in report.keys() - {"largest_component"}:
        with pytest.raises(KeyError, match=missing):
            SegmentationSettings.from_json({k: v for k, v in report.items() if k != missing})


@pytest.mark.parametrize("temperature", [0, -1.5, float("nan"), float("inf")])
def test_a_temperature_must_be_above_0(temperature) -> None:
    with pytest.raises(AppError) as caught:
        SegmentationSettings(temperature=temperature)
    assert caught.value.values == {"temperature": pytest.approx(temperature, nan_ok=True)}


def test_the_device_does_not_change_the_result() -> None:
    assert replace(OTHER, device="cpu", precision="auto") == OTHER
    for changes in ({"method": "multi"}, {"members": 8}, {"mirroring": "full"}):
        assert replace(OTHER, **changes) != OTHER
    assert replace(OTHER, temperature=None) != OTHER != replace(OTHER, until_stable=False)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (SegmentationSettings(), "multi, 30 members, mirroring full"),
        (SegmentationSettings(temperature=1.0), "multi, 30 members, mirroring full"),
        (
            OTHER,
            "single, 9 members, until stable, mirroring spread, window whole, "
            "largest component, temperature 1.23457",
        ),
        (
            SegmentationSettings(largest_component="off"),
            "multi, 30 members, mirroring full, all components",
        ),
        (
            SegmentationSettings(method="vanilla", members=1, temperature="fitted"),
            "vanilla, 1 member, mirroring full, temperature fitted",
        ),
    ],
)
def test_words_name_what_is_compared(settings, words) -> None:
    assert str(settings) == words


def test_every_setting_is_described() -> None:
    for row in fields(SegmentationSettings):
        about = row.metadata
        assert 0 < len(about["help"]) <= 160
        if "choice_help" in about:
            assert row.default in about["choices"]
            assert set(about["choices"]) == set(about["choice_help"])
