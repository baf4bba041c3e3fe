"""Test of the Segment dock with a real child and a real ssh server."""

from __future__ import annotations

import os

import pytest
from napari.components import ViewerModel

from napari_bayes_nnunet.app.remote.store import BUILT_IN_FOLDER
from napari_bayes_nnunet.widgets.segment.dock import RESULT_KEPT, SegmentWidget
from napari_bayes_nnunet.widgets.segment.method_form import REMOTE

from ...helpers.data.sample import write_small_cine
from ...helpers.processes.ssh_server import ssh_server
from ..conftest import begin, choose, layer_of, listen


@pytest.fixture
def server(tmp_path, monkeypatch):
    with ssh_server(tmp_path / "server") as made:
        monkeypatch.setenv("PATH", f"{made.bin}{os.pathsep}{os.environ['PATH']}")
        yield made


@pytest.fixture
def dock(settings, server, tmp_path, qtbot):
    viewer = ViewerModel()
    viewer.add_layer(layer_of(write_small_cine(tmp_path)))
    made = SegmentWidget(viewer, settings=settings)
    qtbot.addWidget(made)
    made.image.phases.setCurrentIndex(3)
    made.image.phase_numbers.setText("7")
    method = made.method
    method.mirroring.value = "none"
    method.device.value = REMOTE
    method.remote.address.value = server.address
    choose(made, BUILT_IN_FOLDER, qtbot)
    yield made
    made.close_child()


def test_remote_segmentation_finishes_stops_and_survives_loss(dock, server, qtbot) -> None:
    heard: list[int] = []
    listen(dock.run, "show_progress", lambda stage: heard.append(int(stage.text.split()[-3])))
    dock.method.remote.connect_button.click()
    qtbot.waitUntil(lambda: "on the other computer (CPU" in dock.run.status.text())
    with qtbot.waitSignal(dock.ended):
        dock.run.segment_button.click()
    dock.turns.finish()
    assert "Finished in " in dock.run.status.text()
    assert {1, 2, 4, 8, 9} <= set(heard)
    assert heard == sorted(heard)
    assert dock.result.phases[7].report["device"] == f"cpu on {server.address}"
    assert dock.result.posteriors[7].count == 9
    labels = dock._viewer.layers["SCD0000301_cine prediction"].data
    assert len(set(labels[6].ravel())) == 4

    dock.method.mirroring.value = "full"
    dock.image.phase_numbers.setText("5, 6, 7")  # seconds of work, so that the stop is in time
    begin(dock, qtbot)
    with qtbot.waitSignal(dock.ended):
        dock.run.stop_button.click()
    assert "of 9 members" in dock.run.status.text()

    begin(dock, qtbot)
    with qtbot.waitSignal(dock.ended):
        server.drop_connections()
    assert server.address in dock.run.status.text()
    assert dock.run.status.text().endswith(RESULT_KEPT)
    assert dock.result.labels[4].any()
    assert dock.run.segment_button.isEnabled()
