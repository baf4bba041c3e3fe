"""Small datasets, which threads preprocess instead of processes."""

import pickle

import blosc2
import numpy as np
import pytest

from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from napari_bayes_nnunet.nnunet import planning, small_dataset
from napari_bayes_nnunet.nnunet.planning import plan_and_preprocess, workspace_environment
from napari_bayes_nnunet.nnunet.small_dataset import (
    MOST_BYTES,
    MOST_CASES,
    is_small,
    threads_for_processes,
)

from ..helpers.hearts import make_dataset


def test_few_small_cases_are_a_small_dataset(hearts):
    assert is_small(read_dataset(hearts))


def test_many_cases_are_not_a_small_dataset(tmp_path):
    folder = make_dataset(tmp_path / "data", patients=MOST_CASES + 1, frames=1)
    assert not is_small(read_dataset(folder))


def test_large_images_are_not_a_small_dataset(tmp_path):
    dataset = read_dataset(make_dataset(tmp_path / "data", patients=2, frames=1))
    for case in dataset.cases:
        with case.images[0].open("r+b") as stream:
            stream.truncate(MOST_BYTES // 2)
    assert is_small(dataset)
    with dataset.cases[0].images[0].open("ab") as stream:
        stream.write(b"\0")
    assert not is_small(dataset)


def test_nnunets_pools_are_restored_after_a_failure():
    before = [module.multiprocessing for module in small_dataset._MODULES]
    with pytest.raises(ZeroDivisionError), threads_for_processes():
        assert small_dataset._MODULES[0].multiprocessing is not before[0]
        raise ZeroDivisionError
    assert [module.multiprocessing for module in small_dataset._MODULES] == before


@pytest.mark.slow
def test_threads_and_processes_write_equal_files(tmp_path, monkeypatch):
    """Two channels, so that each has its own intensities."""
    dataset = read_dataset(make_dataset(tmp_path / "data", patients=3, channels=2))
    written = {}
    for small in (True, False):
        monkeypatch.setattr(planning, "is_small", lambda _, small=small: small)
        workspace = tmp_path / f"small_{small}"
        for name, value in workspace_environment(workspace).items():
            monkeypatch.setenv(name, value)
            monkeypatch.setattr(f"nnunetv2.paths.{name}", value)
        plan_and_preprocess(dataset, workspace, configuration="2d")
        written[small] = {
            str(file.relative_to(workspace)): content(file)
            for file in workspace.rglob("*")
            if file.is_file()
        }
    assert written[True].keys() == written[False].keys()
    assert sum(name.endswith(".b2nd") for name in written[True]) == 12
    for name, expected in written[False].items():
        np.testing.assert_equal(written[True][name], expected, err_msg=name)


def content(file):
    """Return the content of a file: an array, the properties of a case, or bytes."""
    if file.suffix == ".b2nd":
        return blosc2.open(str(file))[...]
    if file.suffix == ".pkl":
        return pickle.loads(file.read_bytes())
    return file.read_bytes()
