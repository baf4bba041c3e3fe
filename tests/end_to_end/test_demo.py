"""Tests of the first command of a newcomer, with a real window and the built-in ensemble."""

import os
import subprocess
import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from napari_bayes_nnunet.core.heart.structures import structure_colors
from napari_bayes_nnunet.widgets.segment.demo import NO_DISPLAY, UNREACHABLE_DISPLAY

ROOT = Path(__file__).parents[2]
HAS_DISPLAY = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "linux" and not HAS_DISPLAY, reason="needs a display or Xvfb")
def test_demo_ends_with_contours_of_the_heart(tmp_path):
    picture = tmp_path / "demo.png"
    command = [sys.executable, "-m", "benchmarks.pictures.demo", picture]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    pixels = iio.imread(picture)[..., :3].astype(int)
    canvas = pixels[:, pixels.shape[1] // 4 : pixels.shape[1] * 3 // 4]
    structures = {"RV": 1, "MYO": 2, "LV": 3}
    colors = structure_colors(structures)
    for name in ("MYO", "LV"):  # the first slice of the queue may lie beyond the RV
        color = colors[structures[name]]
        wanted = np.array([int(color.lstrip("#")[i : i + 2], 16) for i in (0, 2, 4)])
        near = np.abs(canvas - wanted).max(axis=-1) <= 40
        assert near.sum() > 300, name


def test_demo_without_display_is_refused():
    if sys.platform != "linux":
        pytest.skip("only Linux starts without a display")
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    bare = {key: value for key, value in os.environ.items() if key not in hidden}
    command = [sys.executable, "-m", "napari_bayes_nnunet", "demo"]
    unreachable = UNREACHABLE_DISPLAY.format(display="DISPLAY=:4711")
    for added, sentence in (({}, NO_DISPLAY), ({"DISPLAY": ":4711"}, unreachable)):
        env = bare | added
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        assert sentence in done.stderr
        assert "Traceback" not in done.stderr
