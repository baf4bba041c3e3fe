"""Tests that the plugin imports nothing heavy at napari's start and opens its docks quickly.

docs/explanation/performance.md has the milliseconds; these tests catch what would take seconds.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.startup import DOCKS, open_dock, open_docks

from .helpers import HELPERS
from .helpers.data.studies import make_study
from .helpers.processes.command import environment
from .helpers.processes.light_use import HEAVY

NETWORK = {"torch", "nnunetv2"}
WINDOW = {"napari", "qtpy"}


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    """Return the heavy modules loaded after each use of the package, all in one process."""
    folder = tmp_path_factory.mktemp("light")
    make_study(folder / "heart", phases=(2, 5))
    root = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, [environment().get("PYTHONPATH"), root]))
    done = subprocess.run(
        [sys.executable, HELPERS / "processes" / "light_use.py", folder],
        env=environment(PYTHONPATH=path),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("use", "avoided"),
    [
        ("start", {*HEAVY}),
        ("commands", {*HEAVY}),
        ("package", {*NETWORK, *WINDOW, "pandas", "matplotlib"}),
        ("core", {*NETWORK, *WINDOW, "pandas", "matplotlib"}),
        ("readers", {*NETWORK, *WINDOW, "pandas", "matplotlib", "highdicom"}),
        ("review_report", {*NETWORK, *WINDOW, "matplotlib"}),
        ("files", {*NETWORK, *WINDOW, "scipy.stats", "matplotlib"}),
        ("results", {*NETWORK, "matplotlib", "pandas"}),
        ("plots", {*NETWORK, "matplotlib"}),
        ("warm_up", NETWORK),
        ("first_labels", NETWORK),
        ("opening", NETWORK),
        ("review", NETWORK),
        ("figures", {*NETWORK, "matplotlib.pyplot"}),
        ("everything", NETWORK),
        ("segmentation", {"torch._dynamo", "nnunetv2.training.nnUNetTrainer"}),
    ],
)
def test_heavy_modules_are_not_imported_early(modules, use, avoided) -> None:
    loaded = modules[use]
    assert isinstance(loaded, list), loaded
    assert not avoided & set(loaded)


def test_slow_import_is_done_in_advance(modules) -> None:
    assert {"pandas", "scipy.ndimage"} <= set(modules["warm_up"])


@pytest.fixture(scope="module")
def opened() -> tuple[frozenset[str], list[frozenset[str]]]:
    """Return the modules imported at napari's start, and those imported by each dock."""
    *others, review = sorted(DOCKS, key=lambda dock: dock == "Review")
    return open_docks(*others, review)  # Review imports pandas after a moment


def test_napari_starts_with_the_package_alone(opened) -> None:
    """Which imports nothing heavy, see above."""
    at_start, _ = opened
    ours = {name for name in at_start if name.startswith("napari_bayes_nnunet")}
    assert ours <= {"napari_bayes_nnunet"}


def test_docks_open_without_torch(opened) -> None:
    _, docks = opened
    for modules in docks:
        assert not {*NETWORK, "pandas", "scipy.ndimage"} & modules


@pytest.mark.slow  # a measurement; the tests above hold what would take seconds
@pytest.mark.parametrize("dock", DOCKS)
def test_dock_opens_in_half_a_second(dock) -> None:
    """Imports count. The shortest thread time of three tries excludes most load by others."""
    tries = []
    while len(tries) < 3 and min(tries, default=1.0) >= 0.5:
        tries.append(open_dock(dock).computed)
    assert min(tries) < 0.5
