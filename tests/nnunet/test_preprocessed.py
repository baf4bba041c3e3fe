"""Preprocessed cases are read without running code from their files."""

from __future__ import annotations

import os
import pickle
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

from napari_bayes_nnunet.core.problems import Action, Remedy
from napari_bayes_nnunet.nnunet import ModelError
from napari_bayes_nnunet.nnunet.preprocessed import (
    FOREIGN_OBJECT,
    UNUSUAL_FILE,
    CheckedDataset,
    check_array_file,
    read_properties,
)

from ..helpers.checks.hostile import Toucher, forge_codec

PROPERTIES: dict[str, Any] = {
    "sitk_stuff": {"spacing": (1.5, 1.5, 10.0), "direction": (1.0, 0.0)},
    "spacing": [np.float64(10), np.float32(1.5)],
    "bbox_used_for_cropping": [[0, 4], [0, 40]],
    "class_locations": {
        1: np.arange(12).reshape(3, 4),
        (1, 2): np.arange(12, dtype="i4").reshape(3, 4, order="F"),
        3: np.zeros((0, 4), int),
        4: [],
    },
    "flags": OrderedDict(a=True, b=None, c=np.bool_(True)),
}


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """A preprocessed case as nnU-Net writes it, without the endings of its files."""
    folder = tmp_path / "nnUNetPlans_2d"
    folder.mkdir()
    data = np.random.default_rng(0).normal(size=(1, 4, 40, 48)).astype(np.float32)
    labels = (data > 1).astype(np.int8)
    shapes = {"chunks": (1, 1, 40, 48), "blocks": (1, 1, 32, 32)}
    nnUNetDatasetBlosc2.save_case(data, labels, PROPERTIES, str(folder / "case"), **shapes)
    return folder / "case"


def file_of(case: Path, ending: str) -> Path:
    return case.with_name(case.name + ending)


def assert_refused(file: Path, reason: str) -> None:
    with pytest.raises(ModelError) as caught:
        CheckedDataset(str(file.parent))
    assert caught.value.values["file"] == file.name
    assert caught.value.values["reason"] == reason
    assert caught.value.values["folder"] == file.parents[1]
    assert caught.value.remedies == (Remedy(Action.RESUME),)


def test_a_case_is_read_as_nnunet_reads_it(case: Path) -> None:
    ours = CheckedDataset(str(case.parent)).load_case("case")
    theirs = nnUNetDatasetBlosc2(str(case.parent)).load_case("case")
    for index in (0, 1):
        np.testing.assert_array_equal(ours[index][:], theirs[index][:])
        assert ours[index].dtype == theirs[index].dtype
    assert ours[2] is None
    assert_same(ours[3], theirs[3])


def test_the_previous_stage_of_a_cascade_is_read(case: Path, tmp_path: Path) -> None:
    earlier = tmp_path / "predicted" / "case.b2nd"
    earlier.parent.mkdir()
    earlier.write_bytes(file_of(case, "_seg.b2nd").read_bytes())
    folders = (str(case.parent), ["case"], str(earlier.parent))
    assert CheckedDataset(*folders).load_case("case")[2].dtype == np.int8
    earlier.write_bytes(b"")
    with pytest.raises(ModelError):
        CheckedDataset(*folders)


def assert_same(ours: Any, theirs: Any) -> None:
    """Compare two nested values, with types."""
    assert type(ours) is type(theirs) or isinstance(theirs, OrderedDict)
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        assert_same(list(ours.values()), list(theirs.values()))
    elif isinstance(theirs, list | tuple):
        for mine, other in zip(ours, theirs, strict=True):
            assert_same(mine, other)
    elif isinstance(theirs, np.ndarray):
        np.testing.assert_array_equal(ours, theirs)
        assert (ours.dtype, ours.flags.writeable) == (theirs.dtype, True)
    else:
        assert ours == theirs


# Properties


@pytest.mark.parametrize("protocol", range(3, pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_of_python_3_is_read(protocol: int, tmp_path: Path) -> None:
    places = np.arange(12).reshape(3, 4)
    content = {"shape": (1, 2), "spacing": [1.5], "class_locations": {1: places, 2: places.T}}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol))
    assert_same(read_properties(tmp_path / "a.pkl"), content)


def test_lists_that_repeat_each_other_are_read_once(tmp_path: Path) -> None:
    nested: list[Any] = []
    for _ in range(60):
        nested = [nested, nested]
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"shape": nested}))
    assert read_properties(tmp_path / "a.pkl").keys() == {"shape"}


def test_code_in_the_properties_is_not_run(case: Path, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    file = file_of(case, ".pkl")
    file.write_bytes(pickle.dumps({**PROPERTIES, "more": Toucher(touched)}))
    assert_refused(file, FOREIGN_OBJECT)
    assert not touched.exists()
    pickle.loads(file.read_bytes())
    assert touched.exists()


class _Forged:
    """Pickles as a call of NumPy with a state that NumPy does not check."""

    def __init__(self, *reduced: Any) -> None:
        self._reduced = reduced

    def __reduce__(self) -> tuple[Any, ...]:
        return self._reduced


@pytest.mark.parametrize(
    "forged",
    [
        np.array([None, "a"], object),
        np.zeros(2, [("a", "O")]),
        np.array(["text"]),
        _Forged(np.dtype, ("V8",), (3, "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 0)),
        _Forged(np.ndarray, ((1,), np.dtype("i8"), b"8 bytes."), None),
    ],
    ids=["objects", "fields", "texts", "dtype", "call"],
)
def test_arrays_of_anything_but_numbers_are_refused(forged: Any, case: Path) -> None:
    file = file_of(case, ".pkl")
    file.write_bytes(pickle.dumps({**PROPERTIES, "more": forged}))
    with pytest.raises(ModelError):
        read_properties(file)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x04}.more"[:3],
        pickle.dumps([1]),
        b"\x80\x02}r\xff\xff\xff\x7f.",  # memo of 16 GB
        b"\x80\x02" + b"(" * 10 + b"]" * 10,
    ],
)
def test_damaged_properties_are_refused(content: bytes, case: Path) -> None:
    file = file_of(case, ".pkl")
    file.write_bytes(content)
    assert_refused(file, UNUSUAL_FILE)


# Arrays


@pytest.mark.parametrize("ending", [".b2nd", "_seg.b2nd"])
@pytest.mark.parametrize("change", [lambda c: b"", lambda c: c[:-1], lambda c: c[:300]])
def test_damaged_arrays_are_refused(
    change: Callable[[bytes], bytes], ending: str, case: Path
) -> None:
    file = file_of(case, ending)
    file.write_bytes(change(file.read_bytes()))
    assert_refused(file, UNUSUAL_FILE)


def test_a_missing_array_is_refused(case: Path) -> None:
    file_of(case, "_seg.b2nd").unlink()
    assert_refused(file_of(case, "_seg.b2nd"), UNUSUAL_FILE)


@pytest.mark.parametrize("part", ["chunk", "index"])
def test_a_compression_of_others_starts_no_python(
    part: str, case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """blosc2 would import a module for it, also from the current folder."""
    touched = tmp_path / "touched"
    (tmp_path / "blosc2_grok.py").write_text(f"open({str(touched)!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.defpath]))
    file = file_of(case, ".b2nd")
    file.write_bytes(forge_codec(file.read_bytes(), part))
    assert_refused(file, UNUSUAL_FILE)
    assert not touched.exists()
    if part == "chunk":
        with pytest.raises(RuntimeError):
            blosc2.open(str(file))[:]
        assert touched.exists()


@pytest.mark.parametrize("make", ["lazy", "metadata", "objects", "remote"])
def test_anything_but_a_plain_array_is_refused(make: str, case: Path) -> None:
    file = file_of(case, ".b2nd")
    file.unlink()
    numbers = np.zeros((4, 4), np.float32)
    if make == "lazy":
        operand = blosc2.asarray(numbers, urlpath=str(file.with_name("operand.b2nd")), mode="w")
        (operand + 1).save(urlpath=str(file))
        file.with_name("operand.b2nd").unlink()
    elif make == "metadata":
        array = blosc2.asarray(numbers, urlpath=str(file), mode="w")
        array.schunk.vlmeta["a"] = "b"
    elif make == "objects":
        blosc2.asarray(numbers.view("V4"), urlpath=str(file), mode="w")
    else:
        meta = {"proxy-source": {"urlpath": "a", "caterva2_env": True}}
        blosc2.asarray(numbers, urlpath=str(file), mode="w", meta=meta)
    assert_refused(file, UNUSUAL_FILE)


def test_an_array_of_equal_values_is_accepted(tmp_path: Path) -> None:
    file = tmp_path / "zeros.b2nd"
    for array in (np.zeros((64, 64), np.int8), np.ones((1, 1)), np.zeros((300, 300), np.float32)):
        blosc2.asarray(array, urlpath=str(file), mode="w", chunks=(1, array.shape[1]))
        check_array_file(file)
