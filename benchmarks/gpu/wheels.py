"""Wheels that a machine with a card lacks, downloaded on a machine with network.

python -m benchmarks.gpu.wheels FOLDER FILE [--mib 60]

FILE is OUT/installed.txt of ``python -m benchmarks.gpu OUT`` on the machine with the card. What it
lacks is downloaded for its Python, in the versions that are installed here: the requirements of
this package and pytest, and what they require, as the packages installed here say. Torch, CUDA,
napari and Qt are left out. FOLDER/1, FOLDER/2, … hold at most so many MiB each; copy one after the
other and give each to ``--wheels``.
"""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from packaging.requirements import Requirement

from ..command_line import run
from .packages import canonical, read_installed

OURS = "napari-bayes-nnunet"
TOO_LARGE = "{file} has {mib:.0f} MiB, more than {most} MiB. Raise --mib."
TIED = "{file} was built for this machine. Build {name} for the other one and put it into {folder}."
LEFT_OUT = re.compile(
    r"(torch|torchvision|torchaudio|triton|pytorch-triton.*|nvidia-.*|cuda-.*"
    r"|napari|magicgui|superqt|qtpy|pyqt.*|partsegcore-compiled-backend)$"
)
"""Packages that the machine with the card brings itself, and those of windows."""


def main(folder: Path, installed: Path, *, mib: int = 60) -> None:
    """List and download the wheels."""
    machine, there = read_installed(installed)
    pinned = [f"{name}=={importlib.metadata.version(name)}" for name in lacking(there, machine)]
    print("\n".join(pinned) or "Nothing is missing.")
    with tempfile.TemporaryDirectory() as scratch:
        for requirement in pinned:
            download(requirement, Path(scratch), machine)
        for number, group in enumerate(batches(Path(scratch).glob("*.whl"), mib), 1):
            part = folder / str(number)
            part.mkdir(parents=True, exist_ok=True)
            for wheel in group:
                (part / wheel.name).write_bytes(wheel.read_bytes())
            size = sum(wheel.stat().st_size for wheel in group) / 2**20
            print(f"{part}: {len(group)} wheels, {size:.0f} MiB")


def download(requirement: str, folder: Path, machine: str) -> None:
    """Download the wheel of ``name==version`` for a machine, or build it if it has no wheel."""
    pip = [sys.executable, "-m", "pip"]
    command = [*pip, "download", "--no-deps", "--quiet", "--dest", str(folder)]
    options = ["--only-binary=:all:", *platform_options(machine)]
    if subprocess.run([*command, *options, requirement], check=False).returncode == 0:
        return
    command = [*pip, "wheel", "--no-deps", "--quiet", "--wheel-dir", str(folder), requirement]
    before = set(folder.iterdir())
    subprocess.run(command, check=True)
    (wheel,) = set(folder.iterdir()) - before
    if machine and not wheel.name.endswith("-none-any.whl"):
        name = requirement.partition("==")[0]
        raise SystemExit(TIED.format(file=wheel.name, name=name, folder=folder))


def platform_options(machine: str) -> list[str]:
    """Return pip's options for a machine such as "Python 3.12.3, x86_64, glibc-2.39"."""
    match = re.match(r"Python (\d+\.\d+)\S*, (\w+), glibc-2\.(\d+)", machine)
    if match is None:
        return []
    python, processor, newest = match[1], match[2], int(match[3])
    tags = [f"manylinux_2_{minor}_{processor}" for minor in range(newest, 4, -1)]
    tags += [f"{old}_{processor}" for old in ("manylinux2014", "manylinux2010", "manylinux1")]
    platforms = [word for tag in tags for word in ("--platform", tag)]
    return ["--python-version", python, "--implementation", "cp", *platforms]


def batches(wheels: Iterable[Path], mib: int) -> list[list[Path]]:
    """Return the wheels in groups of at most ``mib`` MiB, the largest first."""
    sizes = {wheel: wheel.stat().st_size for wheel in wheels}
    groups: list[list[Path]] = []
    for wheel in sorted(sizes, key=lambda wheel: (-sizes[wheel], wheel.name)):
        if sizes[wheel] > mib * 2**20:
            message = TOO_LARGE.format(file=wheel.name, mib=sizes[wheel] / 2**20, most=mib)
            raise SystemExit(message)
        fits = (g for g in groups if sum(map(sizes.get, (*g, wheel))) <= mib * 2**20)
        group = next(fits, None)
        if group is None:
            groups.append(group := [])
        group.append(wheel)
    return groups


def lacking(installed: Mapping[str, str], machine: str = "") -> list[str]:
    """Return the packages that a machine needs and has not in a version that fits.

    What a package requires that is there is taken to be there, too.
    """
    names: list[str] = []
    waiting = [*_requirements(Requirement(OURS), machine), Requirement("pytest")]
    while waiting:
        requirement = waiting.pop()
        name = canonical(requirement.name)
        version = installed.get(name)
        fits = version and requirement.specifier.contains(version, prereleases=True)
        if not (fits or name in names or LEFT_OUT.match(name)):
            names.append(name)
            waiting += _requirements(requirement, machine)
    return sorted(names)


def _requirements(package: Requirement, machine: str) -> Iterator[Requirement]:
    """Yield what a package that is installed here, with its extras, requires there."""
    there = {}
    if match := re.match(r"Python (\d+\.\d+)", machine):
        there["python_version"] = match[1]
    for text in importlib.metadata.requires(package.name) or ():
        requirement = Requirement(text)
        marker = requirement.marker
        extras = ("", *package.extras)
        if marker is None or any(marker.evaluate({**there, "extra": extra}) for extra in extras):
            yield requirement


if __name__ == "__main__":
    run(__doc__, main)
