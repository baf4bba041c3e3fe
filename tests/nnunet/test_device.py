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

from ..helpers.checks.problems import says_only
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
    ("kinds", "name", "expected"),
    [
        (("cuda", "mps"), "auto", "cuda"),
        (("mps",), "auto", "mps"),
        ((), "auto", "cpu"),
        (("cuda",), "cpu", "cpu"),
        (("cuda",), "cuda:1", "cuda:1"),
    ],
)
def test_auto_is_the_fastest_device_and_others_have_names(kinds, name, expected, machine):
    machine(*kinds)
    assert str(choose_device(name)).removesuffix(":0") == expected


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
    with pytest.raises(ModelError, check=says_only(template, device=name, choices=choices)):
        choose_device(name)


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


@pytest.mark.parametrize(
    ("kind", "of_the_user", "can_compile", "expected"),
    [
        # Processes that augment would make a seeded training random.
        ("cpu", {"nnUNet_n_proc_DA": "4"}, True, {"nnUNet_n_proc_DA": "0", "nnUNet_compile": "f"}),
        ("mps", {"nnUNet_n_proc_DA": "4"}, True, {"nnUNet_n_proc_DA": "0", "nnUNet_compile": "f"}),
        ("cuda", {}, True, {}),
        ("cuda", {}, False, {"nnUNet_compile": "f"}),
        ("cuda", {"nnUNet_n_proc_DA": "4", "nnUNet_compile": "t"}, False, {}),
    ],
)
def test_environment_of_a_training(kind, of_the_user, can_compile, expected, monkeypatch):
    for name in ("nnUNet_n_proc_DA", "nnUNet_compile"):
        monkeypatch.delenv(name, raising=False)
    for name, value in of_the_user.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(device, "can_compile", lambda: can_compile)
    assert training_environment(torch.device(kind)) == expected


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
    [(True, False, True), (False, True, True), (False, False, False), (None, None, False)],
)
def test_bfloat16_is_fast_in_hardware(avx512, amx, expected, monkeypatch):
    for name, has in (("_is_avx512_bf16_supported", avx512), ("_is_amx_tile_supported", amx)):
        if has is None:  # an old torch
            monkeypatch.delattr(torch.cpu, name, raising=False)
        else:
            monkeypatch.setattr(torch.cpu, name, lambda has=has: has, raising=False)
    assert has_fast_bfloat16() is expected


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
