"""Tests of what is measured on a card, with tiny sizes on the CPU."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from benchmarks.gpu.__main__ import ROOT, piece_environment
from benchmarks.gpu.parts import join_parts, split_folder
from benchmarks.gpu.piece import FULL, PieceOptions, missing
from benchmarks.gpu.progress import CALL_AGAIN, add_row, read_results
from benchmarks.gpu.tests import gpu_test_files, outcomes

from benchmarks.gpu import compare, speed, tables, training
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder


@pytest.fixture
def options(tmp_path: Path) -> PieceOptions:
    (tmp_path / "work").mkdir()
    ends = monotonic() + 500
    return PieceOptions(tmp_path, "cpu", ends, tiny=True, dataset=None, join=False)


def test_variants_cover_the_table() -> None:
    rows = speed.variants(FULL, patches=20)
    assert len(rows) == len(set(rows)) == 3 * 2 * 2 * (2 + 5)
    assert {row.batch for row in rows if row.phases == 1} == {16, 32}
    assert {row.batch for row in rows if row.phases == 25} == {16, 32, 64, 128, 256}
    assert {row.precision for row in rows} == {"float16", "bfloat16", "float32"}


def test_variant_is_measured_as_it_is_named(options, monkeypatch) -> None:
    card = speed.Card(options)
    variant = speed.Variant(
        precision="bfloat16", batch=4, channels_last=True, resident=False, phases=2
    )
    row = card.measure(variant)
    assert (row["computed_in"], row["members"], row["slices"]) == ("bfloat16", 2, 6)
    assert row["seconds"] > 0
    assert row["network_seconds"] > 0
    weight = next(w for w in card._predictor.network.module.parameters() if w.ndim == 4)
    assert weight.is_contiguous(memory_format=speed.torch.channels_last)
    assert card._predictor.batch_size == 4
    monkeypatch.setattr(card, "_rate", lambda precision: card.operations)
    assert card.measure(variant)["floor_seconds"] == 2 * card.patches * 2


def test_measured_variants_are_not_repeated(options) -> None:
    every = speed.variants(options.size, 4)
    for variant in every[:-2]:
        add_row(options.out, {"kind": "speed", **vars(variant)})
    assert list(missing(options.out, "speed", every)) == every[-2:]


def test_comparison_shows_equal_probabilities(options) -> None:
    stock, _, ours, *_ = compare.comparison_rows(options.size)
    assert compare.measure(stock, options)["largest_difference"] is None
    row = compare.measure(ours, options)
    assert row["largest_difference"] < 0.01  # nnU-Net rounds logits to float16
    assert (row["members_asked"], row["slices"]) == (2, 3)


def test_comparison_stops_in_time(options) -> None:
    late = [*(f"--{name}" for name in ("device=cpu", "seconds=0", "tiny"))]
    assert compare.main([str(options.out), *late]) == CALL_AGAIN
    assert read_results(options.out, "compare") == []


def fake_training(run: Path, *, epochs: int) -> str:
    """Return a program that trains like `bayes-nnunet train` until RUN/stop is there."""
    return f"""
import json, pathlib, sys, time
run = pathlib.Path({str(run)!r})
(run / "fold_0").mkdir(parents=True, exist_ok=True)
(run / "arguments").write_text(" ".join(sys.argv[1:]))
progress = run / "progress.jsonl"
first = progress.read_text().count("\\n") if progress.exists() else 0
for epoch in range(first, {epochs}):
    line = dict(kind="epoch", epoch=epoch, seconds=0.1, member=False, memory_bytes=5e6,
                train_loss=-0.5)
    with progress.open("a") as file:
        file.write(json.dumps(line) + "\\n")
    (run / "fold_0" / "checkpoint_latest.pth").write_text(str(epoch))
    time.sleep(0.1)
    if (run / "stop").exists():
        (run / "stop").unlink()
        break
"""


@pytest.fixture
def train(options, monkeypatch) -> Callable[..., int]:
    """Return a function that runs the piece with a program in place of the training."""
    program = fake_training(options.work / "run", epochs=100)
    monkeypatch.setattr(training, "BAYES_NNUNET", (sys.executable, "-c", program))
    monkeypatch.setattr(training, "POLL_SECONDS", 0.02)

    def run(*flags: str) -> int:
        words = [str(options.out), "--device", "cpu", "--tiny", *flags]
        return training.main(words)

    return run


def test_training_goes_on_from_its_parts(options, train) -> None:
    assert train() == 0
    run = options.work / "run"
    shutil.rmtree(run)  # a fresh machine
    assert train("--join") == 0
    new, joined = read_results(options.out, "training")
    assert (new["first_epoch"], new["joined_files"]) == (0, 0)
    assert joined["first_epoch"] == new["last_epoch"] + 1
    assert joined["joined_files"] > 0
    assert "--resume" in (run / "arguments").read_text().split()
    assert not (run / "stop").exists()
    join_parts(options.out / "state", options.out / "home")
    home = (options.out / "home" / "fold_0" / "checkpoint_latest.pth").read_text()
    assert int(home) == joined["last_epoch"]


def test_training_is_asked_to_stop_in_time(options, train) -> None:
    assert train(f"--seconds={training.SPLIT_SECONDS}") == 0
    (row,) = read_results(options.out, "training")
    assert row["last_epoch"] < 99


def test_preprocessed_images_stay_on_the_machine(options, trained_run: Path) -> None:
    run = RunFolder(options.work / "run")
    shutil.copytree(trained_run, run.path)
    split_folder(run.path, options.out / "state", leave_out=training.is_left_out)
    join_parts(options.out / "state", options.out / "home")
    home = RunFolder(options.out / "home")
    assert not home.workspace.exists()
    for file in ("fold_0/checkpoint_final.pth", "ensemble.json", "plans.json", "progress.jsonl"):
        assert (home.path / file).read_bytes() == (run.path / file).read_bytes()
    (run.workspace / "mark").touch()
    assert training.bring_back(run, options.out / "state") > 0
    assert (run.workspace / "mark").exists()


def test_only_files_with_gpu_tests_are_run() -> None:
    names = {file.name for file in gpu_test_files(ROOT / "tests")}
    assert names == {"test_dropout.py", "test_inference.py"}


def test_outcomes_are_read_from_the_report(tmp_path: Path) -> None:
    report = tmp_path / "tests.xml"
    report.write_text(
        "<testsuites><testsuite><testcase name='a' time='1.5'/>"
        "<testcase name='b' time='0'><skipped/></testcase>"
        "<testcase name='c' time='2'><failure/></testcase></testsuite></testsuites>"
    )
    assert [(row["name"], row["outcome"]) for row in outcomes(report)] == [
        ("a", "passed"),
        ("b", "skipped"),
        ("c", "failed"),
    ]


COMPARED: dict[str, Any] = {
    "kind": "compare",
    "card": "X",
    "computed_in": "float16",
    "slices": 10,
    "members_asked": 30,
    "first_seconds": 9,
    "largest_difference": None,
    "phases": 1,
}


def test_tables_show_speed_ups(tmp_path: Path) -> None:
    add_row(tmp_path, {**COMPARED, "stock": True, "mirroring": "full", "seconds": 8})
    add_row(tmp_path, {**COMPARED, "stock": True, "mirroring": "none", "seconds": 4})
    add_row(tmp_path, {**COMPARED, "stock": False, "mirroring": "none", "seconds": 0.5})
    cine = {"stock": False, "mirroring": "spread", "seconds": 10, "phases": 25}
    add_row(tmp_path, {**COMPARED, **cine})
    rows = tables.main(tmp_path).splitlines()
    assert (tmp_path / "tables.md").read_text().splitlines() == rows
    cells = [[cell.strip() for cell in row.split("|")] for row in rows if row.startswith("| ours")]
    assert [row[7:9] for row in cells] == [["8.0", "16.0"], ["20.0", "20.0"]]
    with (tmp_path / "compare.csv").open() as stream:
        assert [row["seconds"] for row in csv.DictReader(stream)] == ["8", "4", "0.5", "10"]


def test_epochs_count_without_the_first() -> None:
    epochs = [
        {"epoch": n, "seconds": s, "member": n > 0, "memory_bytes": 2e6, "train_loss": -1.0}
        for n, s in enumerate((9.0, 2.0, 3.0, 4.0), 5)
    ]
    row = training.summary(epochs, seconds=20)
    assert (row["first_epoch"], row["last_epoch"], row["members"]) == (5, 8, 4)
    assert (row["first_epoch_seconds"], row["epoch_seconds"], row["start_seconds"]) == (9, 3, 2)


def test_pieces_find_the_code_without_an_installation(tmp_path: Path) -> None:
    environment = piece_environment(tmp_path)
    code = "import benchmarks.gpu.piece, napari_bayes_nnunet as n; print(n.__file__)"
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()).is_relative_to(ROOT / "src")


@pytest.mark.slow  # minutes; each piece has a test of its own above
def test_all_pieces_run_on_the_cpu(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", str(tmp_path), "--device", "cpu", "--tiny"]
    for _ in range(4):
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        if code != CALL_AGAIN:
            break
    assert code == 0
    for kind in ("test", "compare", "speed", "training"):
        assert (tmp_path / f"{kind}.csv").exists()
    new, joined = read_results(tmp_path, "training")
    assert joined["first_epoch"] == new["last_epoch"] + 1
