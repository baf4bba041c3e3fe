"""Tests of ``bayes-nnunet trajectory``, the first one in a real process."""

import csv
import shutil

import pytest
from click.testing import CliRunner

from napari_bayes_nnunet.cli import main
from napari_bayes_nnunet.io.ensemble.trajectory import DAMAGED_EPOCH


def test_report_of_a_run(trained_run, warm_command, tmp_path):
    report = tmp_path / "mein Bericht"
    done = warm_command.run("trajectory", trained_run, "-o", report, folder=tmp_path)
    assert done.code == 0, done.errors
    assert done.errors == ""
    assert done.output.startswith("small run, fold 0: ")
    assert "6 members" in done.output
    assert "3 cycles" in done.output
    assert done.output.endswith(f"Report: {report / 'trajectory.html'}\n")
    names = {"trajectory.html", "trajectory.csv", "distances.csv", "trajectory.png"}
    assert {file.name for file in report.iterdir()} == {*names, "distances.png"}
    with (report / "distances.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 3
    assert all(float(row["between_to_within"]) > 0 for row in rows)


DAMAGED = DAMAGED_EPOCH.partition(" (")[0].format(file="epoch_0000.npz")


@pytest.mark.parametrize(
    ("run", "output", "flags", "sentence"),
    [
        ("trained", "report", ["--fold", "4"], "fold 4"),
        ("none", "report", [], "ensemble.json"),
        ("trained", "file", [], "--output"),
        ("damaged", "report", [], DAMAGED),
    ],
)
def test_refusal_is_one_line_and_writes_nothing(
    run, output, flags, sentence, trained_run, tmp_path
):
    folder = trained_run if run == "trained" else tmp_path / run
    (tmp_path / "file").write_text("")
    if run == "damaged":
        shutil.copytree(trained_run, folder, ignore=shutil.ignore_patterns("nnunet_data"))
        (folder / "fold_0" / "trajectory").mkdir()
        (folder / "fold_0" / "trajectory" / "epoch_0000.npz").write_text("damaged")
    words = ["trajectory", folder, "-o", tmp_path / output, *flags]
    done = CliRunner().invoke(main, list(map(str, words)))
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "report").exists()
