"""Packages on the machine with the card: what is there, and wheels that are brought along.

Imports nothing but the standard library and pip, because other packages may be missing.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

MISSING_PACKAGES = 3
"""Exit code if packages are missing."""

_LIST = """
import importlib.metadata, json, platform, sys
packages = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
lines = [f"Python {sys.version.split()[0]}, {platform.machine()}, {'-'.join(platform.libc_ver())}"]
try:
    import torch
    cuda = torch.cuda.is_available()
    card = torch.cuda.get_device_name(0) if cuda else "no card"
    lines.append(f"torch {torch.__version__}, CUDA {torch.version.cuda}, {card}")
    if cuda:
        free, total = torch.cuda.mem_get_info()
        cudnn = torch.backends.cudnn.version()
        lines.append(f"cuDNN {cudnn}, {total / 2**30:.1f} GiB, {free / 2**30:.1f} GiB free")
except ImportError:
    lines.append("no torch")
print(json.dumps([lines, packages]))
"""
_IMPORT = "import pytest, benchmarks.gpu.compare, benchmarks.gpu.speed, benchmarks.gpu.training"


def canonical(name: str) -> str:
    """Return the name of a package as indices write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def write_installed(file: Path, environment: Mapping[str, str]) -> str:
    """Write the versions of Python, torch, the card and the packages; return the first three."""
    command = [sys.executable, "-P", "-c", _LIST]
    done = subprocess.run(
        command, env=dict(environment), stdout=subprocess.PIPE, text=True, check=True
    )
    lines, packages = json.loads(done.stdout.splitlines()[-1])
    rows = sorted(f"{canonical(name)}=={version}" for name, version in packages.items())
    file.write_text("\n".join([*(f"# {line}" for line in lines), *rows, ""]), encoding="utf-8")
    return "\n".join(lines)


def read_installed(file: Path) -> tuple[str, dict[str, str]]:
    """Return the first line of `write_installed`, and name → version."""
    first, *lines = file.read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("==")[::2] for line in lines if "==" in line)
    return first.removeprefix("# "), dict(pairs)


def import_error(environment: Mapping[str, str]) -> str:
    """Return the error with which the pieces fail to import, or an empty text."""
    command = [sys.executable, "-P", "-c", _IMPORT]
    done = subprocess.run(
        command, env=dict(environment), stderr=subprocess.PIPE, text=True, check=False
    )
    return done.stderr.strip().rpartition("\n")[2] if done.returncode else ""


def install_wheels(wheels: Path, site: Path) -> list[str]:
    """Install the wheels of a folder that are not in ``site`` yet; return their names.

    Nothing is downloaded, and no other package is changed.
    """
    new = [wheel for wheel in sorted(wheels.rglob("*.whl")) if not _is_installed(wheel, site)]
    if new:
        options = ["--no-index", "--no-deps", "--no-compile", "--no-cache-dir", "--quiet"]
        command = [sys.executable, "-m", "pip", "install", *options, "--upgrade"]
        subprocess.run([*command, "--target", str(site), *map(str, new)], check=True)
    return [name_and_version(wheel)[0] for wheel in new]


def _is_installed(wheel: Path, site: Path) -> bool:
    name, version = name_and_version(wheel)
    folders: Iterable[Path] = site.glob("*.dist-info")
    names = (folder.name.removesuffix(".dist-info").rpartition("-") for folder in folders)
    return any((canonical(n), v) == (name, version) for n, _, v in names)


def name_and_version(wheel: Path) -> tuple[str, str]:
    """Return the name and the version of the package in a wheel."""
    name, version, *_ = wheel.name.split("-")
    return canonical(name), version
