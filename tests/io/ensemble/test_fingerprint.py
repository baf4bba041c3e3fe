"""Whether two folders hold the same ensemble."""

import shutil

import torch

from napari_bayes_nnunet.io.ensemble.ensemble_folder import find_ensemble
from napari_bayes_nnunet.io.ensemble.fingerprint import fingerprint

from ...helpers.data.models import make_model


def fingerprint_of(folder):
    return fingerprint(find_ensemble(folder))


def test_a_copy_has_the_same_fingerprint(tmp_path):
    model = make_model(tmp_path / "model")
    copy = shutil.copytree(model, tmp_path / "copy")
    assert fingerprint_of(copy) == fingerprint_of(model)


def test_other_weights_have_another_fingerprint(tmp_path):
    model = make_model(tmp_path / "model")
    last = find_ensemble(model).members[-1].path
    content = torch.load(last, weights_only=False)
    torch.save(content, last)
    before, size = fingerprint_of(model), last.stat().st_size
    next(iter(content["network_weights"].values())).add_(1)
    torch.save(content, last)
    assert last.stat().st_size == size
    assert fingerprint_of(model) != before


def test_other_members_have_another_fingerprint(tmp_path):
    model = make_model(tmp_path / "model", members=3)
    before = fingerprint_of(model)
    last = find_ensemble(model).members[-1].path
    last.write_bytes(b"damaged")
    damaged = fingerprint_of(model)
    last.unlink()
    assert len({before, damaged, fingerprint_of(model)}) == 3


def test_other_calibration_has_another_fingerprint(tmp_path):
    model = make_model(tmp_path / "model")
    before = fingerprint_of(model)
    (model / "calibration.json").write_text("{}")
    assert fingerprint_of(model) != before
