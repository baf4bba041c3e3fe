"""Network and file of a student."""

import math

import pytest
import torch
from benchmarks.student import StudentPredictor, read_student

from napari_bayes_nnunet.io.ensemble.ensemble_folder import find_ensemble
from napari_bayes_nnunet.nnunet.distillation.student import (
    HEAD,
    first_weights,
    split_head,
    write_student,
)
from napari_bayes_nnunet.nnunet.inference import Predictor
from napari_bayes_nnunet.nnunet.weights import check_member, expected_shapes, read_checkpoint
from tests.helpers.data.models import made_image, make_model

SPACING = (8.0, 1.2, 1.9)


@pytest.fixture(params=[False, True], ids=["plain", "residual"])
def folder(tmp_path, request):
    return find_ensemble(make_model(tmp_path / "model", residual=request.param, members=1))


@pytest.fixture
def member(folder):
    return read_checkpoint(folder.members[0].path)["network_weights"]


@pytest.fixture
def file(folder, member, tmp_path):
    """File of a student that was not trained."""
    path = tmp_path / "student.pth"
    write_student(path, first_weights(member), configuration="2d", mirroring_axes=(0, 1))
    return path


def model_of(folder):
    return folder.plans, folder.dataset_json, folder.configuration


def test_a_student_is_a_member_with_a_head(folder, member, file):
    assert check_member(file, expected_shapes(*model_of(folder))) == ""
    content = read_checkpoint(file)
    stored = content["network_weights"]
    assert all(torch.equal(stored[name], tensor.half()) for name, tensor in member.items())
    weights, axes = read_student(file)
    assert axes == (0, 1)
    restored, head = split_head(weights)
    assert all(torch.equal(restored[name], stored[name]) for name in stored)
    assert {key: part.tolist() for key, part in head.items()} == {
        key: part.tolist() for key, part in content[HEAD].items()
    }


def test_an_untrained_student_predicts_as_its_member(folder, file, member):
    device = torch.device("cpu")
    options = {"device": device, "precision": "full"}
    predictor = Predictor(*model_of(folder), **options)
    student = StudentPredictor(*model_of(folder), **options)
    image = made_image((5, 60, 40))[None]  # zero in the first 3 rows, which nnU-Net crops
    (expected,) = predictor.probabilities(
        [predictor.prepare(image, SPACING)], read_checkpoint(file)["network_weights"], mirrors=[()]
    )
    weights, _ = read_student(file)
    (found,) = student.probabilities([student.prepare(image, SPACING)], weights, mirrors=[()])
    assert torch.equal(found[:-1], expected)
    largest = math.log2(len(expected))
    start = largest * torch.sigmoid(torch.tensor(-4.0))
    assert torch.allclose(found[-1, :, 3:], start)
    assert not found[-1, :, :3].any()


def test_probabilities_stay_on_the_grid_of_the_network(folder, member):
    predictor = Predictor(*model_of(folder), device=torch.device("cpu"), precision="full")
    spacing = (8.0, 1.5, 1.5)  # those of the plans, so that nothing is resampled
    image = made_image((5, 60, 40))[None, :, 3:]  # without the zeros that nnU-Net crops
    prepared = predictor.prepare(image, spacing)
    (expected,) = predictor.probabilities([prepared], member, mirrors=[(), (2,)])
    same = predictor.on_network_grid(prepared.data[prepared.unpad].numpy())
    (found,) = predictor.probabilities([same], member, mirrors=[(), (2,)])
    assert torch.allclose(found, expected, atol=1e-6)
