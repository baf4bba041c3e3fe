"""The usage log: its rows, kills while it is written, and its totals."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.files.access import UNWRITABLE
from napari_bayes_nnunet.io.study.usage_log import (
    UseRow,
    append_use,
    changed_voxels,
    read_use,
    summarise_use,
)

from ...helpers.checks.problems import says

ROW = UseRow(
    time=datetime(2026, 7, 1, 9, 30, 5, tzinfo=UTC),
    phase=8,
    z=2,
    seconds=12.3,
    tool="level",
    inside=40,
    outside=10,
    state="accepted",
)
LOOKED = replace(ROW, phase=None, z=0, tool="", inside=0, outside=0, state="")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "use_log.csv"


def test_a_spreadsheet_can_read_it(file):
    append_use(file, ROW)
    append_use(file, LOOKED)
    assert file.read_text(encoding="utf-8") == (
        "time,phase,slice,seconds,tool,voxels_changed_inside,voxels_changed_outside,"
        "uncertain_above_bit,state\n"
        "2026-07-01T09:30:05+00:00,8,3,12.3,level,40,10,0.2,accepted\n"
        "2026-07-01T09:30:05+00:00,,1,12.3,,0,0,0.2,\n"
    )


def test_what_was_written_is_read_back(file):
    assert read_use(file) == []
    rows = [ROW, LOOKED, replace(ROW, tool='brush, 3 "px"', state="für später")]
    for row in (*rows, replace(ROW, tool="a\nb", state="c\r\nd")):
        append_use(file, row)
    assert read_use(file) == [*rows, replace(ROW, tool="a b", state="c d")]


def test_a_line_cut_anywhere_loses_one_row(file):
    append_use(file, ROW)
    first = file.stat().st_size
    append_use(file, LOOKED)
    whole = file.read_bytes()
    for end in range(first, len(whole)):
        file.write_bytes(whole[:end])
        assert read_use(file) == [ROW]
        append_use(file, LOOKED)
        assert file.read_bytes() == whole


def test_an_incomplete_header_is_written_again(file):
    file.write_bytes(b"time,pha")
    append_use(file, ROW)
    assert file.read_text().startswith("time,phase,slice")
    assert read_use(file) == [ROW]


@pytest.mark.parametrize(
    "damage", [b"\0\0\0\n", b"1,2,3\n", b"\xff\xfe\n", b"\n", b'a,b,c,d,e,f,g,h,"\n']
)
def test_damaged_lines_are_left_out(file, damage):
    append_use(file, ROW)
    file.write_bytes(file.read_bytes() + damage)
    append_use(file, LOOKED)
    assert read_use(file) == [ROW, LOOKED]


def test_lines_of_a_windows_editor_are_read(file):
    append_use(file, ROW)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    assert read_use(file) == [ROW]


@pytest.mark.skipif(os.name == "nt", reason="Windows has another reason")
def test_a_log_that_is_a_link_is_refused(file):
    file.symlink_to(target := file.with_name("target"))
    with pytest.raises(DataError, check=says(UNWRITABLE)):
        append_use(file, ROW)
    assert not target.exists()


@pytest.mark.parametrize("room", [0, 10])
def test_a_full_disk_loses_one_row(file, room):
    resource = pytest.importorskip("resource")
    append_use(file, ROW)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + room, limits[1]))
    try:
        with pytest.raises(DataError, check=says(UNWRITABLE, file=file)):
            append_use(file, LOOKED)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    append_use(file, ROW)
    assert read_use(file) == [ROW, ROW]


def test_changed_voxels_are_counted_by_uncertainty():
    before, after = np.zeros((4, 5), np.uint8), np.zeros((4, 5), np.uint8)
    after[1, :4] = 3
    entropy = np.zeros((4, 5), np.float32)
    entropy[:, 0], entropy[:, 1], entropy[:, 2] = 0.9, 0.21, 0.19
    assert changed_voxels(before, after, entropy) == (2, 2)
    assert changed_voxels(after, after, entropy) == (0, 0)


def test_rows_are_summed_up():
    rows = [
        replace(ROW, seconds=10),
        replace(ROW, seconds=20, tool="brush", inside=20, outside=30),
        replace(LOOKED, seconds=6),
    ]
    summary = summarise_use(rows)
    assert (summary.slices, summary.seconds, summary.seconds_per_slice) == (2, 36, 18)
    assert math.isnan(summarise_use([]).seconds_per_slice)
