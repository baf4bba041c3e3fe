"""Tests of the questions that the paper's claims ask: which rows, seeds and cases are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from benchmarks.paper.claims import Finding
from benchmarks.paper.questions import (
    ACDC,
    DATASETS,
    MEMBER,
    SCANNERS,
    comparisons,
    questions,
    rows_by_key,
)
from benchmarks.paper.rows import SUNNYBROOK, rows
from benchmarks.paper.shifts import UNSHIFTED
from benchmarks.paper.trainings import PRESETS

from napari_bayes_nnunet.app.evaluation.evaluate import MethodEvaluation

from ..helpers.data.evaluations import made_case

LISTED = rows(PRESETS["cpu"])
BY_KEY = rows_by_key(LISTED)
CASES = [made_case(n) for n in range(6)]


def evaluate(dice_of: dict[str, float], condition: str = UNSHIFTED) -> dict[str, MethodEvaluation]:
    """Return evaluations of rows by name, with a Dice that differs between patients."""
    return {
        name: MethodEvaluation(
            name=name,
            cases=tuple(
                replace(
                    case,
                    groups={"shift": condition},
                    numbers={
                        name: scores | {"dice": dice + 0.001 * n}
                        for name, scores in case.numbers.items()
                    },
                )
                for n, case in enumerate(CASES)
            ),
        )
        for name, dice in dice_of.items()
    }


def found(
    methods: dict[str, MethodEvaluation],
    one: str,
    other: str,
    converged: Mapping[str, int] = MappingProxyType({}),
) -> list[Finding]:
    """Return the findings on the Dice of two titles."""
    return [
        finding
        for finding in comparisons(methods, LISTED, converged)
        if finding.measured.startswith(f"Dice of {one}")
        and f"minus that of {other}" in finding.measured
    ]


def test_every_key_of_a_question_is_a_row() -> None:
    asked = {key for question in questions() for key in (question.one, question.other)}
    assert asked - {"multi cycles-1"} <= BY_KEY.keys()  # one cycle has no members of others
    assert {question.dataset for question in questions()} == DATASETS.keys()
    assert all(row.folder == "poly" for row in BY_KEY["deep-ensemble"]["1 to 5"])
    assert BY_KEY["vanilla"].keys() == BY_KEY["vanilla fitted"].keys() == {"1", "2", "3"}
    assert [row.epochs for row in BY_KEY[MEMBER]["2"]] == [(n,) for n in range(599, 589, -1)]


def test_seeds_of_one_kind_are_compared_in_pairs() -> None:
    """A baseline in the same training has the same luck."""
    dice = {
        "restarts-seed1-vanilla-1": 0.8,
        "restarts-seed1-single-30": 0.82,
        "restarts-seed2-vanilla-1": 0.7,
        "restarts-seed2-single-30": 0.74,
        "restarts-seed3-single-30": 0.9,  # without its baseline
    }
    (finding,) = found(evaluate(dice), "Ckpt. Ens. (Single), n 30", "Vanilla (last")
    assert finding.by_training == pytest.approx((0.02, 0.04))
    assert finding.estimate.value == pytest.approx(0.03)
    assert finding.measured.endswith(ACDC)


def test_one_training_is_compared_with_the_mean_of_the_others() -> None:
    dice = {f"poly-seed{seed}-vanilla-1": 0.8 + 0.01 * seed for seed in (1, 2, 3)}
    methods = evaluate({"dropout-seed1-mc-dropout-30": 0.9, **dice})
    (finding,) = found(methods, "MC-Dropout, n 30", "Vanilla (nnU-Net's own schedule)")
    assert finding.estimate.value == pytest.approx(0.9 - 0.82)
    assert finding.by_training == ()
    assert "mean of 3 trainings" in finding.measured


def test_a_changed_schedule_is_compared_with_the_same_seed() -> None:
    """Both trainings begin with the same weights and batches."""
    dice = {f"restarts-seed{seed}-single-30": 0.8 + 0.01 * seed for seed in (1, 2, 3)}
    for seeds in ((2,), (1, 2)):
        changed = {f"gamma-0.5-seed{seed}-single-30": 0.9 for seed in seeds}
        (finding,) = found(evaluate({**dice, **changed}), "γ 0.5: Single", "Ckpt. Ens. (Single)")
        assert finding.estimate.value == pytest.approx(0.1 - 0.01 * np.mean(seeds))
        assert "mean of" not in finding.measured
        assert finding.measured.endswith(f"{' and '.join(map(str, seeds))}, {ACDC}")


def test_single_members_count_with_their_mean() -> None:
    """The last epoch may be a better or worse one than its neighbours."""
    members = {row.name: 0.8 + 0.01 * n for n, row in enumerate(BY_KEY[MEMBER]["1"])}
    methods = evaluate({"restarts-seed1-multi-30": 0.9, **members})
    (finding,) = found(methods, "Ckpt. Ens. (Multi), n 30", MEMBER)
    assert finding.estimate.value == pytest.approx(0.9 - np.mean([*members.values()]))
    assert finding.doubt == "the cycles are not evaluated yet"
    lost = next(iter(members))
    assert not found({k: m for k, m in methods.items() if k != lost}, "Ckpt. Ens. (Multi)", MEMBER)


def test_agreement_is_compared_with_the_distant_entropy_of_one_network() -> None:
    """The agreement of the ensemble ranks its errors, the entropy of the network does not."""
    network, ensemble = "poly-seed1-vanilla-1", "restarts-seed1-single-30"
    methods = evaluate({network: 0.9, ensemble: 0.9})
    scored = {
        name: replace(
            method,
            cases=tuple(
                replace(
                    case,
                    numbers={
                        structure: scores
                        | {"distant_entropy": float(n)}
                        | {"pairwise_dice": scores["dice"] if name == ensemble else np.nan}
                        for structure, scores in case.numbers.items()
                    },
                )
                for n, case in enumerate(method.cases)
            ),
        )
        for name, method in methods.items()
    }
    gains = {
        finding.measured.partition(" ")[0]: finding.estimate.value
        for finding in comparisons(scored, LISTED, {})
        if finding.claim.startswith("Agreement")
    }
    assert gains["AURC"] == pytest.approx(gains["e-AURC"])
    assert gains["AURC"] < -0.001


def test_another_scanner_has_findings_of_its_own() -> None:
    dice = {"restarts-seed1-single-30": 0.8, "restarts-seed1-multi-30": 0.7}
    findings = found(evaluate(dice, SUNNYBROOK), "Ckpt. Ens. (Multi)", "Ckpt. Ens. (Single)")
    assert {finding.measured.rpartition(", ")[2] for finding in findings} == {SCANNERS[0]}
    assert [finding.claim for finding in findings] == [
        "Multi is better than single in Dice",
        "Multi is better than single under shift",
    ]
    assert [round(finding.estimate.value, 6) for finding in findings] == [-0.1, -0.1]


def test_only_trainings_whose_cycles_have_converged_count() -> None:
    dice = {
        f"restarts-seed{seed}-{row}": 0.8 + 0.01 * seed * (row == "late-20")
        for seed in (1, 2, 3)
        for row in ("late-20", "single-30")
    }
    titles = "Ckpt. Ens. (Multi), cycles 2 and 3", "Ckpt. Ens. (Single)"
    for converged, seeds, doubt in (
        ({"1": 1, "2": 2, "3": 1}, (2,), ""),
        ({"1": 1, "2": 3, "3": 2}, (2, 3), ""),
        ({"1": 3, "2": 3, "3": 3}, (1, 2, 3), ""),
        ({"1": 1, "2": 1, "3": 1}, (1, 2, 3), "the cycles differ"),
    ):
        (finding,) = found(evaluate(dice), *titles, converged)
        assert finding.estimate.value == pytest.approx(0.01 * np.mean(seeds))
        named = " and ".join(map(str, seeds))
        assert (named in finding.measured.partition(" minus ")[0]) == (len(seeds) < 3)
        assert finding.doubt == doubt
