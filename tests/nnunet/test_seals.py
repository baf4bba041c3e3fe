"""Preprocessed images are only those of this installation if their seal says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from napari_bayes_nnunet.nnunet import seals
from napari_bayes_nnunet.nnunet.seals import KEY, is_sealed, seal_files


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "keys"
    monkeypatch.setattr(seals, "_key_folder", lambda: folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path, keys: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.pkl", "a.b2nd"):
        (folder / name).write_bytes(name.encode())
    return folder


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def test_sealed_files_are_known_again_anywhere(folder: Path, tmp_path: Path) -> None:
    seal = seal_files(files(folder))
    moved = folder.rename(tmp_path / "moved")
    assert is_sealed(reversed(files(moved)), seal)


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
    seal = seal_files(files(folder))
    change(folder)
    assert not is_sealed(files(folder), seal)


@pytest.mark.parametrize("seal", ["", None, 3, "0" * 64])
def test_other_seals_are_not_accepted(folder: Path, seal: object) -> None:
    assert not is_sealed(files(folder), seal)
    assert not is_sealed([], seal)


def test_another_installation_has_other_seals(folder: Path, keys: Path) -> None:
    seal = seal_files(files(folder))
    assert (keys / KEY).stat().st_mode & 0o077 == 0
    (keys / KEY).unlink()
    assert not is_sealed(files(folder), seal)


@pytest.mark.parametrize("key", [b"", b"short"])
def test_nothing_is_sealed_with_a_damaged_key(folder: Path, keys: Path, key: bytes) -> None:
    keys.mkdir()
    (keys / KEY).write_bytes(key)
    assert not is_sealed(files(folder), seal_files(files(folder)))


def test_nothing_is_sealed_without_a_place_for_the_key(folder: Path, keys: Path) -> None:
    keys.touch()
    assert seal_files(files(folder)) == ""
    assert not is_sealed(files(folder), "")
