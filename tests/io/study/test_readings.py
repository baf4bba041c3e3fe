"""Readings of a study: one reader after the other, and what is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.files import atomic
from napari_bayes_nnunet.io.files.atomic import replacing
from napari_bayes_nnunet.io.study import readings
from napari_bayes_nnunet.io.study.arrays import EDITED
from napari_bayes_nnunet.io.study.readings import (
    READINGS,
    is_blind,
    keep_finished,
    list_readings,
    open_reading,
    own_review,
)
from napari_bayes_nnunet.io.study.review_state import REVIEW, Decision, ReviewState
from napari_bayes_nnunet.io.study.study import (
    check_replaceable,
    has_corrections,
    read_study,
    save_work,
)
from napari_bayes_nnunet.io.study.usage_log import USE_LOG

from ...helpers.data.studies import VOLUME, make_study

ACCEPTED = {(None, 0): Decision(state="accepted", when="2026-12-01T10:00")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_study(tmp_path / "study")


def read(folder: Path, label: int, *, finished: bool, log: str = "") -> None:
    """Paint all voxels as the open reader and save, as a window does."""
    state = read_study(folder).review
    on = "2026-12-01T17:05:00" if finished else ""
    state = replace(state, decisions=ACCEPTED, finished=finished, finished_on=on)
    keep_finished(folder)
    save_work(folder, np.full(VOLUME.shape, label, np.uint8), VOLUME, state)
    if log:
        (folder / USE_LOG).write_text(log)
    keep_finished(folder)


def content(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files of the kept readings."""
    files = (file for file in (folder / READINGS).rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def values(folder: Path) -> list[int]:
    return np.unique(read_study(folder).edited).tolist()


def test_reader_without_a_name_sees_nothing_of_another(folder):
    open_reading(folder, "Anna")
    read(folder, 2, finished=False)
    open_reading(folder, "")
    assert values(folder) == np.unique(read_study(folder).prediction).tolist()
    read(folder, 3, finished=False)
    open_reading(folder, "Anna")
    assert values(folder) == [2]
    open_reading(folder, "")
    assert values(folder) == [3]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("killed_at", [EDITED, REVIEW])
def test_kill_while_readers_change_mixes_nothing(folder, known, killed_at, monkeypatch):
    if known:
        open_reading(folder, "Ben")
        read(folder, 3, finished=True)
    open_reading(folder, "Anna")
    read(folder, 2, finished=True)

    def dying(file: Path) -> Any:
        if file == folder / killed_at:
            raise KeyboardInterrupt
        return replacing(file)

    with monkeypatch.context() as patched:
        for module in (readings, atomic):
            patched.setattr(module, "replacing", dying)
        with pytest.raises(KeyboardInterrupt):
            open_reading(folder, "Ben")
    open_reading(folder, "Anna")
    assert (read_study(folder).review.reader, values(folder)) == ("Anna", [2])
    open_reading(folder, "Ben")
    study = read_study(folder)
    expected = np.full(VOLUME.shape, 3) if known else study.prediction
    assert study.review.reader == "Ben"
    assert np.array_equal(study.edited, expected)
    assert [r.title[:3] for r in list_readings(folder) if r.review.finished][-1] == "Ann"


def test_second_reader_starts_from_the_prediction_and_both_continue_their_own(folder):
    open_reading(folder, "Anna")
    read(folder, 2, finished=False, log="of Anna")
    before = [(folder / name).read_bytes() for name in (EDITED, REVIEW, USE_LOG)]
    open_reading(folder, "Ben")
    study = read_study(folder)
    assert np.array_equal(study.edited, study.prediction)
    assert study.review == ReviewState(reader="Ben", patient=study.review.patient)
    assert not (folder / USE_LOG).exists()
    read(folder, 3, finished=False)
    open_reading(folder, "Anna")
    assert [(folder / name).read_bytes() for name in (EDITED, REVIEW, USE_LOG)] == before
    open_reading(folder, "Ben")
    assert values(folder) == [3]


def test_finished_reading_is_never_written_again(folder):
    open_reading(folder, "Anna")
    read(folder, 2, finished=True)
    kept = content(folder)
    assert {Path(name).name for name in kept} == {EDITED, REVIEW}
    read(folder, 3, finished=False)
    read(folder, 1, finished=True)
    open_reading(folder, "Ben")
    read(folder, 0, finished=True)
    open_reading(folder, "Anna")
    assert {name: content(folder)[name] for name in kept} == kept
    titles = [reading.title for reading in list_readings(folder) if reading.review.finished]
    assert titles == [
        "Anna, version 1, 2026-12-01 17:05",
        "Anna, version 2, 2026-12-01 17:05",
        "Ben, version 1, 2026-12-01 17:05",
    ]


def test_renamed_reader_keeps_all_readings_but_takes_nobody_elses_name(folder):
    open_reading(folder, "Ben")
    read(folder, 3, finished=True)
    open_reading(folder, "Ana")
    read(folder, 1, finished=True)
    read(folder, 2, finished=False)
    open_reading(folder, "Anna", named=True)
    assert (read_study(folder).review.reader, values(folder)) == ("Anna", [2])
    assert [reading.review.reader for reading in list_readings(folder)] == ["Ben", "Anna"]
    open_reading(folder, "Ben", named=True)
    assert values(folder) == [3]
    open_reading(folder, "Anna")
    assert values(folder) == [2]


def test_same_reading_is_kept_once(folder):
    open_reading(folder, "Anna")
    read(folder, 2, finished=True)
    again = {place: replace(d, seconds=9.0, when="later") for place, d in ACCEPTED.items()}
    state = read_study(folder).review
    state = replace(state, current=(None, 1), score="entropy", decisions=again)
    for _ in range(2):
        save_work(folder, np.full(VOLUME.shape, 2, np.uint8), VOLUME, state)
        keep_finished(folder)
    assert len(list_readings(folder)) == 1


def test_finished_study_of_an_older_version_is_kept_at_the_first_save(folder):
    save_work(
        folder,
        np.full(VOLUME.shape, 2, np.uint8),
        VOLUME,
        ReviewState(decisions=ACCEPTED, finished=True),
    )
    before = [(folder / name).read_bytes() for name in (EDITED, REVIEW)]
    read(folder, 3, finished=False)
    (kept,) = list_readings(folder)
    assert [(kept.path / name).read_bytes() for name in (EDITED, REVIEW)] == before


def test_kept_reading_is_read_from_its_folder(folder):
    open_reading(folder, "Anna")
    read(folder, 2, finished=True)
    open_reading(folder, "Ben")
    (kept,) = list_readings(folder)
    study = read_study(folder, reading=kept.path)
    assert np.unique(study.edited).tolist() == [2]
    assert study.review.reader == "Anna"
    assert study.folder == folder
    assert not study.problems


def test_reading_without_a_name_stays_open_until_it_is_named(folder):
    read(folder, 2, finished=True)
    open_reading(folder, "Anna")
    assert read_study(folder).review.reader == ""
    open_reading(folder, "Anna", named=True)
    assert read_study(folder).review.reader == "Anna"
    assert values(folder) == [2]
    assert [reading.review.reader for reading in list_readings(folder)] == ["Anna"]


def test_untouched_study_is_of_whoever_opens_it(folder):
    open_reading(folder, "Anna")
    open_reading(folder, "Ben")
    assert read_study(folder).review.reader == "Ben"
    assert not has_corrections(folder)
    assert not list_readings(folder)


def test_reader_is_blind_until_the_own_reading_is_finished(folder):
    open_reading(folder, "Anna")
    read(folder, 2, finished=True)
    open_reading(folder, "Ben")
    read(folder, 3, finished=False)
    assert is_blind("Ben", list_readings(folder))
    assert not is_blind("Anna", list_readings(folder))
    read(folder, 3, finished=True)
    assert not is_blind("Ben", list_readings(folder))


def test_own_review_leaves_the_study_alone(folder):
    open_reading(folder, "Anna")
    read(folder, 2, finished=True)
    before = [(folder / name).read_bytes() for name in (EDITED, REVIEW)]
    assert own_review(folder, "Anna") is None
    assert own_review(folder, "Ben") == ReviewState(reader="Ben")
    open_reading(folder, "Ben")
    own = own_review(folder, "Anna")
    assert own is not None
    assert own.finished
    open_reading(folder, "Anna")
    assert [(folder / name).read_bytes() for name in (EDITED, REVIEW)] == before


def test_study_with_readings_is_not_replaced(folder):
    open_reading(folder, "Anna")
    read(folder, 2, finished=False)
    open_reading(folder, "Ben")
    with pytest.raises(DataError):
        check_replaceable(folder)


def test_damaged_reading_stops_the_takeover(folder):
    open_reading(folder, "Anna")
    read(folder, 2, finished=True)
    (folder / READINGS / "1" / REVIEW).write_text("{")
    before = [(folder / name).read_bytes() for name in (EDITED, REVIEW)]
    with pytest.raises(DataError):
        open_reading(folder, "Ben")
    assert [(folder / name).read_bytes() for name in (EDITED, REVIEW)] == before


def test_killed_copy_is_not_a_reading(folder):
    open_reading(folder, "Anna")
    (folder / READINGS / "1").mkdir(parents=True)
    (folder / READINGS / "1" / EDITED).write_bytes(b"half")
    read(folder, 2, finished=True)
    (kept,) = list_readings(folder)
    assert kept.path.name == "2"
