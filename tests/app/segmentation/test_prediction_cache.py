"""Answers that are not computed twice."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from napari_bayes_nnunet.app.segmentation import (
    prediction_cache as kept_answers,
)
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.prediction_cache import PredictionCache, image_digest
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core import durations
from napari_bayes_nnunet.nnunet import Stopped
from tests.helpers.models import made_image, make_model

SPACING = (8.0, 1.5, 1.5)
IMAGE = made_image((4, 40, 50))


@pytest.fixture
def kept(tmp_path: Path) -> PredictionCache:
    return PredictionCache(tmp_path / "answers")


@pytest.fixture
def ensemble(tmp_path: Path, kept: PredictionCache, monkeypatch: pytest.MonkeyPatch) -> Ensemble:
    """An ensemble of 3 members; ``looks`` counts how often its network looks at an image."""
    made = Ensemble(make_model(tmp_path / "model", members=3), device="cpu", kept=kept)
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


def test_more_members_and_another_method_take_what_is_known(ensemble, tmp_path) -> None:
    assert looks(ensemble, method="vanilla") == 1
    assert looks(ensemble, method="multi") == 2
    assert looks(ensemble, method="multi") == 0
    assert looks(ensemble, method="temperature") == 0
    plain = Ensemble(tmp_path / "model", device="cpu").segment(IMAGE, SPACING)
    again = ensemble.segment(IMAGE, SPACING)
    np.testing.assert_array_equal(again.probabilities, plain.probabilities)
    np.testing.assert_array_equal(again.mutual_information, plain.mutual_information)
    assert again.pairwise_dice == plain.pairwise_dice


def test_what_is_another_question_is_computed(ensemble, tmp_path) -> None:
    assert looks(ensemble) == 3
    assert looks(ensemble, mirroring="none") == 3
    assert looks(ensemble, mirroring="spread") == 3
    assert looks(ensemble, spacing=(8.0, 1.5, 1.6)) == 3
    assert looks(ensemble, image=IMAGE + 1) == 3


def test_a_member_that_was_written_anew_is_another(ensemble, kept, tmp_path) -> None:
    assert looks(ensemble) == 3
    first, second, _ = (member.path for member in ensemble.folder.members)
    shutil.copy(second, first)
    os.utime(first, ns=(1, 1))
    assert looks(ensemble, mirroring="none") == 3  # by the weights that were opened before
    model = tmp_path / "model"
    for mirroring in ("full", "none"):
        anew = Ensemble(model, device="cpu", kept=kept).segment(IMAGE, SPACING, mirroring=mirroring)
        plain = Ensemble(model, device="cpu").segment(IMAGE, SPACING, mirroring=mirroring)
        np.testing.assert_array_equal(anew.probabilities, plain.probabilities)


def test_a_stop_is_heard_where_all_is_known(ensemble) -> None:
    ensemble.segment(IMAGE, SPACING)
    steps = ensemble.steps(IMAGE, SPACING, SegmentationSettings(), should_stop=lambda: True)
    with pytest.raises(Stopped):
        next(steps)


def test_what_is_known_says_nothing_about_the_time_that_is_left(ensemble, monkeypatch) -> None:
    ensemble.segment(IMAGE, SPACING, method="vanilla")
    seconds = iter([0.0, 0.0, 8.0, 18.0])
    monkeypatch.setattr(durations, "monotonic", lambda: next(seconds))
    steps = ensemble.steps(IMAGE, SPACING, SegmentationSettings())
    assert [snapshot.eta_seconds for snapshot in steps] == [0, 8, 0]


def test_the_oldest_goes_where_room_is_short(tmp_path) -> None:
    answer = np.ones((4, 2, 8, 8), np.float32)
    kept = PredictionCache(tmp_path, limit=3 * (answer.nbytes + 128))
    for n, name in enumerate("abc"):
        kept.keep(name, answer)
        os.utime(tmp_path / f"{name}.npy", (n, n))
    assert kept.find("a") is not None  # now it is the newest
    kept.keep("d", answer)
    assert [kept.find(name) is not None for name in "abcd"] == [True, False, True, True]
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 3 * (answer.nbytes + 128)
    kept.keep("huge", np.ones((4, 20, 80, 80), np.float32))
    assert kept.find("huge") is None
    assert kept.find("d") is not None


def test_a_full_disk_is_left_to_others(tmp_path, monkeypatch) -> None:
    kept = PredictionCache(tmp_path / "answers")
    answer = np.ones((4, 2, 8, 8), np.float32)
    kept.keep("a", answer)
    full = SimpleNamespace(free=2**29)
    monkeypatch.setattr(kept_answers.shutil, "disk_usage", lambda folder: full)
    kept.keep("b", answer)
    assert kept.find("a") is kept.find("b") is None


def test_a_damaged_or_impossible_file_is_as_none(tmp_path) -> None:
    kept = PredictionCache(tmp_path)
    kept.keep("a", np.ones((4, 2, 8, 8), np.float32))
    file = tmp_path / "a.npy"
    file.write_bytes(file.read_bytes()[:200])
    assert kept.find("a") is None
    (tmp_path / "file").write_text("")
    nowhere = PredictionCache(tmp_path / "file")
    nowhere.keep("a", np.ones((4, 2, 8, 8), np.float32))
    assert nowhere.find("a") is None


def test_an_answer_of_another_size_is_computed_again(ensemble, kept) -> None:
    assert looks(ensemble) == 3
    for file in kept.folder.glob("*.npy"):
        np.save(file, np.ones((4, 2, 2, 2), np.float32))
    assert looks(ensemble) == 3


def test_digests_tell_images_apart() -> None:
    image = np.zeros((2, 3), np.int16)
    seen = [image, image.T, image + 1, image.astype(np.uint16)]
    assert len({image_digest(one, SPACING) for one in seen}) == len(seen)
    assert image_digest(image, SPACING) == image_digest(np.asfortranarray(image), SPACING)
