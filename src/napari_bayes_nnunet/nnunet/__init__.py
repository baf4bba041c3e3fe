"""Networks: the only layer that imports torch and nnunetv2."""

import os

from ..core.problems import Problem

SPIN_COUNT = 1000
"""Turns for which a thread of torch spins before it sleeps; the default of GNU OpenMP is 300 000.

With the default, two processes on the same cores slow each other down by up to a factor of a
hundred. OpenMP reads the variable once, when torch is loaded.
"""
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", str(SPIN_COUNT))


class ModelError(Problem):
    """Error for a model or a training that cannot be used."""


class Stopped(Exception):
    """Signal that the user has stopped the work."""
