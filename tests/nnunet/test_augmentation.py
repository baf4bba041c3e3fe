"""Augmentation of training images: nnU-Net's own, and the changes that other scanners make."""

import random
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.utils.random import RandomTransform
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from napari_bayes_nnunet.core.ensemble.training_settings import TrainingSettings
from napari_bayes_nnunet.io.ensemble.ensemble_folder import PLANS_ENTRY
from napari_bayes_nnunet.nnunet import ModelError
from napari_bayes_nnunet.nnunet.augmentation import (
    BIAS,
    CHANCE,
    CONTRAST,
    GAMMA,
    GHOSTS,
    RESOLUTION,
    BiasField,
    Ghosting,
    scanner_changes,
)
from napari_bayes_nnunet.nnunet.trainer import CheckpointEnsembleTrainer, read_settings

SHAPES = {"2d": (48, 40), "thick slices": (8, 32, 40), "3d": (16, 24, 20)}
DRAWS = 200


def seed(number: int) -> None:
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002 (batchgeneratorsv2 draws from the global generator)
    torch.manual_seed(number)


def make_sample(shape: tuple[int, ...]) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(1, *shape, generator=generator)
    return {"image": image, "segmentation": (image > 0.5).to(torch.int16)}


def make_transforms(augmentation: str | None, name: str = "2d") -> Any:
    """Return the training transforms of a trainer, or nnU-Net's own for None."""
    shape = SHAPES[name]
    arguments = (shape, (-0.3, 0.3), None, None, name == "thick slices")
    if augmentation is None:
        made = nnUNetTrainer.get_training_transforms(*arguments)
    else:
        trainer = object.__new__(CheckpointEnsembleTrainer)
        trainer.settings = TrainingSettings(augmentation=augmentation)
        made = trainer.get_training_transforms(*arguments)
    for transform in made.transforms:
        if isinstance(blur := getattr(transform, "transform", None), GaussianBlurTransform):
            blur.benchmark = False  # else the faster of two ways, which round differently
    return made


def augment(transforms: Any, shape: tuple[int, ...], number: int) -> dict[str, torch.Tensor]:
    seed(number)
    made: dict[str, torch.Tensor] = transforms(**make_sample(shape))
    return made


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert all(torch.equal(one[name], other[name]) for name in ("image", "segmentation"))


@pytest.mark.parametrize("name", SHAPES)
def test_nnunets_augmentation_is_unchanged(name):
    ours, theirs = make_transforms("nnunet", name), make_transforms(None, name)
    assert [type(t) for t in ours.transforms] == [type(t) for t in theirs.transforms]
    for number in range(20):
        assert_equal(*(augment(made, SHAPES[name], number) for made in (ours, theirs)))


@pytest.mark.parametrize("name", SHAPES)
def test_wide_augmentation_is_deterministic_and_finite(name):
    wide, plain = make_transforms("wide", name), make_transforms("nnunet", name)
    changed = 0
    for number in range(10):
        once, again, own = (augment(made, SHAPES[name], number) for made in (wide, wide, plain))
        assert_equal(once, again)
        assert once["image"].shape == (1, *SHAPES[name])
        assert torch.isfinite(once["image"]).all()
        changed += not torch.equal(once["image"], own["image"])
    assert changed >= 5


@pytest.mark.parametrize("name", SHAPES)
def test_changes_follow_the_rotation_of_nnunet(name):
    own, wide = (make_transforms(kind, name).transforms for kind in ("nnunet", "wide"))
    new = [transform for transform in wide if repr(transform) not in set(map(repr, own))]
    before = 3 if name == "thick slices" else 1  # to slices, rotate, back to 3D
    assert wide[before : before + len(new)] == new
    assert len(wide) == len(own) + 5
    assert {(type(t), t.apply_probability) for t in new} == {(RandomTransform, CHANCE)}


@pytest.mark.parametrize("in_slices", [False, True])
def test_changes_keep_labels_and_normalisation(in_slices):
    shape = (8, 32, 40) if in_slices else (48, 40)
    for number, change in enumerate(scanner_changes(2, in_slices=in_slices)):
        seed(number)
        sample = make_sample(shape)
        before = {name: values.clone() for name, values in sample.items()}
        after = change(**sample)
        assert torch.equal(after["segmentation"], before["segmentation"])
        assert not torch.equal(after["image"], before["image"])
        if number in (1, 2, 3):  # gamma, bias field, ghosts
            for measure in (torch.mean, torch.std):
                expected = pytest.approx(measure(before["image"]).item(), abs=1e-5)
                assert measure(after["image"]).item() == expected


def test_strengths_fill_their_ranges():
    contrast, gamma, bias, ghosts, resolution = scanner_changes(2, in_slices=False)
    sample = make_sample((48, 40))
    drawn: dict[str, list[float]] = {}
    seed(0)
    for _ in range(DRAWS):
        scales = resolution.get_parameters(**sample)["scales"][0].tolist()
        gain = bias.get_parameters(**sample)["gain"]
        weights = ghosts.get_parameters(**sample)["weights"]
        for name, value in (
            ("contrast", contrast.get_parameters(**sample)["multipliers"].item()),
            ("gamma", gamma.get_parameters(**sample)["gamma"].item()),
            ("bias", gain.log().abs().max().item()),
            ("ghosts", 1 - weights.min().item()),
            ("rows", scales[0]),
            ("columns", scales[1]),
        ):
            drawn.setdefault(name, []).append(value)
        assert gain.log().mean().item() == pytest.approx(0, abs=1e-5)
    ranges = {
        "contrast": CONTRAST,
        "gamma": GAMMA,
        "bias": BIAS,
        "ghosts": GHOSTS,
        "rows": RESOLUTION,
        "columns": RESOLUTION,
    }
    for name, (low, high) in ranges.items():
        assert low - 1e-5 <= min(drawn[name]) < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < max(drawn[name]) <= high + 1e-5
    assert drawn["rows"] != drawn["columns"]


def test_bias_field_is_a_gain_above_air():
    seed(3)
    image = 5 * torch.rand(2, 48, 40) + 1
    change = BiasField(0.4)
    gain = change.get_parameters(image=image)["gain"]
    air = image.amin((1, 2), keepdim=True)
    expected = (image - air) * gain
    # Mean and standard deviation are restored, so all but these two numbers is the gain.
    after = change._apply_to_image(image, gain=gain)
    for channel in range(2):
        pairs = torch.stack([expected[channel].flatten(), after[channel].flatten()])
        assert torch.corrcoef(pairs)[0, 1].item() == pytest.approx(1, abs=1e-6)
    assert max(gain.diff(dim=0).abs().max(), gain.diff(dim=1).abs().max()) < 0.1  # smooth


def test_ghosts_are_copies_a_part_of_the_image_apart():
    image = torch.zeros(1, 40, 48)
    image[0, 3, 5] = 1.0
    for axis, place in ((0, 3), (1, 5)):
        change = Ghosting(0.3, periods=(4, 5), axes=[axis])
        seed(1)
        parameters = change.get_parameters(image=image)
        assert parameters["axis"] == axis
        length = image.shape[1 + axis]
        after = change._apply_to_image(image.clone(), **parameters)[0]
        lines = after.amax(dim=1 - axis)
        ghosts = (torch.arange(1, 4) * length // 4 + place) % length
        assert lines.argmax() == place
        assert set(lines.topk(4).indices.tolist()) == {place, *ghosts.tolist()}


def test_slices_keep_their_number_of_ghosts_and_pixels():
    *_, ghosts, resolution = scanner_changes(2, in_slices=True)
    sample = make_sample((8, 32, 40))
    seed(0)
    assert {ghosts.get_parameters(**sample)["axis"] for _ in range(50)} == {1, 2}
    assert resolution.get_parameters(**sample)["scales"][:, 0].tolist() == [1]


def test_unknown_augmentation_is_refused():
    entry = asdict(TrainingSettings()) | {"augmentation": "strong"}
    with pytest.raises(ModelError) as caught:
        read_settings({PLANS_ENTRY: entry})
    assert "strong" in caught.value.values["reason"]
