"""Cases in subfolders, and which reference belongs to which of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.evaluation.predictions import predicted_cases
from napari_bayes_nnunet.io.evaluation.references import (
    SEVERAL_REFERENCES,
    SHARED_REFERENCE,
    ReferenceTree,
)

from ...helpers.processes.small_disk import forget_file_numbers


def touch(root: Path, *files: str) -> Path:
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_subfolders_without_file_numbers_are_searched(tmp_path: Path, monkeypatch) -> None:
    touch(tmp_path, "p1/heart.nii.gz", "p2/heart.nii.gz")
    (tmp_path / "p2" / "circle").symlink_to(tmp_path)
    forget_file_numbers(monkeypatch)
    assert predicted_cases(tmp_path) == ["p1/heart", "p2/heart"]


@pytest.mark.parametrize(
    ("files", "case", "phase", "expected"),
    [
        (["p1/heart.nii.gz", "p2/heart.nii.gz"], "p1/heart", None, "p1/heart"),
        (["heart_gt.nii.gz"], "p1/heart", None, "heart"),
        (["p1/heart.nii.gz", "heart.nii.gz"], "p1/heart", None, "p1/heart"),
        (["p1/heart_frame01_gt.nii", "p1/heart_frame01.nii"], "heart_frame01", 1, "p1/heart"),
        (["deep/p7_frame03_gt.nii.gz"], "x/p7_4d_frame03", 3, "deep/p7_4d"),
        (["p1/cine.nii.gz"], "p1/cine_frame02", 2, "p1/cine"),
        (["p1/other.nii.gz"], "p1/heart", None, None),
    ],
)
def test_reference_has_the_same_place_or_is_alone(
    tmp_path: Path, files: list[str], case: str, phase: int | None, expected: str | None
) -> None:
    matches = ReferenceTree(touch(tmp_path, *files)).match({case: phase})
    assert matches.get(case) == expected


def test_several_references_of_a_case_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a/heart.nii.gz", "b/heart.nii.gz")
    with pytest.raises(DataError) as caught:
        ReferenceTree(tmp_path).match({"p1/heart": None})
    assert caught.value.statement.template == SEVERAL_REFERENCES
    assert caught.value.values["files"] == "a/heart, b/heart"


def test_reference_of_several_cases_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "heart.nii.gz")
    with pytest.raises(DataError) as caught:
        ReferenceTree(tmp_path).match({"p1/heart": None, "p2/heart": None})
    assert caught.value.statement.template == SHARED_REFERENCE
    assert (caught.value.values["first"], caught.value.values["second"]) == ("p1/heart", "p2/heart")
