"""Targets of a student: stored, read with the image, and moved with it."""

import blosc2
import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms

from napari_bayes_nnunet.nnunet.distillation.targets import (
    STEPS,
    ImageWithTargets,
    has_targets,
    image_shape,
    largest_size,
    read_image_array,
    with_targets,
    write_targets,
)

SHAPE = (3, 20, 16)


@pytest.fixture
def answer():
    """Probabilities of 4 classes, and mutual information in bit."""
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet(np.full(4, 0.3), SHAPE).transpose(3, 0, 1, 2)
    return probabilities.astype(np.float32), rng.uniform(0, 2, SHAPE).astype(np.float32)


@pytest.fixture
def image_file(tmp_path):
    """A preprocessed image with 2 channels."""
    channels = np.random.default_rng(2).normal(size=(2, *SHAPE)).astype(np.float32)
    file = tmp_path / "image.b2nd"
    blosc2.asarray(channels, urlpath=str(file))
    return file


@pytest.fixture
def target_file(answer, tmp_path):
    file = tmp_path / "targets" / "case.b2nd"
    write_targets(file, *answer)
    return file


def test_targets_are_read_behind_the_image(answer, image_file, target_file):
    probabilities, information = answer
    both = ImageWithTargets(blosc2.open(str(image_file)), blosc2.open(str(target_file)))
    assert both.shape == (2 + 4, *SHAPE)
    read = both[slice(None), slice(1, 3), slice(2, 9), slice(0, 16)]
    box = np.s_[:, 1:3, 2:9]
    assert np.array_equal(read[:2], read_image_array(image_file)[box])
    expected = np.concatenate([probabilities[1:], information[None] / 2])
    assert np.abs(read[2:] - expected[box]).max() <= 0.5 / STEPS + 1e-6


def test_only_whole_targets_of_the_image_count(image_file, target_file, answer, tmp_path):
    assert has_targets(target_file, image_file)
    assert not has_targets(tmp_path / "missing.b2nd", image_file)
    other = tmp_path / "other.b2nd"
    write_targets(other, *(array[..., 1:] for array in answer))
    assert not has_targets(other, image_file)
    target_file.write_bytes(target_file.read_bytes()[:-9])
    assert not has_targets(target_file, image_file)
    write_targets(target_file, *answer)
    assert has_targets(target_file, image_file)


def test_largest_size_counts_channels_of_two_bytes(image_file):
    assert image_shape(image_file) == SHAPE
    assert largest_size([image_file] * 2, classes=4) == 2 * 4 * 2 * np.prod(SHAPE)


def test_targets_move_with_the_image_and_keep_their_values():
    sample = torch.rand(1, 40, 40)
    transforms = ComposeTransforms(
        [
            SpatialTransform(
                *((24, 24), 0, False),
                p_rotation=1,
                rotation=(0.3, 0.4),
                p_scaling=1,
                scaling=(0.8, 0.9),
            ),
            MultiplicativeBrightnessTransform((2, 2), synchronize_channels=True),
            MirrorTransform((0, 1)),
        ]
    )
    moved = with_targets(transforms, channels=1)(
        image=torch.cat([sample, sample, 1 - sample]), segmentation=torch.zeros(1, 40, 40)
    )
    image, targets = moved["image"], moved["segmentation"]
    assert image.shape == (1, 24, 24)
    assert targets.shape == (2, 24, 24)
    assert torch.allclose(image, 2 * targets[:1], atol=1e-5)
    assert torch.allclose(targets.sum(0), torch.ones(24, 24), atol=1e-5)
