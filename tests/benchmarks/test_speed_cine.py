"""Tests of the cine table of the speed benchmark, with a small network and made hearts."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.speed.cine import (
    TIMED_PHASES,
    MeasuredCines,
    choose_cines,
    cine_rows,
    cine_table,
    measure_cines,
    write_cine_csv,
)

from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from tests.helpers.data.models import make_model

PHASES = 4


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def cines(hearts: Path):
    return choose_cines(read_dataset(hearts).cases, 1)


@pytest.fixture(scope="module")
def measured(model, cines) -> list[MeasuredCines]:
    rows = [replace(row, mirroring="none") for row in cine_rows(3, PHASES)]
    return [measure_cines(row, model, cines, "cpu") for row in (rows[0], rows[2], rows[4])]


def test_cines_are_the_two_frames_of_patients(hearts) -> None:
    cases = read_dataset(hearts).cases
    chosen = choose_cines(reversed(cases), 2)
    names = [[case.name for case in cine] for cine in chosen]
    assert names == [[f"patient00{n}_frame0{f}" for f in (1, 2)] for n in (1, 2)]
    assert choose_cines(cases[:1], 2) == []


def test_rows_compare_window_and_slices_with_the_default() -> None:
    default, *ours = cine_rows(30, 25)
    assert (default.stock, default.mirroring) == (True, "full")
    assert [(row.mirroring, row.window, row.until_stable) for row in ours] == [
        ("full", "whole", False),
        ("spread", "whole", False),
        ("spread", "heart", False),
        ("spread", "heart", True),
    ]
    assert {(row.members, row.phases) for row in (default, *ours)} == {(30, 25)}


def test_both_predictors_give_the_same_labels(measured) -> None:
    stock, ours, _ = measured
    assert len(stock.labels) == 2
    for one, other in zip(stock.labels, ours.labels, strict=True):
        assert np.mean(one == other) > 0.99
    assert ours.dice == pytest.approx(stock.dice, abs=0.02)
    assert ours.bins.ece == pytest.approx(stock.bins.ece, abs=0.02)


def test_members_are_counted_by_slice(measured) -> None:
    stock, ours, by_slice = measured
    assert stock.asked == ours.asked == [3]
    assert 0 < by_slice.asked[0] <= 3
    assert all(item.peak > 0 for item in measured)


def test_nnunet_is_timed_on_three_phases(measured, cines, tmp_path) -> None:
    write_cine_csv(tmp_path / "cine.csv", measured, cines)
    with (tmp_path / "cine.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["timed_phases"] for row in rows] == [str(TIMED_PHASES), *[str(PHASES)] * 2]
    assert {row["cine"] for row in rows} == {"patient001"}


def test_table_has_ratios_to_the_default(measured) -> None:
    stock = replace(measured[0], seconds=[100.0, 300.0], peak=5_000_000)
    ours = replace(measured[1], seconds=[10.0, 20.0])
    lines = cine_table([stock, ours]).splitlines()
    first, second = ([cell.strip() for cell in line.split("|")] for line in lines[4:])
    assert first[2:6] == ["200.0 (scaled)", "1.0 (1.0 to 1.0)", "3.0", "5"]
    assert second[2:4] == ["15.0", "12.5 (10.0 to 15.0)"]
    assert first[6] == "0.00"
