"""Tests of the order and the times of the pieces, and of what outlasts a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from benchmarks.gpu.processes import run_for
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


SLEEPER = "import os, pathlib, time; pathlib.Path({file!r}).write_text(str(os.getpid()))"
PARENT = """
import os, sys
from benchmarks.gpu.processes import run_for
run_for([sys.executable, "-c", {child!r}], 60, environment=os.environ, log=None)
"""


def number_in(file: Path) -> int:
    """Return the process number that is written to a file."""
    ends = time.monotonic() + 20
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < ends
        time.sleep(0.01)
    return int(file.read_text())


def test_piece_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    child = SLEEPER.format(file=str(tmp_path / "pid")) + "; print('begun', flush=True)"
    command = [sys.executable, "-c", f"{child}; time.sleep(60)"]
    log = tmp_path / "log"
    assert run_for(command, 2, environment=os.environ, log=log) == FAILED
    assert not psutil.pid_exists(number_in(tmp_path / "pid"))
    assert log.read_text() == "begun\n"


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
def test_piece_ends_with_a_killed_call(tmp_path: Path) -> None:
    child = SLEEPER.format(file=str(tmp_path / "pid")) + "; time.sleep(60)"
    parent = subprocess.Popen([sys.executable, "-c", PARENT.format(child=child)])
    number = number_in(tmp_path / "pid")
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    ends = time.monotonic() + 20
    while psutil.pid_exists(number) and time.monotonic() < ends:
        time.sleep(0.01)
    assert not psutil.pid_exists(number)
