"""Time the plugin adds to the start of napari, and time its docks take to open.

xvfb-run -a python -m benchmarks.startup [--times 15]   (needs a display; some minutes)

napari starts alternately with and without the plugin, each time in a new process; without means
that its distribution is hidden. The time runs from before ``import napari`` until an empty viewer
has processed its events. The difference has a 95 % bootstrap interval over the pairs. Docks are
opened as the menu does it, each in a new process, imports included.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

import numpy as np

from . import command_line

HEAVY = ("torch", "nnunetv2", "matplotlib", "pandas")
DOCKS = ("Segment", "Review", "Train", "Evaluate")

START = """
import importlib.metadata, json, sys, time
if sys.argv[1] == "without":
    every = importlib.metadata.distributions
    importlib.metadata.distributions = lambda **given: (
        found for found in every(**given) if not found._path.name.startswith("napari_bayes_nnunet"))
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
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication
requested = set()  # by the main thread only: a dock imports more in a thread, a while later
class Recorder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if threading.current_thread() is threading.main_thread():
            requested.add(name)
sys.meta_path.insert(0, Recorder)
viewer = napari.Viewer()
QApplication.processEvents()
at_start = sorted(sys.modules)
opened = []
for name in sys.argv[1:]:
    before = set(sys.modules)
    started, computed = time.perf_counter(), time.thread_time()
    dock, _ = viewer.window.add_plugin_dock_widget("napari-bayes-nnunet", name)
    QApplication.processEvents()
    opened.append([
        time.perf_counter() - started, time.thread_time() - computed,
        sorted(requested & set(sys.modules) - before)])
print(json.dumps([at_start, opened]))
QTimer.singleShot(0, getattr(viewer.window, "_qt_window", viewer).close)
napari.run()  # ends as napari does, with the widgets deleted before the interpreter
"""


@dataclass(frozen=True)
class Start:
    """Seconds until the empty viewer was ready, and the modules imported by then."""

    seconds: float
    modules: frozenset[str]


@dataclass(frozen=True)
class Opened:
    """Opening of a dock: wall time, time of its thread, and newly imported modules."""

    seconds: float
    computed: float
    modules: frozenset[str]

    @property
    def heavy(self) -> list[str]:
        """Modules among ``HEAVY``, which take long to import."""
        return [name for name in HEAVY if name in self.modules]


def main(*, times: int = 20) -> None:
    """Print both tables."""
    pairs = [start_pair(first="with" if n % 2 else "without") for n in range(times)]
    print_start(pairs)
    print("| dock | seconds to open | thread seconds | heavy modules imported |")
    print("|---|---|---|---|")
    for dock in DOCKS:
        runs = [open_dock(dock) for _ in range(max(3, times // 5))]
        wall = median(run.seconds for run in runs)
        computed = median(run.computed for run in runs)
        print(f"| {dock} | {wall:.2f} | {computed:.2f} | {', '.join(runs[0].heavy) or 'none'} |")


def print_start(pairs: list[tuple[Start, Start]]) -> None:
    """Print the time the plugin adds, with a 95 % bootstrap interval over the pairs."""
    seconds = np.array([[start.seconds for start in pair] for pair in pairs])
    differences = 1000 * (seconds[:, 1] - seconds[:, 0])
    draws = np.random.default_rng(0).integers(len(pairs), size=(10_000, len(pairs)))
    low, high = np.percentile(np.median(differences[draws], axis=1), [2.5, 97.5])
    without, with_ = np.median(seconds, axis=0)
    added = pairs[0][1].modules - pairs[0][0].modules
    heavy = [name for name in HEAVY if name in added]
    print(f"Start of napari: {without:.2f} s without the plugin, {with_:.2f} s with it")
    print(
        f"The plugin adds {np.median(differences):.0f} ms ({low:.0f} to {high:.0f}; median of "
        f"{len(pairs)} pairs). Of {', '.join(HEAVY)} it imports: {', '.join(heavy) or 'none'}.\n"
    )


def start_pair(*, first: str) -> tuple[Start, Start]:
    """Start napari without and with the plugin, ``first`` first, and return both in this order."""
    if first == "with":
        with_plugin = start("with")
        return start("without"), with_plugin
    return start("without"), start("with")


def start(which: Literal["with", "without"]) -> Start:
    """Start napari in a new process, with or without the plugin."""
    seconds, is_found, modules = _run(START, which)
    if is_found != (which == "with"):
        raise RuntimeError("napari did not find the plugin, or found it although it was hidden.")
    return Start(seconds, frozenset(modules))


def open_dock(name: str) -> Opened:
    """Open a dock in a new process, as the menu does it."""
    _, ((seconds, computed, modules),) = _run(OPEN, name)
    return Opened(seconds, computed, frozenset(modules))


def open_docks(*names: str) -> tuple[frozenset[str], list[frozenset[str]]]:
    """Start napari and open the docks one after another.

    Return the modules that are imported when napari has started, and those that each dock imports.
    """
    at_start, opened = _run(OPEN, *names)
    return frozenset(at_start), [frozenset(modules) for _, _, modules in opened]


def _run(script: str, *arguments: str) -> Any:
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    command_line.run(__doc__, main)
