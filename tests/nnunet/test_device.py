"""Devices: choice, description, and errors of memory and of CUDA."""

import stat
import subprocess
import sys

import pytest
import torch

from napari_bayes_nnunet.nnunet import ModelError, device
from napari_bayes_nnunet.nnunet.device import (
    NOT_A_DEVICE,
    UNAVAILABLE,
    can_compile,
    choose_device,
    describe_device,
    describe_devices,
    has_fast_bfloat16,
    is_broken,
    is_out_of_memory,
    training_environment,
)

from ..helpers.processes.command import environment

CUDA = torch.device("cuda")


@pytest.fixture
def machine(monkeypatch):
    """``machine(*kinds)`` makes only devices of these kinds available."""

    def make(*kinds):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in kinds)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2 * ("cuda" in kinds))
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in kinds)

    return make


@pytest.mark.parametrize(
    ("kinds", "expected"), [(("cuda", "mps"), "cuda"), (("mps",), "mps"), ((), "cpu")]
)
def test_auto_is_the_fastest_device(kinds, expected, machine):
    machine(*kinds)
    assert choose_device("auto").type == expected


def test_a_device_is_chosen_by_name(machine):
    machine("cuda")
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("cuda:1") == torch.device("cuda:1")


CACHES = """
import os
import napari_bayes_nnunet.nnunet
if os.environ.get("nnUNet_compile") != "f":
    import napari_bayes_nnunet.nnunet.trainer
    from torch._inductor.runtime.cache_dir_utils import cache_dir, triton_cache_dir
    print(cache_dir(), triton_cache_dir(0))
"""


def compile_caches(home, **variables):
    """Return where a training keeps compiled code; [] if it does not compile."""
    names = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "nnUNet_compile")
    kept = {name: value for name, value in environment().items() if name not in names}
    said = subprocess.check_output(
        [sys.executable, "-c", CACHES],
        env={**kept, "XDG_CACHE_HOME": str(home), **variables},
        text=True,
    )
    return said.split()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have another folder")
def test_compiled_code_is_private(tmp_path):
    folder = tmp_path / "napari-bayes-nnunet"
    folder.mkdir(0o777)
    mine = str(tmp_path / "mine")
    caches = compile_caches(tmp_path, TRITON_CACHE_DIR=mine)
    assert caches == [str(folder / "inductor"), mine]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_nothing_is_compiled_without_a_private_folder(tmp_path):
    (tmp_path / "napari-bayes-nnunet").touch()
    assert compile_caches(tmp_path) == []
    own = {"TORCHINDUCTOR_CACHE_DIR": "/mine", "TRITON_CACHE_DIR": "/too"}
    assert compile_caches(tmp_path, **own) == [*own.values()]


@pytest.mark.parametrize(
    ("kinds", "name", "template", "choices"),
    [
        ((), "cuda", UNAVAILABLE, "auto or cpu"),
        ((), "mps", UNAVAILABLE, "auto or cpu"),
        ((), "tpu", NOT_A_DEVICE, "auto, cuda, mps, cpu"),
        (("cuda",), "cuda:2", UNAVAILABLE, "cuda:0, cuda:1"),
        (("cuda",), "cuda:x", NOT_A_DEVICE, "cuda:0, cuda:1"),
    ],
)
def test_a_device_that_cannot_be_used_is_refused(kinds, name, template, choices, machine):
    machine(*kinds)
    with pytest.raises(ModelError) as caught:
        choose_device(name)
    assert caught.value.statement.template == template
    assert caught.value.values == {"device": name, "choices": choices}


def test_the_cpu_is_always_described(machine):
    machine()
    descriptions = describe_devices()
    assert list(descriptions) == ["cpu"]
    assert descriptions["cpu"].startswith("CPU, ")


def test_gpus_are_described_with_their_free_memory(machine, monkeypatch):
    def memory(index):
        if index == 1:
            raise RuntimeError("CUDA-capable device(s) is/are busy or unavailable")
        return 2**30, 3 * 2**30

    machine("cuda", "mps")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"Card {index}")
    monkeypatch.setattr(torch.cuda, "mem_get_info", memory)
    descriptions = describe_devices()
    assert list(descriptions) == ["cuda:0", "cuda:1", "mps", "cpu"]
    assert descriptions["cuda:0"].startswith("Card 0, 1.0 of 3.0 GiB")
    assert describe_device(CUDA) == descriptions["cuda:0"]
    assert descriptions["cuda:1"].startswith("Card 1, ")
    assert "GiB" not in descriptions["cuda:1"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA"), True),
        (MemoryError(), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("size mismatch"), False),
    ],
)
def test_errors_of_memory_are_recognised(error, expected):
    assert is_out_of_memory(error) is expected


def test_a_cpu_training_augments_in_its_own_process(monkeypatch):
    monkeypatch.setenv("nnUNet_n_proc_DA", "4")  # would make a seeded training random
    for kind in ("cpu", "mps"):
        assert training_environment(torch.device(kind)) == {
            "nnUNet_n_proc_DA": "0",
            "nnUNet_compile": "f",
        }


def test_nnunet_compiles_on_cuda_if_it_can(monkeypatch):
    monkeypatch.delenv("nnUNet_compile", raising=False)
    monkeypatch.setattr(device, "can_compile", lambda: True)
    assert training_environment(CUDA) == {}
    monkeypatch.setattr(device, "can_compile", lambda: False)
    assert training_environment(CUDA) == {"nnUNet_compile": "f"}


def test_variables_of_the_user_stay_on_cuda(monkeypatch):
    monkeypatch.setenv("nnUNet_n_proc_DA", "4")
    monkeypatch.setenv("nnUNet_compile", "t")
    monkeypatch.setattr(device, "can_compile", lambda: False)
    assert training_environment(CUDA) == {}


@pytest.mark.parametrize("lacking", ["triton", "compiler", "headers", None])
def test_compiling_needs_triton_compiler_and_headers(lacking, monkeypatch, tmp_path):
    if lacking != "headers":
        (tmp_path / "Python.h").touch()
    spec = None if lacking == "triton" else object()
    compiler = None if lacking == "compiler" else "/usr/bin/gcc"
    monkeypatch.setattr(device.importlib.util, "find_spec", lambda name: spec)
    monkeypatch.setattr(device.shutil, "which", lambda name: compiler)
    monkeypatch.setattr(device.sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    assert can_compile() == (lacking is None)


@pytest.mark.parametrize(
    ("avx512", "amx", "expected"),
    [(True, False, True), (False, True, True), (False, False, False)],
)
def test_bfloat16_is_fast_in_hardware(avx512, amx, expected, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    assert has_fast_bfloat16() is expected


def test_an_old_torch_has_no_fast_bfloat16(monkeypatch):
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert has_fast_bfloat16() is False


def test_cuda_is_broken_if_later_calls_fail(monkeypatch):
    error = RuntimeError("CUDA error: an illegal memory access was encountered")
    broken = []
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    monkeypatch.setattr("torch.cuda.memory_reserved", lambda index: index % 2)

    def synchronize(device):
        if device in broken:
            raise error

    monkeypatch.setattr("torch.cuda.synchronize", synchronize)
    assert not is_broken(error)
    broken[:] = [2]  # unused: a context on it would take memory
    assert not is_broken(error)
    for index in (None, 1):
        broken[:] = [index]
        assert is_broken(error)
        assert not is_broken(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
