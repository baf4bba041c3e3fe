"""Tests of the paper's experiment after its trainings: evaluation, temperatures, claims, report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.paper.claims import comparisons
from benchmarks.paper.judging import FAILED_CASES, OTHERS, Case, file_of, judge, read_lines
from benchmarks.paper.report import write_report
from benchmarks.paper.rows import Row, rows, vanilla
from benchmarks.paper.shifts import SHIFTS, UNSHIFTED
from benchmarks.paper.temperatures import fit_temperatures, read_temperatures
from benchmarks.paper.trainings import Preset

from napari_bayes_nnunet.app.evaluation.case import CaseEvaluation
from napari_bayes_nnunet.app.evaluation.evaluate import MethodEvaluation
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.core.metrics.calibration import fit_temperature, foreground_box
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from napari_bayes_nnunet.io.images.nifti import read_channels, read_labels

PRESET = Preset(name="demo", epochs=12, iterations=4, seeds=1, mirroring="none", shifted="all")
HOW = {"mirroring": "none", "device": "cpu"}


def of_first_training(row: Row) -> bool:
    """Return whether a training with 2 members per cycle has the members of the row."""
    return row.folder == "restarts/seed1" and (row.members <= 2 or row.method == "multi")


ROWS = [row for row in rows(PRESET) if of_first_training(row)]


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


@pytest.fixture(scope="module")
def output(trained_run: Path, cases: list[Case], tmp_path_factory) -> Path:
    """Return an experiment with one finished and evaluated training; one case cannot be read."""
    output = tmp_path_factory.mktemp("experiment")
    (output / "trainings" / "restarts").mkdir(parents=True)
    (output / "trainings" / "restarts" / "seed1").symlink_to(trained_run)
    plain = [case for case in cases if case.condition == UNSHIFTED]
    fitted = fit_temperatures(plain, vanilla(PRESET), output, **HOW)
    broken = replace(cases[0], name="not there", image=output / "not there.nii.gz")
    with pytest.raises(SystemExit) as failed:
        judge([broken, *cases], ROWS, output, **HOW, processes=1, temperatures=fitted)
    heading, failure = str(failed.value).splitlines()
    assert heading == FAILED_CASES
    assert failure.startswith(f"{UNSHIFTED}/not there by seed1: ")
    return output


def of_row(output: Path, row: Row) -> MethodEvaluation:
    evaluations = [
        CaseEvaluation.from_json(line["evaluation"])
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
    judge(cases, ROWS, output, **HOW, processes=1, temperatures=read_temperatures(output))
    assert [file.read_text() for file in files] == before


def test_temperature_is_fitted_on_other_patients(output, cases, trained_run) -> None:
    temperatures = read_temperatures(output)
    patients = sorted({case.patient for case in cases})
    assert temperatures.keys() == {OTHERS, *patients}
    ensemble = Ensemble(trained_run, device="cpu", precision="full")

    def fit(patients: list[str]) -> float:
        probabilities, labels = [], []
        for case in cases:
            if case.patient in patients and case.condition == UNSHIFTED:
                image, reference = read_channels(case.image)[0], read_labels(case.label).voxels
                result = ensemble.segment(
                    image.voxels, image.spacing, method="vanilla", mirroring="none"
                )
                box = foreground_box(reference)
                probabilities += [result.probabilities[(slice(None), *box)].reshape(4, -1)]
                labels += [reference[box].ravel()]
        return fit_temperature(np.hstack(probabilities), np.hstack(labels))

    taus = [temperatures[patient] for patient in patients]
    assert taus[0] == taus[2] == pytest.approx(fit(patients[1::2]), rel=1e-4)
    assert taus[1] == taus[3] == pytest.approx(fit(patients[::2]), rel=1e-4)
    assert temperatures[OTHERS] == pytest.approx(fit(patients), rel=1e-4)


def test_temperature_changes_only_the_calibration(output) -> None:
    plain, given, fitted = (
        next(row for row in ROWS if (row.method, row.is_fitted) == kind)
        for kind in (("vanilla", False), ("temperature", False), ("temperature", True))
    )
    evaluations = [of_row(output, row).cases for row in (plain, given, fitted)]
    for same_case in zip(*evaluations, strict=True):
        assert len({case.mean_dice for case in same_case}) == 1
    nll = [np.mean([case.nll for case in cases]) for cases in evaluations]
    assert nll[2] < nll[0] or nll[2] < nll[1]
    assert len({case.ece for cases in evaluations for case in cases}) > len(evaluations[0])


def test_claim_is_the_difference_of_two_rows(output) -> None:
    methods = {row.name: of_row(output, row) for row in ROWS}
    findings = {finding.measured: finding for finding in comparisons(methods, rows(PRESET), [])}
    single = next(row for row in ROWS if row.method == "single")
    base = next(row for row in ROWS if row.method == "vanilla")
    finding = findings[f"Dice of {single.title} minus that of {base.title}, ACDC"]
    means = [
        np.mean([c.mean_dice for c in methods[row.name].cases if c.groups["shift"] == UNSHIFTED])
        for row in (single, base)
    ]
    assert finding.estimate.value == pytest.approx(means[0] - means[1])
    assert finding.expected == 1
    assert not any("MC-Dropout" in measured for measured in findings)  # it was not trained


@pytest.mark.usefixtures("blank_figures")
def test_report_has_only_finished_rows(output, cases, tmp_path) -> None:
    write_report(output, tmp_path, preset=PRESET, cases=cases)
    text = (tmp_path / "paper_tables.md").read_text(encoding="utf-8")
    tables, claims = text.split("## The paper's claims")
    rows_of_dice = tables.split("## Table 1a. Dice")[1].split("##")[0]
    for row in ROWS:
        assert f"| {row.title} |" in rows_of_dice.replace("**", "")
    assert "MC-Dropout" not in rows_of_dice
    fitted = read_temperatures(output)
    assert f"{fitted[OTHERS]:.3f}" in text.partition("## ")[0]
    assert "### Ensembles beat vanilla" in claims
    assert "| restarts, seed 1 | 1 |" in claims  # the drop after the first restart
    names = {file.name for file in (tmp_path / "images").iterdir()}
    assert {"paper_reliability.png", "paper_risk_coverage.png", "paper_case_1.png"} <= names
