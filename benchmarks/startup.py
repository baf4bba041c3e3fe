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
import platform
import subprocess
import sys

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
import json, sys, time
import napari
from qtpy.QtWidgets import QApplication
viewer = napari.Viewer()
QApplication.processEvents()
before = set(sys.modules)
started, computed = time.perf_counter(), time.process_time()
dock, _ = viewer.window.add_plugin_dock_widget("napari-bayes-nnunet", sys.argv[1])
QApplication.processEvents()
print(json.dumps([
    time.perf_counter() - started, time.process_time() - computed,
    sorted(set(sys.modules) - before)]))
getattr(viewer.window, "_qt_window", viewer).close()
"""


def main() -> None:
    """Print both tables."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--times", type=int, default=15)
    times = words.parse_args().times
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
    pairs, modules = [], {}
    for _ in range(times):
        pair = []
        for which in ("without", "with"):
            seconds, is_there, loaded = _run(START, which)
            assert is_there == (which == "with"), "the plugin was not hidden"
            pair.append(seconds)
            modules[which] = set(loaded)
        pairs.append(pair)
    _print_start(np.array(pairs), modules["with"] - modules["without"])
    print("| dock | seconds to open | seconds of the processor | heavy modules it imports |")
    print("|---|---|---|---|")
    for dock in DOCKS:
        runs = [_run(OPEN, dock) for _ in range(max(3, times // 5))]
        wall, computed = (float(np.median([run[k] for run in runs])) for k in (0, 1))
        heavy = [name for name in HEAVY if name in runs[0][2]]
        print(f"| {dock} | {wall:.2f} | {computed:.2f} | {', '.join(heavy) or 'none'} |")


def _print_start(pairs: np.ndarray, added: set[str]) -> None:
    differences = pairs[:, 1] - pairs[:, 0]
    draws = np.random.default_rng(0).integers(len(pairs), size=(10_000, len(pairs)))
    low, high = np.percentile(np.median(differences[draws], axis=1), [2.5, 97.5])
    without, with_ = np.median(pairs, axis=0)
    print(f"napari's start: {without:.2f} s without the plugin, {with_:.2f} s with it")
    print(
        f"the plugin adds {1000 * np.median(differences):.0f} ms ({1000 * low:.0f} to "
        f"{1000 * high:.0f}; median of {len(pairs)} pairs)"
    )
    heavy = [name for name in HEAVY if name in added]
    print(f"and imports {len(added)} modules, of the heavy ones: {', '.join(heavy) or 'none'}\n")


def _run(script: str, word: str) -> list:
    command = [sys.executable, "-c", script, word]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return list(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
