"""Shared fixtures: made hearts, and a small run that was really trained on them."""

from __future__ import annotations

import faulthandler
import gc
import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from app_model import Application
from filelock import FileLock
from hypothesis import HealthCheck, settings
from PIL import Image

from napari_bayes_nnunet.core.metrics import bootstrap

from .helpers.data.hearts import make_dataset
from .helpers.processes.command import bayes_nnunet
from .helpers.processes.warm_command import WarmCommand
from .helpers.windows.patient_bot import PatientBot

if "PYTEST_XDIST_WORKER" in os.environ:  # otherwise every process uses all cores
    for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(threads, "1")

# The same examples in each run of the same tests: a failure is a change of the code, not of chance.
settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts a command in the background with SIGINT ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection() -> None:
    """Collect no garbage while tests are imported."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Leave all that is imported by now out of garbage collections, which are quicker then.

    A plugin of napari imports its window before the first test.
    """
    importlib.import_module("napari._qt.qt_main_window")
    gc.enable()
    gc.collect()
    gc.freeze()


SMALL_TRAINING = (
    *("--preset", "demo", "--epochs", 12, "--gamma", 0.5, "--iterations-per-epoch", 4),
    *("--batch-size", 4, "--seed", 7),
)
"""3 cycles of 4 epochs; the last 2 of each are kept: members 2, 3, 6, 7, 10 and 11."""


@pytest.fixture(scope="session", autouse=True)
def empty_config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep tests, and the processes that they start, from the user's settings and caches.

    All test processes share a cache, so that they know the seals of runs that one of them made.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        patch.setenv("XDG_CACHE_HOME", str(shared / "cache"))
        patch.setenv("XDG_DATA_HOME", str(shared / "data"))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_sync() -> Iterator[None]:
    """Leave written files to the system, because no test cuts the power; a disk takes its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(autouse=True)
def time_for_a_slow_test(request: pytest.FixtureRequest) -> None:
    """Give a slow test half an hour, instead of the limit that holds for all tests."""
    if request.node.get_closest_marker("slow"):
        faulthandler.dump_traceback_later(1800, exit=True, file=sys.__stderr__)


@pytest.fixture(scope="module", autouse=True)
def no_window_of_another_module() -> None:
    """Collect the last module's window, which pytest holds until all its fixtures have ended."""
    windows = sys.modules.get("napari._qt.qt_viewer")
    if windows is not None and windows.QtViewer._instances:  # asked by make_napari_viewer
        gc.collect()


@pytest.fixture(scope="session", autouse=True)
def quick_end_of_windows() -> Iterator[None]:
    """Tell no menu of a closed window which of its entries are removed after it.

    Each of hundreds would raise an error with the source of all frames, which app-model ignores.
    """
    dispose = Application.dispose

    def dispose_quietly(app: Application) -> None:
        app.menus.menus_changed.disconnect()
        dispose(app)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Application, "dispose", dispose_quietly)
        yield


@pytest.fixture(scope="module")
def few_resamples() -> Iterator[None]:
    """Resample 50 times instead of 2000, for tests of what is around an interval."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "RESAMPLES", 50)
        yield


@pytest.fixture(scope="session")
def made_dataset() -> Callable[..., Path]:
    """Return ``made_dataset(folder, patients=4, frames=2, channels=1)``, which writes a dataset."""
    return make_dataset


@pytest.fixture
def qtbot(qapp: object, request: pytest.FixtureRequest) -> PatientBot:
    return PatientBot(request)


@pytest.fixture
def blank_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save a black pixel for every figure, for tests of the text around it."""
    from matplotlib.figure import Figure

    def save(figure: Figure, file: Any, **options: Any) -> None:
        Image.new("RGBA", (1, 1), "black").save(file, format="png")

    monkeypatch.setattr(Figure, "savefig", save)


@pytest.fixture(scope="session")
def make_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return ``make_once(name, make)``, which calls ``make(folder)`` in one test process only.

    It returns the folder in all processes: with ``pytest -n`` each of them has its own session.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def once(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = shared / f"once_{name}", shared / f"once_{name}.done"
        with FileLock(shared / f"once_{name}.lock"):
            if not done.exists():
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return once


@pytest.fixture(scope="session")
def hearts(make_once: Callable[..., Path]) -> Path:
    """Return a dataset of 4 patients with 2 frames each. Do not change it."""
    name = "Herzen für alle"
    return make_once("data", lambda folder: make_dataset(folder / name, licence="CC0-1.0")) / name


@pytest.fixture(scope="session")
def trained_run(hearts: Path, make_once: Callable[..., Path]) -> Path:
    """Return a finished run on ``hearts``, trained by the real command. Do not change it.

    The output of the command is next to it in ``stdout.txt`` and ``stderr.txt``.
    """
    name = Path("not there yet", "small run")

    def train(folder: Path) -> None:
        run = folder / name
        done = bayes_nnunet("train", hearts, "--output", run, *SMALL_TRAINING, "--jsonl")
        assert done.returncode == 0, done.stderr
        (run.parent / "stdout.txt").write_text(done.stdout, encoding="utf-8")
        (run.parent / "stderr.txt").write_text(done.stderr, encoding="utf-8")

    return make_once("trained", train) / name


@pytest.fixture(scope="session")
def warm_command() -> Iterator[WarmCommand]:
    """Return the command in a process with warm imports."""
    command = WarmCommand()
    yield command
    command.close()


@pytest.fixture(scope="session")
def planned_run(hearts: Path, warm_command: WarmCommand, make_once: Callable[..., Path]) -> Path:
    """Return a run on ``hearts`` that was killed while planning, restarted and killed again.

    Its data are preprocessed and nothing is trained: a copy can be started with other flags.
    """

    def plan(folder: Path) -> None:
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

    return make_once("planned", plan) / "run"
