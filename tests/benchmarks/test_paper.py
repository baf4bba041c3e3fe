"""Tests of the parts of the paper's experiment that the package does not contain."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.paper.claims import THESE_ONLY, Finding, claim_lines, silent_failures
from benchmarks.paper.judging import read_lines
from benchmarks.paper.modes import CONTROL, keep_modes, read_modes
from benchmarks.paper.rows import ABLATIONS, SUNNYBROOK, rows, with_unchanged
from benchmarks.paper.rv_slices import RVSlice, rv_slices
from benchmarks.paper.seeds import converged_cycles, cycles_table
from benchmarks.paper.shifts import SHIFTS, UNSHIFTED
from benchmarks.paper.stability import read_restarts
from benchmarks.paper.stored_cases import bins_to_json, case_from_json, case_to_json
from benchmarks.paper.summaries import write_summaries
from benchmarks.paper.trainings import (
    DEEP,
    PRESETS,
    Preset,
    finished_epochs,
    read_split,
    trainings,
    write_split,
)
from benchmarks.results import append_row

from napari_bayes_nnunet.app.evaluation.aggregates import ALL
from napari_bayes_nnunet.app.segmentation.methods import METHODS
from napari_bayes_nnunet.app.training.progress import append_message
from napari_bayes_nnunet.core.metrics.bootstrap import Estimate
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder, read_record, write_record
from napari_bayes_nnunet.io.files.atomic import null_for_nan
from napari_bayes_nnunet.paper.trajectory.analysis import analyse_trajectory
from tests.helpers.data.evaluations import made_case

from ..helpers.data.trajectories import CYCLES, make_run


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_rows_cover_all_methods_and_have_trainings(preset) -> None:
    planned = trainings(preset)
    folders = {f"{t.kind}/seed{t.seed}" for t in planned} | {t.kind for t in planned}
    made = rows(preset)
    assert {row.folder for row in made} <= folders
    assert {row.method for row in made} == METHODS.keys() - {"cross-validation"}
    assert len({row.name for row in made}) == len(made)
    assert sum(row.is_fitted for row in made) == sum(
        not row.is_fitted and row.method != "temperature" and row.group in ("compared", "seeds")
        for row in made
    )
    for row in made:
        of_row = [t for t in planned if f"{t.kind}/seed{t.seed}".startswith(row.folder)]
        assert sum(t.epochs for t in of_row) == row.cost * preset.epochs


def test_row_members_are_limited_by_the_plateau() -> None:
    small = replace(PRESETS["cpu"], epochs=150)
    for preset, expected in ((small, (10, 30, 10)), (PRESETS["paper"], (30, 30, 30))):
        compared = [row for row in rows(preset) if row.group == "compared"]
        largest = {row.method: row.members for row in compared}
        assert (largest["single"], largest["multi"], largest["swa"]) == expected
    ablations = {row.name: row for row in rows(PRESETS["cpu"]) if row.group == "ablations"}
    assert ablations["cycles-5-seed1-single-24"].title == "M 5: Single, n 24, seed 1"
    assert "cycles-1-seed1-multi-30" not in ablations
    assert not any(row.is_judged_under(SUNNYBROOK) for row in ablations.values())


def test_rows_of_chosen_epochs_lie_in_the_plateaus() -> None:
    made = {row.name: row for row in rows(PRESETS["cpu"])}
    assert made["cycles-Cycle-2-seed3-390"].epochs == (390,)
    late = made["restarts-seed1-late-20"].epochs
    assert (late[:2], late[9:11], late[-1]) == ((390, 391), (399, 590), 599)
    assert made["members-1-per-cycle-seed1"].epochs == (199, 399, 599)
    assert made["members-3-per-cycle-seed1"].epochs[:4] == (197, 198, 199, 397)
    steps = made["members-6-per-cycle-step-5-seed1"].epochs
    assert (len(steps), steps[:7]) == (18, (174, 179, 184, 189, 194, 199, 374))
    single = made["members-Last-cycle-6-per-cycle-step-5-seed1"]
    assert (single.method, single.epochs) == ("single", (574, 579, 584, 589, 594, 599))
    assert made["members-Last-cycle-1-per-cycle-seed1"].epochs == (599,)
    assert not made["cycles-Cycle-2-seed3-390"].is_judged_under(SUNNYBROOK)
    assert made["restarts-seed2-multi-30"].is_judged_under(SUNNYBROOK)
    assert not made["restarts-seed2-multi-30"].is_judged_under("gamma")


def test_ablations_differ_in_one_value() -> None:
    planned = {(t.kind, t.seed): t for t in trainings(PRESETS["cpu"])}
    base = asdict(planned["restarts", 1].schedule)
    for kind, change in {
        "gamma-0.5": {"gamma": 0.5},
        "restart-0.01": {"restart_lr": 0.01},
        "cycles-1": {"cycles": 1},
        "cycles-5": {"cycles": 5},
        "over-tc": {"decay_over": "Tc"},
        "sghmc-1": {},
    }.items():
        assert asdict(planned[kind, 1].schedule) == base | change
    noise = {kind: t.posterior_temperature for (kind, _), t in planned.items() if "sghmc" in kind}
    assert noise == {"sghmc-1": 1.0, "sghmc-0.01": 0.01}
    assert planned["dropout-encoder", 1].dropout_placement == "encoder"
    assert not {t.kind for t in trainings(PRESETS["paper"])} & ABLATIONS.keys()


def test_ablations_are_compared_with_the_unchanged_training() -> None:
    names = [row.name for row in with_unchanged(rows(PRESETS["cpu"]))]
    assert names[:4] == [
        "restarts-seed1-single-30", "restarts-seed1-multi-30",
        "restarts-seed2-single-30", "restarts-seed2-multi-30",
    ]  # fmt: skip
    assert "sghmc-0.01-seed1-multi-30" in names
    assert not any(name.endswith("fitted") for name in names)
    assert with_unchanged(rows(PRESETS["paper"])) == []


@pytest.mark.parametrize(("last", "expected"), [(0.904, 3), (0.906, 2)])
def test_cycles_have_converged_within_the_limit(last, expected) -> None:
    unfinished = [0.8, float("nan"), 0.9]
    by_cycle = {"1": [0.9, 0.9, 0.8], "2": [0.9, last, last], "3": unfinished}
    assert converged_cycles(by_cycle) == {"1": 1, "2": expected}
    assert cycles_table({"3": unfinished}).splitlines()[-1] == "| 3 | 0.800 | – | 0.900 |"


def test_split_keeps_cases_and_returns_validation_ones(tmp_path: Path) -> None:
    split = tmp_path / "splits.json"
    cases = [f"patient{n:03d}_frame01" for n in range(10)]
    split.write_text(json.dumps([{"train": cases[:4], "val": cases[4:]}]))
    whole = read_split(split, cases)
    assert whole["val"] == cases[4:]
    write_split(whole, tmp_path / "new" / "split.json")
    (fold,) = json.loads((tmp_path / "new" / "split.json").read_text())
    assert fold == {"train": cases[:4], "val": cases[4:8]}
    fold = {"train": cases[:4], "val": cases[4:]}
    wrong = [fold, fold], [fold | {"train": cases}], [fold | {"val": []}], [{"train": cases}]
    for content in (*map(json.dumps, wrong), "["):
        split.write_text(content)
        with pytest.raises(DataError, match=re.escape(str(split))):
            read_split(split, cases)
    split.write_text(json.dumps([fold]))
    with pytest.raises(DataError, match=cases[-1]):
        read_split(split, cases[:-1])  # it would be left out of all tables
    fifths = [t for t in trainings(PRESETS["cpu"]) if t.kind == "short"]
    assert [t.epochs * DEEP for t in fifths] == [PRESETS["cpu"].epochs] * DEEP


@pytest.mark.parametrize("shift", SHIFTS, ids=lambda shift: shift.name)
def test_shift_keeps_the_grid_and_is_reproducible(shift) -> None:
    image = np.random.default_rng(0).gamma(2, 50, size=(3, 40, 51)).astype(np.float32)
    before = image.copy()
    once, again = (shift.apply(image, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    np.testing.assert_array_equal(image, before)
    assert (once.shape, once.dtype) == (image.shape, np.float32)
    assert np.isfinite(once).all()
    assert np.array_equal(once, image) == (shift.name == UNSHIFTED)


def test_rv_slices_have_areas_and_failures() -> None:
    reference = np.zeros((4, 10, 10), int)
    reference[0, :6, :6], reference[1, :4, :4], reference[2, :2, :2] = 3, 3, 3  # base to apex
    reference[1, 6:, 6:] = 1
    reference[2, 8:, 8:] = 1
    labels = reference.copy()
    labels[2, 8:, 8:] = 0  # the small RV is missed
    entropy = np.zeros(reference.shape)
    entropy[2, 8, 8:] = 1.0
    rv = np.zeros(reference.shape)
    rv[2, 9, 8:9] = 0.4
    spacing = (10.0, 2.0, 1.5)
    slices = rv_slices(labels, entropy, rv, reference, spacing, rv=1, lv=3)
    assert [(s.z, s.place) for s in slices] == [(1, 0.5), (2, 1.0)]
    assert (slices[0].dice, slices[0].is_failed) == (1.0, False)
    small = slices[1]
    assert (small.reference_mm2, small.predicted_mm2, small.dice) == (12, 0, 0)
    assert (small.wrong_mm2, small.marked_mm2, small.all_uncertain_mm2) == (12, 6, 6)
    assert small.uncertain_mm2 == 3
    assert small.is_failed
    assert not small.is_silent
    silent = rv_slices(labels, 0 * entropy, rv, reference, spacing, rv=1, lv=3)
    assert silent[1].is_silent
    labels, reference = labels[::-1], reference[::-1]
    turned = rv_slices(labels, entropy, rv, reference, (1, 1, 1), rv=1, lv=3)
    assert [s.place for s in turned] == [1.0, 0.5]


@pytest.mark.parametrize(
    ("low", "high", "expected", "verdict"),
    [
        (0.1, 0.3, 1, "holds"),
        (-0.1, 0.3, 1, "cannot be told"),
        (-0.3, -0.1, 1, "does not hold"),
        (-0.3, -0.1, -1, "holds"),
        (0.1, 0.3, -1, "does not hold"),
        (0.1, 0.3, 0, "–"),
    ],
)
def test_verdict_follows_from_both_intervals(low, high, expected, verdict) -> None:
    estimate = Estimate((low + high) / 2, np.linspace(low, high, 1001))
    once = Finding(claim="", measured="", estimate=estimate, expected=expected)
    is_told = verdict in ("holds", "does not hold")
    assert once.verdict == (f"{verdict} {THESE_ONLY}" if is_told else verdict)
    mean = estimate.value
    alike, unlike = (replace(once, by_training=(mean - d, mean, mean + d)) for d in (0.01, 0.2))
    assert alike.verdict == verdict
    assert unlike.verdict == once.verdict
    assert replace(once, by_training=(mean, mean)).verdict == once.verdict
    doubted = replace(alike, doubt="the cycles differ")
    assert doubted.verdict == ("cannot be told: the cycles differ" if expected else "–")


def test_trainings_have_an_interval_of_students_t() -> None:
    estimate = Estimate(0.02, np.array([0.01, 0.03]))
    finding = Finding(claim="", measured="", estimate=estimate, expected=1)
    assert finding.trainings_text == ""
    two = replace(finding, by_training=(0.01, 0.03))
    assert two.trainings_text == "+0.010, +0.030"
    three = replace(finding, by_training=(0.01, 0.02, 0.03))
    reach = 4.302653 * 0.01 / 3**0.5
    assert three.over_trainings == pytest.approx((0.02 - reach, 0.02 + reach))
    assert three.trainings_text == "+0.010, +0.020, +0.030: +0.020 (-0.005 to +0.045)"


AREAS = ("reference_mm2", "predicted_mm2", "wrong_mm2", "uncertain_mm2", "all_uncertain_mm2")
APICAL = RVSlice(z=9, place=1, dice=0.2, marked_mm2=80, **dict.fromkeys(AREAS, 90.0))
"""A failed slice at the apex whose error is marked."""


def test_silent_failures_are_compared_with_nnunet_patient_by_patient() -> None:
    """Each method counts the slices in which it failed itself."""
    base, one = (
        next(row for row in rows(PRESETS["cpu"]) if (row.folder, row.method) == found)
        for found in (("poly/seed1", "vanilla"), ("restarts/seed1", "single"))
    )
    silent = replace(APICAL, marked_mm2=10)
    slices = {
        base.name: [(f"p{n}", silent) for n in range(8)],
        one.name: [(f"p{n}", silent if n < 2 else APICAL) for n in range(8)],
    }
    of_base, of_one, difference = silent_failures(slices, [base, one], {})
    assert (of_base.estimate.value, of_one.estimate.value) == (1, 0.25)
    assert difference.estimate.value == -0.75
    assert difference.estimate.interval[1] <= -0.375
    assert difference.verdict == f"holds {THESE_ONLY}"


def test_rows_with_fitted_temperatures_are_compared_with_a_fitted_nnunet() -> None:
    chosen = [
        row
        for row in rows(PRESETS["cpu"])
        if row.group == "compared" and row.folder in ("poly/seed1", "cosine/seed1")
    ]
    slices = {row.name: [(f"p{n}", APICAL) for n in range(8)] for row in chosen}
    differences = [f.measured for f in silent_failures(slices, chosen, {}) if "minus" in f.measured]
    assert sorted(measured.count("τ fitted") for measured in differences) == [0, 2]


def test_line_after_a_cut_one_is_separate(tmp_path: Path) -> None:
    file = tmp_path / "row.jsonl"
    line = json.dumps({"evaluation": {"case": "patient001"}})
    file.write_text(line[:20])
    append_row(file, json.loads(line))
    append_row(file, json.loads(line))
    assert [case for case, _ in read_lines(file)] == ["patient001"] * 2


def test_restart_has_drop_and_recovery(tmp_path: Path, trained_run: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    shutil.copy(trained_run / "ensemble.json", run.path)
    report = finished_epochs(trained_run)[0]
    # Cycles of 4 epochs; a killed training repeated its second and third epoch.
    dice = [0.1, 0.9, 0.9, 0.2, 0.8, 0.8, 0.79, 0.4, None, 0.77, 0.7, 0.2, 0.3, 0.4]
    for epoch, value in zip([0, 1, 2, *range(1, 12)], dice, strict=True):
        measured = {"LV": value, "RV": None}
        changed = replace(report, epoch=epoch, pseudo_dice=measured, train_loss=-0.1 * epoch)
        append_message(run.progress, changed)
    first, second = read_restarts(run.path)
    assert first.before == pytest.approx(0.475)
    assert (first.lowest, first.recovered_after) == (0.4, 3)
    assert (second.lowest, second.recovered_after) == (0.2, None)
    assert (first.highest_loss, second.highest_loss) == (-0.4, -0.8)


def test_a_summary_has_the_course_of_finished_trainings(trained_run: Path, tmp_path: Path) -> None:
    preset = replace(PRESETS["cpu"], name="demo", epochs=12, iterations=4, ablation_seeds=0)
    folder = tmp_path / "trainings" / "restarts"
    folder.mkdir(parents=True)
    (folder / "seed1").symlink_to(trained_run)
    file = tmp_path / "paper_trainings.csv"
    write_summaries(tmp_path / "empty", file, preset)
    assert not file.exists()
    write_summaries(tmp_path, file, preset)
    with file.open(encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))
    assert {(line["training"], line["seed"]) for line in lines} == {("restarts", "1")}
    assert [int(line["first_epoch"]) for line in lines] == list(range(12))
    losses = [epoch.train_loss for epoch in finished_epochs(trained_run)]
    assert [float(line["train_loss"]) for line in lines] == pytest.approx(losses, abs=1e-4)


def test_claims_are_written_in_their_unit_with_their_verdict() -> None:
    estimate = Estimate(-0.0064, np.array([-0.0091, -0.0041]))
    ece = Finding(
        claim="calibration", measured="ECE", estimate=estimate, expected=-1, unit="%", scale=100.0
    )
    (line,) = claim_lines([ece])
    low, high = (round(100 * end, 7) for end in estimate.interval)
    assert (line["value"], line["low"], line["high"]) == (-0.64, low, high)
    assert (line["unit"], line["verdict"]) == ("%", f"holds {THESE_ONLY}")
    assert np.isnan(line["low_over_trainings"])
    several = replace(ece, by_training=(-0.0063, -0.0064, -0.0065))
    (line,) = claim_lines([several])
    assert line["low_over_trainings"] < -0.64 < line["high_over_trainings"] < 0
    assert line["by_training"] == "-0.6300000 -0.6400000 -0.6500000"
    assert line["verdict"] == "holds"
    multi = replace(ece, doubt="the cycles differ")
    (line,) = claim_lines([multi])
    assert line["verdict"] == multi.verdict != "holds"


PRESET = Preset(
    name="demo", epochs=3 * CYCLES, iterations=4, seeds=2, mirroring="none", shifted="all"
)


def test_modes_and_their_control_are_kept(tmp_path: Path) -> None:
    planned = {(t.kind, t.seed): t for t in trainings(PRESET)}
    first, control = (
        RunFolder(planned[key].folder(tmp_path)) for key in (("restarts", 1), CONTROL)
    )
    first.path.parent.mkdir(parents=True)
    made = make_run(first.path)
    (made.fold("0") / "checkpoint_final.pth").touch()
    keep_modes(tmp_path, PRESET)
    assert not list(read_modes(tmp_path, PRESET))  # there is no control yet
    shutil.copytree(made.path, control.path)
    schedule = planned[CONTROL].schedule
    write_record(control.record, replace(read_record(made.record), schedule=schedule))
    keep_modes(tmp_path, PRESET)
    shutil.rmtree(tmp_path / "trainings")
    keep_modes(tmp_path, PRESET)
    ((training, numbers),) = read_modes(tmp_path, PRESET)
    assert (training.kind, training.seed) == ("restarts", 1)
    make_run(first.path)
    modes = analyse_trajectory(first.path).drawn.modes
    assert numbers == pytest.approx([modes.ratio, modes.silhouette] * 2)


NOTHING = {"probabilities": None, "pairwise_dice": None, "groups": {"vendor": "A"}}


def test_evaluation_survives_json():
    ends = {80: (1.0, 2.0)}
    case = made_case(1, expected_dice={"LV": 0.9}, volume_intervals={"LV": ends})
    text = json.dumps(case_to_json(case), allow_nan=False)
    again = case_from_json(json.loads(text))
    assert case_to_json(again) == case_to_json(case)
    np.testing.assert_equal(again.numbers, case.numbers)


def test_evaluation_of_version_0_2_0_is_read():
    case = made_case(1)
    structures = {name: case.numbers[name] for name in case.structures}
    columns = ("nll", "distant_entropy", "mean_entropy")
    content = {
        "case": case.case,
        "patient": case.patient,
        "groups": {},
        "structures": structures,
        "reliability": bins_to_json(case.reliability),
        "detection": {"entropy": {"auroc": 0.8, "auprc": 0.5, "errors": 9, "voxels": 99}},
        "intervals": {},
        **{column: case.number(column) for column in columns},
    }
    again = case_from_json(null_for_nan(content))
    assert again.number("auroc entropy") == 0.8
    for column in (*columns, "dice", "ece"):
        assert again.number(column) == case.number(column)
    assert again.number("dice", "LV") == case.number("dice", "LV")


def test_undefined_numbers_are_null_in_json():
    content = case_to_json(made_case(1, **NOTHING))
    assert content["numbers"][ALL]["nll"] is None
    assert content["reliability"] is None
    assert content["numbers"]["LV"]["pairwise_dice"] is None
    again = case_from_json(content)
    assert math.isnan(again.number("nll"))
    assert math.isnan(again.number("pairwise_dice", "LV"))
    assert again.reliability is None
    assert (again.case, again.patient, again.groups) == ("p1_frame01", "p1", {"vendor": "A"})
