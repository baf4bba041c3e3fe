"""Networks: the only layer that imports torch and nnunetv2."""

import os

from platformdirs import user_cache_path

from ..core.problems import Problem

SPIN_COUNT = 1000
"""Turns for which a thread of torch spins before it sleeps; the default of GNU OpenMP is 300 000.

With the default, two processes on the same cores slow each other down by up to a factor of a
hundred. OpenMP reads the variable once, when torch is loaded.
"""
# A count would override the policy that the user has chosen.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", str(SPIN_COUNT))


def _use_private_caches() -> None:
    """Name a folder that only the user can open for code that torch compiles and runs again.

    By default it lies in the system's temporary folder, under a name that another user can take
    first, and that torch enters into the environment when it is loaded. Folders that the user has
    named stay. With neither these nor a private one, nnU-Net does not compile.
    """
    folder = user_cache_path("napari-bayes-nnunet", appauthor=False)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError:  # as in a container without a home
        if not {"TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"} <= os.environ.keys():
            os.environ.setdefault("nnUNet_compile", "f")
            return
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", os.fspath(folder / "inductor"))
    os.environ.setdefault("TRITON_CACHE_DIR", os.fspath(folder / "triton"))
    # These lie in the temporary folder whatever is set.
    os.environ.setdefault("TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS", "0")


_use_private_caches()


class ModelError(Problem):
    """Error for a model or a training that cannot be used."""


class Stopped(Exception):
    """Signal that the user has stopped the work."""
