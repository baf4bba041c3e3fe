"""Tests of the paper's experiment on M&Ms, a made release in the real layout."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks.command_line import run
from benchmarks.paper import __main__ as paper
from benchmarks.paper.cases import mnms_cases
from benchmarks.paper.judging import OTHERS, Case, file_of, judge, read_lines, read_reference
from benchmarks.paper.rows import MNMS, Row, rows
from benchmarks.paper.stored_cases import case_to_json
from benchmarks.paper.trainings import PRESETS, Preset

from napari_bayes_nnunet.app.evaluation.aggregates import ALL
from napari_bayes_nnunet.app.evaluation.case import CaseEvaluation, structure_means
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.core.metrics.calibration import ReliabilityBins
from napari_bayes_nnunet.io.images.nifti import read_channels, read_labels
from napari_bayes_nnunet.paper.releases.prepare import prepare_dataset

from ..helpers.data.folders import finish
from ..helpers.data.paper_tables import report_text
from ..helpers.data.releases import make_mnms

pytestmark = pytest.mark.usefixtures("few_resamples")
CASES = {
    "A0S9V9_frame01": ("A", "training"),
    "A0S9V9_frame04": ("A", "training"),
    "B1D0Q7_frame02": ("B", "training"),
    "B1D0Q7_frame03": ("B", "training"),
    "A5C2D2_frame01": ("A", "validation"),
    "A5C2D2_frame04": ("A", "validation"),
    "D1K2P5_frame01": ("D", "testing"),
    "D1K2P5_frame04": ("D", "testing"),
}
"""Vendor and subset of all labelled cases; the patient of vendor C has no labels."""
VANILLA, SECOND = rows(PRESETS["cpu"])[:2]


@pytest.fixture(scope="module")
def mnms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("M&Ms")
    finish(prepare_dataset("mnms", make_mnms(folder / "release"), folder / "prepared"))
    return folder / "prepared"


@pytest.fixture
def cases(mnms: Path, hearts: Path) -> list[Case]:
    return list(mnms_cases(mnms, hearts))


def test_all_subsets_count_with_patient_and_vendor(cases) -> None:
    assert {c.name: (c.groups["vendor"], c.groups["subset"]) for c in cases} == CASES
    assert all(case.patient == case.name[:6] and case.image.is_file() for case in cases)
    assert {case.condition for case in cases} == {MNMS}
    assert not list(mnms_cases(None, Path("nowhere")))


def test_reference_is_renumbered_to_the_model(cases) -> None:
    """M&Ms has LV 1, MYO 2, RV 3, the made hearts RV 1, MYO 2, LV 3."""
    assert cases[0].structures == {"RV": 1, "MYO": 2, "LV": 3}
    for case in cases:
        written = read_labels(case.label).voxels
        assert {1, 2, 3} <= set(np.unique(written))
        np.testing.assert_array_equal(read_reference(case), np.array([0, 3, 2, 1])[written])


def test_dataset_without_a_structure_is_refused(mnms, made_dataset, tmp_path) -> None:
    acdc = made_dataset(tmp_path / "acdc", patients=1, labels={"background": 0, "Atrium": 1})
    with pytest.raises(SystemExit, match="Atrium"):
        list(mnms_cases(mnms, acdc))


def test_judge_measures_a_case_by_its_names(cases, trained_run: Path, tmp_path) -> None:
    """The temperature is that of all ACDC patients."""
    preset = Preset(name="demo", epochs=12, iterations=4, seeds=1, mirroring="none", shifted="all")
    of_first = [row for row in rows(preset) if row.folder == "restarts/seed1" and row.members == 1]
    plain, fitted = (
        next(row for row in of_first if (row.method, row.is_fitted) == kind)
        for kind in (("vanilla", False), ("temperature", True))
    )
    unjudged = next(row for row in of_first if row.epochs)
    (tmp_path / "trainings" / "restarts").mkdir(parents=True)
    (tmp_path / "trainings" / "restarts" / "seed1").symlink_to(trained_run)
    case = next(case for case in cases if case.name == "D1K2P5_frame01")
    judge(
        *([case], [plain, fitted, unjudged], tmp_path),
        mirroring="none",
        device="cpu",
        processes=1,
        temperatures={fitted.name: {OTHERS: 3.0, "patient001": 0.5}},
    )
    assert not file_of(tmp_path, MNMS, unjudged).exists()
    lines = {row: dict(read_lines(file_of(tmp_path, MNMS, row))) for row in (plain, fitted)}
    line = lines[plain][case.name]["evaluation"]
    assert (line["patient"], line["groups"]) == (
        "D1K2P5",
        {
            "shift": "mnms",
            "vendor": "D",
            "centre": "5",
            "pathology": "HCM",
            "subset": "testing",
            "phase": "ED",
        },
    )
    image, raw = read_channels(case.image)[0], read_labels(case.label).voxels
    result = Ensemble(trained_run, device="cpu").segment(
        image.voxels, image.spacing, method="vanilla", members=1, mirroring="none"
    )
    probabilities = np.asarray(result.probabilities)
    predicted = probabilities.argmax(axis=0)
    for name, ours, theirs in (("RV", 1, 3), ("MYO", 2, 2), ("LV", 3, 1)):
        both = np.sum((predicted == ours) & (raw == theirs))
        expected = 2 * both / (np.sum(predicted == ours) + np.sum(raw == theirs))
        assert line["numbers"][name]["dice"] == pytest.approx(expected)
    classes = np.eye(4)[np.array([0, 3, 2, 1])[raw]].transpose(3, 0, 1, 2)
    for row, temperature in ((plain, 1), (fitted, 3)):
        softened = probabilities ** (1 / temperature)
        softened /= softened.sum(axis=0)
        expected = ((softened - classes) ** 2).sum(axis=0).mean()  # labels fill the whole box
        assert lines[row][case.name]["evaluation"]["numbers"][ALL]["brier"] == pytest.approx(
            expected, rel=1e-4
        )


def evaluated(case: Case, number: int) -> dict[str, object]:
    """Return a line with Dice 0.9, 0.8 … of the LV, and 2, 4 … wrong voxels of 100."""
    bins = ReliabilityBins(
        voxels=np.array([100]),
        correct=np.array([98 - 2 * number]),
        confidence_sum=np.array([100.0]),
    )
    dice = {"RV": 0.6, "MYO": 0.6, "LV": 0.9 - 0.1 * number}
    structures = {name: {"dice": value, "pairwise_dice": 0.0} for name, value in dice.items()}
    whole = {"ece": bins.ece, "mean_entropy": 0.1 + 0.05 * (number % 3)}
    evaluation = CaseEvaluation(
        case=case.name,
        patient=case.patient,
        groups={**case.groups, "shift": MNMS},
        numbers=structures | {ALL: structure_means(structures) | whole},
        reliability=bins,
    )
    return {"evaluation": case_to_json(evaluation), "diversity": {}}


def report(folder: Path, dataset: Path, *options: object, monkeypatch) -> str:
    """Return the tables that the command writes of finished rows."""
    split = folder / "splits.json"
    train, val = (
        [f"patient{patient:03d}_frame{frame:02d}" for patient in patients for frame in (1, 2)]
        for patients in ((1, 2), (3, 4))
    )
    split.write_text(json.dumps([{"train": train, "val": val}]))
    monkeypatch.setattr(paper, "train_all", lambda *places, preset, devices: [])
    for only in ("train", "report"):
        arguments = [dataset, folder, "--split", split, "--only", only, *options]
        with pytest.raises(SystemExit) as end:
            run(None, paper.main, words=[*map(str, arguments)])
        assert end.value.code == 0
    return report_text(folder / "report")


def write_lines(output: Path, row: Row, cases: list[Case]) -> None:
    file = file_of(output, MNMS, row)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{json.dumps(evaluated(c, n))}\n" for n, c in enumerate(cases)))


def table(text: str, title: str) -> dict[str, list[str]]:
    """Return the cells of a table in the report by the first of each line."""
    lines = text.split(f"\n## {title}\n\n")[1].split("\n\n")[0].splitlines()
    rows_of_cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return {first: cells for first, *cells in rows_of_cells}


def test_report_lists_mnms_by_vendor(cases, mnms, hearts, tmp_path, monkeypatch) -> None:
    assert "## M&Ms" not in report(tmp_path, hearts, monkeypatch=monkeypatch)
    write_lines(tmp_path, VANILLA, cases)
    write_lines(tmp_path, SECOND, cases[:-1])
    text = report(tmp_path, hearts, "--mnms", mnms, monkeypatch=monkeypatch)

    every = table(text, "M&Ms, 8 volumes of 4 patients")
    assert every.keys() == {"Method", "---", VANILLA.title}  # the second row lacks a case
    # The LV has 0.9, 0.8 … 0.2, the others 0.6; 2, 4 … 16 % of the voxels are wrong.
    values = [cell.split(" ")[0] for cell in every[VANILLA.title]]
    assert values == ["0.600", "0.600", "0.550", "0.583", "9.00"]

    by_vendor = table(text, "M&Ms by vendor")
    heads = [f"Vendor {v} ({n} volumes): " for v, n in (("A", 4), ("B", 2), ("D", 2))]
    assert by_vendor["Method"] == [head + m for head in heads for m in ("Dice", "ECE, %")]
    number = {case.name: n for n, case in enumerate(cases)}
    expected = {}
    for vendor in "ABD":
        numbers = [number[name] for name, (v, _) in CASES.items() if v == vendor]
        lv, wrong = np.mean([0.9 - 0.1 * n for n in numbers]), np.mean([2 + 2 * n for n in numbers])
        expected[vendor] = (1.2 + lv) / 3, wrong / 100, lv
    found = [float(cell.split(" ")[0]) for cell in by_vendor[VANILLA.title]]
    wanted = [number for dice, ece, _ in expected.values() for number in (dice, 100 * ece)]
    assert found == pytest.approx(wanted, abs=0.0051)

    assert "\n## Failure detection, M&Ms: " in text
    assert "ACDC" not in text.split("\n## M&Ms, ")[1].split("\n## ")[0]
    with (tmp_path / "report" / "paper_tables.csv").open(encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))
    assert {line["row"] for line in lines} == {VANILLA.title}
    values = {(line["condition"], line["measure"]): float(line["value"]) for line in lines}
    assert {c for c, _ in values} == {"mnms", "mnms-A", "mnms-B", "mnms-D"}
    assert values["mnms", "ECE"] == pytest.approx(0.09)
    for vendor, (dice, ece, lv) in expected.items():
        measured = [values[f"mnms-{vendor}", m] for m in ("Dice", "ECE", "Dice LV")]
        assert measured == pytest.approx([dice, ece, lv], abs=1e-5)
