"""Tests of the packages that travel to a machine with a card."""

from __future__ import annotations

import importlib.metadata
import os
import zipfile
from pathlib import Path

import pytest
from benchmarks.gpu.packages import (
    CARD_PACKAGES,
    canonical,
    install_wheels,
    lacking,
    needed_packages,
    read_installed,
    write_installed,
)
from benchmarks.gpu.wheels import (
    batches,
    packages_of,
    platform_options,
    requirement_lines,
    with_pinned,
)


def test_packages_of_the_card_never_travel() -> None:
    needed = needed_packages()
    assert {"nnunetv2", "numpy", "pytest"} <= needed.keys()
    assert not [name for name in needed if CARD_PACKAGES.match(name)]
    for name in ("torch", "triton", "torchvision", "nvidia-cublas-cu12", "cuda-bindings"):
        assert CARD_PACKAGES.match(name)
    assert not CARD_PACKAGES.match("torchmetrics")


def test_versions_of_needed_packages_are_those_installed_here() -> None:
    installed = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
    here = {canonical(name) for name in installed}
    # A package may be missing: its user no longer needs it since the list was traced.
    needed = {name: limits for name, limits in needed_packages().items() if name in here}
    assert "nnunetv2" in needed
    assert lacking(needed, installed) == []


def test_old_and_missing_packages_are_lacking() -> None:
    needed = {"numpy": ">=2", "acvl-utils": "", "blosc2": "<5,>=3.3.2", "scipy": ">=1.13"}
    installed = {"numpy": "1.26.4", "blosc2": "5.0", "scipy": "1.14.0rc1"}
    assert lacking(needed, installed) == ["numpy", "acvl-utils", "blosc2"]
    assert lacking(needed, installed | {"acvl_utils": "0.2", "numpy": "2.1"}) == ["blosc2"]


def test_imported_modules_become_requirements() -> None:
    modules = ["PIL", "numpy", "torch", "json", "argparse", "napari_bayes_nnunet"]
    packages = packages_of(modules)
    assert packages == ["numpy", "pillow"]
    (line,) = (line for line in requirement_lines(packages) if line.startswith("numpy"))
    assert line.startswith("numpy>=2")
    assert line.count(">") == 1  # the highest


def test_exact_version_travels_with_its_package() -> None:
    assert with_pinned(["pydantic"]) == ["pydantic", "pydantic-core"]
    assert not [name for name, limits in needed_packages().items() if "==" in limits]


def test_installed_packages_are_written_and_read(tmp_path: Path) -> None:
    text = write_installed(tmp_path / "installed.txt", dict(os.environ))
    machine, packages = read_installed(tmp_path / "installed.txt")
    assert machine.startswith("Python 3.")
    assert packages["numpy"] == importlib.metadata.version("numpy")
    assert f"numpy=={packages['numpy']}" in text


def test_wheels_are_for_the_other_machine() -> None:
    options = platform_options("Python 3.12.3, x86_64, glibc-2.28")
    assert options[:4] == ["--python-version", "3.12", "--implementation", "cp"]
    assert options[5] == "manylinux_2_28_x86_64"
    assert "manylinux2014_x86_64" in options
    assert platform_options("") == []


def test_wheels_travel_in_limited_batches(tmp_path: Path) -> None:
    sizes = {"a": 3, "b": 2, "c": 2, "d": 1}
    for name, mib in sizes.items():
        (tmp_path / f"{name}-1-py3-none-any.whl").write_bytes(bytes(mib * 2**20))
    groups = batches(tmp_path.iterdir(), 4)
    assert [[wheel.name[0] for wheel in group] for group in groups] == [["a", "d"], ["b", "c"]]
    with pytest.raises(SystemExit):
        batches(tmp_path.iterdir(), 2)


def test_wheel_is_installed_once(tmp_path: Path) -> None:
    wheels, site = tmp_path / "wheels", tmp_path / "site"
    (wheels / "1").mkdir(parents=True)
    name = "made_package-1.0"
    with zipfile.ZipFile(wheels / "1" / f"{name}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("made_package.py", "ANSWER = 42\n")
        metadata = "Metadata-Version: 2.1\nName: made-package\nVersion: 1.0\n"
        wheel.writestr(f"{name}.dist-info/METADATA", metadata)
        tags = "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr(f"{name}.dist-info/WHEEL", tags)
        wheel.writestr(f"{name}.dist-info/RECORD", "")
    assert install_wheels(wheels, site) == ["made-package"]
    assert (site / "made_package.py").exists()
    assert install_wheels(wheels, site) == []
