"""Detection of truncated files, and the number of phases in a header."""

from pathlib import Path

import numpy as np
import pytest

from napari_bayes_nnunet.io.images.integrity import is_whole, nifti_header, phase_count
from tests.helpers.data.cohorts import write_volume
from tests.helpers.data.niftis import save


@pytest.fixture(params=["heart.nii.gz", "odd.nii.gz", "all.npz"])
def file(request, tmp_path) -> Path:
    path = tmp_path / request.param
    if request.param == "odd.nii.gz":  # of 457 bytes when unpacked
        return save(path, np.ones((3, 5, 7), np.uint8))
    if path.suffix == ".gz":
        return write_volume(path)
    np.savez_compressed(path, voxels=np.arange(9999))
    return path


def test_a_whole_file(file):
    assert is_whole(file)


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.999])
def test_a_file_that_was_cut_short(file, share):
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    assert not is_whole(file)


def test_a_file_that_is_something_else_or_nowhere(file):
    file.write_text("text that is no image and no archive")
    assert not is_whole(file)
    file.unlink()
    assert not is_whole(file)


def test_other_files_only_have_to_be_there(tmp_path):
    (tmp_path / "report.json").touch()
    assert is_whole(tmp_path / "report.json")
    assert not is_whole(tmp_path / "other.json")


def test_phases_by_the_header_alone(tmp_path):
    cine = write_volume(tmp_path / "cine.nii.gz", phases=3)
    cine.write_bytes(cine.read_bytes()[:2000])
    assert phase_count(nifti_header(cine)) == 3
    assert phase_count(nifti_header(write_volume(tmp_path / "one.nii"))) == 1
    assert nifti_header(tmp_path / "nowhere.nii") is None
