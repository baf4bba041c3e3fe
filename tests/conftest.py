"""What several tests share: made hearts and one small run that was really trained on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .helpers.command import bayes_nnunet
from .helpers.hearts import make_dataset
from .helpers.warm_command import WarmCommand

SMALL_TRAINING = (
    *("--preset", "demo", "--epochs", 12, "--gamma", 0.5, "--iterations-per-epoch", 4),
    *("--batch-size", 4, "--seed", 7),
)
"""3 cycles of 4 epochs, the latest 2 of each kept: members 2, 3, 6, 7, 10 and 11."""


@pytest.fixture(scope="session")
def made_dataset() -> Callable[..., Path]:
    """``made_dataset(folder, patients=4, frames=2, channels=1)`` writes an nnU-Net raw dataset."""
    return make_dataset


@pytest.fixture(scope="session")
def hearts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 4 patients with 2 frames each; not to be changed."""
    return make_dataset(tmp_path_factory.mktemp("data") / "Herzen für alle", licence="CC0-1.0")


@pytest.fixture(scope="session")
def trained_run(hearts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run on ``hearts``, trained by the real command; not to be changed.

    What the command printed stands beside it in ``stdout.txt`` and ``stderr.txt``.
    """
    run = tmp_path_factory.mktemp("runs") / "not there yet" / "small run"
    done = bayes_nnunet("train", hearts, "--output", run, *SMALL_TRAINING, "--jsonl")
    assert done.returncode == 0, done.stderr
    (run.parent / "stdout.txt").write_text(done.stdout, encoding="utf-8")
    (run.parent / "stderr.txt").write_text(done.stderr, encoding="utf-8")
    return run


@pytest.fixture(scope="session")
def warm_command() -> Iterator[WarmCommand]:
    """The command, started in an instant."""
    command = WarmCommand()
    yield command
    command.close()


@pytest.fixture(scope="session")
def planned_run(
    hearts: Path, warm_command: WarmCommand, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run on ``hearts`` that was killed while planning, started again, and killed at once.

    All is preprocessed and nothing trained, so that a copy of it can be started with other flags.
    """
    folder = tmp_path_factory.mktemp("planned")
    run = folder / "run"
    start = ("train", hearts, "--output", run, "--preset", "demo")
    first = warm_command.start(*start, folder=folder)
    first.wait((run / "nnunet_data" / "preprocessed").exists)
    first.kill()
    assert not (run / "ensemble.json").exists()
    second = warm_command.start(*start, folder=folder)
    second.wait((run / "ensemble.json").exists)
    second.kill()
    assert (run / "ensemble.json").exists(), second.errors
    for killed in (first, second):
        killed.wait_for_children()
    return run
