"""Peak memory of this process."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType

import psutil

INTERVAL = 0.01
"""Seconds between two samples."""


class PeakMemory:
    """Peak ``bytes`` of anonymous memory, without mapped files; on CUDA, of GPU memory."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.bytes = 0

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._is_over.wait(INTERVAL):
            self.bytes = max(self.bytes, self._used_bytes())

    def _used_bytes(self) -> int:
        if self._device.startswith("cuda"):
            import torch

            return int(torch.cuda.max_memory_allocated())
        status = Path("/proc/self/status")
        if not status.exists():
            return int(psutil.Process().memory_full_info().uss)
        line = next(x for x in status.read_text().splitlines() if x.startswith("RssAnon"))
        return int(line.split()[1]) * 1024
