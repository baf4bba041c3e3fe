"""The ensemble of a worker: read once, anew where it has changed, and for one task at a time."""

import shutil
import threading

import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.cluster.worker_call import ENSEMBLE_CHANGED, EnsembleCache
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.ensemble.ensemble_folder import find_ensemble
from napari_bayes_nnunet.io.ensemble.fingerprint import fingerprint

from ...helpers.data.models import make_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def folder(model, tmp_path):
    """A copy of a made ensemble."""
    return shutil.copytree(model, tmp_path / "ensemble")


@pytest.fixture
def loads(monkeypatch):
    """Counts how often an ensemble is read."""
    read, found = [], Ensemble.__init__

    def load(self, folder, **options):
        read.append(folder)
        found(self, folder, **options)

    monkeypatch.setattr(Ensemble, "__init__", load)
    return read


@pytest.fixture
def cache():
    return EnsembleCache()


def test_ensemble_is_reloaded_only_after_a_change(folder, cache, loads):
    for _ in range(3):
        with cache.ensemble(folder, device="cpu") as first:
            pass
    assert loads == [folder]
    find_ensemble(folder).members[-1].path.unlink()
    with cache.ensemble(folder, device="cpu") as second:
        assert second is not first
    with cache.ensemble(folder, device="cpu", precision="full"):
        pass
    assert loads == [folder] * 3


def test_ensemble_that_changed_during_a_run_is_refused(folder, cache):
    expected = fingerprint(find_ensemble(folder))
    with cache.ensemble(folder, device="cpu", expected=expected):
        pass
    find_ensemble(folder).members[-1].path.unlink()
    with pytest.raises(AppError) as caught, cache.ensemble(folder, expected=expected):
        pass
    assert caught.value.statement.template == ENSEMBLE_CHANGED
    assert caught.value.values == {"folder": folder}


def test_other_files_of_a_training_are_ignored(folder, cache, loads):
    for line in range(3):
        (folder / "train.log").write_text(f"epoch {line}")
        (folder / "gone").symlink_to(
            folder / f"temporary_{line}"
        )  # as a file that vanishes meanwhile
        with cache.ensemble(folder, device="cpu"):
            (folder / "gone").unlink()
    assert loads == [folder]


def test_unreadable_ensemble_does_not_block_the_next(folder, cache, tmp_path):
    with pytest.raises(DataError), cache.ensemble(tmp_path / "none"):
        pass
    with cache.ensemble(folder, device="cpu") as ensemble:
        assert ensemble.structures


def test_two_threads_take_turns(folder, cache, loads):
    inside, most = [], []
    both = threading.Barrier(2)

    def task():
        both.wait()
        for _ in range(50):
            with cache.ensemble(folder, device="cpu"):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=task) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(most) == 100
    assert loads == [folder]
