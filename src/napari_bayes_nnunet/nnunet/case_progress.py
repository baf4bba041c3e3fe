"""Progress of nnU-Net's planning and preprocessing, case by case."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, Self, TypeAlias

from nnunetv2.experiment_planning.dataset_fingerprint import fingerprint_extractor
from nnunetv2.preprocessing.preprocessors import default_preprocessor

CaseStep: TypeAlias = Literal["read", "preprocessed"]
OnCases: TypeAlias = Callable[[CaseStep, int, int], None]
"""Function called with a step, and how many of how many cases have taken it."""

_STEPS: tuple[tuple[Any, CaseStep], ...] = (
    (fingerprint_extractor, "read"),
    (default_preprocessor, "preprocessed"),
)


@contextmanager
def counting_cases(on_cases: OnCases) -> Iterator[None]:
    """Call ``on_cases`` for every case that nnU-Net has read or preprocessed, inside this block.

    nnU-Net shows its progress only as bars of tqdm, which it takes from the modules that do the
    work. A counter with the same methods stands in for them.
    """
    originals = [module.tqdm for module, _ in _STEPS]
    for module, step in _STEPS:
        module.tqdm = partial(_Counter, partial(on_cases, step))
    try:
        yield
    finally:
        for (module, _), original in zip(_STEPS, originals, strict=True):
            module.tqdm = original


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
