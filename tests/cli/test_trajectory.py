"""Tests of ``bayes-nnunet trajectory`` in real processes."""

import csv
import shutil
from pathlib import Path

import pytest

from napari_bayes_nnunet.io.ensemble.trajectory import DAMAGED_EPOCH


def test_report_has_members_and_a_case(trained_run, hearts, warm_command, tmp_path):
    image = hearts / "imagesTr" / "patient001_frame01_0000.nii.gz"
    report = tmp_path / "mein Bericht"
    flags = ("-o", report, "--layers", "encoder.stages.0", "--device", "cpu")
    done = warm_command.run("trajectory", trained_run, *flags, "--cases", image, folder=tmp_path)
    assert done.code == 0, done.errors
    assert done.errors == ""
    assert done.output.startswith("small run, fold 0: ")
    assert "6 members" in done.output
    assert "3 cycles" in done.output
    assert done.output.endswith(f"Report: {report / 'trajectory.html'}\n")
    names = {"trajectory.html", "trajectory.csv", "distances.csv", "trajectory.png"}
    names |= {"distances.png", "members_patient001_frame01.png"}
    assert {file.name for file in report.iterdir()} == names
    with (report / "distances.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 3
    assert all(float(row["between_to_within"]) > 0 for row in rows)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--layers", "nothing"], "'nothing'"),
        (["--layers", "decoder"], "decoder.stages.0"),
        (["--fold", "4"], "fold 4"),
        (["--cases", "a/x.nii.gz", "--cases", "b/x.nii.gz"], " x,"),
        (["--cases", "nowhere.nii.gz", "--device", "cpu"], "nowhere.nii.gz does not exist"),
    ],
)
def test_refusal_is_one_line_and_writes_nothing(
    flags, sentence, trained_run, warm_command, tmp_path
):
    start = ("trajectory", trained_run, "-o", tmp_path / "report")
    done = warm_command.run(*start, *flags, folder=tmp_path)
    assert done.code == 1
    assert done.errors.startswith("Error: ")
    assert sentence in done.errors
    assert done.errors.count("\n") == 1
    assert not (tmp_path / "report").exists()


def test_bad_runs_and_outputs_are_refused(trained_run, warm_command, tmp_path):
    def errors(run: Path, report: str) -> str:
        done = warm_command.run("trajectory", run, "-o", tmp_path / report, folder=tmp_path)
        assert (done.code, done.errors.count("\n")) == (1, 1)
        return done.errors

    assert "ensemble.json" in errors(tmp_path, "a")
    (tmp_path / "file").write_text("")
    refusal = errors(trained_run, "file")
    assert str(tmp_path / "file") in refusal
    assert "--output" in refusal
    run = shutil.copytree(trained_run, tmp_path / "run")
    (run / "fold_0" / "trajectory").mkdir()
    (run / "fold_0" / "trajectory" / "epoch_0000.npz").write_text("damaged")
    damaged = DAMAGED_EPOCH.partition(" (")[0].format(file="epoch_0000.npz")
    assert damaged in errors(run, "b")
