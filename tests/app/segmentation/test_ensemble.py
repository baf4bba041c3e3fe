"""The Python interface: an array in, maps and numbers out."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_bayes_nnunet import Ensemble
from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.segmentation.ensemble import LV_NOT_SEGMENTED, STABLE
from napari_bayes_nnunet.app.segmentation.image_check import (
    CONTRADICTION,
    EMPTY_IMAGE,
    NOT_FINITE,
    UNKNOWN_SLICES,
)
from napari_bayes_nnunet.app.segmentation.methods import (
    METHODS,
    ForwardPass,
    choose_members,
    interleave_passes,
    make_passes,
)
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.ensemble.posterior import entropy
from napari_bayes_nnunet.core.ensemble.stability import Stability
from napari_bayes_nnunet.core.metrics.overlap import pairwise_dice
from napari_bayes_nnunet.core.problems import change
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.nnunet import ModelError, inference
from napari_bayes_nnunet.nnunet import network as network_module
from napari_bayes_nnunet.nnunet.inference import WRONG_SIZE, Predictor
from tests.helpers.data.models import made_image, make_model

from ...helpers.checks.problems import says, says_only

SPACING = (8.0, 1.2, 1.9)


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory) -> Ensemble:
    return Ensemble(make_model(tmp_path_factory.mktemp("model"), members=4), device="cpu")


def test_maps_are_those_of_the_mean(ensemble):
    image = made_image((4, 40, 50))
    result = ensemble.segment(image, SPACING)
    passes = [ForwardPass((member,)) for member in ensemble.folder.usable_members]
    members = list(ensemble.pass_probabilities(image, SPACING, passes))
    mean = np.mean([np.asarray(p) for p in members], axis=0)
    np.testing.assert_allclose(result.probabilities, mean, atol=1e-6)
    np.testing.assert_array_equal(result.labels, mean.argmax(axis=0))
    np.testing.assert_allclose(result.entropy, entropy(mean), atol=1e-5)
    labels = [np.asarray(p).argmax(axis=0) for p in members]
    assert result.pairwise_dice == pytest.approx(pairwise_dice(labels, ensemble.structures))
    ml = [np.count_nonzero(m == 3) * np.prod(SPACING) / 1000 for m in labels]
    assert result.volume_spread["LV"].mean == pytest.approx(np.mean(ml))
    assert result.volume_spread["LV"].standard_deviation == pytest.approx(np.std(ml, ddof=1))


def test_spacing_that_contradicts_the_shape_is_refused(ensemble):
    """No reading of such a header is right: one axis is coarse, another has few voxels."""
    image, cine = made_image((4, 40, 50)), made_image((3, 4, 40, 50))
    with pytest.raises(AppError) as caught:
        ensemble.segment(image, (1.2, 1.9, 8.0))
    assert caught.value.remedies == (change("spacing"),)
    assert caught.value.values == {"spacing": "1.2 × 1.9 × 8", "shape": "4 × 40 × 50"}
    with pytest.raises(AppError, check=says(CONTRADICTION)):
        ensemble.find_phases(cine[None], (1.2, 1.9, 8.0))


def test_slices_that_cannot_be_told_are_a_warning(ensemble):
    image, equal = made_image((30, 40, 50)), (1.5, 1.5, 1.5)
    result = ensemble.segment(image, equal, members=1, mirroring="none")
    values = {"spacing": "1.5 × 1.5 × 1.5", "shape": "30 × 40 × 50"}
    assert UNKNOWN_SLICES.format(**values) in result.warnings
    usual = ensemble.segment(made_image((4, 40, 50)), SPACING, members=1, mirroring="none")
    assert set(result.warnings) - set(usual.warnings) == {UNKNOWN_SLICES.format(**values)}


def test_snapshots_sharpen_to_the_result(ensemble):
    steps = ensemble.steps(made_image((4, 40, 50)), SPACING, SegmentationSettings())
    seen = []
    result = drain(steps, lambda s: seen.append((s.done, s.labels.copy(), s.entropy.copy())))
    assert [done for done, _, _ in seen] == [1, 2, 3, 4]
    np.testing.assert_array_equal(seen[-1][1], result.labels)
    np.testing.assert_array_equal(seen[-1][2], result.entropy)


def test_one_member_has_no_spread(ensemble):
    report = ensemble.segment(made_image((4, 40, 50)), SPACING, method="vanilla").report()
    assert report["pairwise_dice"]["LV"] is None
    assert report["volumes_ml"]["LV"]["standard_deviation"] is None


@pytest.mark.parametrize(
    ("image", "spacing", "values"),
    [
        (
            np.full((3, 20, 20), -1e30, np.float32),
            SPACING,
            {"largest": pytest.approx(1e30)},
        ),
        (np.zeros((0, 20, 20)), SPACING, {"shape": (0, 20, 20), "type": np.float64}),
        (np.ones((20, 20)), SPACING, {"shape": (20, 20), "type": np.float64}),
        (np.ones((3, 20, 20)), (8.0, 0.0, 1.9), {"spacing": (8.0, 0.0, 1.9)}),
    ],
)
def test_invalid_image_or_spacing_raises_with_values(ensemble, image, spacing, values):
    with pytest.raises(AppError, check=says_only(**values)):
        ensemble.segment(image, spacing)


@pytest.mark.parametrize(
    ("voxel", "sentence"), [(np.nan, NOT_FINITE), (-np.inf, NOT_FINITE), (0, EMPTY_IMAGE)]
)
def test_image_of_nan_inf_or_zeros_raises(ensemble, voxel, sentence):
    with pytest.raises(AppError, check=says(sentence)):
        ensemble.segment(np.full((3, 20, 20), voxel, np.float32), SPACING)


def test_unknown_method_raises(ensemble):
    with pytest.raises(AppError, check=says_only(method="best", methods=", ".join(METHODS))):
        ensemble.segment(made_image((3, 20, 20)), SPACING, method="best")


def test_phases_of_an_ensemble_without_lv_raise(ensemble, monkeypatch):
    monkeypatch.setattr(Ensemble, "structures", {"RV": 1})
    with pytest.raises(AppError, check=says(LV_NOT_SEGMENTED)):
        ensemble.find_phases(made_image((3, 20, 20))[None, None], SPACING)


def test_mean_weights_are_those_of_one_network(ensemble):
    image = made_image((4, 40, 50))
    folder = ensemble.folder
    members = tuple(replace(member, cycle=0) for member in folder.members)
    ensemble.folder = replace(folder, members=members)
    result = ensemble.segment(image, SPACING, method="swa", mirroring="none")
    ensemble.folder = folder
    (expected,) = ensemble.pass_probabilities(
        image, SPACING, [ForwardPass(members)], mirroring="none"
    )
    np.testing.assert_array_equal(result.probabilities, np.asarray(expected))
    passes = [ForwardPass((member,)) for member in members]
    single = [
        np.asarray(p) for p in ensemble.pass_probabilities(image, SPACING, passes, mirroring="none")
    ]
    assert not np.allclose(result.probabilities, np.mean(single, axis=0), atol=1e-4)
    assert len(result.members) == 4
    assert np.isnan(result.pairwise_dice["LV"])


def test_temperature_changes_probabilities_but_not_labels(ensemble):
    image = made_image((4, 40, 50))
    plain = ensemble.segment(image, SPACING)
    soft = ensemble.segment(image, SPACING, temperature=2)
    expected = np.sqrt(plain.probabilities)
    expected /= expected.sum(axis=0)
    np.testing.assert_allclose(soft.probabilities, expected, atol=1e-6)
    np.testing.assert_allclose(soft.entropy, entropy(expected), atol=1e-5)
    np.testing.assert_array_equal(soft.labels, plain.labels)
    np.testing.assert_array_equal(soft.mutual_information, plain.mutual_information)
    assert (plain.report()["temperature"], soft.report()["temperature"]) == (1, 2)
    vanilla = ensemble.segment(image, SPACING, method="vanilla", temperature=1.5)
    papers = ensemble.segment(image, SPACING, method="temperature")
    np.testing.assert_array_equal(papers.probabilities, vanilla.probabilities)
    assert papers.report()["temperature"] == 1.5


@pytest.mark.parametrize("temperature", [0, -1, float("nan"), float("inf")])
def test_invalid_temperature_raises(ensemble, temperature):
    with pytest.raises(AppError) as caught:
        ensemble.segment(made_image((3, 20, 20)), SPACING, temperature=temperature)
    assert caught.value.values == {"temperature": pytest.approx(temperature, nan_ok=True)}


def test_dropout_is_active_and_reproducible(tmp_path):
    import torch

    folder = make_model(tmp_path, members=1, dropout=0.5)
    ensemble = Ensemble(folder, device="cpu")
    image = made_image((4, 40, 50))
    state = torch.get_rng_state()
    asked = {"method": "mc-dropout", "members": 3, "mirroring": "none"}
    result = ensemble.segment(image, SPACING, **asked)
    assert torch.equal(torch.get_rng_state(), state)
    again = ensemble.segment(image, SPACING, **asked)
    np.testing.assert_array_equal(result.probabilities, again.probabilities)
    assert result.mutual_information.max() > 0.01
    assert len(result.members) == 3
    sober = ensemble.segment(image, SPACING, method="vanilla", mirroring="none")
    twice = ensemble.segment(image, SPACING, method="vanilla", mirroring="none")
    np.testing.assert_array_equal(sober.probabilities, twice.probabilities)
    assert not np.allclose(sober.probabilities, result.probabilities, atol=1e-3)


def test_labels_are_in_the_order_of_seeds(tmp_path):
    ensemble = Ensemble(make_model(tmp_path, members=1, dropout=0.5), device="cpu")
    image = made_image((4, 40, 50))
    settings = SegmentationSettings(method="mc-dropout", members=3)
    steps = ensemble.steps(image, SPACING, settings, keep_members=True)
    result = drain(steps)
    passes = make_passes(result.members, "dropout")
    answers = ensemble.pass_probabilities(image, SPACING, passes)
    expected = [np.asarray(p).argmax(axis=0) for p in answers]
    np.testing.assert_array_equal(result.member_labels, expected)


@pytest.mark.parametrize(
    "asked",
    [SegmentationSettings(members=4), SegmentationSettings(method="mc-dropout", members=3)],
    ids=["multi", "mc-dropout"],
)
def test_volumes_are_in_the_order_of_members(tmp_path, asked):
    ensemble = Ensemble(make_model(tmp_path, members=4, dropout=0.5), device="cpu")
    cycles = tuple(replace(m, cycle=n // 2) for n, m in enumerate(ensemble.folder.members))
    ensemble.folder = replace(ensemble.folder, members=cycles)
    steps = ensemble.steps(made_image((4, 40, 50)), SPACING, asked, keep_members=True)
    report = (result := drain(steps)).report()
    assert len(report["members"]) == asked.members
    for name, label in ensemble.structures.items():
        voxels = np.count_nonzero(result.member_labels == label, axis=(1, 2, 3))
        expected = voxels * np.prod(SPACING) / 1000
        assert len(set(voxels)) > 1
        np.testing.assert_allclose(report["volumes_ml"][name]["members"], expected)


def test_stable_result_stops_further_members(tmp_path, monkeypatch):
    ensemble = Ensemble(make_model(tmp_path, members=9), device="cpu")
    image = made_image((3, 40, 40))
    whole = ensemble.segment(image, SPACING, members=9, until_stable=True)
    assert len(whole.members) == whole.settings.members == 9
    assert whole.notes == ()  # random weights give no stable result
    monkeypatch.setattr(Stability, "update", lambda self, labels, entropy: np.ones(len(labels)) > 0)
    settings = SegmentationSettings(members=9, until_stable=True)
    steps = ensemble.steps(image, SPACING, settings, keep_members=True)
    snapshots = []
    result = drain(steps, snapshots.append)
    assert [(s.done, s.total) for s in snapshots] == [(1, 9), (2, 9), (3, 3)]
    assert snapshots[-1].eta_seconds == 0
    assert result.notes == (STABLE.format(done=3, total=9),)
    order = interleave_passes(
        make_passes(choose_members(ensemble.folder, "multi", 9), "probabilities")
    )
    first = [one.members[0] for one in order[:3]]
    assert result.members == tuple(m for m in ensemble.folder.members if m in first)
    report = result.report()
    assert (len(report["members"]), report["members_asked"]) == (3, 9)
    assert report["until_stable"] is True
    assert report["members_by_slice"] == [3, 3, 3]
    passes = [ForwardPass((member,)) for member in result.members]
    expected = [p.numpy() for p in ensemble.pass_probabilities(image, SPACING, passes)]
    np.testing.assert_allclose(result.probabilities, np.mean(expected, axis=0), atol=1e-6)
    for labels, probabilities in zip(result.member_labels, expected, strict=True):
        np.testing.assert_array_equal(labels, probabilities.argmax(axis=0))


@pytest.fixture
def as_on_a_card(monkeypatch):
    """So many slices, tiles and mirrors at once as on a card."""

    def start_over(predictor):
        predictor.batch_size = 64

    monkeypatch.setattr(Predictor, "start_over", start_over)
    monkeypatch.setattr(Predictor, "sums_device", torch.device("cpu"), raising=False)


def asked_together(ensemble, images, settings, **options):
    """The results, and by how many members each image had been seen after every member."""
    steps, seen = ensemble.phase_steps(images, (8, 1.5, 1.5), settings, **options), []
    note = lambda snapshots: seen.append({p: s.done for p, s in snapshots.items()})  # noqa: E731
    return drain(steps, note), seen


def test_phases_together_equal_each_phase_alone(tmp_path, as_on_a_card, monkeypatch):
    monkeypatch.setattr(network_module, "is_installed", lambda: False)
    ensemble = Ensemble(make_model(tmp_path, members=2), device="cpu", precision="full")
    y, x = ensemble._predictor.patch_size
    images = [made_image((2, y, x)), made_image((3, y, x + 9), seed=1)]
    batches = []
    ensemble._predictor.network.module.register_forward_pre_hook(
        lambda module, given: batches.append(len(given[0]))
    )
    results, seen = asked_together(ensemble, images, SegmentationSettings(), keep_members=True)
    assert batches == [(2 * 1 + 3 * 2) * 4] * 2  # slices, tiles and mirrors of both phases
    assert seen == [{0: 1, 1: 1}, {0: 2, 1: 2}]
    for image, together in zip(images, results, strict=True):
        alone = ensemble.segment(image, (8, 1.5, 1.5))
        np.testing.assert_allclose(together.probabilities, alone.probabilities, atol=1e-5)
        np.testing.assert_allclose(together.entropy, alone.entropy, atol=1e-4)
        assert together.members == alone.members
        assert together.member_labels.shape == (2, *image.shape)


def test_stable_phase_is_skipped_while_others_continue(tmp_path, as_on_a_card, monkeypatch):
    ensemble = Ensemble(make_model(tmp_path, members=9), device="cpu", precision="full")
    images = [made_image((2, 40, 50)), made_image((3, 40, 50), seed=1)]
    rests = lambda self, labels, entropy: np.full(len(labels), len(labels) == 2)  # noqa: E731
    monkeypatch.setattr(Stability, "update", rests)
    settings = SegmentationSettings(members=9, until_stable=True)
    (first, second), seen = asked_together(ensemble, images, settings)
    assert seen == [{0: n, 1: n} for n in (1, 2, 3)] + [{1: n} for n in range(4, 10)]
    assert (len(first.members), len(second.members)) == (3, 9)
    assert first.notes == (STABLE.format(done=3, total=9),)
    assert second.notes == ()


def test_a_card_is_filled_with_phases(tmp_path, as_on_a_card):
    ensemble = Ensemble(make_model(tmp_path, members=1), device="cpu")
    volume = made_image((4, 40, 50))[None]
    assert ensemble.phases_at_once(volume, "full") == 4
    assert ensemble.phases_at_once(volume, "spread") == 16
    assert ensemble.phases_at_once(np.ones((1, 40, 4, 5)), "full") == 1


@pytest.mark.parametrize("job", ["phases_at_once", "first_looks", "probabilities", "features"])
def test_a_new_job_starts_without_the_steps_down_of_the_last(tmp_path, job):
    ensemble = Ensemble(make_model(tmp_path, members=1), device="cpu")
    image = made_image((2, 40, 50))[None]
    jobs = {
        "phases_at_once": lambda: ensemble.phases_at_once(image, "none"),
        "first_looks": lambda: next(ensemble.first_looks(image[:, None], SPACING)),
        "probabilities": lambda: next(
            ensemble.pass_probabilities(image, SPACING, [ForwardPass(ensemble.folder.members[:1])])
        ),
        "features": lambda: ensemble.heart_look(image, SPACING),
    }
    predictor = ensemble._predictor
    first = predictor.batch_size
    predictor.step_down(torch.OutOfMemoryError("CUDA out of memory."))
    assert predictor.batch_size < first
    jobs[job]()
    assert predictor.batch_size == first


def test_public_names():
    import napari_bayes_nnunet

    for name in napari_bayes_nnunet.__all__:
        assert getattr(napari_bayes_nnunet, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        napari_bayes_nnunet.nonsense  # noqa: B018


def test_ensemble_without_usable_members_builds_no_network(tmp_path, monkeypatch):
    model = make_model(tmp_path, members=2)
    for member in model.rglob("*.pth"):
        torch.save({"network_weights": {"a": torch.ones(1)}}, member)
    monkeypatch.setattr(inference, "Predictor", lambda *_, **__: pytest.fail("It was built."))
    ensemble = Ensemble(model, device="cpu")
    assert len(ensemble.folder.refusals) == 2
    for use in (
        lambda: ensemble.segment(made_image((3, 40, 40)), SPACING),
        lambda: ensemble.device,
    ):
        with pytest.raises(AppError, check=says(ensemble=ensemble.folder.name)):
            use()


@pytest.mark.parametrize("factor", [1e-3, 1e4])
def test_spacing_in_another_unit_is_refused(ensemble, factor):
    with pytest.raises(ModelError, check=says(WRONG_SIZE)):
        ensemble.segment(made_image((3, 20, 20)), tuple(factor * step for step in SPACING))


def test_outlier_changes_nothing_but_the_notes(ensemble):
    image = made_image((4, 40, 50))
    outlier = image.copy()
    outlier[1, 20, 20] = image.max()  # on which the value of the outlier is clipped
    expected = ensemble.segment(outlier, SPACING)
    outlier[1, 20, 20] = 1e9
    result = ensemble.segment(outlier, SPACING)
    np.testing.assert_array_equal(result.probabilities, expected.probabilities)
    assert len(result.notes) == len(expected.notes) + 1
    assert result.report()["notes"] == list(result.notes)
