"""Aggregates, tables, CSV and JSON, compared with sums in plain NumPy."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest

from napari_bayes_nnunet.app.evaluation.aggregates import (
    ALL,
    aggregate_difference,
    mean_over_volumes,
    pooled_bins,
    pooled_ece,
)
from napari_bayes_nnunet.app.evaluation.case import case_table, with_phases
from napari_bayes_nnunet.app.evaluation.evaluate import MethodEvaluation
from napari_bayes_nnunet.app.evaluation.measures import Measure, failure_measures
from napari_bayes_nnunet.app.evaluation.output_files import cases_csv, evaluation_summary
from napari_bayes_nnunet.app.evaluation.tables import (
    TableCell,
    paired_table,
    report_blocks,
    report_table,
)
from napari_bayes_nnunet.core.metrics.bootstrap import exact_interval

from ...helpers.data.evaluations import (
    STRUCTURES,
    answer,
    heart,
    made_case,
    made_method,
    other_method,
    plain_bins,
)

CLOSE = {"rel": 0, "abs": 1e-6}


# Aggregates


def measures_of(methods: list[MethodEvaluation]) -> list[Measure]:
    return [measure for block in report_blocks(methods) for measure in block.measures]


def ece_of_voxels(seeds: Iterable[int]) -> float:
    """Return the calibration error of all voxels of these made cases together."""
    found = [plain_bins(answer(seed)["probabilities"], heart()) for seed in seeds]
    counts, gaps = (np.sum(parts, axis=0) for parts in zip(*found, strict=True))
    return float(np.abs(gaps).sum() / counts.sum())


def test_pooled_ece_is_of_all_voxels():
    method = made_method(patients=6)
    found = pooled_ece(method.table)
    assert found.value == pytest.approx(ece_of_voxels(range(1, 7)), **CLOSE)
    assert found.value == pytest.approx(pooled_bins(method.table).ece, **CLOSE)
    low, high = found.interval
    assert low < found.value < high
    assert math.isnan(found.deviation)
    assert (found.volumes, found.patients, found.skipped) == (6, 6, 0)


def test_interval_needs_five_patients():
    cases = made_method(patients=5).cases
    assert not any(map(math.isnan, pooled_ece(case_table(cases)).interval))
    assert all(map(math.isnan, pooled_ece(case_table(cases[:4])).interval))
    of_one = [made_case(n, patient="p") for n in range(1, 6)]
    assert all(map(math.isnan, pooled_ece(case_table(of_one)).interval))


def test_difference_is_of_the_same_resamples():
    one = mean_over_volumes("dice")(made_method(patients=6).table)
    same = aggregate_difference(one, one)
    assert same.value == 0
    assert same.interval == (0, 0)
    other = mean_over_volumes("dice")(made_method(patients=5).table)
    assert math.isnan(aggregate_difference(one, other).value)


def test_perfect_score_detects_all_failures():
    """Agreement equal to the Dice gives the best order and a correlation of 1."""
    cases = []
    for seed in range(1, 7):
        truth = made_case(seed)
        knows = dict.fromkeys(STRUCTURES, truth.number("dice"))
        cases.append(made_case(seed, pairwise_dice=knows))
    measures = chain.from_iterable(failure_measures().values())
    found = {measure.key: measure.aggregate(case_table(cases)) for measure in measures}
    assert found["spearman_pairwise_dice"].value == pytest.approx(1)
    risks = np.sort([1 - case.number("dice") for case in cases])
    best = np.mean(np.cumsum(risks) / np.arange(1, 7))
    assert found["aurc_pairwise_dice"].value == pytest.approx(best, **CLOSE)
    assert found["aurc_entropy"].value >= best
    assert found["e_aurc_pairwise_dice"].value == pytest.approx(0, abs=1e-9)
    assert found["auroc_worst_fifth_pairwise_dice"].value == 1
    generalized = np.mean(np.cumsum(risks)) / 6
    assert found["augrc_pairwise_dice"].value == pytest.approx(generalized, **CLOSE)
    assert math.isnan(found["spearman_expected_dice"].value)  # not calibrated
    assert -1 <= found["spearman_mutual_information"].value <= 1


# CSV and JSON


def test_summary_has_all_methods_measures_and_groups():
    methods = [made_method("multi"), other_method()]
    content = evaluation_summary(methods)
    json.dumps(content, allow_nan=False)
    keys = {measure.key for measure in measures_of(methods)}
    assert content["structures"] == ["RV", "MYO", "LV"]
    for name, method in zip(("multi", "vanilla"), methods, strict=True):
        found = content["methods"][name]
        assert (found["volumes"], found["patients"]) == (6, 6)
        assert set(found["measures"]) == keys
        assert set(found["groups"]["vendor"]) == {"A", "B"}
        mean = np.mean([case.number("dice") for case in method.cases])
        assert found["measures"]["dice_mean"]["value"] == pytest.approx(mean, **CLOSE)
    nll = {n: found["measures"]["nll"]["value"] for n, found in content["methods"].items()}
    differs = content["differences"]["of"]["vanilla"]["nll"]
    assert differs["value"] == pytest.approx(nll["vanilla"] - nll["multi"])
    assert differs["interval"][0] <= differs["value"] <= differs["interval"][1]


def test_group_named_like_a_column_is_renamed():
    method = made_method(patients=2)
    cases = tuple(replace(c, groups={"dice": "cast", "vendor": "A"}) for c in method.cases)
    rows = list(csv.reader(io.StringIO(cases_csv([replace(method, cases=cases)]))))
    assert len(set(rows[0])) == len(rows[0])
    assert rows[1][rows[0].index("group dice")] == "cast"


def test_csv_has_a_row_per_structure():
    methods = [made_method(patients=2), other_method()]
    rows = list(csv.DictReader(io.StringIO(cases_csv(methods))))
    assert len(rows) == (2 + 6) * 4
    case = methods[0].cases[0]
    lv = next(r for r in rows if r["case"] == case.case and r["structure"] == "LV")
    assert (lv["method"], lv["patient"], lv["vendor"]) == ("multi", "p1", "A")
    assert float(lv["dice"]) == case.number("dice", "LV")
    assert lv["ece"] == ""
    whole = next(r for r in rows if r["case"] == case.case and r["structure"] == "all")
    assert float(whole["ece"]) == case.number("ece")
    assert float(whole["dice"]) == case.number("dice")
    assert float(whole["auroc entropy"]) == case.number("auroc entropy")
    assert whole["hausdorff95_mm"] == ""
    assert next(r for r in rows if r["method"] == "vanilla")["pairwise_dice"] == ""


# Tables


def test_table_1_has_the_layout_of_the_paper():
    methods = [made_method("multi"), other_method()]
    table = report_table(methods, "dice")
    assert table.heads == (("All (6 volumes)", ("RV", "MYO", "LV", "Mean")),)
    assert [name for name, _ in table.rows] == ["multi", "vanilla"]
    values = [case.number("dice", "LV") for case in methods[0].cases]
    found = table.rows[0][1][2]
    assert found.value == f"{np.mean(values):.3f}"
    assert found.deviation == f"SD {np.std(values, ddof=1):.3f}"
    low, high = found.interval.split(" to ")
    assert float(low) <= float(found.value) <= float(high)


def test_table_2_marks_the_lowest_percentage():
    methods = [made_method("multi"), other_method()]
    table = report_table(methods, "ece")
    assert table.heads[0][1] == ("Pooled, %", "Mean of volumes, %")
    values = [100 * pooled_ece(method.table).value for method in methods]
    cells = [cells[0] for _, cells in table.rows]
    assert [c.value for c in cells] == [f"{value:.2f}" for value in values]
    assert [c.stands_out for c in cells] == [value == min(values) for value in values]


def test_difference_stands_out_if_interval_excludes_zero():
    methods = [made_method("multi"), other_method(), made_method("same")]
    table = paired_table(methods)
    assert [name for name, _ in table.rows] == ["vanilla", "same"]
    same = table.rows[1][1][0]
    assert (same.value, same.interval, same.stands_out) == ("0.000", "0.000 to 0.000", False)
    for cell in table.rows[0][1]:
        low, high = (float(end.replace("−", "-")) for end in cell.interval.split(" to "))
        assert cell.stands_out == (low > 0 or high < 0)
        assert cell.value[0] in "+−0"


def test_cell_text_has_all_parts():
    cell = TableCell(value="1.0", deviation="SD 0.1", interval="0.9 to 1.1", stands_out=True)
    assert str(cell).split(" ", 3) == ["**1.0**", "SD", "0.1", "(0.9 to 1.1)"]


def test_a_map_that_was_saved_has_columns_of_its_own():
    without, case = made_case(1), made_case(1, variance=answer(1)["mutual_information"])
    assert case.number("mean_variance") == case.number("mean_mutual_information")
    variance, information = (
        case.number(f"auprc {name}") for name in ("variance", "mutual-information")
    )
    assert variance == information
    of_both = [
        MethodEvaluation(name=name, cases=(c,))
        for name, c in zip("ab", (without, case), strict=True)
    ]
    assert report_table(of_both, "detection").heads[0][1][2] == "AUROC, variance"
    rows = csv.DictReader(io.StringIO(cases_csv(of_both)))
    first, second = (row for row in rows if row["structure"] == "all")
    assert first["mean_variance"] == ""
    assert second["mean_variance"] == second["mean_mutual_information"] != ""
    assert "mean_variance" not in cases_csv(of_both[:1])
    summary = evaluation_summary(of_both)["methods"]
    assert summary["b"]["measures"]["mean_variance"]["value"] == case.number("mean_variance")
    assert summary["b"]["measures"]["auroc_variance"]["volumes"] == 1


@pytest.mark.parametrize(
    ("successes", "trials", "expected"),
    # Clopper and Pearson (1934); for 0 and n the ends are 1 - (α/2)^(1/n) and its opposite
    [
        (0, 16, (0, 1 - 0.025 ** (1 / 16))),
        (16, 16, (0.025 ** (1 / 16), 1)),
        (8, 10, (0.444, 0.975)),
    ],
)
def test_exact_binomial_interval(successes, trials, expected):
    assert exact_interval(successes, trials) == pytest.approx(expected, abs=5e-4)


def test_cases_of_ed_and_es_are_told_apart():
    names = ("p1_ED", "p1_ES", "p2_ED", "p2_ES", "p3")
    cases = [made_case(n, case=name) for n, name in enumerate(names, start=1)]
    ends = {90: (0.0, 100.0)}
    found = with_phases(cases, {"p1_ED": {"LV EF": ends, "LV CO": ends}, "p3": {"LV EF": ends}})
    assert [case.groups.get("phase") for case in found] == ["ED", "ES", "ED", "ES", None]
    # All references are the same heart.
    intervals = {"coverage_90_LV EF": 1.0, "width_90_LV EF": 100.0}
    assert {c: v for c, v in found[0].numbers[ALL].items() if "_90_" in c} == intervals
    assert found[4] is cases[4]
    method = MethodEvaluation(name="multi", cases=tuple(found))
    table = report_table([method], "intervals")
    assert [title for title, _ in table.heads][:2] == [
        "Coverage of the 90 % interval",
        "Width of the 90 % interval",
    ]
    assert [cell.value for cell in table.rows[0][1][:2]] == ["100", "100.0"]
    phases = evaluation_summary([method])["methods"]["multi"]["groups"]["phase"]
    assert phases["ED"]["spearman_pairwise_dice"]["volumes"] == 2
    assert (
        evaluation_summary([method])["methods"]["multi"]["measures"]["coverage_90_LV EF"]["value"]
        == 1
    )
