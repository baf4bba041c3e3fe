"""Member probabilities equal those that nnU-Net's own predictor exports."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from torch.overrides import TorchFunctionMode

from napari_bayes_nnunet.app.segmentation.ensemble import FEWER_MEMBERS, Ensemble
from napari_bayes_nnunet.app.segmentation.image_check import SLICES_FOUND, UNKNOWN_SLICES
from napari_bayes_nnunet.app.segmentation.methods import make_passes
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.nnunet import ModelError, Stopped
from napari_bayes_nnunet.nnunet import device as device_module
from napari_bayes_nnunet.nnunet import network as network_module
from napari_bayes_nnunet.nnunet.inference import (
    ALL_ON_CPU,
    FEWER_SLICES,
    SUMS_ON_CPU,
    UNUSABLE_DEVICE,
    mirrors_of,
)
from napari_bayes_nnunet.nnunet.network import Network
from napari_bayes_nnunet.nnunet.openvino_conversion import openvino_core
from napari_bayes_nnunet.nnunet.openvino_network import OpenVinoNetwork
from tests.helpers.data.models import made_image, make_model

SPACING = (8.0, 1.2, 1.9)
"""Spacing in mm that differs from the plans' 1.5 mm, so probabilities are resampled."""


def stock(
    model: Path, checkpoint: str, image: np.ndarray, mirroring: str, spacing=SPACING
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities of nnU-Net's own predictor for one checkpoint."""
    predictor = nnUNetPredictor(
        use_mirroring=mirroring == "full", device=torch.device("cpu"), allow_tqdm=False
    )
    predictor.initialize_from_trained_model_folder(str(model), (0,), checkpoint)
    channels = image[None] if image.ndim == 3 else image
    properties = {"spacing": list(spacing), "sitk_stuff": {}}
    return predictor.predict_single_npy_array(
        channels.astype(np.float32), properties, None, None, True
    )


@pytest.fixture(params=["full", "half", "torch"])
def precision(request, monkeypatch):
    """Either precision by OpenVINO, and full precision by torch."""
    if request.param == "torch":
        monkeypatch.setattr(network_module, "is_installed", lambda: False)
    return "auto" if request.param == "half" else "full"


TOLERANCE = {"full": 0.01, "auto": 0.02}
"""Largest error of a probability with random weights; nnU-Net rounds logits to float16."""


@pytest.mark.parametrize("mirroring", ["full", "none"])
@pytest.mark.parametrize("residual", [False, True], ids=["plain", "residual"])
@pytest.mark.parametrize("configuration", ["2d", "3d_fullres"])
def test_one_member_equals_nnunets_predictor(
    tmp_path, configuration, residual, mirroring, precision
):
    model = make_model(tmp_path, configuration=configuration, residual=residual, members=1)
    image = made_image((5, 60, 40))
    labels, probabilities = stock(model, "checkpoint_epoch_1.pth", image, mirroring)
    result = Ensemble(model, device="cpu", precision=precision).segment(
        image, SPACING, method="vanilla", mirroring=mirroring
    )
    abilities = openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    is_half = precision == "auto" and "BF16" in abilities
    assert result.precision == ("bfloat16" if is_half else "float32")
    difference = np.abs(result.probabilities - probabilities).max(axis=0)
    # In the outermost corners of a 3D volume nnU-Net's tile weight (4e-10) is below what its
    # float16 sums resolve, and its logits there are rounded to whole numbers.
    resolved = difference if configuration == "2d" else difference[2:-2, 4:-4, 4:-4]
    print(
        resolved.max(), np.mean(difference > TOLERANCE[precision]), np.mean(result.labels != labels)
    )
    assert resolved.max() <= TOLERANCE[precision]
    assert np.mean(difference > TOLERANCE[precision]) < 0.02
    # Random weights leave many voxels undecided; for trained ones see
    # docs/explanation/performance.md.
    assert np.mean(result.labels != labels) < (0.01 if is_half else 0.005)


def test_members_are_averaged_as_softmax_not_as_logits(tmp_path):
    model = make_model(tmp_path, members=3)
    image = made_image((4, 40, 50))
    files = [f"checkpoint_epoch_{n}.pth" for n in (1, 2, 3)]
    expected = np.mean([stock(model, file, image, "full")[1] for file in files], axis=0)
    result = Ensemble(model, device="cpu", precision="full").segment(image, SPACING)
    assert np.abs(result.probabilities - expected).max() <= 0.01
    assert result.probabilities.sum(axis=0) == pytest.approx(1, abs=1e-5)


def test_outside_the_nonzero_box_is_certain_background(tmp_path):
    image = np.zeros((4, 60, 60), np.float32)
    image[1:3, 10:40, 12:44] = made_image((2, 30, 32)) + 200
    result = Ensemble(make_model(tmp_path), device="cpu").segment(image, SPACING)
    outside = np.ones(image.shape, bool)
    outside[1:3, 10:40, 12:44] = False
    assert (result.probabilities[0][outside] == 1).all()
    assert (result.labels[outside] == 0).all()
    assert (result.entropy[outside] == 0).all()
    assert (result.entropy[~outside] > 0).all()


def test_another_precision_or_number_of_channels_is_refused(tmp_path):
    model = make_model(tmp_path, channels=2, members=1)
    with pytest.raises(ModelError) as caught:
        Ensemble(model, device="cpu", precision="half")
    assert caught.value.values == {"precision": "half"}
    with pytest.raises(ModelError) as caught:
        Ensemble(model, device="cpu").segment(made_image((3, 40, 40)), SPACING)
    assert caught.value.values == {"needed": "2 channels", "names": "cine0, cine1", "channels": 1}


TRANSPOSED = {"transpose_forward": [2, 0, 1], "transpose_backward": [1, 2, 0]}
"""Plans transpose the axes if the through-plane axis is not the first."""


@pytest.mark.parametrize(
    ("channels", "plans", "shape", "spacing"),
    [(2, {}, (3, 40, 40), SPACING), (1, TRANSPOSED, (40, 50, 4), (1.2, 1.9, 8.0))],
    ids=["channels", "transposed"],
)
def test_other_plans_equal_nnunets_predictor(tmp_path, channels, plans, shape, spacing):
    model = make_model(tmp_path, channels=channels, members=1)
    ensemble = with_plans(model, **plans)
    image = np.stack([made_image(shape, seed=seed) for seed in range(channels)])
    image = image if channels > 1 else image[0]
    labels, probabilities = stock(model, "checkpoint_epoch_1.pth", image, "full", spacing)
    result = ensemble.segment(image, spacing)
    assert np.abs(result.probabilities - probabilities).max() <= 0.01
    assert (result.labels != labels).mean() < 1e-3


def with_plans(model, **changes):
    """Change the plans of a model and return its ensemble."""
    plans = json.loads((model / "plans.json").read_text())
    (model / "plans.json").write_text(json.dumps(plans | changes))
    return Ensemble(model, device="cpu", precision="full")


@pytest.mark.parametrize("plans", [{}, TRANSPOSED], ids=["usual", "transposed"])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("configuration", ["2d", "3d_fullres"])
def test_slices_on_any_axis_give_the_same(tmp_path, configuration, axis, plans):
    """The network gets the slices where its training had them, the result has them as given."""
    model = make_model(tmp_path, configuration=configuration, members=1)
    ensemble = with_plans(model, original_median_spacing_after_transp=[8, 1.9, 1.2], **plans)
    image, spacing = made_image((4, 50, 40)), [8.0, 1.9, 1.2]
    if plans:  # as in the training, so that nothing has to be moved
        expected = ensemble.segment(np.moveaxis(image, 0, 2), [1.9, 1.2, 8.0]).probabilities
        expected = np.moveaxis(expected, 3, 1)
    else:
        expected = ensemble.segment(image, spacing).probabilities
    given = np.moveaxis(image, 0, axis)
    result = ensemble.segment(given, [*np.insert(spacing[1:], axis, spacing[0])])
    assert result.labels.shape == given.shape
    np.testing.assert_array_equal(np.moveaxis(result.probabilities, axis + 1, 1), expected)
    note = SLICES_FOUND.format(axis=axis + 1)
    assert (note in result.notes) == (axis > 0)


def test_slices_move_only_if_the_training_had_slices(tmp_path):
    model = make_model(tmp_path, configuration="3d_fullres", members=1)
    ensemble = with_plans(model, original_median_spacing_after_transp=[1.5, 1.5, 1.5])
    image = made_image((40, 50, 4))
    result = ensemble.segment(image, (1.2, 1.9, 8.0), mirroring="none")
    labels, _ = stock(model, "checkpoint_epoch_1.pth", image, "none", (1.2, 1.9, 8.0))
    assert (result.labels != labels).mean() < 0.01
    assert result.notes == (FEWER_MEMBERS.format(used=1),)
    assert UNKNOWN_SLICES.partition("{")[0] not in " ".join(result.warnings)


def test_spread_mirrors_equal_nnunet_on_mirrored_images(tmp_path, precision):
    model = make_model(tmp_path, members=3)
    ensemble = Ensemble(model, device="cpu", precision=precision)
    # One tile without a margin, so that the image can be mirrored instead.
    image = np.maximum(np.abs(made_image((4, *ensemble._predictor.patch_size))), 15)
    spacing = (8, 1.5, 1.5)
    passes = make_passes(ensemble.folder.members, "probabilities", mirroring="spread")
    assert {forward.turn for forward in passes} == {0, 1, 2}
    expected = []
    for forward in passes:
        axes = tuple(np.array(mirrors_of("spread", (0, 1), turn=forward.turn)[0], int) - 1)
        mirrored = np.ascontiguousarray(np.flip(image, axes))
        _, probabilities = stock(model, forward.members[0].path.name, mirrored, "none", spacing)
        expected.append(np.flip(probabilities, [axis + 1 for axis in axes]))
    result = ensemble.segment(image, spacing, mirroring="spread")
    assert result.settings.mirroring == "spread"
    difference = np.abs(result.probabilities - np.mean(expected, axis=0))
    assert difference.max() <= TOLERANCE[precision]


def test_overflowing_logits_are_computed_in_full_precision(tmp_path, monkeypatch):
    dtype = property(lambda self: torch.float32 if self._is_full else torch.bfloat16)
    monkeypatch.setattr(OpenVinoNetwork, "dtype", dtype)
    model, image = make_model(tmp_path), made_image((3, 40, 40))
    ensemble = Ensemble(model, device="cpu")
    network = ensemble._predictor.network
    logits = network.logits

    def overflowing(patches, mirrors, *, at_once):
        exact = logits(patches, mirrors, at_once=at_once)
        return exact if network.dtype == torch.float32 else exact / 0

    monkeypatch.setattr(network, "logits", overflowing)
    result = ensemble.segment(image, SPACING)
    assert result.precision == "float32"
    exact = Ensemble(model, device="cpu", precision="full").segment(image, SPACING)
    np.testing.assert_array_equal(result.probabilities, exact.probabilities)


def test_mirrors_of_each_kind_of_mirroring():
    assert mirrors_of("none", (0, 1)) == [()]
    assert mirrors_of("full", None) == [()]
    assert mirrors_of("full", (0, 1)) == [(), (2,), (3,), (2, 3)]
    assert len(mirrors_of("full", (0, 1, 2))) == 8
    turns = [mirrors_of("spread", (0, 1), turn=turn) for turn in range(5)]
    assert turns == [[()], [(2,)], [(3,)], [(2, 3)], [()]]
    assert mirrors_of("spread", None, turn=3) == [()]


def test_a_stop_takes_effect_between_tiles(tmp_path):
    steps = Ensemble(make_model(tmp_path), device="cpu").steps(
        made_image((5, 60, 40)), SPACING, SegmentationSettings(), should_stop=lambda: True
    )
    with pytest.raises(Stopped):
        next(steps)


class FailsAtFirst:
    """Network that runs out of memory ``times`` times."""

    def __init__(self, network, times):
        self.network = network
        self.failures_left = times
        self.batches = []

    def __getattr__(self, name):
        return getattr(self.network, name)

    def logits(self, batch, mirrors, *, at_once):
        self.batches.append(len(batch))
        if self.failures_left:
            self.failures_left -= 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return self.network.logits(batch, mirrors, at_once=at_once)


def test_out_of_memory_steps_down_without_changing_result(tmp_path):
    model, image = make_model(tmp_path), made_image((5, 60, 40))
    expected = Ensemble(model, device="cpu", precision="full").segment(image, SPACING)
    notes = []
    ensemble = Ensemble(model, device="cpu", precision="full", notify=notes.append)
    predictor = ensemble._predictor
    predictor.network = FailsAtFirst(predictor.network, times=1)
    result = ensemble.segment(image, SPACING, members=3)
    assert notes == [FEWER_SLICES.format(slices="1 slice")]
    assert result.notes == tuple(notes)
    np.testing.assert_allclose(result.probabilities, expected.probabilities, atol=1e-6)


@pytest.mark.parametrize(("gpu", "emptied"), [("cuda", 5), ("mps", 5), ("meta", 0)])
def test_out_of_memory_on_gpu_ends_on_cpu(gpu, emptied, tmp_path, monkeypatch):
    """All steps down from a GPU, with the names of devices in place of GPUs."""
    caches = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: caches.append("cuda"))
    monkeypatch.setattr(torch.mps, "empty_cache", lambda: caches.append("mps"))
    ensemble = Ensemble(make_model(tmp_path), device="cpu")
    notes = []
    predictor = ensemble._predictor
    predictor._notify = notes.append
    predictor.batch_size = 64
    predictor.sums_device = torch.device(gpu)
    network = predictor.network
    network.device = torch.device(gpu)
    error = torch.OutOfMemoryError("CUDA out of memory.")
    for _ in range(5):
        predictor.step_down(error)
    fewer = [FEWER_SLICES.format(slices=text) for text in ("16 slices", "4 slices", "1 slice")]
    assert notes == [*fewer, SUMS_ON_CPU, ALL_ON_CPU]
    assert caches == [gpu] * emptied
    assert network.device.type == "cpu"
    with pytest.raises(ModelError) as caught:
        predictor.step_down(error)
    assert caught.value.__cause__ is error


class Card(str):
    """Name of a device that stands for a GPU but is the CPU."""

    type = "cuda"


def test_weights_on_the_gpu_are_those_asked_for(tmp_path, monkeypatch):
    """Each member's weights are dropped before the next ones, which may then get their id."""
    predictor = Ensemble(make_model(tmp_path), device="cpu")._predictor
    predictor.network.device = Card("cpu")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (3, 4))
    for value in (1, 2, 3):
        weights = {"weight": torch.tensor([float(value)])}
        assert predictor._resident(weights)["weight"].item() == value
        del weights


def on_a_full_device(monkeypatch, error: Exception) -> list[str]:
    """Let every device but the CPU, with "meta" in place of a GPU, fail; return the notes."""
    move = torch.nn.Module.to

    def fail(module, device, *args):
        if torch.device(device).type != "cpu":
            raise error
        return move(module, device, *args)

    monkeypatch.setattr(torch.nn.Module, "to", fail)
    monkeypatch.setattr(device_module, "choose_device", lambda name: torch.device("meta"))
    return []


def test_a_full_gpu_leaves_the_network_on_the_cpu(tmp_path, monkeypatch):
    model, image = make_model(tmp_path), made_image((2, 60, 40))
    expected = Ensemble(model, device="cpu", precision="full").segment(image, SPACING)
    notes = on_a_full_device(monkeypatch, torch.OutOfMemoryError("CUDA out of memory."))
    ensemble = Ensemble(model, precision="full", notify=notes.append)
    assert notes == [ALL_ON_CPU]
    for count in (2, 3):  # the GPU is tried again for every image
        result = ensemble.segment(image, SPACING)
        np.testing.assert_allclose(result.probabilities, expected.probabilities, atol=1e-6)
        assert notes == [ALL_ON_CPU] * count
    network = ensemble._predictor.network
    assert network.device.type == next(network.module.parameters()).device.type == "cpu"


class FullAfter(TorchFunctionMode):
    """Device with room for ``room`` float32 tensors."""

    def __init__(self, room):
        super().__init__()
        self.room = room

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.Tensor.to and any(given is torch.float32 for given in args):
            self.room -= 1
            if self.room < 0:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return func(*args, **(kwargs or {}))


def test_a_network_that_could_not_be_moved_is_as_before(tmp_path, monkeypatch):
    monkeypatch.setattr(network_module, "is_installed", lambda: False)
    types = {"auto": torch.bfloat16, "full": torch.float32}
    monkeypatch.setattr(Network, "_type_on", lambda self, device: types[self._precision])
    ensembles = [Ensemble(make_model(tmp_path / name), device="cpu") for name in "ab"]
    moved, other = (ensemble._predictor.network for ensemble in ensembles)
    with FullAfter(3), pytest.raises(torch.OutOfMemoryError):
        moved.use_full_precision()
    assert {part.dtype for part in moved.module.parameters()} == {torch.bfloat16} == {moved.dtype}
    weights = {name: torch.full_like(part, 0.1) for name, part in other._tensors.items()}
    batch = torch.randn(2, 1, 48, 56, generator=torch.manual_seed(1))
    logits = []
    for network in (moved, other):
        network.load(weights)
        logits.append(network.logits(batch, [()], at_once=2))
    assert torch.equal(*logits)
    moved.use_full_precision()
    assert moved.dtype == torch.float32


def test_a_gpu_in_use_is_named(tmp_path, monkeypatch):
    busy = RuntimeError("CUDA error: CUDA-capable device(s) is/are busy\nIt may be asynchronous")
    on_a_full_device(monkeypatch, busy)
    with pytest.raises(ModelError) as caught:
        Ensemble(make_model(tmp_path))
    assert caught.value.statement.template == UNUSABLE_DEVICE
    reason = "CUDA error: CUDA-capable device(s) is/are busy"
    assert caught.value.values == {"device": torch.device("meta"), "reason": reason}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_the_cpu(tmp_path):
    model, image = make_model(tmp_path), made_image((5, 60, 40))
    on_cpu = Ensemble(model, device="cpu", precision="full").segment(image, SPACING)
    for precision, number in (("auto", "float16"), ("full", "float32")):
        on_gpu = Ensemble(model, device="cuda", precision=precision).segment(image, SPACING)
        assert on_gpu.settings.device.startswith("cuda")
        assert on_gpu.precision == number
        assert np.abs(on_gpu.probabilities - on_cpu.probabilities).max() <= TOLERANCE["full"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_members_stay_on_the_gpu_for_many_phases(tmp_path):
    ensemble = Ensemble(make_model(tmp_path), device="cuda")
    images = [made_image((5, 60, 40), seed=seed) for seed in (1, 2)]
    assert ensemble.phases_at_once(images[0][None], "spread") > 1
    steps = ensemble.phase_steps(images, SPACING, SegmentationSettings())
    together = drain(steps)
    assert len(ensemble._predictor._residents) == 3
    for image, result in zip(images, together, strict=True):
        alone = ensemble.segment(image, SPACING)
        assert np.abs(alone.probabilities - result.probabilities).max() <= TOLERANCE["full"]
