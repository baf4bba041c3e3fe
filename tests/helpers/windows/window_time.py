"""Time that the window's thread computes without answering."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import thread_time

from qtpy.QtCore import QTimer

TICK_MS = 5


@contextmanager
def computing_at_a_stretch() -> Iterator[list[float]]:
    """Fill a list with the processor seconds between two ticks of a timer in this thread."""
    stretches: list[float] = []
    last = [thread_time()]

    def tick() -> None:
        now = thread_time()
        stretches.append(now - last[0])
        last[0] = now

    timer = QTimer()
    timer.timeout.connect(tick)
    timer.start(TICK_MS)
    yield stretches
    timer.stop()
    tick()
