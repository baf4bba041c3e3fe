"""Tests of the two averages over tiles and mirrors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks.held_back import read_image
from benchmarks.paper.averages import (
    AVERAGES,
    MEASURES,
    METHODS,
    NNUNET,
    Judge,
    averages_lines,
    averages_table,
    main,
    undo_softmax,
)
from scipy.special import softmax

from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.methods import choose_members
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset


def test_probabilities_are_found_again_behind_their_softmax() -> None:
    probabilities = softmax(np.random.default_rng(0).normal(0, 4, (4, 3, 5, 5)), axis=0)
    probabilities[:, 0] = np.eye(4)[0][:, None, None]  # outside of what nnU-Net computes
    seen = softmax(probabilities, axis=0)
    seen[:, 0] = probabilities[:, 0]
    np.testing.assert_allclose(undo_softmax(seen), probabilities, atol=1e-6)


def test_the_last_epoch_averages_its_mirrors_either_way(hearts: Path, trained_run: Path) -> None:
    case = read_dataset(hearts).cases[0]
    judge = Judge(trained_run, METHODS, members=3)
    image, spacing = read_image(case)
    means = dict(judge.means(image, spacing))
    assert means.keys() == {(method, average) for method in METHODS for average in AVERAGES}
    ensemble = Ensemble(trained_run, device="cpu", precision="full")
    (last,) = choose_members(ensemble.folder, "vanilla", 1)
    (logits,) = ensemble.member_probabilities(image, spacing, [last])
    np.testing.assert_allclose(means["vanilla", "logits"], np.asarray(logits), atol=1e-5)
    mirrored = []
    for axes in ((), (2,), (3,), (2, 3)):
        (of_mirror,) = ensemble.member_probabilities(
            np.flip(image, axes).copy(), spacing, [last], mirroring="none"
        )
        mirrored.append(np.flip(np.asarray(of_mirror), axes))
    np.testing.assert_allclose(means["vanilla", "probabilities"], np.mean(mirrored, 0), atol=2e-3)
    assert np.abs(means["vanilla", "probabilities"] - means["vanilla", "logits"]).max() > 5e-3


def test_the_table_has_differences_of_the_probabilities(hearts: Path, trained_run: Path) -> None:
    case = read_dataset(hearts).cases[0]
    judge = Judge(trained_run, METHODS, members=3)
    measured = judge.measure([case])
    measured |= {(NNUNET, average): measured["vanilla", average] for average in AVERAGES}
    lines = {(x["method"], x["average"], x["measure"]): x for x in averages_lines(measured)}
    assert len(lines) == 4 * len(AVERAGES) * len(MEASURES)
    dice = {key: cases[0].number("dice") for key, cases in measured.items()}
    line = lines["multi", "probabilities", "Dice"]
    assert line["value"] == f"{dice['multi', 'probabilities']:.3f}"
    assert line["change"] == f"{dice['multi', 'probabilities'] - dice['multi', 'logits']:+.3f}"
    gain = dice["multi", "probabilities"] - dice["vanilla", "probabilities"]
    assert line["gain"] == f"{gain:+.3f}"
    assert lines["multi", "logits", "Dice"]["change"] == ""
    assert lines[NNUNET, "probabilities", "Dice"]["gain"] == ""
    rows = averages_table([*lines.values()]).splitlines()[2:]
    assert [row.split(" | ")[1] for row in rows] == [*AVERAGES] * 4
    assert f"| {line['value']} | {line['change']} (" in rows[5]
    assert measured["multi", "probabilities"][0].number("ece") != pytest.approx(
        measured["multi", "logits"][0].number("ece"), abs=1e-5
    )


def test_weights_that_were_deleted_are_said_in_one_line(
    hearts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["averages", str(tmp_path), str(hearts)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert "\n" not in str(ended.value.code)
    assert str(tmp_path) in str(ended.value.code)
