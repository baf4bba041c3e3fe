"""Tests of messages with their files in one stream."""

import io
import itertools

import numpy as np
import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.messages import PhaseDone, SnapshotReady, StopJob
from napari_bayes_nnunet.app.remote import stream
from napari_bayes_nnunet.app.remote.stream import DAMAGED_DATA, read_messages, write_message


def snapshot(folder) -> SnapshotReady:
    """Return a message with three arrays."""
    arrays = {"labels": np.arange(6, dtype=np.uint8), "entropy": np.ones(3), "variance": np.eye(2)}
    paths = {name: str(folder / f"{name}.npy") for name in arrays}
    for name, values in arrays.items():
        np.save(paths[name], values)
    labels = paths.pop("labels")
    return SnapshotReady(job=1, phase=2, done=3, total=4, eta_seconds=0, labels=labels, maps=paths)


def packed(message) -> bytes:
    content = io.BytesIO()
    write_message(content, message)
    return content.getvalue()


def unpacked(content: bytes, folder):
    return list(read_messages(io.BytesIO(content), folder))


def test_messages_arrive_with_their_files(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir(), there.mkdir()
    sent = snapshot(here)
    others = [StopJob(job=4), PhaseDone(job=1, phase=None, report={"notes": []})]
    content = packed(sent) + b"".join(map(packed, others))
    assert str(tmp_path).encode() not in content
    found, *rest = unpacked(content, there)
    assert rest == others
    assert (found.job, found.phase, found.done, [*found.maps]) == (1, 2, 3, [*sent.maps])
    for mine, other in zip(sent.files, found.files, strict=True):
        assert other.parent == there
        assert other.read_bytes() == mine.read_bytes()
    found.delete_files()
    assert list(there.iterdir()) == []


def test_stream_that_ends_in_a_file_raises(tmp_path):
    content = packed(snapshot(tmp_path))
    for end in (len(content) - 1, content.index(b"\x93NUMPY") + 20):
        with pytest.raises(EOFError):
            unpacked(content[:end], tmp_path)


def array(dtype="|u1", shape="(4,)", voxels=4) -> bytes:
    """Return an .npy file with such a header and number of bytes."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(voxels)


FILES = {
    "whole": (array(), True),
    "cut": (array(voxels=3), False),
    "longer": (array(voxels=5), False),
    "huge": (array(shape="(1000000000, 1000000000)"), False),
    "objects": (array("|O", "(1,)", 8), False),
    "no array": (b"no array at all", False),
    "header of 4 GB": (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", False),
    "empty": (b"", False),
}


@pytest.mark.parametrize("name", FILES)
def test_only_whole_arrays_of_numbers_are_received(name, tmp_path):
    content, is_fine = FILES[name]
    line = SnapshotReady(
        job=1, phase=None, done=1, total=1, eta_seconds=0, labels=".npy", maps={}
    ).to_line()
    sent = f"{line}\n{len(content)}\n".encode() + content
    if is_fine:
        (message,) = unpacked(sent, tmp_path)
        assert np.load(message.labels).tolist() == [0, 0, 0, 0]
        return
    with pytest.raises(AppError) as caught:
        unpacked(sent, tmp_path)
    assert caught.value.statement.template == DAMAGED_DATA


ENDINGS = ("/etc/passwd", "../a.npy", ".exe")
SIZES = ("-1", "x", "", str(stream.LARGEST_FILE + 1), "9" * 30)


@pytest.mark.parametrize(
    ("ending", "size"),
    [*itertools.product(ENDINGS, ["4"]), *itertools.product([".npz"], SIZES)],
)
def test_paths_and_sizes_are_not_chosen_by_the_sender(ending, size, tmp_path):
    line = PhaseDone(job=1, phase=None, report={}, posterior=ending).to_line()
    with pytest.raises(AppError) as caught:
        unpacked(f"{line}\n{size}\nabcd".encode(), tmp_path)
    assert caught.value.statement.template == DAMAGED_DATA
    assert list(tmp_path.iterdir()) == []
