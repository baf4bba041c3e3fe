"""Progress of nnU-Net's planning and preprocessing, and threads for small datasets.

nnU-Net has no options for these, but takes its bars and its pools from the modules that do the
work, where others with the same methods stand in for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from multiprocessing.pool import ThreadPool
from types import SimpleNamespace
from typing import Any, Literal, Self, TypeAlias

from nnunetv2.experiment_planning.dataset_fingerprint import fingerprint_extractor
from nnunetv2.preprocessing.preprocessors import default_preprocessor

from ..io.dataset.raw_dataset import RawDataset

CaseStep: TypeAlias = Literal["read", "preprocessed"]
OnCases: TypeAlias = Callable[[CaseStep, int, int], None]
"""Function called with a step, and how many of how many cases have taken it."""
MOST_CASES = 16
MOST_BYTES = 16 * 2**20
"""Size on disk of the images of a dataset that one thread preprocesses in seconds."""

_MODULES: dict[CaseStep, Any] = {
    "read": fingerprint_extractor,
    "preprocessed": default_preprocessor,
}
_THREADS = SimpleNamespace(get_context=lambda method: SimpleNamespace(Pool=ThreadPool))


def counting_cases(on_cases: OnCases) -> AbstractContextManager[None]:
    """Call ``on_cases`` for every case that is read or preprocessed inside this block."""
    return _replacing("tqdm", lambda step: partial(_Counter, partial(on_cases, step)))


def threads_for_processes() -> AbstractContextManager[None]:
    """Let nnU-Net extract fingerprints and preprocess in threads of this process.

    Each process of nnU-Net's pools would import torch first.
    """
    return _replacing("multiprocessing", lambda step: _THREADS)


@contextmanager
def _replacing(name: str, make: Callable[[CaseStep], Any]) -> Iterator[None]:
    originals = {step: getattr(module, name) for step, module in _MODULES.items()}
    for step, module in _MODULES.items():
        setattr(module, name, make(step))
    try:
        yield
    finally:
        for step, module in _MODULES.items():
            setattr(module, name, originals[step])


def is_small(dataset: RawDataset) -> bool:
    """Return whether starting nnU-Net's processes would take longer than the work itself."""
    sizes = (image.stat().st_size for case in dataset.cases for image in case.images)
    return len(dataset.cases) <= MOST_CASES and sum(sizes) <= MOST_BYTES


class _Counter:
    """Stand-in for a bar of tqdm that reports each step."""

    def __init__(self, on_step: Callable[[int, int], None], *, total: int, **_: Any) -> None:
        self._on_step = on_step
        self._done, self._total = 0, total

    def __enter__(self) -> Self:
        self._on_step(0, self._total)
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def update(self) -> None:
        self._done += 1
        self._on_step(self._done, self._total)
