"""The only part that imports torch and nnunetv2."""

import os

from ..core.problems import Problem

SPIN_COUNT = 1000
"""Turns that a thread of torch waits awake for the next piece of work; GNU OpenMP's own is 300 000.

With that many, two processes on the same cores wait for each other's waiting, up to a hundred
times as long as they compute. It is read once, when torch is loaded.
"""
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", str(SPIN_COUNT))


class ModelError(Problem):
    """Error: a model or a training cannot be used."""


class Stopped(Exception):
    """The user stopped the work."""
