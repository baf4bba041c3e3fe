"""Tests of the order and the times of the pieces, and of what outlasts a kill."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.gpu.progress import (
    CALL_AGAIN,
    CALL_SECONDS,
    FAILED,
    FINISHED,
    GRACE_SECONDS,
    PIECES,
    TOTAL_SECONDS,
    Progress,
    add_row,
    read_results,
)

SETTINGS = {"device": "cpu", "tiny": True}


def test_calls_stay_under_nine_minutes() -> None:
    assert CALL_SECONDS + GRACE_SECONDS < 9 * 60
    assert all(piece.least <= CALL_SECONDS for piece in PIECES)


def test_pieces_fit_into_45_minutes() -> None:
    assert sum(piece.seconds for piece in PIECES) < TOTAL_SECONDS == 45 * 60


def test_progress_goes_on_elsewhere(tmp_path: Path) -> None:
    first, second = PIECES[:2]
    progress = Progress.read(tmp_path, SETTINGS)
    progress.charge(first, 100)
    progress.end(first, FINISHED)
    progress.charge(second, 60)
    progress.end(second, CALL_AGAIN)
    (tmp_path / "other").mkdir()
    (tmp_path / "state.json").rename(tmp_path / "other" / "state.json")
    again = Progress.read(tmp_path / "other", SETTINGS)
    assert again.open_pieces() == [*PIECES[1:]]
    assert (again.seconds, again.of(second).seconds) == (160, 60)
    with pytest.raises(ValueError, match="Choose another OUT"):
        Progress.read(tmp_path / "other", {**SETTINGS, "tiny": False})


def test_killed_piece_is_charged_as_a_whole(tmp_path: Path) -> None:
    piece = PIECES[2]
    progress = Progress.read(tmp_path, SETTINGS)
    progress.charge(piece, progress.allowed(piece, left=CALL_SECONDS))
    again = Progress.read(tmp_path, SETTINGS)  # the end was never noted
    assert again.of(piece).seconds == CALL_SECONDS
    assert again.allowed(piece, left=CALL_SECONDS) == piece.seconds - CALL_SECONDS


def test_piece_waits_for_a_call_with_time(tmp_path: Path) -> None:
    piece = PIECES[3]
    progress = Progress.read(tmp_path, SETTINGS)
    assert progress.allowed(piece, left=piece.least - 1) == 0
    assert not progress.of(piece).is_done
    assert progress.allowed(piece, left=piece.least) == piece.least


def test_piece_ends_with_its_seconds(tmp_path: Path) -> None:
    piece = PIECES[2]
    progress = Progress.read(tmp_path, SETTINGS)
    progress.charge(piece, piece.seconds - 1)
    assert progress.allowed(piece, left=CALL_SECONDS) == 0
    assert progress.of(piece).is_done


def test_nothing_starts_after_45_minutes(tmp_path: Path) -> None:
    progress = Progress.read(tmp_path, SETTINGS)
    progress.seconds = TOTAL_SECONDS
    assert progress.open_pieces() == []


def test_failed_piece_is_tried_twice(tmp_path: Path) -> None:
    piece = PIECES[0]
    progress = Progress.read(tmp_path, SETTINGS)
    for is_open in (True, False):
        progress.end(piece, FAILED)
        assert (piece in progress.open_pieces()) == is_open


def test_rows_survive_a_line_cut_short(tmp_path: Path) -> None:
    add_row(tmp_path, {"kind": "speed", "seconds": 1})
    file = tmp_path / "results.jsonl"
    file.write_text(file.read_text() + '{"kind": "spe')
    add_row(tmp_path, {"kind": "speed", "seconds": 2})
    add_row(tmp_path, {"kind": "test", "seconds": 3})
    assert [row["seconds"] for row in read_results(tmp_path, "speed")] == [1, 2]
