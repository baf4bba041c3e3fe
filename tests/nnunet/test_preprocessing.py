"""Progress of the cases, and small datasets, which threads preprocess instead of processes."""

import pickle
import sys

import blosc2
import numpy as np
import pytest
from nnunetv2.preprocessing.preprocessors import default_preprocessor

from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from napari_bayes_nnunet.nnunet import planning
from napari_bayes_nnunet.nnunet.planning import (
    MOST_BYTES,
    MOST_CASES,
    counting_cases,
    is_small,
    threads_for_processes,
)

from ..helpers.data.hearts import make_dataset


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
    modules = planning._MODULES.values()
    before = [module.multiprocessing for module in modules]
    with pytest.raises(ZeroDivisionError), threads_for_processes():
        assert default_preprocessor.multiprocessing not in before
        raise ZeroDivisionError
    assert [module.multiprocessing for module in modules] == before


@pytest.mark.skipif(sys.platform == "win32", reason="needs os.fork")
@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_threads_and_processes_write_equal_files(method, warm_command, tmp_path):
    """Two channels, so that each has its own intensities; nnU-Net itself spawns its processes."""
    data = make_dataset(tmp_path / "data", patients=3, channels=2)
    program = "tests.nnunet.pools:main"
    done = warm_command.run(data, tmp_path, method, folder=tmp_path, program=program)
    assert done.code == 0, done.errors
    threads, processes = (
        {str(file.relative_to(workspace)): content(file) for file in workspace.rglob("*.*")}
        for workspace in (tmp_path / "threads", tmp_path / "processes")
    )
    assert threads.keys() == processes.keys()
    assert sum(name.endswith(".b2nd") for name in threads) == 12
    for name, expected in processes.items():
        np.testing.assert_equal(threads[name], expected, err_msg=name)


def content(file):
    """Return the content of a file: an array, the properties of a case, or bytes."""
    if file.suffix == ".b2nd":
        return blosc2.open(str(file))[...]
    if file.suffix == ".pkl":
        return pickle.loads(file.read_bytes())
    return file.read_bytes()


def test_bars_of_nnunet_are_counted_and_restored():
    original, seen = default_preprocessor.tqdm, []
    with counting_cases(lambda *counts: seen.append(counts)):
        bar = default_preprocessor.tqdm(desc="Preprocessing cases", total=2, disable=True)
        with bar as pbar:
            pbar.update()
            pbar.update()
    assert seen == [("preprocessed", done, 2) for done in (0, 1, 2)]
    assert default_preprocessor.tqdm is original
