"""OpenVINO computes the network on CPUs; whatever fails in it, torch does the same."""

import hashlib
import logging
import sys

import numpy as np
import pytest
import torch

from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.nnunet import network as network_module
from napari_bayes_nnunet.nnunet import openvino_network
from napari_bayes_nnunet.nnunet.network import WITHOUT_OPENVINO
from napari_bayes_nnunet.nnunet.openvino_conversion import import_openvino
from napari_bayes_nnunet.nnunet.openvino_network import CONVERSION_NOT_KEPT, OpenVinoNetwork

from ..helpers.data.models import made_image, make_model

SPACING = (8.0, 1.5, 1.5)
ILLEGAL_INSTRUCTION = "import os, signal; os.kill(os.getpid(), signal.SIGILL)"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model"), members=3)


@pytest.fixture(scope="module")
def image():
    return made_image((3, 48, 40))


@pytest.fixture(scope="module")
def by_torch(model, image):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network_module, "is_installed", lambda: False)
        return segmented(model, image)[0]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Return the folder of the converted networks, which is empty."""
    monkeypatch.setattr(openvino_network, "user_cache_path", lambda *names, **options: tmp_path)
    return tmp_path / "networks"


@pytest.fixture
def conversions(monkeypatch):
    """Return a list with an entry for each conversion in a child process."""
    convert, made = openvino_network._convert_in_child, []

    def count(architecture):
        made.append(architecture)
        return convert(architecture)

    monkeypatch.setattr(openvino_network, "_convert_in_child", count)
    return made


def segmented(model, image):
    """Return a result in full precision, and the sentences that were said."""
    said = []
    ensemble = Ensemble(model, device="cpu", precision="full", notify=said.append)
    return ensemble.segment(image, SPACING), said


def assert_same(result, expected):
    np.testing.assert_allclose(result.probabilities, expected.probabilities, atol=1e-4)
    assert result.members == expected.members
    assert np.mean(result.labels != expected.labels) < 1e-3  # of random weights


def test_runtime_stands_in_the_result(model, image, by_torch):
    result, said = segmented(model, image)
    assert result.runtime == f"OpenVINO {openvino_network.version('openvino')}"
    assert by_torch.runtime == f"torch {torch.__version__}"
    assert result.report()["runtime"] == result.runtime
    assert not said
    assert_same(result, by_torch)


def test_missing_openvino_is_logged(model, monkeypatch, caplog):
    monkeypatch.setattr(network_module, "is_installed", lambda: False)
    with caplog.at_level(logging.INFO):
        Ensemble(model, device="cpu")
    assert [record.name for record in caplog.records] == [network_module.__name__]


def test_an_architecture_is_converted_once(model, image, cache, conversions):
    first, _ = segmented(model, image)
    (entry,) = cache.iterdir()
    again, _ = segmented(model, image)
    assert len(conversions) == 1
    assert [*cache.iterdir()] == [entry]
    np.testing.assert_array_equal(first.probabilities, again.probabilities)


@pytest.mark.parametrize("content", ["empty", "cut", "of another network"])
def test_broken_or_foreign_entry_is_replaced(content, model, image, cache, conversions):
    expected, _ = segmented(model, image)
    (entry,) = cache.iterdir()
    whole = entry.read_bytes()
    packed = whole[openvino_network.CHECKSUM :]
    foreign = openvino_network._checksum(hashlib.sha256(b"another").digest(), packed) + packed
    entry.write_bytes({"empty": b"", "cut": whole[:-9], "of another network": foreign}[content])
    result, said = segmented(model, image)
    assert not said
    assert len(conversions) == 2
    assert entry.read_bytes() == whole
    np.testing.assert_array_equal(result.probabilities, expected.probabilities)


def test_network_that_cannot_be_kept_is_converted_in_memory(model, image, cache, by_torch):
    cache.write_text("a file in place of the folder")
    result, said = segmented(model, image)
    reason = "File exists" if sys.platform != "darwin" else "Not a directory"
    assert said == [CONVERSION_NOT_KEPT.format(folder=cache, reason=reason)]
    assert result.runtime.startswith("OpenVINO")
    assert_same(result, by_torch)


def test_crash_of_the_conversion_falls_back_to_torch(model, image, cache, by_torch, monkeypatch):
    command = (sys.executable, "-c", ILLEGAL_INSTRUCTION)
    monkeypatch.setattr(openvino_network, "python_command", lambda *words: command)
    result, said = segmented(model, image)
    assert said == [WITHOUT_OPENVINO.format(reason="Illegal instruction")] == [result.notes[0]]
    assert result.runtime == by_torch.runtime
    np.testing.assert_array_equal(result.probabilities, by_torch.probabilities)


@pytest.mark.parametrize("step", ["_compiled", "__call__", "dtype"])
def test_failure_of_openvino_falls_back_to_torch(step, model, image, by_torch, monkeypatch):
    def fail(*given):
        raise RuntimeError("no kernel\nfor this")

    monkeypatch.setattr(OpenVinoNetwork, step, property(fail) if step == "dtype" else fail)
    result, said = segmented(model, image)
    assert said == [WITHOUT_OPENVINO.format(reason="no kernel")] == [result.notes[0]]
    assert (result.runtime, result.precision) == (by_torch.runtime, "float32")
    np.testing.assert_array_equal(result.probabilities, by_torch.probabilities)


def test_compiled_members_are_kept_within_a_budget(model, image, monkeypatch):
    compiled = []
    compile_one = OpenVinoNetwork._compiled

    def count(network, weights):
        compiled.append(id(weights))
        return compile_one(network, weights)

    monkeypatch.setattr(OpenVinoNetwork, "_compiled", count)
    ensemble = Ensemble(model, device="cpu", precision="full")
    results = [ensemble.segment(image, SPACING) for _ in range(2)]
    assert len(compiled) == 3
    monkeypatch.setattr(openvino_network, "MOST_COMPILED", 0)
    results += [ensemble.segment(image, SPACING) for _ in range(2)]
    assert len(compiled) > 6
    for result in results:
        np.testing.assert_array_equal(result.probabilities, results[0].probabilities)


def test_openvino_gets_the_threads_of_the_program(model, image):
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            ensemble = Ensemble(model, device="cpu")
            ensemble.segment(image, SPACING, members=1)
            request = ensemble._predictor.network._openvino._request
            found = request.get_compiled_model().get_property("INFERENCE_NUM_THREADS")
            assert found == count
    finally:
        torch.set_num_threads(threads)


def test_import_leaves_the_reports_of_use_out():
    import_openvino()
    assert sys.modules["openvino_telemetry"] is None
