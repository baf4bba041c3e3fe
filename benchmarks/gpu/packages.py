"""Packages on the machine with the card: what the measurements need, what is there, and wheels.

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
NEEDED = Path(__file__).with_name("needed.txt")
"""Requirements of the measurements, as ``benchmarks.gpu.wheels --trace`` found them."""
CARD_PACKAGES = re.compile(
    r"(torch|torchvision|torchaudio|functorch|torchgen|triton|pytorch-triton.*|nvidia-.*|cuda-.*)$"
)
"""Packages that the machine with the card brings itself, and that are never copied."""

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


def canonical(name: str) -> str:
    """Return the name of a package as indices write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needed_packages(file: Path = NEEDED) -> dict[str, str]:
    """Return name → version specifier of the packages that the measurements need."""
    requirements = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)(.*)", line.partition("#")[0].strip()):
            requirements[canonical(match[1])] = match[2].strip()
    return requirements


def lacking(needed: Mapping[str, str], installed: Mapping[str, str]) -> list[str]:
    """Return the names of packages that are not installed in a version that is needed."""
    try:
        from packaging.specifiers import SpecifierSet
    except ImportError:
        from pip._vendor.packaging.specifiers import SpecifierSet
    versions = {canonical(name): version for name, version in installed.items()}
    return [
        name
        for name, specifier in needed.items()
        if name not in versions
        or not SpecifierSet(specifier).contains(versions[name], prereleases=True)
    ]


def write_installed(file: Path, environment: Mapping[str, str]) -> str:
    """Write the versions of Python, torch, the card and all packages; return those needed."""
    lines, packages = _installed(environment)
    needed = needed_packages()
    rows = sorted(f"{canonical(name)}=={version}" for name, version in packages.items())
    file.write_text("\n".join([*(f"# {line}" for line in lines), *rows, ""]), encoding="utf-8")
    shown = [row for row in rows if row.partition("==")[0] in needed]
    return "\n".join([*lines, ", ".join(shown)])


def read_installed(file: Path) -> tuple[str, dict[str, str]]:
    """Return the first line of `write_installed`, and name → version."""
    first, *lines = file.read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("==")[::2] for line in lines if "==" in line)
    return first.removeprefix("# "), dict(pairs)


def missing_packages(environment: Mapping[str, str]) -> list[str]:
    """Return the needed packages that a piece would not find, torch included."""
    packages = _installed(environment)[1]
    return lacking({**needed_packages(), "torch": ""}, packages)


def _installed(environment: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    command = [sys.executable, "-P", "-c", _LIST]
    done = subprocess.run(
        command, env=dict(environment), stdout=subprocess.PIPE, text=True, check=True
    )
    lines, packages = json.loads(done.stdout.splitlines()[-1])
    return lines, packages


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
