"""The peak of a process's memory while something runs."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType

import psutil

EVERY = 0.01
"""Seconds between two looks."""


class PeakMemory:
    """``bytes`` of anonymous memory at most, without mapped files; on CUDA that of the card."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self.bytes = 0

    def __enter__(self) -> PeakMemory:
        self._watch.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._watch.join()

    def _look(self) -> None:
        while not self._over.wait(EVERY):
            self.bytes = max(self.bytes, self._now())

    def _now(self) -> int:
        if self._device.startswith("cuda"):
            import torch

            return int(torch.cuda.max_memory_allocated())
        status = Path("/proc/self/status")
        if not status.exists():
            return int(psutil.Process().memory_full_info().uss)
        line = next(x for x in status.read_text().splitlines() if x.startswith("RssAnon"))
        return int(line.split()[1]) * 1024
