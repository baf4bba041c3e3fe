"""Images that are not short-axis cines by their DICOM tags."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from napari_bayes_nnunet.core.problems import change
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.search.case_image import NO_CINE_TAGS, case_image, study_image
from napari_bayes_nnunet.io.search.studies import find_studies

from ...helpers.checks.problems import says
from ...helpers.data.dicoms import made_voxels, write_cine


@pytest.fixture
def late_enhancement(tmp_path: Path) -> Path:
    write_cine(tmp_path / "lge", made_voxels((1, 4, 12, 10)), InversionTime=280)
    return tmp_path / "lge"


def test_other_tags_are_refused(late_enhancement):
    with pytest.raises(DataError) as caught:
        case_image(late_enhancement)
    assert "280 ms" in str(caught.value)
    assert caught.value.statement.template == NO_CINE_TAGS
    (volume,) = case_image(late_enhancement, anyway=True).read()
    assert volume.shape == (4, 12, 10)


def test_other_tags_are_refused_in_a_tree(late_enhancement):
    (study,) = find_studies(
        [late_enhancement.parent], output=late_enhancement.parent / "out"
    ).inputs
    with pytest.raises(DataError, check=says(NO_CINE_TAGS)):
        study_image(study).read()
    (volume,) = study_image(study, anyway=True).read()
    assert volume.shape == (4, 12, 10)


def test_single_stack_is_guessed_outside_trees_only(tmp_path):
    """Two slices are not a short-axis stack, unless somebody chooses the folder or the series."""
    write_cine(tmp_path / "two", made_voxels((5, 2, 12, 10)))
    assert case_image(tmp_path / "two").read()[0].shape == (5, 2, 12, 10)
    (study,) = find_studies([tmp_path], output=tmp_path / "out").inputs
    with pytest.raises(DataError) as caught:
        study_image(study, anyway=True).read()
    assert caught.value.remedies == (change("series"),)
    assert study_image(study, series=5).read()[0].shape == (5, 2, 12, 10)


def test_checksum_is_that_of_content_whatever_the_names(tmp_path):
    write_cine(tmp_path / "cine")
    shutil.copytree(tmp_path / "cine", tmp_path / "copy")
    file, *_ = files = [file for file in (tmp_path / "copy").rglob("*") if file.is_file()]
    file = file.rename(file.with_name("renamed"))
    digests = sorted(hashlib.sha256(f.read_bytes()).hexdigest() for f in (file, *files[1:]))
    expected = {"image_sha256": hashlib.sha256("".join(digests).encode()).hexdigest()}
    assert case_image(tmp_path / "cine").checksums == expected
    assert case_image(tmp_path / "copy").checksums == expected
    file.write_bytes(file.read_bytes()[:-1] + b"\xff")
    changed = case_image(tmp_path / "copy").checksums
    assert changed.keys() == expected.keys()
    assert changed != expected


def test_cine_is_not_refused(tmp_path):
    voxels = write_cine(tmp_path / "cine")
    (volume,) = case_image(tmp_path / "cine").read()
    assert volume.shape == voxels.shape
