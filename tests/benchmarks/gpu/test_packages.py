"""Tests of the packages that travel to a machine with a card."""

from __future__ import annotations

import importlib.metadata
import os
import zipfile
from pathlib import Path

import pytest
from benchmarks.gpu.packages import (
    canonical,
    import_error,
    install_wheels,
    read_installed,
    write_installed,
)
from benchmarks.gpu.wheels import LEFT_OUT, batches, lacking, platform_options


def test_bare_machine_lacks_all_but_card_and_windows() -> None:
    names = lacking({})
    assert {"nnunetv2", "numpy", "pluggy", "pydantic-core", "pylibjpeg-openjpeg"} <= {*names}
    assert not [name for name in names if LEFT_OUT.match(name)]
    for name in ("torch", "triton", "nvidia-cublas-cu12", "cuda-bindings", "napari", "pyqt6-sip"):
        assert LEFT_OUT.match(name)
    assert not LEFT_OUT.match("torchmetrics")


def test_old_packages_travel_with_their_exact_requirements() -> None:
    here = {canonical(d.metadata["Name"]): d.version for d in importlib.metadata.distributions()}
    assert lacking(here) == []
    there = here | {"numpy": "1.26.4", "pydantic": "1.0", "pydantic-core": "0.1"}
    assert lacking(there) == ["numpy", "pydantic", "pydantic-core"]
    assert lacking(there | {"numpy": "2.1.0rc1", "pydantic": here["pydantic"]}) == []


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    (tmp_path / "pytest.py").write_text("raise ImportError('no such package')\n")
    assert import_error(environment) == "ImportError: no such package"


def test_installed_packages_are_written_and_read(tmp_path: Path) -> None:
    text = write_installed(tmp_path / "installed.txt", dict(os.environ))
    machine, packages = read_installed(tmp_path / "installed.txt")
    assert machine.startswith("Python 3.")
    assert packages["numpy"] == importlib.metadata.version("numpy")
    assert machine in text


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
