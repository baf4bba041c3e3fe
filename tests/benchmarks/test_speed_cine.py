"""Tests of the cine table of the speed benchmark, with a small network and made hearts."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.speed import cine, full_size
from benchmarks.speed.cine import (
    TIMED_PHASES,
    choose_cines,
    cine_rows,
    make_cine_parser,
    make_tasks,
    measure_tasks,
    read_measured,
)
from benchmarks.speed.cine_measure import (
    NO_STUDENT,
    CineTask,
    MeasuredCine,
    make_phases,
    measure_cine,
)
from benchmarks.speed.cine_table import cine_table, write_cine_csv

from napari_bayes_nnunet.app.remote.store import BUILT_IN_FOLDER
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from tests.helpers.data.models import make_model

PHASES = 4


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def frames(hearts: Path):
    return choose_cines(read_dataset(hearts).cases, 1)[0]


def options(model: Path, *words: object):
    parser = make_cine_parser(None, "run", "dataset", "out")
    sizes = ("--members", 3, "--phases", PHASES, "--device", "cpu")
    return parser.parse_args(list(map(str, (model, "dataset", "out", *sizes, *words))))


@pytest.fixture(scope="module")
def measured(model, frames) -> list[MeasuredCine]:
    """nnU-Net, ours with all members, and by slice, without mirrors."""
    tasks = [task for task, _ in make_tasks(options(model, "--mirroring", "none"), [frames])]
    tasks = [replace(task, row=replace(task.row, mirroring="none")) for task in tasks]
    return [measure_cine(task, frames) for task in (tasks[0], tasks[1], tasks[3])]


def test_cines_are_the_two_frames_of_patients(hearts) -> None:
    cases = read_dataset(hearts).cases
    chosen = choose_cines(reversed(cases), 2)
    names = [[case.name for case in cine] for cine in chosen]
    assert names == [[f"patient00{n}_frame0{f}" for f in (1, 2)] for n in (1, 2)]
    assert choose_cines(cases[:1], 2) == []


def test_rows_compare_window_and_slices_with_the_default() -> None:
    kinds = ("nnunet", "whole", "heart", "slices")
    default, *ours = cine_rows(kinds, ["full", "spread"], members=30, phases=25)
    assert (default.stock, default.mirroring) == (True, "full")
    assert [(row.mirroring, row.window, row.until_stable) for row in ours] == [
        (mirroring, *kind)
        for mirroring in ("full", "spread")
        for kind in (("whole", False), ("heart", False), ("heart", True))
    ]
    assert {(row.members, row.phases) for row in (default, *ours)} == {(30, 25)}
    assert cine_rows(["slices", "nnunet"], ["spread"], members=30, phases=25) == [default, ours[-1]]


def test_the_student_has_a_row_if_asked_for() -> None:
    (row,) = cine_rows(["student"], ["full", "spread"], members=9, phases=20)
    assert (row.student, row.mirroring, row.window) == (True, "none", "heart")
    assert not any(row.student for row in cine_rows(make_cine_parser(None).parse_args([]).rows,
                                                    ["full"], members=9, phases=20))  # fmt: skip


def test_an_ensemble_without_a_student_has_no_such_row(model, frames) -> None:
    ((task, _),) = make_tasks(options(model, "--rows", "student"), [frames])
    with pytest.raises(ValueError, match=NO_STUDENT):
        measure_cine(task, frames)


def test_the_student_is_timed_by_its_look(frames, tmp_path) -> None:
    ((task, _),) = make_tasks(options(BUILT_IN_FOLDER, "--rows", "student"), [frames])
    item = measure_cine(task, frames)
    assert (item.asked, len(item.labels), len(item.dice)) == (1, 2, 2)
    assert item.curve_seconds == item.seconds > 0
    write_cine_csv(tmp_path / "cine.csv", [item])
    with (tmp_path / "cine.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    assert (row["student"], row["ece"]) == ("True", "")
    assert cine_table([item]).splitlines()[4].split("|")[-2].strip() == ""


def test_both_predictors_give_the_same_labels(measured) -> None:
    stock, ours, _ = measured
    assert len(stock.labels) == 2
    for one, other in zip(stock.labels, ours.labels, strict=True):
        assert np.mean(one == other) > 0.99
    assert ours.dice == pytest.approx(stock.dice, abs=0.02)
    assert ours.bins.ece == pytest.approx(stock.bins.ece, abs=0.02)


def test_members_are_counted_by_slice(measured) -> None:
    stock, ours, by_slice = measured
    assert stock.asked == ours.asked == 3
    assert 0 < by_slice.asked <= 3
    assert all(item.peak > 0 for item in measured)
    assert stock.curve_seconds is None
    assert 0 < ours.curve_seconds < ours.seconds


def test_no_two_phases_are_equal() -> None:
    frames = [np.full((1, 2, 3, 4), value, np.int16) for value in (100, 200)]
    phases = make_phases(frames, 5)
    assert len({phase.tobytes() for phase in phases}) == 5
    np.testing.assert_array_equal(phases[1], frames[1])
    np.testing.assert_allclose(phases[4], frames[0], rtol=0.01)


def test_nnunet_is_timed_on_three_phases(measured, tmp_path) -> None:
    write_cine_csv(tmp_path / "cine.csv", measured)
    with (tmp_path / "cine.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["timed_phases"] for row in rows] == [str(TIMED_PHASES), *[str(PHASES)] * 2]
    assert {row["cine"] for row in rows} == {"patient001"}


def test_fewer_phases_and_members_can_be_timed(model, frames) -> None:
    asked = options(model, "--timed-phases", 2, "--nnunet-members", 1, "--rows", "nnunet", "heart")
    stock, ours, _ = [task for task, _ in make_tasks(asked, [frames])]
    assert (stock.timed_phases, stock.timed_members, stock.has_scores) == (3, 1, False)
    assert (ours.timed_phases, ours.timed_members, ours.has_scores) == (2, 3, True)
    part = measure_cine(replace(ours, row=replace(ours.row, mirroring="none")), frames)
    assert (part.task.is_scaled, len(part.labels)) == (True, 2)
    assert measure_cine(stock, frames).dice == []


def test_table_has_ratios_to_the_default(measured) -> None:
    stock = [replace(measured[0], seconds=seconds, peak=5_000_000) for seconds in (100.0, 300.0)]
    ours = [replace(measured[1], seconds=seconds, curve_seconds=2.0) for seconds in (10.0, 20.0)]
    names = ("patient001", "patient002")
    every = [
        replace(item, task=replace(item.task, cine=name))
        for items in (stock, ours)
        for name, item in zip(names, items, strict=True)
    ]
    lines = cine_table(every).splitlines()
    first, second = ([cell.strip() for cell in line.split("|")] for line in lines[4:6])
    assert first[2:7] == ["200.0 (scaled)", "1.0 (1.0 to 1.0)", "", "3.0", "5"]
    assert second[2:5] == ["15.0", "12.5 (10.0 to 15.0)", "2.0"]
    assert first[7] == "0.00"
    assert cine_table(ours).splitlines()[4].split("|")[3].strip() == ""


def test_measured_rows_are_not_measured_again(model, frames, measured, tmp_path, capsys) -> None:
    tasks = [*make_tasks(options(model), [frames])]
    asked: list[CineTask] = []

    def measure(task: CineTask, cine: object) -> MeasuredCine:
        asked.append(task)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return replace(measured[0], task=task)

    with pytest.raises(KeyboardInterrupt):
        measure_tasks(tmp_path, tasks, measure=measure)
    assert len(capsys.readouterr().out.splitlines()) == 2
    with (tmp_path / "results.jsonl").open("a") as stream:
        stream.write('{"kind": "cine", "tas')  # cut short by a kill
    asked.append(asked[0])
    every = measure_tasks(tmp_path, tasks, measure=measure)
    assert [item.task for item in every] == [task for task, _ in tasks]
    assert asked[4:] == [task for task, _ in tasks[2:]]
    for stored in read_measured(tmp_path):
        np.testing.assert_array_equal(stored.labels, measured[0].labels)
        assert stored.bins.ece == measured[0].bins.ece


def test_random_members_of_the_full_size(hearts, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(cine, "run_alone", lambda work, *arguments: work(*arguments))
    names = [case.name for case in read_dataset(hearts).cases]
    split = tmp_path / "split.json"
    split.write_text(json.dumps([{"train": [], "val": names}]))
    words = ["--tiny", "--members", "9", "--phases", "4", "--volumes", "1", "--device", "cpu"]
    words += ["--mirroring", "spread", "--rows", "nnunet", "heart", "slices"]
    full_size.main([str(hearts), str(tmp_path / "out"), "--split", str(split), *words])
    stock, window, slices = read_measured(tmp_path / "out")
    assert (stock.task.timed_members, stock.task.timed_phases) == (3, 3)
    assert (window.asked, slices.asked) == (9, 6)
    assert not any(item.dice for item in (stock, window, slices))
    assert (tmp_path / "out" / "table.md").exists()
