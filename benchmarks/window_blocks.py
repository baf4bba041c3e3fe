"""Time for which the window freezes while a study is segmented and reviewed.

python -m benchmarks.window_blocks [--explain]   (needs a display, or xvfb-run -a; two minutes)

A timer of 5 ms in the window's thread measures how late it comes, and how long the thread has
computed meanwhile: compare the latter on a busy machine. The seconds of a segmentation end when its
end is shown; OMP_NUM_THREADS sets the threads of its process. The steps are those of a reader:
segment ED and ES of the sample cine with the built-in ensemble, segment again with other settings,
open the study, switch phases, accept. It runs in a new process with an empty cache of numba, then
in another one with the cache that the first has filled. ``--explain`` also prints what the window's
threads were doing after 80 ms of each block.
"""

from __future__ import annotations

import faulthandler
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter, thread_time
from typing import Any
from unittest.mock import patch

import click

TICK_MS = 5
LATE_MS, MOST_MS = 80.0, 100.0
"""A block is explained after the first, and counted from the second on."""


@dataclass
class BlockWatch:
    """Blocks of the window's thread by step, and its processor time in them, in milliseconds."""

    explains: bool
    blocks: dict[str, list[float]] = field(default_factory=dict)
    computed: dict[str, list[float]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    step: str = ""
    last: float = field(default_factory=perf_counter)
    last_computed: float = field(default_factory=thread_time)

    def tick(self) -> None:
        """Note how late this tick is."""
        now, computed = perf_counter(), thread_time()
        if self.step:
            self.blocks.setdefault(self.step, []).append(1000 * (now - self.last) - TICK_MS)
            stretch = 1000 * (computed - self.last_computed)
            self.computed.setdefault(self.step, []).append(stretch)
            if self.explains:
                faulthandler.dump_traceback_later(LATE_MS / 1000, file=sys.stdout)
        self.last, self.last_computed = now, computed

    @contextmanager
    def watching(self, step: str) -> Iterator[None]:
        """Count the blocks of a step."""
        click.echo(f"— {step}" if self.explains else "", nl=self.explains)
        sys.stdout.flush()
        self.step = step
        start = perf_counter()
        yield
        self.seconds[step] = perf_counter() - start
        self.step = ""
        faulthandler.cancel_dump_traceback_later()


def _run(explain: bool) -> None:
    """Go through the steps in this process and print their blocks."""
    import napari
    from qtpy.QtCore import Qt, QTimer
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QFileDialog

    from napari_bayes_nnunet.widgets.common.dock import raise_dock
    from napari_bayes_nnunet.widgets.layers.result_layers import add_image
    from napari_bayes_nnunet.widgets.layers.sample_data import cine
    from napari_bayes_nnunet.widgets.segment.dock import REVIEW_DOCK, SegmentWidget

    def until(condition: Callable[[], Any], after: int = 600) -> None:
        while not condition():
            QTest.qWait(20)
        QTest.qWait(after)

    watch = BlockWatch(explain)
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1600, 1000)
    timer = QTimer(timerType=Qt.TimerType.PreciseTimer)
    timer.timeout.connect(watch.tick)
    timer.start(TICK_MS)
    with tempfile.TemporaryDirectory() as temporary:
        for data in cine():
            add_image(viewer, data)
        dock = SegmentWidget(viewer)
        viewer.window.add_dock_widget(dock, name="Segment", area="right")
        dock.ensemble.choose_demo()
        until(lambda: dock.ensemble.folder is not None and not dock.ensemble.is_looking, 3000)
        for step, method in (("first segmentation", "multi"), ("another one", "single")):
            dock.method.method.value = method
            with watch.watching(step):
                dock.segment()
                until(lambda: not dock.is_running, after=0)
            QTest.qWait(600)
        with watch.watching("open the Review dock"):
            review = raise_dock(viewer, dock, REVIEW_DOCK)
            QTest.qWait(1500)
        with watch.watching("open the study"):
            with patch.object(QFileDialog, "getExistingDirectory", return_value=temporary):
                dock.run.review_button.click()
            until(lambda: review.controller is not None and not review.is_opening, 1500)
        canvas = viewer.window._qt_viewer.canvas.native
        # Return, too, if the slice has a finding.
        for step, keys in {"switch phases, T": ["T"], "accept, A": ["A", "Return"]}.items():
            with watch.watching(step):
                for key in 5 * keys:
                    QTest.keyClick(canvas, getattr(Qt.Key, f"Key_{key}"))
                    QTest.qWait(400)
        for step, late in watch.blocks.items():
            over = sum(value > MOST_MS for value in late)
            click.echo(
                f"{step:20} longest {max(late):6.0f} ms, {over} over {MOST_MS:.0f} ms; "
                f"window's thread {max(watch.computed[step]):6.0f} ms; "
                f"{watch.seconds[step]:5.1f} s"
            )
        sys.stdout.flush()
        dock.close_child()
        os._exit(0)


@click.command
@click.option("--explain", is_flag=True, help="Print what the window's thread was doing.")
@click.option("--here", is_flag=True, hidden=True)
def main(explain: bool, here: bool) -> None:
    """Print the longest block of each step, with an empty and with a full cache of numba."""
    if here:
        _run(explain)
        return
    click.echo(platform.processor() or platform.machine())
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache, "XDG_CONFIG_HOME": f"{cache}/config"}
        for title in ("empty cache of numba", "full cache of numba"):
            click.echo(f"\n{title}")
            command = [sys.executable, "-m", "benchmarks.window_blocks", "--here"]
            subprocess.run(
                [*command, *(["--explain"] if explain else [])], env=environment, check=True
            )


if __name__ == "__main__":
    main()
