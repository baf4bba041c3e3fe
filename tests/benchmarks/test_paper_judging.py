"""Tests of the paper's experiment after its trainings: evaluation, temperatures, claims, report."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import nibabel
import numpy as np
import pytest
from benchmarks.paper.cases import sunnybrook_cases
from benchmarks.paper.diversity import NO_PAIRS, measure_diversity
from benchmarks.paper.judging import (
    FAILED_CASES,
    OTHERS,
    Case,
    Task,
    file_of,
    judge,
    judge_case,
    needed_trainings,
    read_lines,
    row_statistics,
)
from benchmarks.paper.questions import comparisons
from benchmarks.paper.report import _trainings, write_report
from benchmarks.paper.rows import SUNNYBROOK, Row, rows
from benchmarks.paper.seeds import dice_by_cycle, mean_dice
from benchmarks.paper.shifts import SHIFTS, UNSHIFTED
from benchmarks.paper.stored_cases import case_from_json
from benchmarks.paper.temperatures import measure_losses, read_temperatures
from benchmarks.paper.trainings import PRESETS, Preset, record_of, trainings
from matplotlib.figure import Figure
from PIL import Image

from napari_bayes_nnunet.app.evaluation.aggregates import ALL
from napari_bayes_nnunet.app.evaluation.evaluate import MethodEvaluation
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.methods import choose_members, make_passes
from napari_bayes_nnunet.core.ensemble.posterior import RunningPosterior
from napari_bayes_nnunet.core.metrics.calibration import fit_temperature, foreground_box
from napari_bayes_nnunet.core.metrics.overlap import dice
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from napari_bayes_nnunet.io.images.nifti import read_channels, read_labels

from ..helpers.data.evaluations import made_case
from ..helpers.data.paper_tables import report_text

pytestmark = pytest.mark.usefixtures("few_resamples")
PRESET = Preset(name="demo", epochs=12, iterations=4, seeds=1, mirroring="none", shifted="all")
HOW = {"mirroring": "none", "device": "cpu"}


def of_first_training(row: Row) -> bool:
    """Return whether a training with 2 members per cycle has the members of the row."""
    return row.folder == "restarts/seed1" and (row.members <= 2 or row.method == "multi")


ROWS = [row for row in rows(PRESET) if of_first_training(row) and row.group == "compared"]
CHOSEN = [row for row in rows(PRESET) if of_first_training(row) and row.group != "compared"]
EVERY = [*ROWS, *CHOSEN]
FITTED = [row for row in ROWS if row.is_fitted]
NAMES_OF_NNUNET = {"background": 0, "RV": 1, "MLV": 2, "LVC": 3}
"""Labels of nnU-Net's own conversion of ACDC."""


@pytest.fixture(scope="module")
def cases(hearts: Path) -> list[Case]:
    dataset = read_dataset(hearts)
    structures = {name: value for name, value in dataset.labels.items() if value}
    return [
        Case(condition, case.name, case.name[:10], case.images[0], case.label, structures)
        for condition in (UNSHIFTED, SHIFTS[1].name)
        for case in dataset.cases
        if case.name.endswith("frame01")
    ]


def temperatures_of(output: Path, cases: list[Case]) -> dict[str, dict[str, float]]:
    names = [case.name for case in cases if case.condition == UNSHIFTED]
    return read_temperatures(output, FITTED, names)


@pytest.fixture(scope="module")
def output(trained_run: Path, cases: list[Case], tmp_path_factory) -> Path:
    """Return an experiment with one finished and evaluated training; one case cannot be read."""
    output = tmp_path_factory.mktemp("experiment")
    (output / "trainings" / "restarts").mkdir(parents=True)
    (output / "trainings" / "restarts" / "seed1").symlink_to(trained_run)
    record_of(output).write_text("{}")
    plain = [case for case in cases if case.condition == UNSHIFTED]
    measure_losses(plain, FITTED, output, **HOW, processes=1)
    fitted = temperatures_of(output, cases)
    broken = replace(cases[0], name="not there", image=output / "not there.nii.gz")
    with pytest.raises(SystemExit) as failed:
        judge([broken, *cases], EVERY, output, **HOW, processes=1, temperatures=fitted)
    heading, failure = str(failed.value).splitlines()
    assert heading == FAILED_CASES
    assert failure.startswith(f"{UNSHIFTED}/not there by seed1: ")
    return output


@pytest.fixture(scope="module")
def report(output: Path, cases: list[Case]) -> Path:
    """Return the report of the experiment, with a black pixel for every figure."""
    black = Image.new("L", (1, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", lambda figure, file, **options: black.save(file, "png"))
        write_report(output, output / "report", preset=PRESET, cases=cases)
    return output / "report"


def of_row(output: Path, row: Row) -> MethodEvaluation:
    evaluations = [
        case_from_json(line["evaluation"])
        for condition in (UNSHIFTED, SHIFTS[1].name)
        for _, line in read_lines(file_of(output, condition, row))
    ]
    return MethodEvaluation(name=row.title, cases=tuple(evaluations))


def test_every_row_of_every_case_is_evaluated_once(output, cases) -> None:
    assert {row.method for row in ROWS} == {"vanilla", "temperature", "swa", "single", "multi"}
    files = [file_of(output, c, row) for c in (UNSHIFTED, SHIFTS[1].name) for row in ROWS]
    before = [file.read_text() for file in files]
    for text in before:
        names = [json.loads(line)["evaluation"]["case"] for line in text.splitlines()]
        assert sorted(names) == sorted({case.name for case in cases})
    judge(cases, ROWS, output, **HOW, processes=1, temperatures=temperatures_of(output, cases))
    assert [file.read_text() for file in files] == before


@pytest.mark.parametrize("method", ["vanilla", "multi"])
def test_temperature_is_fitted_on_other_patients(method, output, cases, trained_run) -> None:
    row = next(row for row in FITTED if row.method == method.replace("vanilla", "temperature"))
    temperatures = temperatures_of(output, cases)[row.name]
    patients = sorted({case.patient for case in cases})
    assert temperatures.keys() == {OTHERS, *patients}
    ensemble = Ensemble(trained_run, device="cpu")

    def fit(patients: list[str]) -> float:
        probabilities, labels = [], []
        for case in cases:
            if case.patient in patients and case.condition == UNSHIFTED:
                image, reference = read_channels(case.image)[0], read_labels(case.label).voxels
                result = ensemble.segment(
                    *(image.voxels, image.spacing),
                    method=method,
                    members=row.members,
                    mirroring="none",
                )
                box = foreground_box(reference)
                probabilities += [result.probabilities[(slice(None), *box)].reshape(4, -1)]
                labels += [reference[box].ravel()]
        return fit_temperature(np.hstack(probabilities), np.hstack(labels))

    # Both fits stop within 1e-4 of the logarithm.
    taus = [temperatures[patient] for patient in patients]
    assert taus[0] == taus[2] == pytest.approx(fit(patients[1::2]), rel=3e-4)
    assert taus[1] == taus[3] == pytest.approx(fit(patients[::2]), rel=3e-4)
    assert temperatures[OTHERS] == pytest.approx(fit(patients), rel=3e-4)


def test_every_row_has_a_twin_with_its_temperature_fitted(output) -> None:
    plain = [row for row in ROWS if not row.is_fitted and row.method != "temperature"]
    assert len(FITTED) == len(plain)
    for row in plain:
        name = "restarts-seed1-temperature-1" if row.method == "vanilla" else row.name
        twin = next(twin for twin in FITTED if twin.name == f"{name}-fitted")
        assert (twin.folder, twin.members) == (row.folder, row.members)
        one, other = (of_row(output, r).cases for r in (row, twin))
        assert [case.number("dice") for case in one] == [case.number("dice") for case in other]
        assert np.mean([c.number("nll") for c in other]) != np.mean([c.number("nll") for c in one])


def test_claim_is_the_difference_of_two_rows(output) -> None:
    methods = {row.name: of_row(output, row) for row in ROWS}
    findings = {finding.measured: finding for finding in comparisons(methods, rows(PRESET), {})}
    single = next(row for row in ROWS if row.method == "single")
    base = next(row for row in ROWS if row.method == "vanilla")
    finding = findings[f"Dice of {single.title} minus that of {base.title}, ACDC"]
    means = [
        np.mean(
            [c.number("dice") for c in methods[row.name].cases if c.groups["shift"] == UNSHIFTED]
        )
        for row in (single, base)
    ]
    assert finding.estimate.value == pytest.approx(means[0] - means[1])
    assert finding.expected == 1
    assert not any("MC-Dropout" in measured for measured in findings)  # it was not trained


def test_diversity_is_the_dice_of_pairs_of_members(output, cases, trained_run) -> None:
    row = max((row for row in ROWS if row.method == "multi"), key=lambda row: row.members)
    names = [case.name for case in cases if case.condition == UNSHIFTED]
    ensemble = Ensemble(trained_run, device="cpu")
    within, between = [], []
    for case in (case for case in cases if case.condition == UNSHIFTED):
        image = read_channels(case.image)[0]
        members = choose_members(ensemble.folder, row.method, row.members)
        passes = make_passes(members, "probabilities")
        softmax = ensemble.pass_probabilities(image.voxels, image.spacing, passes, mirroring="none")
        labels = [np.asarray(p.cpu()).argmax(0) for p in softmax]
        pairs: dict[bool, list[float]] = {True: [], False: []}
        for i, j in combinations(range(len(passes)), 2):
            same = passes[i].members[0].cycle == passes[j].members[0].cycle
            pairs[same].append(np.mean([*dice(labels[i], labels[j], case.structures).values()]))
        within.append(np.mean(pairs[True]))
        between.append(np.mean(pairs[False]))
    found = measure_diversity(output, row, names)
    assert found.within.value == pytest.approx(np.mean(within))
    assert found.between.value == pytest.approx(np.mean(between))
    assert found.difference.value == pytest.approx(np.mean(between) - np.mean(within))
    assert np.isnan(found.within.interval).all()  # too few patients
    alone = measure_diversity(output, rows(PRESET)[0], names)
    assert alone.cells == [NO_PAIRS] * 3
    assert measure_diversity(output, row, [*names, "another"]) is None


@pytest.fixture
def without_weights(output: Path, tmp_path: Path) -> Path:
    """Return the experiment after the weights were deleted."""
    without = tmp_path / "output"
    for kept in ("rows", "temperatures"):
        shutil.copytree(output / kept, without / kept)
    for kept in ("ensemble.json", "progress.jsonl"):
        file = Path("trainings", "restarts", "seed1", kept)
        (without / file.parent).mkdir(parents=True, exist_ok=True)
        shutil.copy(output / file, without / file)
    return without


def test_only_trainings_with_missing_rows_are_needed(without_weights, cases) -> None:
    planned = trainings(PRESET)
    every = needed_trainings(planned, cases, rows(PRESET), without_weights)
    assert {training.kind for training in every} == {training.kind for training in planned}
    assert needed_trainings(planned, cases, EVERY, without_weights) == []
    file_of(without_weights, UNSHIFTED, ROWS[0]).unlink()
    (needed,) = needed_trainings(planned, cases, EVERY, without_weights)
    assert (needed.kind, needed.seed) == ("restarts", 1)


@pytest.mark.usefixtures("blank_figures")
def test_report_outlives_the_weights(without_weights, cases, tmp_path) -> None:
    (without_weights / "modes").mkdir()
    (without_weights / "modes" / "restarts-seed1.json").write_text("[15.04, 0.9, 14.6, 0.875]")
    write_report(without_weights, tmp_path / "report", preset=PRESET, cases=cases)
    text = report_text(tmp_path / "report")
    assert all(row.title in text for row in ROWS)
    assert "| restarts, seed 1, restart 1 |" in text  # the drop after the first restart
    assert "| restarts, seed 1 | 15 | 0.9 | 14.6 | 0.875 |" in text
    assert not list((tmp_path / "report" / "images").glob("paper_case_*"))
    write_report(tmp_path / "none", tmp_path / "report", preset=PRESET, cases=cases)
    assert (tmp_path / "report" / "paper_claims.csv").read_text() == ""


@pytest.mark.usefixtures("blank_figures")
def test_a_line_that_a_kill_cut_short_changes_no_table(output, cases, report, tmp_path) -> None:
    again = tmp_path / "again"
    shutil.copytree(output, again, ignore=shutil.ignore_patterns("report", "*.pth"))
    cut = file_of(again, UNSHIFTED, ROWS[0])
    cut.write_text(cut.read_text() + cut.read_text()[:20])
    write_report(again, again / "report", preset=PRESET, cases=cases)
    assert report_text(again / "report") == report_text(report)


def test_report_has_only_finished_rows(output, cases, report) -> None:
    text = report_text(report)
    tables, claims = text.split("## The paper's claims")
    rows_of_dice = tables.split("## Table 1a. Dice")[1].split("##")[0]
    for row in ROWS:
        assert (f"| {row.title} |" in rows_of_dice.replace("**", "")) != row.is_twin
        assert f"| {row.title} |" in tables.split("## Table 2. ECE")[1].replace("**", "")
    assert "MC-Dropout" not in tables
    of_vanilla = next(row for row in FITTED if not row.is_twin)
    fitted = temperatures_of(output, cases)
    assert f"{fitted[of_vanilla.name][OTHERS]:.3f}" in text.partition("## ")[0]
    table = tables.split("## Temperatures fitted on other patients")[1].split("##")[0]
    for row in FITTED:
        assert f"| {row.title} | {fitted[row.name][OTHERS]:.3f} |" in table
    assert "## Ensembles beat vanilla" in claims
    assert "| restarts, seed 1, restart 1 |" in claims  # the drop after the first restart
    with_pairs = [
        row.title for row in ROWS if row.method == "multi" and not row.is_fitted and not row.epochs
    ]
    diversity = text.split("## Members of different cycles segment differently")[1]
    assert [line.split(" | ")[0][2:] for line in diversity.splitlines()[4:]] == with_pairs
    names = {file.name for file in (report / "images").iterdir()}
    assert {f"paper_reliability{end}.png" for end in ("", "_fitted")} <= names
    assert {"paper_risk_coverage.png", "paper_case_1.png"} <= names


def test_cycles_and_members_have_tables_of_their_own(output, report) -> None:
    assert {row.group for row in CHOSEN} == {"cycles", "members"}
    for row in CHOSEN:
        assert file_of(output, UNSHIFTED, row).exists()
        assert not file_of(output, SHIFTS[1].name, row).exists()
    text = report_text(report)
    methods = {row.name: of_row(output, row) for row in CHOSEN}
    (of_seed,) = dice_by_cycle(methods, CHOSEN).values()
    assert len(of_seed) == 3
    lost = next(row for row in CHOSEN if row.group == "cycles" and row.title.startswith("Cycle 1"))
    (without,) = dice_by_cycle(
        {name: method for name, method in methods.items() if name != lost.name}, CHOSEN
    ).values()
    assert np.isnan(without[0])
    assert without[1:] == of_seed[1:]
    numbers = " | ".join(f"{dice:.3f}" for dice in of_seed)
    table = text.split("## Dice of single members by cycle")[1].split("##")[0]
    assert f"| 1 | {numbers} |" in table
    last = next(row for row in CHOSEN if row.epochs == (11,))
    vanilla = next(row for row in ROWS if row.method == "vanilla")
    alone = [case.number("dice") for case in methods[last.name].cases]
    assert {case.reliability for case in methods[last.name].cases} == {None}
    assert alone == [
        case.number("dice")
        for case in of_row(output, vanilla).cases
        if case.groups["shift"] == UNSHIFTED
    ]
    with (report / "paper_tables.csv").open(encoding="utf-8") as file:
        table = {(r["row"], r["condition"], r["measure"]): r["value"] for r in csv.DictReader(file)}
    assert (last.title, UNSHIFTED, "ECE") not in table
    assert float(table[last.title, UNSHIFTED, "Dice"]) == pytest.approx(np.mean(alone), abs=1e-5)


def test_seeds_are_compared_on_unshifted_cases() -> None:
    """Only the first seed is judged under shift."""
    names = "restarts-seed1-vanilla-1", "restarts-seed2-vanilla-1"
    first, second = (row for row in rows(PRESETS["cpu"]) if row.name in names)
    plain = tuple(made_case(n, groups={"shift": UNSHIFTED}) for n in (1, 2))
    shifted = made_case(3, groups={"shift": SHIFTS[1].name})
    methods = {
        first.name: MethodEvaluation(name=first.title, cases=(*plain, shifted)),
        second.name: MethodEvaluation(name=second.title, cases=plain),
    }
    table = next(_trainings(methods, [first, second], {}))
    dice = f"{mean_dice(plain):.3f}"
    assert f"{mean_dice([*plain, shifted]):.3f}" != dice
    assert f"| {first.title} | 1, 2 | {dice}, {dice} | {dice} SD 0.000 |" in table


def test_only_the_contoured_slices_of_another_scanner_count(output, cases, tmp_path) -> None:
    first = cases[0]
    name = f"{first.patient}_ED"
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    (tmp_path / "images" / f"{name}_0000.nii.gz").symlink_to(first.image)
    image = nibabel.load(first.label)
    labels = np.asarray(image.dataobj)
    of_lv = (labels == first.structures["LV"]).astype(np.uint8)
    of_lv[..., :2] = 0  # not contoured
    nibabel.save(nibabel.Nifti1Image(of_lv, image.affine), tmp_path / "labels" / f"{name}.nii.gz")
    (case,) = sunnybrook_cases(tmp_path, first.label.parents[1])
    assert (case.condition, case.patient) == (SUNNYBROOK, first.patient)
    row = next(row for row in ROWS if row.method == "vanilla")
    task = Task(case, output / "trainings" / row.folder, (row,), "none", "cpu")
    ((_, line),) = judge_case(task)
    predicted = row_statistics(task)[row].measure(RunningPosterior.labels)[2:]
    reference = read_labels(first.label).voxels[2:]
    kept = (reference == case.structures["LV"]).any(axis=(1, 2))
    expected = dice(predicted[kept], reference[kept], case.structures)["LV"]
    assert line["evaluation"]["numbers"].keys() - {ALL} == {"LV"}
    assert line["evaluation"]["numbers"]["LV"]["dice"] == pytest.approx(expected)


def test_lv_of_another_scanner_has_the_name_of_the_model(made_dataset, tmp_path) -> None:
    acdc = made_dataset(tmp_path / "acdc", patients=1, labels=NAMES_OF_NNUNET)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "SCD1_ED_0000.nii.gz").touch()
    (case,) = sunnybrook_cases(tmp_path, acdc)
    assert (case.structures, case.numbers) == ({"LVC": 3}, {"LVC": 1})
    atria = made_dataset(tmp_path / "atria", patients=1, labels={"background": 0, "Atrium": 1})
    with pytest.raises(SystemExit, match="no label for LV"):
        list(sunnybrook_cases(tmp_path, atria))
