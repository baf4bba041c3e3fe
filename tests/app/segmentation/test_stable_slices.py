"""Slices are asked only as many members as they need."""

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_bayes_nnunet.app.segmentation.ensemble import STABLE_SLICES, Ensemble, PassPlan
from napari_bayes_nnunet.app.segmentation.member_predictions import PredictionCache
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.ensemble import stability
from napari_bayes_nnunet.core.ensemble.posterior import RunningPosterior
from napari_bayes_nnunet.core.ensemble.stability import Stability
from napari_bayes_nnunet.core.metrics.overlap import pairwise_dice
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.study.case_report import read_report
from tests.helpers.data.models import made_image, make_model

SPACING = (8.0, 1.2, 1.9)
MEMBERS = 12
SETTINGS = SegmentationSettings(
    members=MEMBERS, mirroring="none", window="whole", until_stable=True
)
WHOLE = replace(SETTINGS, until_stable=False)
REST_AFTER = {0: 6, 2: 9}
"""Slice → members after which it is said to be at rest; the checks are after 3, 6, 9."""
ASKED = (6, 12, 9, 12)


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory) -> Ensemble:
    folder = make_model(tmp_path_factory.mktemp("model"), members=MEMBERS)
    return Ensemble(folder, device="cpu", precision="full")


@pytest.fixture
def rests(monkeypatch) -> None:
    """Some slices come to rest."""
    checks: dict[Stability, int] = {}

    def update(self, labels, entropy):
        checks[self] = checks.get(self, 0) + 3
        return np.array([checks[self] >= REST_AFTER.get(z, 99) for z in range(len(labels))])

    monkeypatch.setattr(Stability, "update", update)


def expected_posteriors(ensemble, image, *, axis=0) -> list[RunningPosterior]:
    """Return the posterior of each slice of the members that were asked there, in their order."""
    order = PassPlan(folder=ensemble.folder, settings=SETTINGS).order
    posteriors = [RunningPosterior() for _ in ASKED]
    passes = ensemble.pass_probabilities(image, SPACING, order, mirroring="none")
    for number, probabilities in enumerate(passes):
        for z, asked in enumerate(ASKED):
            if number < asked:
                posteriors[z].add(np.asarray(probabilities).take([z], axis + 1))
    return posteriors


@pytest.mark.parametrize("window", ["whole", "heart"])
def test_a_tolerance_that_never_rests_changes_no_bit(ensemble, monkeypatch, window) -> None:
    monkeypatch.setattr(stability, "LABELS_TOLERANCE", -1)
    image = made_image((4, 40, 50))
    settings = replace(SETTINGS, window=window)
    every = drain(ensemble.steps(image, SPACING, replace(settings, until_stable=False)))
    stopped = drain(ensemble.steps(image, SPACING, settings))
    for name in ("labels", "probabilities", "entropy", "mutual_information"):
        np.testing.assert_array_equal(getattr(stopped, name), getattr(every, name))
    for name in ("volumes", "member_volumes", "volume_spread", "pairwise_dice", "members"):
        assert getattr(stopped, name) == getattr(every, name)
    assert (every.members_by_slice, stopped.members_by_slice) == ((), (MEMBERS,) * 4)
    assert stopped.notes == every.notes


def test_the_temperature_does_not_decide_when_a_slice_rests(ensemble, monkeypatch) -> None:
    compared: list[np.ndarray] = []

    def update(self, labels, entropy):
        compared.append(entropy)
        return np.ones(len(labels), bool)

    monkeypatch.setattr(Stability, "update", update)
    for temperature in (1, 3):
        settings = replace(SETTINGS, temperature=temperature)
        drain(ensemble.steps(made_image((4, 40, 50)), SPACING, settings))
    np.testing.assert_array_equal(*compared)


def test_a_slice_keeps_the_posterior_of_the_members_it_asked(ensemble, rests, tmp_path) -> None:
    image = made_image((4, 40, 50))
    result = drain(ensemble.steps(image, SPACING, SETTINGS))
    assert result.members_by_slice == ASKED
    for z, posterior in enumerate(expected_posteriors(ensemble, image)):
        np.testing.assert_array_equal(result.labels[[z]], posterior.labels())
        for found, method in (
            (result.probabilities[:, [z]], RunningPosterior.mean),
            (result.entropy[[z]], RunningPosterior.total_entropy),
            (result.mutual_information[[z]], RunningPosterior.mutual_information),
        ):
            np.testing.assert_allclose(found, method(posterior), atol=2e-5)
    file = tmp_path / "case.json"
    file.write_text(json.dumps(result.report()))
    report = read_report(file)
    assert report["members_by_slice"] == list(ASKED)
    assert (report["members_asked"], len(report["members"])) == (MEMBERS, MEMBERS)
    assert STABLE_SLICES.format(fewest=6, most=12, total=12, mean=9.75) in report["notes"]


def test_members_not_asked_answer_as_those_asked_in_turn(ensemble, rests) -> None:
    image = made_image((4, 40, 50))
    every = drain(ensemble.steps(image, SPACING, WHOLE, keep_members=True))
    result = drain(ensemble.steps(image, SPACING, SETTINGS))
    plan = PassPlan(folder=ensemble.folder, settings=SETTINGS)
    at = [plan.passes.index(one) for one in plan.order]
    expected = every.member_labels.copy()
    for z, asked in enumerate(ASKED):
        for number in range(asked, MEMBERS):
            expected[at[number], z] = every.member_labels[at[number % asked], z]
    np.testing.assert_array_equal(result.member_labels, expected)
    assert result.pairwise_dice == pytest.approx(pairwise_dice(expected, result.structures))
    for name, label in result.structures.items():
        ml = np.count_nonzero(expected == label, axis=(1, 2, 3)) * np.prod(SPACING) / 1000
        np.testing.assert_allclose(result.member_volumes[name], ml)


def test_the_network_sees_only_open_slices_of_all_phases(ensemble, rests, monkeypatch) -> None:
    seen = []
    logits = ensemble._predictor.network.logits
    monkeypatch.setattr(
        ensemble._predictor.network,
        "logits",
        lambda batch, *a, **k: seen.append(len(batch)) or logits(batch, *a, **k),
    )
    y, x = ensemble._predictor.patch_size
    images = [made_image((4, y, x)), made_image((4, y, x), seed=1)]
    results = drain(ensemble.phase_steps(images, (8, 1.5, 1.5), SETTINGS))
    assert [r.members_by_slice for r in results] == [ASKED, ASKED]
    assert sum(seen) == 2 * sum(ASKED)
    assert set(seen) == {ensemble._predictor.batch_size}  # 3 slices of 2 phases are 3 batches of 2


@pytest.mark.parametrize("axis", [1, 2])
def test_slices_may_lie_on_another_axis(ensemble, rests, axis) -> None:
    image = np.moveaxis(made_image((4, 40, 50)), 0, axis)
    spacing = tuple(np.insert(SPACING[1:], axis, SPACING[0]))
    straight = drain(ensemble.steps(made_image((4, 40, 50)), SPACING, SETTINGS))
    result = drain(ensemble.steps(image, spacing, SETTINGS))
    assert result.members_by_slice == ASKED
    np.testing.assert_array_equal(np.moveaxis(result.labels, axis, 0), straight.labels)
    assert result.member_volumes == straight.member_volumes


def test_slices_that_nnunet_crops_away_are_left_out(ensemble, rests) -> None:
    image = made_image((4, 40, 50))
    image[0] = 0
    result = drain(ensemble.steps(image, SPACING, SETTINGS))
    assert result.members_by_slice == ASKED
    assert result.probabilities[0, 0].min() == pytest.approx(1, abs=1e-6)


def test_a_window_and_stable_slices_go_together(ensemble, rests, monkeypatch) -> None:
    image = made_image((4, 90, 90))

    def window(predictor, prepared, found, axis):
        middle = np.zeros_like(found)
        middle[:, 40:50, 40:50] = True
        return predictor.cutout(prepared, middle, margin=0)

    module = "napari_bayes_nnunet.app.segmentation.ensemble."
    monkeypatch.setattr(module + "find_window", window)
    monkeypatch.setattr(module + "widened_window", lambda *_: None)
    heart = replace(SETTINGS, window="heart")
    result = drain(ensemble.steps(image, SPACING, heart))
    assert result.members_by_slice == ASKED
    assert result.window_box is not None
    outside = np.ones(image.shape, bool)
    outside[result.window_box] = False
    first = drain(ensemble.steps(image, SPACING, replace(WHOLE, method="vanilla")))
    np.testing.assert_allclose(result.entropy[outside], first.entropy[outside], atol=1e-5)
    plain = drain(ensemble.steps(image, SPACING, replace(heart, until_stable=False)))
    np.testing.assert_allclose(result.entropy[1], plain.entropy[1], atol=1e-4)
    assert np.abs(result.entropy[0] - plain.entropy[0]).max() > 1e-3


def test_kept_predictions_of_some_slices_give_the_same(tmp_path, ensemble, rests) -> None:
    cached = Ensemble(
        ensemble.folder, device="cpu", precision="full", cache=PredictionCache(tmp_path)
    )
    image = made_image((4, 40, 50))
    first, again = (drain(cached.steps(image, SPACING, SETTINGS)) for _ in range(2))
    np.testing.assert_array_equal(first.probabilities, again.probabilities)
    assert again.members_by_slice == ASKED


def test_a_3d_network_asks_all_slices(tmp_path, monkeypatch) -> None:
    folder = make_model(tmp_path, configuration="3d_fullres", members=9)
    ensemble = Ensemble(folder, device="cpu")
    checked = []
    monkeypatch.setattr(
        Stability, "update", lambda self, labels, entropy: checked.append(labels.shape) or [True]
    )
    image = made_image((8, 40, 30))
    result = drain(ensemble.steps(image, (6, 1.5, 1.5), replace(SETTINGS, members=9)))
    assert checked == [(1, 8, 40, 30)]
    assert result.members_by_slice == (3,) * 8
