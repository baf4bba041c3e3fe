"""Reading with an upper limit, and files whose content is larger than they are."""

import errno
import os
import zipfile

import numpy as np
import pytest

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.files import limits
from napari_bayes_nnunet.io.files.json_files import DAMAGED_JSON, read_json

from ...helpers.checks.problems import says


def test_file_above_the_limit_is_refused(tmp_path):
    file = tmp_path / "a.csv"
    file.write_bytes(bytes(11))
    assert limits.read_small(file, most=11) == bytes(11)
    with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        limits.read_small(file, most=10)


def test_huge_json_file_is_refused_unread(tmp_path):
    file = tmp_path / "plans.json"
    with file.open("wb") as stream:
        stream.truncate(5 * 10**9)  # a sparse file
    with pytest.raises(DataError, check=says(DAMAGED_JSON, file=file)):
        read_json(file, dict, repair="")


def test_lines_of_a_text_end_as_in_python(tmp_path):
    file = tmp_path / "a.csv"
    file.write_bytes("\ufeffä\r\nb\rc\n".encode())
    assert limits.read_small_text(file, encoding="utf-8-sig") == "ä\nb\nc\n"


@pytest.mark.parametrize(
    ("compression", "size", "is_stored"),
    [
        (zipfile.ZIP_STORED, 20, True),
        (zipfile.ZIP_STORED, 19, False),  # as if the entries overlapped
        (zipfile.ZIP_DEFLATED, 20, False),
    ],
)
def test_archive_of_stored_entries_is_as_large(tmp_path, compression, size, is_stored):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("one", bytes(9))
        archive.writestr("two", bytes(11), compression)
        assert limits.is_stored(archive, size) is is_stored


def test_arrays_read_are_those_that_were_checked(tmp_path):
    file, array = tmp_path / "a.npz", np.arange(3)
    np.savez(file, values=array)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("values", b"something else")
    headers = {}
    arrays = limits.read_npz(file, ["values"], headers.__setitem__)
    np.testing.assert_array_equal(arrays["values"], array)
    assert headers["values"].shape == array.shape


class Unpickled:
    """Notes when it is unpickled."""

    happened = False

    def __setstate__(self, state):
        Unpickled.happened = True

    def __getstate__(self):
        return {"a": 1}


def test_arrays_of_objects_are_never_unpickled(tmp_path):
    file = tmp_path / "a.npz"
    np.savez(file, values=np.array([Unpickled()]))
    with pytest.raises(ValueError, match="allow_pickle"):
        limits.read_npz(file, ["values"], {}.__setitem__)
    assert not Unpickled.happened
