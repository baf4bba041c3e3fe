"""Tests of the segmentation job."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image

from napari_bayes_nnunet.app.messages import JobEnded, PhaseDone, SnapshotReady, StageStarted
from napari_bayes_nnunet.app.prediction.output_files import FOUND_BY_VOLUME
from napari_bayes_nnunet.io.images.nifti import CardiacPhases
from napari_bayes_nnunet.widgets.layers.image_input import ImageInput
from napari_bayes_nnunet.widgets.layers.result import PhaseState
from napari_bayes_nnunet.widgets.segment.dock import (
    LEFT_OUT_OF_REVIEW,
    OF_OTHER_ENSEMBLE,
    PHASES_BY_VOLUME,
    PREPARING,
    PROVISIONAL_PHASES,
    STOPPED_AFTER,
    STOPPED_EARLY,
    WAITING,
    SegmentWidget,
    stopped_sentence,
    unfinished_sentence,
)

from ...helpers.data.studies import made_posterior
from ...helpers.windows.settling import settle
from ..conftest import CINE, VOLUME, listen, make_result


class Heard:
    """A dock with a fake child, and what its parts were told so far."""

    def __init__(self, dock: SegmentWidget) -> None:
        self.dock, self.child = dock, dock.child
        self.progress: list[StageStarted] = []
        self.sentences: list[str] = []
        self.stages: list[str] = []
        self.ended: list[tuple[str, str]] = []
        self.ran_at_the_end: list[bool] = []
        listen(dock.run, "show_progress", self.progress.append)
        listen(dock.run, "add_message", self.sentences.append)
        listen(dock.run, "show_stage", self.stages.append)
        dock.ended.connect(lambda outcome, text: self.ended.append((outcome, text)))
        dock.ended.connect(lambda *_: self.ran_at_the_end.append(dock.is_running))

    def start(self, **changes: Any) -> Any:
        shape = changes.pop("shape", VOLUME.shape)
        voxels = changes.pop("voxels", np.ones(shape, np.int16))
        result = make_result(CINE if len(shape) == 4 else VOLUME)
        image = ImageInput(channels=(voxels,), spacing=(8, 1.5, 1.25), **changes)
        self.go_on(image, result)
        return result

    def go_on(self, image: ImageInput, result: Any) -> None:
        layer = self.dock.image.layer
        if layer is None:
            layer = self.dock._viewer.add_layer(Image(np.zeros(image.shape), name="heart"))
        self.dock.start(layer, image, result)


@pytest.fixture
def make(make_dock):
    return lambda *flags: Heard(make_dock(flags=flags))


def wait_end(heard: Heard, qtbot: Any, count: int = 1) -> None:
    qtbot.waitUntil(lambda: len(heard.ended) == count)


def test_a_volume_arrives_member_by_member(make, qtbot) -> None:
    heard = make()
    result = heard.start()
    assert heard.dock.is_running
    wait_end(heard, qtbot)
    assert heard.ended == [("finished", "")]
    assert heard.ran_at_the_end == [False]
    assert heard.stages == [PREPARING, WAITING, "Loading the ensemble"]
    assert [p.text for p in heard.progress] == ["Member 1 of 2", "Member 2 of 2"]
    assert [p.eta_seconds for p in heard.progress] == [2, 0]
    assert [p.done / p.total for p in heard.progress] == [0.5, 1.0]
    assert result.labels.max() == 1
    assert result.phases[None].report["method"] == "multi"
    assert result.posteriors[None].count == 2
    np.testing.assert_array_equal(result.posteriors[None].member(0), result.labels)
    assert list(heard.child.scratch.iterdir()) == []
    assert not heard.dock.is_running


def test_phases_found_by_the_ensemble(make, qtbot) -> None:
    heard = make()
    result = heard.start(shape=CINE.shape)
    wait_end(heard, qtbot)
    assert heard.stages.count(WAITING) == 2
    assert PHASES_BY_VOLUME.format(ed=5, es=2, source=FOUND_BY_VOLUME) in heard.sentences
    assert list(result.phases) == [5, 2]
    assert result.known_phases == CardiacPhases(5, 2)
    assert [p.done / p.total for p in heard.progress] == [0.25, 0.5, 0.75, 1.0]
    assert heard.progress[2].text == "Phase 2: member 1 of 2"


def test_a_stop_says_which_phases_a_review_lacks(make, qtbot) -> None:
    heard = make("--hangs-at", 2)
    result = heard.start(shape=CINE.shape, phases=(4, 3, 1))
    qtbot.waitUntil(lambda: bool(heard.progress))
    assert result.unfinished == (1, 3, 4)
    heard.dock.stop()
    wait_end(heard, qtbot)
    assert not unfinished_sentence(result)  # nothing is finished that could be reviewed
    result.posteriors[4] = made_posterior()
    left_out = LEFT_OUT_OF_REVIEW.format(phases="phases 1, 3")
    assert unfinished_sentence(result) == left_out
    result.posteriors |= {1: made_posterior(), 3: made_posterior()}
    assert not unfinished_sentence(result)


def test_the_childs_phases_are_counted_among_those_sent(make, qtbot) -> None:
    heard = make()
    result = heard.start(shape=CINE.shape, phases=(4, 3))
    wait_end(heard, qtbot)
    assert list(result.phases) == [4, 3]
    assert [p.text[:8] for p in heard.progress] == ["Phase 4:"] * 2 + ["Phase 3:"] * 2
    assert [int(frame.max()) for frame in result.labels] == [0, 0, 2, 1, 0]
    assert [int(result.posteriors[phase].members.max()) for phase in (4, 3)] == [1, 2]


def test_known_phases_are_segmented_among_all(make, qtbot) -> None:
    heard = make()
    result = heard.start(shape=CINE.shape, phases=(4, 3), sends_all=True)
    wait_end(heard, qtbot)
    assert list(result.phases) == [4, 3]
    assert [int(frame.max()) for frame in result.labels] == [0, 0, 3, 1, 0]


def test_stop_keeps_the_looks_as_provisional_phases(make, qtbot) -> None:
    heard = make("--looks", "--hangs-at", 2)
    result = heard.start(shape=CINE.shape, phases=(4, 3, 1))
    qtbot.waitUntil(lambda: bool(heard.progress))
    assert list(result.phases) == [4, 3, 1]
    heard.dock.stop()
    wait_end(heard, qtbot)
    assert result.provisional == [3, 1]
    assert result.phases[4].done == 1
    assert (result.labels[[0, 2]] == 3).all()
    assert result.numbers().measured == {}
    (curve, _) = result.numbers().curves
    assert dict(zip(curve.phases, curve.volumes, strict=True)) == {1: 97.0, 3: 98.0, 4: 99.0}
    assert curve.provisional == {1, 3, 4}
    provisional = PROVISIONAL_PHASES.format(phases="phases 1, 3")
    assert heard.ended[0][1].endswith(provisional)
    assert list(heard.child.scratch.iterdir()) == []


def test_a_segmented_phase_is_no_longer_provisional(make, qtbot) -> None:
    heard = make("--looks")
    changes = []
    result = heard.start(shape=CINE.shape, phases=(4, 3))
    results = heard.dock.run.results
    listen(results, "set_results", lambda *_: changes.append(result.provisional.copy()))
    wait_end(heard, qtbot)
    assert changes[0] == [4]
    assert changes[-1] == []
    assert set(result.posteriors) == {4, 3}
    assert all(not curve.provisional for curve in result.numbers().curves)


def test_looks_of_a_second_job_leave_segmented_phases_alone(make, qtbot) -> None:
    heard = make("--looks", "--seconds", 0.1)  # so that only one phase has begun when checked
    result = heard.start(shape=CINE.shape, phases=(4, 3))
    wait_end(heard, qtbot)
    before = result.labels[[2, 3]].copy()
    voxels = np.ones(CINE.shape, np.int16)
    image = ImageInput(channels=(voxels,), spacing=(8, 1.5, 1.25), phases=(1, 3, 4))
    heard.progress.clear()
    heard.go_on(image, result)
    qtbot.waitUntil(lambda: bool(heard.progress))
    np.testing.assert_array_equal(result.labels[[2, 3]], before)
    assert result.posteriors.keys() >= {4, 3}
    wait_end(heard, qtbot, 2)


def test_phases_of_another_training_are_removed(make, qtbot) -> None:
    heard = make()
    result = heard.start(shape=CINE.shape, phases=(4, 3))
    wait_end(heard, qtbot)
    voxels = np.ones(CINE.shape, np.int16)
    image = ImageInput(channels=(voxels,), spacing=(8, 1.5, 1.25), phases=(1,))
    heard.go_on(image, result)  # phases add up
    wait_end(heard, qtbot, 2)
    assert list(result.phases) == [4, 3, 1]
    for state in result.phases.values():
        state.report["members"][0]["epoch"] = 99  # as if replaced before the next phase
    heard.go_on(replace(image, phases=(2,)), result)
    wait_end(heard, qtbot, 3)
    removed = OF_OTHER_ENSEMBLE.format(phases="phases 1, 3, 4")
    assert heard.sentences.count(removed) == 1
    assert list(result.phases) == list(result.posteriors) == [2]
    assert [bool(frame.any()) for frame in result.labels] == [False, True, False, False, False]


def test_segmentation_whose_members_are_lost_is_still_one(make, qtbot) -> None:
    heard = make("--no-posterior")
    result = heard.start()
    wait_end(heard, qtbot)
    assert heard.ended == [("finished", "")]
    assert result.labels.any()
    assert result.posteriors == {}
    # Nor does an ensemble that cannot be loaded end a job
    heard.sentences.clear()
    heard.child.message_received.emit(JobEnded(outcome="failed", text="It is broken."))
    assert heard.sentences == ["It is broken."]
    assert len(heard.ended) == 1


def test_an_image_that_cannot_be_loaded_fails(make, qtbot) -> None:
    def broken(block: Any) -> Any:
        raise KeyError("lost")

    heard = make()
    heard.start(voxels=da.ones(VOLUME.shape).map_blocks(broken, dtype=float, meta=np.ones(())))
    wait_end(heard, qtbot)
    ((outcome, sentence),) = heard.ended
    assert outcome == "failed"
    assert "'lost'" in sentence


def test_stop_while_the_image_is_prepared(make, qtbot) -> None:
    def slow(block: Any) -> Any:
        time.sleep(0.3)
        return block

    heard = make()
    heard.start(voxels=da.ones(VOLUME.shape).map_blocks(slow, dtype=float, meta=np.ones(())))
    heard.dock.stop()
    assert heard.ended == [("stopped", STOPPED_EARLY)]
    settle(qtbot, heard.dock)
    assert heard.child.pid is None
    assert list(heard.child.scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("shown", "phases", "names", "count"),
    [
        ({None: 7}, 1, "", "7"),
        ({3: 7}, 1, "", "7"),
        ({7: 30, 20: 7}, 2, " in phase 20", "7"),
        ({7: 30}, 2, " in phase 7", "30"),
        ({20: 7, 7: 7}, 2, " in phases 7, 20", "7"),
        ({7: 8, 20: 7}, 2, " in phases 7, 20", "at least 7"),
        (dict.fromkeys(range(1, 26), 9), 25, " in 25 phases", "9"),
    ],
)
def test_stopped_sentence_names_phases_and_members(shown, phases, names, count) -> None:
    states = {phase: PhaseState(done, 30) for phase, done in shown.items()}
    members = f"{count} of 30 members"
    expected = STOPPED_AFTER.format(phases=names, members=members)
    assert stopped_sentence(states, phases=phases) == expected
    assert stopped_sentence({}, phases=phases) == STOPPED_EARLY


def late_snapshot(folder: Path, job: int) -> SnapshotReady:
    files = [str(folder / f"late-{number}.npy") for number in range(2)]
    for file in files:
        np.save(file, np.ones(VOLUME.shape))
    late = {"labels": files[0], "maps": {"entropy": files[1]}}
    return SnapshotReady(job=job, phase=None, done=1, total=2, eta_seconds=0, **late)


def test_late_answers_are_dropped_and_their_files_deleted(make, qtbot) -> None:
    heard = make("--seconds", 0.1)
    result = heard.start()
    wait_end(heard, qtbot)
    before = result.labels.copy()
    late = late_snapshot(heard.child.scratch, job=1)
    heard.child.message_received.emit(late)
    posterior = heard.child.scratch / "late.npz"
    posterior.write_bytes(b"")
    done = PhaseDone(job=1, phase=None, report={}, posterior=str(posterior))
    heard.child.message_received.emit(done)
    heard.child.message_received.emit(JobEnded(outcome="finished", job=1))
    heard.dock.stop()  # there is nothing to stop
    settle(qtbot, heard.dock)
    assert list(heard.child.scratch.iterdir()) == []
    np.testing.assert_array_equal(result.labels, before)
    assert len(heard.ended) == 1
    heard.start()
    heard.child.message_received.emit(JobEnded(outcome="failed", text="old", job=1))
    wait_end(heard, qtbot, count=2)
    assert heard.ended[1] == ("finished", "")
