"""Test of a review of a real heart with keys and mouse, killed and continued."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_bayes_nnunet.widgets.review.dock import ReviewWidget

from ..helpers.data.sample import write_small_cine
from ..helpers.processes.command import environment

HAS_DISPLAY = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
pytestmark = pytest.mark.skipif(
    sys.platform == "linux" and not HAS_DISPLAY, reason="needs a display or Xvfb"
)


@pytest.fixture
def image(tmp_path):
    """Return a part of the sample cine in a writable folder."""
    return write_small_cine(tmp_path)


def killed_review(image: Path) -> dict[str, Any]:
    """Return the work of a reader whose window was killed."""
    command = [sys.executable, "-m", "tests.helpers.windows.review_driver", str(image)]
    with subprocess.Popen(
        command,
        cwd=Path(__file__).parents[2],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                assert process.stderr is not None
                pytest.fail(process.stderr.read())
        finally:
            process.send_signal(signal.SIGKILL)
    return dict(json.loads(line))


def test_review_survives_a_killed_window(image, tmp_path, make_napari_viewer, qtbot):
    done = killed_review(image)
    expected = np.load(tmp_path / "labels.npy")
    folder = Path(done["study"])
    assert folder == image.with_name(f"{image.name.removesuffix('.nii.gz')}_study")

    viewer = make_napari_viewer(show=True)
    dock = ReviewWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Review", area="right")
    dock.open(folder)
    qtbot.waitUntil(lambda: dock.controller is not None and not dock.is_opening)
    controller = dock.controller
    assert not controller.saver.read_only  # the lock ended with the window
    place = tuple(done["place"])
    assert controller.session.state.decisions[place].state == "accepted"
    assert controller.picture.place == tuple(done["shown"])
    assert np.array_equal(controller.session.labels, expected)
    numbers = {name: number.value for name, number in controller.session.measured().items()}
    assert numbers == pytest.approx(done["numbers"])
    controller.picture.show_slice(place)  # level and alternatives work without the ensemble
    assert len(controller.session.alternatives_in(place)) > 1
    controller.show_level(0.0)
    label = controller.view.label
    shown, predicted = controller.session.labels_in(place), controller.session.predicted_in(place)
    assert np.array_equal(shown == label, predicted == label)
    controller.corrections.discard_preview()
    dock.close_study()
