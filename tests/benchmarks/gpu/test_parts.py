"""Tests that a training state travels in parts and is joined to the same bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks.command_line import run
from benchmarks.gpu.parts import INDEX, PartsError, join_parts, split_folder, take_parts

from benchmarks.gpu import parts as module

LARGE = "fold_0/checkpoint.pth"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a file of 2500 bytes and a small one, where a part has 1000 bytes."""
    monkeypatch.setattr(module, "PART_BYTES", 1000)
    folder = tmp_path / "run"
    (folder / "fold_0").mkdir(parents=True)
    (folder / LARGE).write_bytes(np.random.default_rng(0).bytes(2500))
    (folder / "plans.json").write_text("{}")
    (folder / "images.bin").write_bytes(b"x" * 300)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    every = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in every}


def test_joined_files_are_the_same(state, tmp_path) -> None:
    parts = split_folder(state, tmp_path / "parts")
    sizes = sorted(part.stat().st_size for part in parts if part.name != INDEX)
    assert sizes == [2, 300, 500, 1000, 1000]
    join_parts(tmp_path / "parts", tmp_path / "joined")
    assert files(tmp_path / "joined") == files(state)


def test_left_out_files_do_not_travel(state, tmp_path) -> None:
    split_folder(state, tmp_path / "parts", leave_out=lambda name: name == "images.bin")
    joined = join_parts(tmp_path / "parts", tmp_path / "joined")
    assert sorted(file.name for file in joined) == ["checkpoint.pth", "plans.json"]


def test_unchanged_file_keeps_its_parts(state, tmp_path) -> None:
    before = {part.name for part in split_folder(state, tmp_path / "parts")}
    (state / LARGE).write_bytes(b"y" * 1500)
    after = {part.name for part in split_folder(state, tmp_path / "parts")}
    assert len(before & after) == 3  # the index, and the parts of images.bin and plans.json
    assert {path.name for path in (tmp_path / "parts").iterdir()} == after


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_damaged_part_is_refused(state, tmp_path, damage) -> None:
    parts = split_folder(state, tmp_path / "parts")
    part = next(part for part in parts if part.stat().st_size == 500)
    part.unlink() if damage == "missing" else part.write_bytes(b"z" * 500)
    with pytest.raises(PartsError):
        join_parts(tmp_path / "parts", tmp_path / "joined")
    assert not (tmp_path / "joined" / LARGE).exists()


def test_index_is_needed_to_join(tmp_path) -> None:
    with pytest.raises(PartsError):
        join_parts(tmp_path, tmp_path / "joined")


def test_parts_are_taken_home_in_steps(state, tmp_path) -> None:
    split_folder(state, parts := tmp_path / "parts")
    most = 1600 + (parts / INDEX).stat().st_size
    left = [take_parts(parts, tmp_path / f"trip{n}", most_bytes=most) for n in range(3)]
    assert left == [4, 2, 0]
    for trip in (tmp_path / "trip1", tmp_path / "trip2"):
        for file in trip.iterdir():
            file.replace(tmp_path / "trip0" / file.name)
    join_parts(tmp_path / "trip0", tmp_path / "joined")
    assert files(tmp_path / "joined") == files(state)


def test_command_splits_takes_and_joins(state, tmp_path, capsys) -> None:
    folders = [str(state), *(str(tmp_path / name) for name in ("parts", "home", "joined"))]
    commands = [
        ["split", *folders[:2]],
        ["take", *folders[1:3], "--mib", "1"],
        ["join", *folders[2:]],
    ]
    for words in commands:
        run(None, module.split, module.take, module.join, words=words)
    assert files(tmp_path / "joined") == files(state)
    assert capsys.readouterr().out.splitlines()[1].startswith("0 parts are left")
