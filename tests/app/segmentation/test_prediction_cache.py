"""Predictions that are not computed twice."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from napari_bayes_nnunet.app.segmentation import member_predictions
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.member_predictions import PredictionCache, image_digest
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core import durations
from napari_bayes_nnunet.nnunet import Stopped
from tests.helpers.data.models import made_image, make_model

SPACING = (8.0, 1.5, 1.5)
IMAGE = made_image((4, 40, 50))


@pytest.fixture
def cache(tmp_path: Path) -> PredictionCache:
    return PredictionCache(tmp_path / "answers")


@pytest.fixture
def ensemble(tmp_path: Path, cache: PredictionCache, monkeypatch: pytest.MonkeyPatch) -> Ensemble:
    """An ensemble of 3 members; ``looks`` counts how often its network looks at an image."""
    made = Ensemble(make_model(tmp_path / "model", members=3), device="cpu", cache=cache)
    probabilities = made._predictor.probabilities
    made.looks = 0

    def count(*arguments, **options):
        made.looks += 1
        return probabilities(*arguments, **options)

    monkeypatch.setattr(made._predictor, "probabilities", count)
    return made


def looks(ensemble: Ensemble, image=IMAGE, spacing=SPACING, **asked) -> int:
    before = ensemble.looks
    ensemble.segment(image, spacing, **asked)
    return ensemble.looks - before


def test_other_members_and_methods_use_the_cache(ensemble, tmp_path) -> None:
    assert looks(ensemble, method="vanilla") == 1
    assert looks(ensemble, method="multi") == 2
    assert looks(ensemble, method="multi") == 0
    assert looks(ensemble, method="temperature") == 0
    plain = Ensemble(tmp_path / "model", device="cpu").segment(IMAGE, SPACING)
    again = ensemble.segment(IMAGE, SPACING)
    np.testing.assert_array_equal(again.probabilities, plain.probabilities)
    np.testing.assert_array_equal(again.mutual_information, plain.mutual_information)
    assert again.pairwise_dice == plain.pairwise_dice


def test_other_image_spacing_or_mirroring_is_computed(ensemble, tmp_path) -> None:
    assert looks(ensemble) == 3
    assert looks(ensemble, mirroring="none") == 3
    assert looks(ensemble, mirroring="spread") == 3
    assert looks(ensemble, spacing=(8.0, 1.5, 1.6)) == 3
    assert looks(ensemble, image=IMAGE + 1) == 3


def test_replaced_member_is_computed_again(ensemble, cache, tmp_path) -> None:
    assert looks(ensemble) == 3
    first, second, _ = (member.path for member in ensemble.folder.members)
    shutil.copy(second, first)
    os.utime(first, ns=(1, 1))
    assert looks(ensemble, mirroring="none") == 3  # by the weights that were opened before
    model = tmp_path / "model"
    for mirroring in ("full", "none"):
        anew = Ensemble(model, device="cpu", cache=cache).segment(
            IMAGE, SPACING, mirroring=mirroring
        )
        plain = Ensemble(model, device="cpu").segment(IMAGE, SPACING, mirroring=mirroring)
        np.testing.assert_array_equal(anew.probabilities, plain.probabilities)


def test_stop_works_with_cached_predictions(ensemble) -> None:
    ensemble.segment(IMAGE, SPACING)
    steps = ensemble.steps(IMAGE, SPACING, SegmentationSettings(), should_stop=lambda: True)
    with pytest.raises(Stopped):
        next(steps)


def test_cached_passes_do_not_change_the_eta(ensemble, monkeypatch) -> None:
    ensemble.segment(IMAGE, SPACING, method="vanilla")
    seconds = iter([0.0, 0.0, 8.0, 18.0])
    monkeypatch.setattr(durations, "monotonic", lambda: next(seconds))
    steps = ensemble.steps(IMAGE, SPACING, SegmentationSettings())
    assert [snapshot.eta_seconds for snapshot in steps] == [0, 8, 0]


def test_oldest_file_is_dropped_at_the_limit(tmp_path) -> None:
    answer = np.ones((4, 2, 8, 8), np.float32)
    cache = PredictionCache(tmp_path, limit=3 * (answer.nbytes + 128))
    for n, name in enumerate("abc"):
        cache.store(name, answer)
        os.utime(tmp_path / f"{name}.npy", (n, n))
    assert cache.find("a") is not None  # now it is the newest
    cache.store("d", answer)
    assert [cache.find(name) is not None for name in "abcd"] == [True, False, True, True]
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 3 * (answer.nbytes + 128)
    cache.store("huge", np.ones((4, 20, 80, 80), np.float32))
    assert cache.find("huge") is None
    assert cache.find("d") is not None


def test_nearly_full_disk_empties_the_cache(tmp_path, monkeypatch) -> None:
    cache = PredictionCache(tmp_path / "answers")
    answer = np.ones((4, 2, 8, 8), np.float32)
    cache.store("a", answer)
    full = SimpleNamespace(free=2**29)
    monkeypatch.setattr(member_predictions.shutil, "disk_usage", lambda folder: full)
    cache.store("b", answer)
    assert cache.find("a") is cache.find("b") is None


def test_damaged_or_unwritable_file_is_not_found(tmp_path) -> None:
    cache = PredictionCache(tmp_path)
    cache.store("a", np.ones((4, 2, 8, 8), np.float32))
    file = tmp_path / "a.npy"
    file.write_bytes(file.read_bytes()[:200])
    assert cache.find("a") is None
    (tmp_path / "file").write_text("")
    nowhere = PredictionCache(tmp_path / "file")
    nowhere.store("a", np.ones((4, 2, 8, 8), np.float32))
    assert nowhere.find("a") is None


def test_cached_array_of_wrong_size_is_ignored(ensemble, cache) -> None:
    assert looks(ensemble) == 3
    for file in cache.folder.glob("*.npy"):
        np.save(file, np.ones((4, 2, 2, 2), np.float32))
    assert looks(ensemble) == 3


def test_digest_differs_between_images() -> None:
    image = np.zeros((2, 3), np.int16)
    seen = [image, image.T, image + 1, image.astype(np.uint16)]
    assert len({image_digest(one, SPACING) for one in seen}) == len(seen)
    assert image_digest(image, SPACING) == image_digest(np.asfortranarray(image), SPACING)
