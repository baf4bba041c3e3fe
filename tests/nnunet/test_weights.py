"""Members: small, loadable by nnU-Net itself, and read without running code from a file."""

import builtins
import codecs
import errno
import json
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from hypothesis import example, given
from hypothesis import strategies as st

from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.io.ensemble.ensemble_folder import (
    DAMAGED_FILE,
    EMPTY_FILE,
    NOT_AN_ARCHIVE,
    UNREADABLE_FILE,
)
from napari_bayes_nnunet.io.files.checksum import sha256
from napari_bayes_nnunet.nnunet import ModelError
from napari_bayes_nnunet.nnunet.architecture import MOST_WEIGHTS, Architecture
from napari_bayes_nnunet.nnunet.plans import open_plans
from napari_bayes_nnunet.nnunet.weights import (
    EXTRA_TENSOR,
    FILLS_MEMORY,
    LACKS_WEIGHTS,
    NO_TENSOR,
    NOT_FINITE_WEIGHTS,
    OTHER_TENSOR_SHAPE,
    RUNS_CODE,
    WRONG_AXES,
    WRONG_CHECKSUM,
    check_member,
    expected_shapes,
    mean_weights,
    read_checkpoint,
    to_half_precision,
    trajectory_layers,
    without_prefixes,
    write_member,
)

from ..helpers.data.models import LABELS, made_image, make_model, plans

DATASET: dict[str, Any] = {
    "labels": LABELS,
    "channel_names": {"0": "cineMRI"},
    "file_ending": ".nii.gz",
}


def make_plans(configuration: str = "2d", *, residual: bool = False, **parts: Any) -> Any:
    """Plans of a network whose weights outweigh the rest of a file."""
    made = plans(residual=residual)
    arguments = made["configurations"][configuration]["architecture"]["arch_kwargs"]
    arguments.update({"features_per_stage": [8, 16, 32], **parts})
    return made


@pytest.fixture(scope="module")
def network():
    """The network of ``make_plans()``, with the random weights of a fixed seed."""
    torch.manual_seed(0)
    arguments = make_plans()["configurations"]["2d"]["architecture"]["arch_kwargs"]
    blocks = {"conv_op": torch.nn.Conv2d, "norm_op": torch.nn.InstanceNorm2d}
    blocks["nonlin"] = torch.nn.LeakyReLU
    network: torch.nn.Module = PlainConvUNet(1, num_classes=4, **{**arguments, **blocks})
    return network.eval()


@pytest.fixture(scope="module")
def expected():
    return expected_shapes(make_plans(), DATASET, "2d")


@pytest.fixture
def member(tmp_path, network):
    path = tmp_path / "model" / "fold_0" / "members" / "epoch_0399.pth"
    write_member(path, network.state_dict(), configuration="2d", mirroring_axes=(0, 1))
    return path


def make_nnunet_checkpoint(path: Path, network: torch.nn.Module) -> Path:
    """Write what nnU-Net saves: trained weights, momentum, and a log with numpy scalars."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.99, nesterov=True)
    network(torch.zeros(1, 1, 32, 32)).sum().backward()
    optimizer.step()
    log = {
        "mean_fg_dice": [np.float64(0.5), np.float64(np.nan)],
        "dice_per_class_or_region": [[np.float32(0.25), np.float64(0.75)]],
        "train_losses": [np.float32(-0.5)],
        "val_losses": [np.float16(-0.25), np.int64(3), np.bool_(True)],
        "lrs": [0.01],
    }
    content = {
        "network_weights": network.state_dict(),
        "optimizer_state": optimizer.state_dict(),
        "grad_scaler_state": None,
        "logging": log,
        "_best_ema": np.float64(0.4),
        "current_epoch": 3,
        "init_args": {"configuration": "2d", "device": torch.device("cpu"), "fold": 0},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1),
    }
    torch.save(content, path)
    return path


# Written


def test_halved_tensors_stay_shared_and_only_they(network):
    state = network.state_dict()
    halved = to_half_precision(state)
    assert len({t.data_ptr() for t in halved.values()}) == len(
        {t.data_ptr() for t in state.values()}
    )
    buffer = torch.arange(1000, dtype=torch.float32)
    views = to_half_precision(
        {"a": buffer[:4], "b": buffer[:2], "count": torch.tensor(3), "c": buffer[:4]}
    )
    assert views["a"] is views["c"]
    assert views["b"].tolist() == [0, 1]
    assert (views["a"].dtype, views["count"].dtype) == (torch.float16, torch.int64)
    assert views["a"].untyped_storage().nbytes() == 8


def test_member_of_a_channels_last_network_is_contiguous():
    kernel = torch.arange(36.0).reshape(2, 2, 3, 3).contiguous(memory_format=torch.channels_last)
    halved = to_half_precision({"kernel": kernel})["kernel"]
    assert halved.is_contiguous()
    assert torch.equal(halved, kernel.half())


def test_member_is_small_and_passes_the_safe_loader(member, network):
    content = torch.load(member, weights_only=True)
    assert content["trainer_name"] == "nnUNetTrainer"
    assert content["init_args"] == {"configuration": "2d"}
    assert content["inference_allowed_mirroring_axes"] == (0, 1)
    for name, tensor in network.state_dict().items():
        assert torch.equal(content["network_weights"][name], tensor.half())
    parameters = sum(p.numel() for p in network.parameters())
    overhead = 400 * len(network.state_dict())
    assert 2 * parameters < member.stat().st_size < 2 * parameters + overhead


def test_nnunets_own_predictor_loads_a_member(member, network):
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    model = member.parents[2]
    (model / "plans.json").write_text(json.dumps(make_plans()))
    (model / "dataset.json").write_text(json.dumps(DATASET))
    predictor = nnUNetPredictor(device=torch.device("cpu"))
    name = "members/epoch_0399.pth"
    predictor.initialize_from_trained_model_folder(str(model), (0,), checkpoint_name=name)
    assert predictor.allowed_mirroring_axes == (0, 1)
    image = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        theirs = predictor.network.eval()(image).softmax(1)
        ours = network(image).softmax(1)
    assert torch.allclose(theirs, ours, atol=0.003)


# Read


def test_member_is_read_back(member, expected):
    weights = read_checkpoint(member)["network_weights"]
    assert {name: tensor.shape for name, tensor in weights.items()} == expected
    assert check_member(member, expected, sha256=sha256(member)) == ""


@pytest.mark.parametrize("numpy_core", [b"cnumpy._core.", b"cnumpy.core."])  # of numpy 2 and 1
def test_nnunets_own_checkpoint_is_read(tmp_path, network, expected, numpy_core):
    def rename(pickled):
        assert b"cnumpy._core.multiarray\n" in pickled
        return pickled.replace(b"cnumpy._core.", numpy_core)

    file = make_nnunet_checkpoint(tmp_path / "checkpoint_final.pth", network)
    edit_pickle(file, rename)
    content = read_checkpoint(file)
    assert content["logging"]["dice_per_class_or_region"] == [[0.25, 0.75]]
    assert (content["_best_ema"], content["current_epoch"]) == (0.4, 3)
    assert check_member(file, expected) == ""


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module."])
def test_prefixes_of_ddp_and_compile_are_tolerated(tmp_path, network, expected, prefix):
    weights = {prefix + name: tensor for name, tensor in network.state_dict().items()}
    torch.save({"network_weights": weights}, tmp_path / "a.pth")
    assert check_member(tmp_path / "a.pth", expected) == ""
    mixed = {"module.a": torch.zeros(1), "b": torch.zeros(1)}
    assert without_prefixes(mixed) == mixed


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_reading_costs_no_memory_of_its_own(tmp_path):
    def anonymous() -> int:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))

    content = {"network_weights": {"a": torch.ones(8_000_000)}, "optimizer_state": {}}
    torch.save(content, tmp_path / "a.pth")
    del content
    read_checkpoint(tmp_path / "a.pth")
    before = anonymous()
    held = [read_checkpoint(tmp_path / "a.pth")["network_weights"]["a"] for _ in range(4)]
    assert float(held[3][-1]) == 1
    assert anonymous() - before < 8_000  # kB; the four are 128 MB


# Refused


class Harmful:
    """Runs a command when it is unpickled in the ordinary way."""

    def __init__(self, function: Callable[..., Any], *arguments: str) -> None:
        self.function = function
        self.arguments = arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        return self.function, self.arguments


class Foreign:
    """Class of another program."""


def refusal(file):
    """Return the reason for which a file is neither read nor accepted."""
    with pytest.raises(ModelError) as caught:
        read_checkpoint(file)
    assert caught.value.values["file"] == file.name
    assert check_member(file, {}) == caught.value.values["reason"]
    return caught.value.values["reason"]


@pytest.mark.parametrize("place", ["network_weights", "logging"])
@pytest.mark.parametrize(
    ("function", "name"),
    [
        (os.system, f"{os.name}.system"),
        (exec, "builtins.exec"),
        (builtins.__import__, "builtins.__import__"),
    ],
)
def test_code_in_file_is_named_and_not_run(tmp_path, function, name, place):
    proof = tmp_path / "proof"
    command = f"touch {proof}" if function is os.system else f"open({str(proof)!r}, 'w')"
    content = {"network_weights": {"a": torch.zeros(1)}, place: Harmful(function, command)}
    torch.save(content, tmp_path / "a.pth")
    assert refusal(tmp_path / "a.pth") == RUNS_CODE.format(names=name)
    assert not proof.exists()


def _doubled(times: int) -> bytes:
    """Return the pickle of two bytes that are encoded as hexadecimal digits again and again."""
    body = b"c_codecs\nencode\nX\2\0\0\0aaX\6\0\0\0latin1\x86R"
    for _ in range(times):
        body = b"c_codecs\nencode\n" + body + b"X\4\0\0\0HEX-\x86R"
    return body


@pytest.mark.parametrize("axes", [list(range(40)), ["0"], (3,), (-1,), 2, {}])
def test_member_with_impossible_mirroring_is_refused(tmp_path, axes):
    content = {"network_weights": {"a": torch.zeros(1)}, "inference_allowed_mirroring_axes": axes}
    torch.save(content, tmp_path / "a.pth")
    assert check_member(tmp_path / "a.pth", {}) == WRONG_AXES


_TWICE = b"c_codecs\nencode\nX\2\0\0\0uuq\7X\6\0\0\0latin1\x86R"
"""Pickle of two bytes whose text is kept as number 7."""


@pytest.mark.parametrize(
    "body",
    [
        b"cbuiltins\nbytearray\nJ\0\0\0\1\x85R",
        b"ctorch._utils\n_rebuild_device_tensor_from_cpu_tensor\n",
        _doubled(20),
        b"c_codecs\nencode\n" + _TWICE + b"h\7\x86R",
        b"c_codecs\nencode\n" + _TWICE.replace(b"q\7", b"q\7q\x08") + b"h\x08\x86R",
        b"c_codecs\nencode\nX\2\0\0\0uu\x94X\6\0\0\0latin1\x94\x86R",
        b"c_codecs\nencode\nX\6\0\0\0latin1q\1X\2\0\0\0uuq\1h\1\x86R",
    ],
    ids=["zeros", "copied", "hex", "fetched", "kept as two", "numbered", "stored twice"],
)
def test_pickle_that_fills_the_memory_is_refused(tmp_path, body):
    file = tmp_path / "a.pth"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\2}X\1\0\0\0x" + body + b"s.")
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/version", "3")
    assert check_member(file, {}) == FILLS_MEMORY


_COMPUTED = b"c_codecs\nencode\nX\3\0\0\0urkX\5\0\0\0rot13\x86R"
"""Pickle of the text hex, which it does not contain."""

_KEPT_CALL = b"c_codecs\nencode\nq\1X\1\0\0\0aX\6\0\0\0latin1\x86Rq\2"
"""Pickle of one byte, kept as number 2, and the function as number 1."""


@pytest.mark.parametrize(
    "bodies",
    [
        {"archive/data.pkl": _doubled(1) + b"\xff"},
        {"archive/data.pkl": _doubled(0).join([b"c_codecs\nencode\n", _COMPUTED + b"\x86R"])},
        {"archive/data.pkl": _KEPT_CALL + b"h\1h\2" + _COMPUTED + b"\x86R"},
        {"archive/DATA.PKL": _doubled(1), "archive/data.pkl": b"N"},
    ],
    ids=["damaged behind", "computed", "function fetched", "other entry"],
)
def test_no_codec_but_latin1_is_called(tmp_path, monkeypatch, bodies):
    called = []

    def encode(text: Any, encoding: str) -> object:
        called.append(encoding)
        return codecs.encode(text, encoding)

    allowed = torch._weights_only_unpickler._get_allowed_globals()
    monkeypatch.setitem(allowed, "_codecs.encode", encode)
    file = tmp_path / "a.pth"
    with zipfile.ZipFile(file, "w") as archive:
        for name, body in bodies.items():
            archive.writestr(name, b"\x80\2}X\1\0\0\0x" + body + b"s.")
        archive.writestr("archive/version", "3")
    with pytest.raises(ModelError):
        read_checkpoint(file)
    assert set(called) <= {"latin1"}


def test_numbers_of_numpy_have_no_size_of_their_own(tmp_path):
    scalar = b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nX\6\0\0\0V99999\x85R\x85R"
    file = tmp_path / "a.pth"
    torch.save({"network_weights": {"a": torch.zeros(1)}}, file)
    edit_pickle(file, lambda pickled: pickled[:-1] + b"X\1\0\0\0x" + scalar + b"s.")
    with pytest.raises(ModelError):
        read_checkpoint(file)


def test_number_whose_bytes_read_like_a_codec_is_read(tmp_path):
    """As those of 1 of the 4400 numbers in the log of 500 epochs did."""
    number = np.frombuffer("Îuu?".encode("latin1").ljust(8, b"?"), np.float64)[0]
    codec = np.frombuffer(b"!uu!!!!!", np.float64)[0]
    log = [np.float64(1), number, codec, np.float64(2)]
    torch.save({"network_weights": {"a": torch.zeros(1)}, "log": log}, tmp_path / "a.pth")
    assert read_checkpoint(tmp_path / "a.pth")["log"] == log


def test_reading_leaves_no_numpy_types_allowed(member):
    before = set(torch.serialization.get_safe_globals())
    read_checkpoint(member)
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99, 0.9999])
def test_file_cut_short_is_refused(member, share):
    whole = member.read_bytes()
    member.write_bytes(whole[: int(share * len(whole))])
    assert refusal(member) == DAMAGED_FILE


def test_empty_and_missing_files_are_refused(member):
    member.write_bytes(b"")
    assert refusal(member) == EMPTY_FILE
    member.unlink()
    assert refusal(member) == UNREADABLE_FILE.format(reason=os.strerror(errno.ENOENT))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        *(({key: {}}, LACKS_WEIGHTS) for key in ("state_dict", "network_weights")),
        *((content, LACKS_WEIGHTS) for content in ({}, [1, 2], {"network_weights": {"a": 3}})),
        ({"network_weights": {"a": torch.zeros(1)}, "x": torch.nn.ReLU()}, "ReLU"),
        ({"network_weights": {"a": torch.zeros(1)}, "x": Foreign()}, "Foreign"),
    ],
)
def test_foreign_checkpoint_is_refused(tmp_path, content, reason):
    torch.save(content, tmp_path / "a.pth")
    assert reason in refusal(tmp_path / "a.pth")
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    assert refusal(tmp_path / "a.pth") == NOT_AN_ARCHIVE


@pytest.mark.parametrize(
    "pickled", [b"", b"\x80\x02", b"garbage", b"\x80\x02}q\x00\x93.", b"\x80\x02t."]
)
def test_damaged_pickle_is_refused(member, pickled):
    edit_pickle(member, lambda _: pickled)
    assert refusal(member).startswith("the file is damaged")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")  # of torch, before it refuses
def test_flipped_bytes_raise_no_other_error(member, expected):
    whole = member.read_bytes()
    with zipfile.ZipFile(member) as archive:
        pickle = next(info for info in archive.infolist() if info.filename.endswith("data.pkl"))

    @given(st.integers(0, pickle.file_size + 1000) | st.integers(0, len(whole) - 1))
    @example(pickle.header_offset + 300)  # in the pickle, so that its checksum is wrong
    @example(whole.index(b"\x80\x02", pickle.header_offset) + 1)  # the protocol of the pickle
    def flip(index):
        broken = bytearray(whole)
        broken[index] ^= 0xFF
        member.write_bytes(broken)
        refused = check_member(member, expected)
        assert refused or index != pickle.header_offset + 300

    flip()


# Other networks


def test_wrong_architecture_names_the_first_difference(member, expected):
    wider = expected_shapes(make_plans(features_per_stage=[8, 16, 64]), DATASET, "2d")
    assert check_member(member, wider) == OTHER_TENSOR_SHAPE.format(
        tensor="encoder.stages.2.0.convs.0.conv.weight",
        shape=(32, 16, 3, 3),
        expected=(64, 16, 3, 3),
    )
    first = next(iter(expected))
    more = {"stem.weight": torch.Size([1]), **expected}
    assert check_member(member, more) == NO_TENSOR.format(tensor="stem.weight")
    fewer = {name: shape for name, shape in expected.items() if name != first}
    assert check_member(member, fewer) == EXTRA_TENSOR.format(tensor=first)


def test_damaged_content_is_found_by_either_checksum(member, expected):
    known = sha256(member)
    weights = read_checkpoint(member)["network_weights"]
    content = bytearray(member.read_bytes())
    index = content.index(weights["encoder.stages.2.0.convs.0.conv.weight"].numpy().tobytes())
    del weights
    content[index] ^= 1
    other = member.with_name("epoch_0398.pth")
    other.write_bytes(content)
    assert check_member(other, expected) == WRONG_CHECKSUM
    assert check_member(other, expected, sha256=known) == WRONG_CHECKSUM


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_weights_that_are_not_finite_are_refused(tmp_path, value):
    """1e6 is finite in float32 but not in float16."""
    weights = {"a": torch.zeros(3), "b": torch.tensor([0.0, value])}
    write_member(tmp_path / "a.pth", weights, configuration="2d", mirroring_axes=None)
    shapes = {name: tensor.shape for name, tensor in weights.items()}
    assert check_member(tmp_path / "a.pth", shapes) == NOT_FINITE_WEIGHTS.format(tensor="b")


# Networks of plans


def test_expected_shapes_are_those_of_the_network(network, expected):
    state = network.state_dict()
    assert list(expected.items()) == [(name, tensor.shape) for name, tensor in state.items()]
    labels = {**DATASET["labels"], "ignore": 4}  # has no output
    assert expected_shapes(make_plans(), {**DATASET, "labels": labels}, "2d") == expected


@pytest.mark.parametrize(
    "changes", [{"n_stages": 7}, {"conv_op": None}, {"unknown": 1}, {"strides": "twice"}]
)
def test_plans_without_a_network_are_refused(changes):
    with pytest.raises(ModelError) as caught:
        expected_shapes(make_plans(**changes), DATASET, "2d")
    assert caught.value.values["configuration"] == "2d"
    assert caught.value.values["reason"]


@pytest.mark.parametrize("kernel", [3, 64])
def test_network_that_fills_the_memory_is_not_built(kernel):
    """The numbers are those that plans.json may have; weights that repeat take no space."""
    huge = make_plans(features_per_stage=[4096] * 3, kernel_sizes=[[kernel, kernel]] * 3)
    manager = open_plans(huge, DATASET)
    with pytest.raises(ModelError) as caught:
        Architecture.planned(manager, manager.get_configuration("2d"), DATASET).build()
    assert caught.value.values["weights"] > MOST_WEIGHTS


def test_tensor_that_repeats_a_number_is_refused(tmp_path):
    weights = {"a": torch.zeros(1).expand(1000, 1000)}
    torch.save({"network_weights": weights}, tmp_path / "a.pth")
    assert (tmp_path / "a.pth").stat().st_size < 10_000
    assert check_member(tmp_path / "a.pth", {"a": torch.Size([1000, 1000])})


def edit_pickle(file: Path, change: Callable[[bytes], bytes]) -> None:
    """Change only the pickle inside a checkpoint."""
    with zipfile.ZipFile(file) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, value in content.items():
            archive.writestr(name, change(value) if name.endswith("data.pkl") else value)


def test_the_mean_of_weights_keeps_shared_tensors():
    shared = torch.tensor([1.0, 2.0]).half()
    first = {"encoder.w": shared, "decoder.encoder.w": shared, "b": torch.tensor([1.0]).half()}
    other = torch.tensor([3.0, 6.0]).half()
    second = {"encoder.w": other, "decoder.encoder.w": other, "b": torch.tensor([2.0]).half()}
    mean = mean_weights([first, second])
    assert mean["encoder.w"].tolist() == [2.0, 4.0]
    assert mean["encoder.w"] is mean["decoder.encoder.w"]
    assert mean["b"].tolist() == [1.5]
    assert mean["b"].dtype == torch.float32
    assert mean_weights([first]) is first


def test_networks_with_batch_normalisation_are_segmented_with(tmp_path):
    written = plans()
    arguments = written["configurations"]["2d"]["architecture"]["arch_kwargs"]
    arguments["norm_op"] = "torch.nn.modules.batchnorm.BatchNorm2d"
    ensemble = Ensemble(make_model(tmp_path, members=2, written=written), device="cpu")
    result = ensemble.segment(made_image((2, 40, 30)), (8.0, 1.5, 1.5))
    assert [member.refused for member in result.members] == ["", ""]


def test_statistics_of_batch_normalisation_cannot_be_averaged():
    weights = {"norm.running_mean": torch.zeros(3)}
    with pytest.raises(ModelError):
        mean_weights([weights, weights])


# Layers of a trajectory


def test_layers_of_a_trajectory(network):
    layers = trajectory_layers(network.state_dict())
    assert {name: layer.shape for name, layer in layers.items()} == {
        "encoder.stages.0.0.convs.0.conv.weight": (8, 1, 3, 3),
        "encoder.stages.2.0.convs.0.conv.weight": (32, 16, 3, 3),
        "decoder.stages.0.convs.0.conv.weight": (16, 32, 3, 3),
        "decoder.stages.1.convs.0.conv.weight": (8, 16, 3, 3),
        "decoder.seg_layers.1.weight": (4, 8, 1, 1),
    }
    weights = network.state_dict()
    for name, layer in layers.items():
        assert layer.dtype == np.float32
        assert np.array_equal(layer, weights[name].numpy())


def test_layers_of_member_are_those_of_network(member, network):
    of_member = trajectory_layers(read_checkpoint(member)["network_weights"])
    for name, layer in trajectory_layers(network.state_dict()).items():
        assert np.array_equal(of_member.pop(name), layer.astype(np.float16).astype(np.float32))
    assert not of_member


def test_large_layers_except_the_last_are_omitted():
    large, small = torch.zeros(128, 128, 3, 3), torch.zeros(2, 2, 3, 3)
    weights = {
        "encoder.stages.0.conv.weight": small,
        "encoder.stages.0.conv.bias": torch.zeros(2),
        "encoder.stages.1.conv.weight": large,
        "encoder.stages.1.all_modules.0.weight": large,
        "decoder.stages.0.conv.weight": large,
        "decoder.stages.1.convs.0.conv.weight": small,
        "decoder.stages.1.convs.1.conv.weight": small + 1,
        "decoder.stages.2.conv.weight": large,
        "decoder.seg_layers.0.weight": small,
        "decoder.seg_layers.1.weight": small,
    }
    assert list(trajectory_layers(weights)) == [
        "encoder.stages.0.conv.weight",
        "decoder.stages.1.convs.1.conv.weight",
        "decoder.stages.2.conv.weight",
        "decoder.seg_layers.1.weight",
    ]


def test_networks_in_three_dimensions_and_with_residual_blocks():
    for configuration, residual in (("3d_fullres", False), ("2d", True)):
        made = make_plans(configuration, residual=residual)
        shapes = expected_shapes(made, DATASET, configuration)
        assert any("skip" in name for name in shapes) == residual
        assert (8, 1, 3, 3, 3)[: 4 + (not residual)] in shapes.values()
        names = list(trajectory_layers({n: torch.zeros(shape) for n, shape in shapes.items()}))
        assert names[0].startswith("encoder.stages.0.")
        assert [n for n in names if n.startswith("decoder.stages.1.")]
        assert names[-1] == "decoder.seg_layers.1.weight"
