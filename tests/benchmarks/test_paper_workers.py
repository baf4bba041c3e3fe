"""Workers that share the trainings of the paper's experiment."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.paper import trainings as paper_trainings
from benchmarks.paper import workers
from benchmarks.paper.trainings import Preset, Training, has_ended, is_finished, trainings
from benchmarks.paper.workers import choose_devices, is_locked, lock_file, train_all
from filelock import FileLock

from napari_bayes_nnunet.app.training.process import command_arguments
from napari_bayes_nnunet.core.ensemble.schedule import RestartSchedule
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder

PRESET = Preset(name="demo", epochs=12, iterations=4, seeds=1, mirroring="none", shifted="all")
SCRIPT = Path(workers.__file__).with_name("slurm.sh")
FAKE_TRAINING = """
import shutil, sys, time
from pathlib import Path
run = Path(sys.argv[sys.argv.index("--output") + 1])
source, journal, others = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
linked = (run / "nnunet_data").exists()
with journal.open("a") as file:
    file.write(f"start {time.time()} {run.parent.name}{run.name} {linked}\\n")
run.mkdir(parents=True, exist_ok=True)
if not linked:
    time.sleep(0.3)
    (run / "nnunet_data").mkdir()
    (run / "nnunet_data" / "case").write_text("preprocessed")
shutil.copy(source / "ensemble.json", run)
while not linked and journal.read_text().count("start ") <= others:
    time.sleep(0.02)
(run / "fold_0").mkdir()
(run / "fold_0" / "checkpoint_final.pth").touch()
with journal.open("a") as file:
    file.write(f"end {time.time()} {run.parent.name}{run.name} {linked}\\n")
"""
"""Training that preprocesses, unless this was done, and finishes with the record of another.

One that has preprocessed ends after so many others have begun.
"""


@pytest.fixture
def places(hearts: Path, tmp_path: Path) -> tuple[Path, Path, Path]:
    """Return dataset, output and split."""
    split = tmp_path / "split.json"
    split.write_text(json.dumps([{"train": [], "val": []}]))
    return hearts, tmp_path / "output", split


@pytest.fixture
def four(monkeypatch: pytest.MonkeyPatch) -> list[Training]:
    """Return the four trainings that the experiment has in place of its own."""
    schedule = RestartSchedule(epochs=12)
    made = [Training(kind="restarts", seed=seed, schedule=schedule) for seed in range(1, 5)]
    monkeypatch.setattr(paper_trainings, "trainings", lambda preset: made)
    monkeypatch.setattr(workers, "POLL_SECONDS", 0.02)
    return made


@pytest.mark.parametrize("tasks", [(2,), (1, 1)], ids=["one command", "two tasks of an array"])
def test_workers_share_trainings_and_preprocessing(
    tasks: tuple[int, ...], four: list[Training], places: Any, trained_run: Path, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    command = [sys.executable, "-c", FAKE_TRAINING, str(trained_run), str(journal), "1"]

    def run(count: int) -> None:
        train_all(*places, four, preset=PRESET, devices=["cpu"] * count, command=command)

    with ThreadPoolExecutor(len(tasks)) as pool:
        list(pool.map(run, tasks))
    lines = [line.split() for line in journal.read_text().splitlines()]
    starts, ends = ([line for line in lines if line[0] == kind] for kind in ("start", "end"))
    assert sorted(line[2] for line in starts) == [f"restartsseed{n}" for n in range(1, 5)]
    assert len(ends) == 4
    running, most = 0, 0
    for kind, *_ in sorted(lines, key=lambda line: float(line[1])):
        running += 1 if kind == "start" else -1
        most = max(most, running)
    assert most == 2
    assert [line[3] for line in starts] == ["False", "True", "True", "True"]
    cases = [RunFolder(t.folder(places[1])).workspace / "case" for t in four]
    assert len({case.stat().st_ino for case in cases}) == 1  # linked, not copied
    assert all(is_finished(training, places[1]) for training in four)
    run(2)
    assert len(journal.read_text().splitlines()) == 8  # nothing is trained twice


def test_failed_trainings_are_returned(four: Any, places: Any, trained_run: Path, capsys) -> None:
    for training in four[1:]:
        shutil.copytree(trained_run, training.folder(places[1]))
    command = [sys.executable, "-c", "raise SystemExit(3)"]
    assert train_all(*places, four, preset=PRESET, devices=["cpu"], command=command) == four[:1]
    log = places[1] / "trainings" / "restarts-1.log"
    assert f"restarts, seed 1: exit code 3 after 0.0 min. Its messages are in {log}" in (
        capsys.readouterr().out
    )
    assert log.exists()


def test_a_stopped_training_ends_its_worker(four: Any, places: Any) -> None:
    """It has the exit code 0, but is not done, and who stops one wants no other one to start."""
    command = [sys.executable, "-c", ""]
    assert train_all(*places, four, preset=PRESET, devices=["cpu"], command=command) == four[:1]


def test_locked_training_is_left_to_its_worker(four: Any, places: Any, trained_run: Path) -> None:
    _, output, _ = places
    with FileLock(lock_file(four[1], output)):
        assert is_locked(four[1], output)
        assert not is_locked(four[0], output)
        journal = str(output / "journal")
        command = [sys.executable, "-c", FAKE_TRAINING, str(trained_run), journal, "0"]
        devices = ["cpu"] * 2
        left = train_all(*places, four, preset=PRESET, devices=devices, command=command)
    assert [is_finished(training, output) for training in four] == [True, False, True, True]
    assert left == []


def test_cards_are_used_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert choose_devices("auto", None) == ["cuda:0", "cuda:1", "cuda:2"]
    assert choose_devices("cuda", 4) == ["cuda:0", "cuda:1", "cuda:2", "cuda:0"]
    assert choose_devices("cuda", 1) == ["cuda:0"]
    assert choose_devices("cpu", 2) == ["cpu", "cpu"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_devices("cuda:1", None) == ["cuda:1"]


def test_training_is_requested_with_its_settings(places: Any, trained_run: Path) -> None:
    planned = {f"{t.kind}{t.seed}": t for t in trainings(PRESET)}
    how = {"preset": PRESET, "device": "cuda:1"}
    words = command_arguments(planned["dropout1"].request(*places, **how))
    for flags in (
        "--schedule poly", "--epochs 12", "--cycles 1", "--dropout 0.1", "--preset demo",
        "--iterations-per-epoch 4", "--seed 1", "--device cuda:1", f"--split {places[2]}",
    ):  # fmt: skip
        assert flags in " ".join(words)
    assert "--keep-trajectory" not in words
    words = command_arguments(planned["poly5"].request(*places, **how))
    assert "--keep-trajectory" in words  # those of the figure of the weights
    assert planned["cosine1"].schedule.shape == "cosine"
    assert not planned["restarts1"].schedule.restart_first_cycle  # as the preset
    folder = planned["restarts1"].folder(places[1])
    shutil.copytree(trained_run, folder)
    words = command_arguments(planned["restarts1"].request(*places, **how))
    assert words == [
        "--output",
        str(folder),
        "--resume",
        "--device",
        "cuda:1",
        "--",
        str(places[0]),
    ]


def test_training_whose_weights_were_deleted_has_ended(four: Any, places: Any, trained_run) -> None:
    first, output = four[0], places[1]
    folder = first.folder(output)
    assert not has_ended(first, output)
    shutil.copytree(trained_run, folder)
    assert has_ended(first, output)
    assert is_finished(first, output)
    shutil.rmtree(folder / "fold_0")
    assert has_ended(first, output)
    assert not is_finished(first, output)
    request = first.request(*places, preset=PRESET, device="cpu")
    assert not request.resume  # it begins anew if a row needs it


def test_slurm_script_trains_one_task(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)
    done = subprocess.run(
        ["bash", SCRIPT, "my data", "out", "--split", "my split"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == (
        "-m benchmarks.paper my data out --split my split "
        "--preset paper --device cuda --workers 1 --only train\n"  # never on a node without a card
    )
    directives = [line for line in SCRIPT.read_text().splitlines() if line.startswith("#SBATCH")]
    assert "#SBATCH --array=0-7" in directives
    assert "#SBATCH --gres=gpu:1" in directives
