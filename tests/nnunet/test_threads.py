"""The time for which threads of torch spin."""

import os
import subprocess
import sys

import pytest

from napari_bayes_nnunet.nnunet import SPIN_COUNT

SHOW = "import napari_bayes_nnunet.nnunet, os; print(os.environ.get('GOMP_SPINCOUNT'))"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, str(SPIN_COUNT)),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "PASSIVE"}, "None"),
    ],
)
def test_threads_spin_briefly_unless_the_user_decides(given, expected):
    others = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-c", SHOW],
        capture_output=True,
        text=True,
        env=others | given,
        check=True,
    )
    assert done.stdout.strip() == expected
