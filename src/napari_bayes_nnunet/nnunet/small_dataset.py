"""Preprocessing of small datasets in this process, without nnU-Net's pools."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.pool import ThreadPool
from types import SimpleNamespace

from nnunetv2.experiment_planning.dataset_fingerprint import fingerprint_extractor
from nnunetv2.preprocessing.preprocessors import default_preprocessor

from ..io.dataset.raw_dataset import RawDataset

MOST_CASES = 16
MOST_BYTES = 16 * 2**20
"""Size on disk of the images of a dataset that one thread preprocesses in seconds."""

_MODULES = (fingerprint_extractor, default_preprocessor)
_THREADS = SimpleNamespace(get_context=lambda method: SimpleNamespace(Pool=ThreadPool))


def is_small(dataset: RawDataset) -> bool:
    """Return whether starting nnU-Net's processes would take longer than the work itself."""
    sizes = (image.stat().st_size for case in dataset.cases for image in case.images)
    return len(dataset.cases) <= MOST_CASES and sum(sizes) <= MOST_BYTES


@contextmanager
def threads_for_processes() -> Iterator[None]:
    """Let nnU-Net extract fingerprints and preprocess in threads of this process.

    Each process of nnU-Net's pools would import torch first. nnU-Net has no option for threads, but
    takes its pools from the module ``multiprocessing``, and a pool of threads has the same methods.
    """
    originals = [module.multiprocessing for module in _MODULES]
    for module in _MODULES:
        module.multiprocessing = _THREADS
    try:
        yield
    finally:
        for module, original in zip(_MODULES, originals, strict=True):
            module.multiprocessing = original
