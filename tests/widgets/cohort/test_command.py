"""A folder of studies as the command is told of it, and what is wrong with it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.remote.device import RemoteDevice
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.widgets.cohort import command as cohort_command
from napari_bayes_nnunet.widgets.cohort.command import (
    CohortCommand,
    CohortSettings,
    check_folders,
    results_beside,
)


def asking(**changes: object) -> CohortSettings:
    settings = SegmentationSettings(**({"temperature": 1.0} | changes))
    return CohortSettings(folder=Path("ensemble"), ensemble="Demo", settings=settings)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "Demo, multi, 30 members, mirroring full"),
        ({"members": 1, "method": "vanilla"}, "Demo, vanilla, 1 member, mirroring full"),
        ({"temperature": 1.5}, "Demo, multi, 30 members, mirroring full, temperature 1.5"),
        ({"device": "cuda:0"}, "Demo, multi, 30 members, mirroring full, on cuda:0"),
    ],
)
def test_how_it_is_asked_is_one_line(changes, words) -> None:
    assert str(asking(**changes)) == words


def test_the_command_gets_all_that_was_chosen(tmp_path) -> None:
    settings = SegmentationSettings(temperature=1.25, mirroring="none", device="cpu")
    chosen = CohortSettings(folder=tmp_path / "e", ensemble="Demo", settings=settings)
    request = CohortCommand(asking=chosen, images=Path("images"), output=Path("out"), phases="all")
    here = Path(os.path.abspath("."))
    assert request.arguments == [
        *("predict", str(tmp_path / "e"), str(here / "images"), "-o", str(here / "out")),
        *("--method", "multi", "--members", "30", "--mirroring", "none"),
        *("--temperature", "1.25", "--device", "cpu", "--precision", "auto"),
        *("--phases", "all", "--continue", "--jsonl"),
    ]


@pytest.mark.parametrize("certificates", ["", "/certificates"])
def test_another_computer_is_named_instead_of_a_device(certificates) -> None:
    address = "tls://server:8786"
    chosen = asking(device=str(RemoteDevice(address=address, certificates=certificates)))
    assert str(chosen).endswith(f"mirroring full, on {address}")
    words = chosen.arguments
    assert words[words.index("--device") + 1] == "auto"
    assert words[words.index("--scheduler") + 1] == address
    assert "the same paths on both computers" in chosen.needs
    assert asking().needs == ""
    assert words[words.index(address) + 1 :] == (
        ["--certificates", "/certificates"] if certificates else []
    )


def test_results_are_proposed_beside_the_images(tmp_path) -> None:
    assert results_beside(tmp_path / "acdc") == tmp_path / "acdc_segmented"
    assert results_beside(Path("/")) == Path("/segmented")


def test_a_folder_of_results_may_lie_in_that_of_the_images(tmp_path) -> None:
    check_folders(tmp_path, tmp_path / "out")
    (tmp_path / "out").mkdir()
    check_folders(tmp_path, tmp_path / "out")


def test_what_is_wrong_with_the_folders_is_a_sentence(tmp_path, monkeypatch) -> None:
    file = tmp_path / "heart.nii.gz"
    file.touch()
    images = tmp_path / "images"
    for folders, sentence in {
        (images, tmp_path / "out"): f"There is no folder {images}.",
        (file, tmp_path / "out"): f"{file} is a file: choose the folder it lies in.",
        (tmp_path, file): f"{file} is a file: choose a folder for the results.",
        (tmp_path, tmp_path / "x" / ".."): (
            f"The results need a folder of their own, such as {tmp_path}_segmented."
        ),
    }.items():
        with pytest.raises(AppError) as raised:
            check_folders(*folders)
        assert str(raised.value) == sentence

    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    # Whoever runs the tests may be allowed to read everything.
    monkeypatch.setattr(cohort_command.os, "scandir", refuse)
    with pytest.raises(AppError) as raised:
        check_folders(tmp_path, tmp_path / "out")
    expected = f"{tmp_path} cannot be read (you may not look into it): choose another folder."
    assert str(raised.value) == expected
