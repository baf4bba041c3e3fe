"""The Python interface: an array in, maps and numbers out."""

import subprocess
import sys

import numpy as np
import pytest

from napari_bayes_nnunet import Ensemble
from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.segment import interleaved
from napari_bayes_nnunet.core.metrics import pairwise_dice
from napari_bayes_nnunet.core.posterior import entropy
from napari_bayes_nnunet.io.ensemble_folder import Member
from tests.models import made_image, make_model

SPACING = (8.0, 1.2, 1.9)


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory) -> Ensemble:
    return Ensemble(make_model(tmp_path_factory.mktemp("model"), members=4), device="cpu")


def test_maps_are_those_of_the_mean(ensemble):
    image = made_image((4, 40, 50))
    result = ensemble.segment(image, SPACING)
    members = list(ensemble.member_probabilities(image, SPACING, ensemble.folder.usable_members))
    mean = np.mean([np.asarray(p) for p in members], axis=0)
    np.testing.assert_allclose(result.probabilities, mean, atol=1e-6)
    np.testing.assert_array_equal(result.labels, mean.argmax(axis=0))
    np.testing.assert_allclose(result.entropy, entropy(mean), atol=1e-5)
    labels = [np.asarray(p).argmax(axis=0) for p in members]
    assert result.pairwise_dice == pytest.approx(pairwise_dice(labels, ensemble.structures))
    ml = [np.count_nonzero(m == 3) * np.prod(SPACING) / 1000 for m in labels]
    assert result.volume_spread["LV"].mean == pytest.approx(np.mean(ml))
    assert result.volume_spread["LV"].standard_deviation == pytest.approx(np.std(ml, ddof=1))


def test_snapshots_sharpen_to_the_result(ensemble):
    steps = ensemble.steps(made_image((4, 40, 50)), SPACING)
    seen = []
    while True:
        try:
            snapshot = next(steps)
        except StopIteration as end:
            result = end.value
            break
        seen.append((snapshot.done, snapshot.labels.copy(), snapshot.entropy.copy()))
    assert [done for done, _, _ in seen] == [1, 2, 3, 4]
    np.testing.assert_array_equal(seen[-1][1], result.labels)
    np.testing.assert_array_equal(seen[-1][2], result.entropy)


def test_one_member_has_no_spread(ensemble):
    report = ensemble.segment(made_image((4, 40, 50)), SPACING, method="vanilla").report()
    assert report["pairwise_dice"]["LV"] is None
    assert report["volumes_ml"]["LV"]["standard_deviation"] is None


@pytest.mark.parametrize(
    ("image", "spacing", "words"),
    [
        (np.full((3, 20, 20), np.nan, np.float32), SPACING, "NaN or infinite"),
        (np.zeros((3, 20, 20)), SPACING, "empty"),
        (np.zeros((0, 20, 20)), SPACING, "Expected a"),
        (np.ones((20, 20)), SPACING, "Expected a"),
        (np.ones((3, 20, 20)), (8.0, 0.0, 1.9), "positive lengths"),
    ],
)
def test_arrays_that_cannot_be_segmented(ensemble, image, spacing, words):
    with pytest.raises(AppError, match=words):
        ensemble.segment(image, spacing)


def test_an_unknown_method_is_refused(ensemble):
    with pytest.raises(AppError, match="must be one of multi, single, vanilla"):
        ensemble.segment(made_image((3, 20, 20)), SPACING, method="best")


def test_members_are_visited_cycle_by_cycle(tmp_path):
    members = tuple(
        Member(
            path=tmp_path / f"{cycle}{epoch}",
            training="",
            fold="0",
            epoch=10 * cycle + epoch,
            cycle=cycle,
            learning_rate=0.01,
            bytes=1,
        )
        for cycle in (0, 1, 2)
        for epoch in (7, 9)
    )
    assert [m.epoch for m in interleaved(members)] == [29, 19, 9, 27, 17, 7]


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, napari_bayes_nnunet as b; b.RestartSchedule; b.find_ensemble;"
        "print([m for m in ('torch', 'nnunetv2', 'napari', 'qtpy', 'pandas', 'matplotlib')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names():
    import napari_bayes_nnunet

    for name in napari_bayes_nnunet.__all__:
        assert getattr(napari_bayes_nnunet, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        napari_bayes_nnunet.nonsense  # noqa: B018
