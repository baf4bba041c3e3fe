"""Pipes, sockets and devices are refused at once, wherever a file is read."""

import os
import socket
from pathlib import Path

import pytest

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.ensemble.ensemble_folder import find_ensemble, read_model
from napari_bayes_nnunet.io.files.access import UNREADABLE
from napari_bayes_nnunet.io.files.checksum import sha256
from napari_bayes_nnunet.io.files.limits import read_small
from napari_bayes_nnunet.io.files.special import SPECIAL_FILE, is_special, refuse_special
from napari_bayes_nnunet.io.images.integrity import is_whole, nifti_header
from napari_bayes_nnunet.io.images.nifti import read_volume
from napari_bayes_nnunet.io.search.folder_walk import is_cohort_table

from ...helpers.checks.problems import says, says_only

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")


@pytest.fixture
def specials(tmp_path, monkeypatch):
    """Return a pipe, a socket and a device."""
    os.mkfifo(tmp_path / "pipe.nii.gz")
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind("socket")
        yield [tmp_path / "pipe.nii.gz", tmp_path / "socket", Path(os.devnull)]


def test_files_and_folders_are_not_special(tmp_path):
    for path in (tmp_path, tmp_path / "missing", Path(__file__)):
        assert not is_special(path)
        refuse_special(path)


def test_no_reader_waits_for_a_pipe(specials):
    for path in specials:
        for read in (refuse_special, read_small, sha256):
            with pytest.raises(OSError, match="pipe"):
                read(path)
        assert nifti_header(path) is None
        assert not is_whole(path)
        assert not is_cohort_table(path)
        with pytest.raises(DataError, check=says(UNREADABLE)):
            read_volume(path)


def test_no_ensemble_is_found_in_a_pipe(specials, tmp_path):
    for path in specials:
        with pytest.raises(DataError, check=says_only(SPECIAL_FILE, path=path)):
            find_ensemble(path)
    os.mkfifo(tmp_path / "plans.json")
    with pytest.raises(DataError, check=says(file=tmp_path / "plans.json")):
        read_model(tmp_path)
