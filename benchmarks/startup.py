"""What the plugin adds to napari's start, and how long its docks take to open.

xvfb-run -a python -m benchmarks.startup [--times 15]   (needs a display; some minutes)

napari is started with and without the plugin in turn, each time in a new process; without means
that its distribution is not found. From before ``import napari`` until an empty viewer is there and
its events are processed. The difference comes with a 95 % interval of a bootstrap over the pairs.
Docks are opened in a viewer as the menu does it, each in a new process, imports included.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

import numpy as np

HEAVY = ("torch", "nnunetv2", "matplotlib", "pandas")
DOCKS = ("Segment", "Review", "Train", "Evaluate")

START = """
import importlib.metadata, json, sys, time
if sys.argv[1] == "without":
    every = importlib.metadata.distributions
    importlib.metadata.distributions = lambda **given: (
        one for one in every(**given) if not one._path.name.startswith("napari_bayes_nnunet"))
started = time.perf_counter()
import napari
viewer = napari.Viewer()
from qtpy.QtWidgets import QApplication
QApplication.processEvents()
seconds = time.perf_counter() - started
names = [plugin.name for plugin in __import__("npe2").PluginManager.instance().iter_manifests()]
print(json.dumps([seconds, "napari-bayes-nnunet" in names, sorted(sys.modules)]))
viewer.close()
"""

OPEN = """
import json, sys, threading, time
import napari
from qtpy.QtWidgets import QApplication
asked = set()  # by the window's thread: a dock warms up others a while later, in a thread
class Asked:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if threading.current_thread() is threading.main_thread():
            asked.add(name)
sys.meta_path.insert(0, Asked)
viewer = napari.Viewer()
QApplication.processEvents()
opened = []
for name in sys.argv[1:]:
    before = set(sys.modules)
    started, computed = time.perf_counter(), time.thread_time()
    dock, _ = viewer.window.add_plugin_dock_widget("napari-bayes-nnunet", name)
    QApplication.processEvents()
    opened.append([
        time.perf_counter() - started, time.thread_time() - computed,
        sorted(asked & set(sys.modules) - before)])
print(json.dumps(opened))
getattr(viewer.window, "_qt_window", viewer).close()
"""


@dataclass(frozen=True)
class Start:
    """A start of napari: until the empty viewer was there, and what had been imported."""

    seconds: float
    modules: frozenset[str]


@dataclass(frozen=True)
class Opened:
    """A dock that was opened: ``computed`` are seconds of its thread, ``modules`` its new ones."""

    seconds: float
    computed: float
    modules: frozenset[str]

    @property
    def heavy(self) -> list[str]:
        """Those of the modules that take long to import."""
        return [name for name in HEAVY if name in self.modules]


def main() -> None:
    """Print both tables."""
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words.add_argument("--times", type=int, default=20)
    times = words.parse_args().times
    pairs = [pair(first="with" if n % 2 else "without") for n in range(times)]
    print_start(pairs)
    print("| dock | seconds to open | seconds of its thread | heavy modules it imports |")
    print("|---|---|---|---|")
    for dock in DOCKS:
        runs = [open_dock(dock) for _ in range(max(3, times // 5))]
        wall = median(run.seconds for run in runs)
        computed = median(run.computed for run in runs)
        print(f"| {dock} | {wall:.2f} | {computed:.2f} | {', '.join(runs[0].heavy) or 'none'} |")


def print_start(pairs: list[tuple[Start, Start]]) -> None:
    """What the plugin adds, with a 95 % interval of a bootstrap over the pairs."""
    seconds = np.array([[one.seconds for one in pair] for pair in pairs])
    differences = 1000 * (seconds[:, 1] - seconds[:, 0])
    draws = np.random.default_rng(0).integers(len(pairs), size=(10_000, len(pairs)))
    low, high = np.percentile(np.median(differences[draws], axis=1), [2.5, 97.5])
    without, with_ = np.median(seconds, axis=0)
    added = pairs[0][1].modules - pairs[0][0].modules
    heavy = [name for name in HEAVY if name in added]
    print(f"napari's start: {without:.2f} s without the plugin, {with_:.2f} s with it")
    print(
        f"the plugin adds {np.median(differences):.0f} ms ({low:.0f} to {high:.0f}; median of "
        f"{len(pairs)} pairs) and imports {', '.join(heavy) or 'none'} of {', '.join(HEAVY)}\n"
    )


def pair(*, first: str) -> tuple[Start, Start]:
    """A start without and one with the plugin, the ``first`` of them first."""
    if first == "with":
        after = start("with")
        return start("without"), after
    return start("without"), start("with")


def start(which: Literal["with", "without"]) -> Start:
    """Start napari in a new process, with or without the plugin."""
    seconds, is_there, modules = _run(START, which)
    if is_there != (which == "with"):
        raise RuntimeError("The plugin was not there, or was not hidden.")
    return Start(seconds, frozenset(modules))


def open_dock(name: str) -> Opened:
    """Open a dock in a new process, as the menu does it."""
    ((seconds, computed, modules),) = _run(OPEN, name)
    return Opened(seconds, computed, frozenset(modules))


def open_docks(*names: str) -> list[frozenset[str]]:
    """Return the modules that each dock imports, opened one after the other in one window."""
    return [frozenset(modules) for _, _, modules in _run(OPEN, *names)]


def _run(script: str, *words: str) -> Any:
    command = [sys.executable, "-c", script, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
