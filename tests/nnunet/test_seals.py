"""Preprocessed images are only those of this installation if they are sealed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from napari_bayes_nnunet.nnunet import seals
from napari_bayes_nnunet.nnunet.seals import is_sealed, seal_files


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "notes"
    monkeypatch.setattr(seals, "_folder", lambda: folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path, notes: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.pkl", "a.b2nd"):
        (folder / name).write_bytes(name.encode())
    return folder


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def test_sealed_files_are_known_again_anywhere(folder: Path, tmp_path: Path) -> None:
    seal_files(files(folder), {"a": 1, "b": 2})
    moved = folder.rename(tmp_path / "moved")
    assert is_sealed(files(moved)[::-1], {"b": 2, "a": 1})
    assert not is_sealed(files(moved), {"a": 1})


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "a.pkl").write_bytes(b"other"),
        lambda folder: (folder / "a.pkl").unlink(),
        lambda folder: (folder / "a.pkl").rename(folder / "b.pkl"),
        lambda folder: (folder / "a.npz").touch(),
        lambda folder: (folder / "inside").mkdir(),
        lambda folder: [file.unlink() for file in folder.iterdir()],
    ],
)
def test_every_change_breaks_the_seal(folder: Path, change: Callable[[Path], object]) -> None:
    seal_files(files(folder))
    change(folder)
    assert not is_sealed(files(folder))


def test_another_installation_has_other_seals(folder: Path, notes: Path) -> None:
    seal_files(files(folder))
    assert notes.stat().st_mode & 0o077 == 0
    notes.rename(notes.with_name("elsewhere"))
    assert not is_sealed(files(folder))


def test_nothing_is_sealed_without_a_place_for_the_note(folder: Path, notes: Path) -> None:
    notes.touch()
    seal_files(files(folder))
    assert not is_sealed(files(folder))
