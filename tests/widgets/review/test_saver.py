"""Saving of a review: order, failures and retries."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QTimer

from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.images.nifti import read_labels, write_labels
from napari_bayes_nnunet.io.study import study as study_module
from napari_bayes_nnunet.io.study.arrays import EDITED
from napari_bayes_nnunet.io.study.study import open_study_lock, read_study
from napari_bayes_nnunet.io.study.usage_log import USE_LOG, read_use
from napari_bayes_nnunet.widgets.common.background import NO_MEMORY
from napari_bayes_nnunet.widgets.review import saver as module
from napari_bayes_nnunet.widgets.review.saver import EVERY_MS, NOT_SAVED, OTHER_WORK, StudySaver

from ...helpers.checks.problems import says
from ...helpers.data.cines import ED, ES, LV, RV, WORST
from ..conftest import NEVER


@pytest.fixture
def make_saver(qapp, session, monkeypatch) -> Callable[..., StudySaver]:
    made: list[StudySaver] = []

    def make(every_ms: int = NEVER) -> StudySaver:
        monkeypatch.setattr(module, "EVERY_MS", every_ms)
        try:
            lock = open_study_lock(session.study.folder)
        except DataError:
            lock = None
        made.append(StudySaver(session, lock))
        return made[-1]

    yield make
    for saver in made:
        saver.close()


class Failing:
    """Replacement of `save_work` that can fail and wait."""

    def __init__(self, monkeypatch: Any) -> None:
        self.fails = False
        self.go_on = threading.Event()
        self.go_on.set()
        self.labels: list[np.ndarray] = []
        self._really = module.save_work
        monkeypatch.setattr(module, "save_work", self)

    def __call__(self, folder: Path, labels: np.ndarray, *rest: Any) -> None:
        assert self.go_on.wait(10)
        if self.fails:
            raise DataError("Disk full.")
        self._really(folder, labels, *rest)
        self.labels.append(labels)


@pytest.fixture
def disk(monkeypatch) -> Failing:
    return Failing(monkeypatch)


def edit(session: ReviewSession, place: Any = WORST, label: int = LV) -> None:
    before = session.labels_in(place).copy()
    session.labels_in(place)[:4, :5] = label
    session.note_change([place], tool="paint", before={place: before})


def on_disk(folder: Path) -> ReviewSession:
    return ReviewSession(read_study(folder))


def wait(saver: StudySaver, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not saver.has_unsaved)


def test_labels_decisions_and_log_are_saved(make_saver, session, folder, qtbot) -> None:
    saver = make_saver()
    edit(session)
    session.decide(WORST, "accepted")
    saver.note_change()
    assert saver.has_unsaved
    with qtbot.waitSignal(saver.saved) as saved_signal:
        saver.save()
    assert re.search(r"\d\d:\d\d:\d\d", saved_signal.args[0])
    assert not saver.has_unsaved
    saved = on_disk(folder)
    assert np.array_equal(saved.labels, session.labels)
    assert saved.state == session.state
    assert [row.tool for row in read_use(folder / USE_LOG)] == ["paint", ""]
    assert session.peek_log() == []


def test_changes_are_saved_every_half_minute(make_saver, session, folder, qtbot) -> None:
    assert EVERY_MS == 30_000
    saver = make_saver(every_ms=30)
    edit(session)
    saver.note_change()
    wait(saver, qtbot)
    assert np.array_equal(on_disk(folder).labels, session.labels)


def test_without_changes_nothing_is_written(make_saver, disk, qtbot) -> None:
    saver = make_saver(every_ms=5)
    for _ in range(3):
        with qtbot.waitSignal(saver.findChild(QTimer).timeout):
            pass
    saver.save()
    saver.save_now()
    saver.close()
    assert disk.labels == []


def test_edits_during_a_save_are_saved_next(make_saver, session, disk, folder, qtbot) -> None:
    saver = make_saver()
    disk.go_on.clear()
    edit(session, (ED, 0))
    saver.note_change()
    saver.save()
    edit(session, (ED, 1))
    saver.note_change()
    saver.save()  # requests another save after this one
    assert saver.has_unsaved
    disk.go_on.set()
    wait(saver, qtbot)
    assert len(disk.labels) == 2
    assert np.array_equal(on_disk(folder).labels, session.labels)
    assert [row.z for row in read_use(folder / USE_LOG)] == [0, 1]


def test_only_saved_work_is_told(make_saver, session, folder, disk, qtbot) -> None:
    saves: list[str] = []
    saver = make_saver()
    saver.saved.connect(saves.append)
    session.look_at((ED, 1))
    saver.note_change(is_work=False)
    saver.save()
    wait(saver, qtbot)
    assert on_disk(folder).state.current == (ED, 1)
    assert saves == []
    disk.fails = True
    saver.note_change(is_work=False)
    with qtbot.waitSignal(saver.failed):
        saver.save()
    disk.fails = False
    saver.save()
    wait(saver, qtbot)
    assert len(saves) == 1  # the failure has ended


def test_a_failed_save_is_reported_and_retried(make_saver, session, disk, folder, qtbot) -> None:
    saves: list[str] = []
    failures: list[str] = []
    saver = make_saver(every_ms=40)
    saver.saved.connect(saves.append)
    saver.failed.connect(failures.append)
    disk.fails = True
    edit(session, (ED, 0))
    saver.note_change()
    saver.save()
    qtbot.waitUntil(lambda: len(failures) > 1)
    assert failures[0].startswith(NOT_SAVED.format(reason="Disk full."))
    assert saves == []
    assert saver.has_unsaved
    assert not (folder / USE_LOG).exists()
    edit(session, (ED, 1))
    saver.note_change()
    disk.fails = False
    wait(saver, qtbot)
    assert saves
    assert [row.z for row in read_use(folder / USE_LOG)] == [0, 1]
    assert np.array_equal(on_disk(folder).labels, session.labels)


def test_saving_goes_on_after_a_lack_of_memory(
    make_saver, session, folder, monkeypatch, qtbot
) -> None:
    def lack() -> None:
        raise MemoryError

    saver = make_saver()
    edit(session)
    saver.note_change()
    with monkeypatch.context() as full:
        full.setattr(session, "labels_to_save", lack)
        with qtbot.waitSignal(saver.failed) as failed:
            saver.save()
        assert failed.args[0].startswith(NOT_SAVED.format(reason=NO_MEMORY))
        with pytest.raises(DataError, check=says(NO_MEMORY)):
            saver.save_now()
    assert saver.has_unsaved
    with qtbot.waitSignal(saver.saved):
        saver.save()
    assert np.array_equal(on_disk(folder).labels, session.labels)
    assert [row.tool for row in read_use(folder / USE_LOG)] == ["paint"]


def test_an_unwritten_log_row_is_retried(make_saver, session, folder, monkeypatch, qtbot) -> None:
    saver = make_saver()
    really, count = module.append_use, [0]

    def failing(file: Path, row: Any) -> None:
        count[0] += 1
        if count[0] == 2:
            raise DataError("Log not writable.")
        really(file, row)

    monkeypatch.setattr(module, "append_use", failing)
    for z in range(3):
        edit(session, (ED, z))
    saver.note_change()
    with pytest.raises(DataError, match="Log not writable"):
        saver.save_now()
    assert saver.has_unsaved
    assert [row.z for row in session.peek_log()] == [1, 2]
    saver.save_now()
    assert [row.z for row in read_use(folder / USE_LOG)] == [0, 1, 2]


def test_an_old_save_never_replaces_a_newer_one(make_saver, session, disk, folder, qtbot) -> None:
    saver = make_saver()
    edit(session, (ED, 0))
    saver.note_change()
    old = saver._work()
    edit(session, (ED, 1))
    saver.save_now()
    old()  # the slow thread ends last
    assert len(disk.labels) == 1
    assert np.array_equal(on_disk(folder).labels, session.labels)
    assert [row.z for row in read_use(folder / USE_LOG)] == [0, 1]


def test_closing_waits_and_saves_the_rest(make_saver, session, disk, folder) -> None:
    saver = make_saver()
    disk.go_on.clear()
    edit(session, (ED, 0))
    saver.note_change()
    saver.save()
    edit(session, (ES, 1))
    saver.note_change()
    threading.Timer(0.1, disk.go_on.set).start()
    saver.close()
    assert np.array_equal(on_disk(folder).labels, session.labels)
    assert sorted(row.z for row in read_use(folder / USE_LOG)) == [0, 1]
    open_study_lock(folder).release()  # others can open it
    assert not saver.has_unsaved


def test_closing_without_saving_raises_and_releases(make_saver, session, disk, folder) -> None:
    saver = make_saver()
    edit(session)
    saver.note_change()
    disk.fails = True
    with pytest.raises(DataError, match="Disk full"):
        saver.close()
    assert saver.has_unsaved
    assert session.peek_log()
    open_study_lock(folder).release()
    saver.close()  # a second time does nothing


def test_a_window_that_is_gone_keeps_no_lock(qapp, session, folder) -> None:
    saver = StudySaver(session, open_study_lock(folder))
    saver.deleteLater()
    qapp.sendPostedEvents(saver, QEvent.Type.DeferredDelete)
    open_study_lock(folder).release()
    assert not saver.read_only  # the Python object lives on


def test_a_locked_study_is_never_written(make_saver, session, disk) -> None:
    first, second = make_saver(), make_saver(every_ms=5)
    assert not first.read_only
    assert second.read_only
    edit(session)
    second.note_change()
    assert not second.has_unsaved
    second.save()
    second.save_now()
    second.close()
    assert disk.labels == []


def test_a_missing_folder_is_reported(make_saver, session, folder, qtbot) -> None:
    saver = make_saver()
    folder.rename(folder.with_name("elsewhere"))
    edit(session)
    saver.note_change()
    with qtbot.waitSignal(saver.failed) as failed:
        saver.save()
    assert folder.name in failed.args[0]
    folder.with_name("elsewhere").rename(folder)


def test_work_of_another_computer_is_kept(session, folder, make_saver) -> None:
    saver = make_saver()
    said: list[str] = []
    saver.other_found.connect(said.append)
    other = session.labels.copy()
    other[0, 0] = LV
    write_labels(folder / EDITED, other, session.study.info.geometry)
    session.labels[1, 1] = RV
    saver.note_change()
    saver.save_now()
    (copy,) = folder.glob(f"other_*_{EDITED}")
    assert np.array_equal(read_labels(copy).voxels, other)
    assert np.array_equal(read_labels(folder / EDITED).voxels, session.labels)
    assert said == [OTHER_WORK.format(files=copy.name)]
    saver.note_change()
    saver.save_now()
    assert len(said) == 1


def test_work_written_while_a_study_opens_is_kept(session, folder, make_saver) -> None:
    other = session.labels.copy()
    other[0, 0] = LV
    write_labels(folder / EDITED, other, session.study.info.geometry)
    saver = make_saver()
    saver.note_change()
    saver.save_now()
    (copy,) = folder.glob(f"other_*_{EDITED}")
    assert np.array_equal(read_labels(copy).voxels, other)


def test_own_labels_are_not_kept_as_others(session, folder, make_saver, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise DataError("Disk full.")

    saver = make_saver()
    said: list[str] = []
    saver.other_found.connect(said.append)
    edit(session)
    saver.note_change()
    with monkeypatch.context() as full:
        full.setattr(study_module, "write_review", fail)  # after the labels were saved
        with pytest.raises(DataError):
            saver.save_now()
    saver.save_now()
    assert said == []
    assert list(folder.glob("other_*")) == []


def test_another_study_in_its_place_is_not_replaced(session, folder, make_saver) -> None:
    saver = make_saver()
    write_labels(folder / EDITED, session.labels[0], session.study.info.geometry.frame())
    before = (folder / EDITED).read_bytes()
    saver.note_change()
    with pytest.raises(DataError):
        saver.save_now()
    assert (folder / EDITED).read_bytes() == before
    assert list(folder.glob("other_*")) == []
    (folder / EDITED).unlink()  # so that the last save succeeds
