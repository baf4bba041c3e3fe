"""Whether two folders hold the same ensemble."""

import shutil

import torch

from napari_bayes_nnunet.io.ensemble.ensemble_folder import find_ensemble
from napari_bayes_nnunet.io.ensemble.fingerprint import fingerprint

from ...helpers.models import make_model


def of(folder):
    return fingerprint(find_ensemble(folder))


def test_a_copy_under_another_name_is_the_same(tmp_path):
    model = make_model(tmp_path / "model")
    assert of(shutil.copytree(model, tmp_path / "copy")) == of(model)


def test_other_weights_of_the_same_size_are_not(tmp_path):
    model = make_model(tmp_path / "model")
    last = find_ensemble(model).members[-1].path
    content = torch.load(last, weights_only=False)
    torch.save(content, last)
    before, size = of(model), last.stat().st_size
    next(iter(content["network_weights"].values())).add_(1)
    torch.save(content, last)
    assert last.stat().st_size == size
    assert of(model) != before


def test_neither_is_one_with_a_member_more_or_a_damaged_one(tmp_path):
    model = make_model(tmp_path / "model", members=3)
    before = of(model)
    last = find_ensemble(model).members[-1].path
    last.write_bytes(b"damaged")
    damaged = of(model)
    last.unlink()
    assert len({before, damaged, of(model)}) == 3
