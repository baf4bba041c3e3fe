"""Wheels that a machine with a card lacks, downloaded on a machine with network.

python -m benchmarks.gpu.wheels FOLDER [--installed FILE] [--mib 60] [--list]
python -m benchmarks.gpu.wheels --trace

FILE is OUT/installed.txt of ``python -m benchmarks.gpu OUT`` on the machine with the card: only
what it lacks is downloaded, for its Python, in the versions that are installed here. Without FILE,
everything is. Torch and the packages of CUDA are left out. FOLDER/1, FOLDER/2, … hold at most so
many MiB each; copy one after the other and give each to ``--wheels``. ``--list`` downloads nothing.

``--trace`` writes benchmarks/gpu/needed.txt again: it runs all pieces in tiny sizes on the CPU and
lists the packages that any of their processes has imported. This takes minutes.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import Specifier, SpecifierSet
from packaging.version import Version

from .packages import CARD_PACKAGES, NEEDED, canonical, lacking, needed_packages, read_installed

OURS = "napari-bayes-nnunet"
TOO_LARGE = "{file} has {mib:.0f} MiB, more than {most} MiB. Raise --mib."
TIED = "{file} was built for this machine. Build {name} for the other one and put it into {folder}."
HOOK = """
import atexit, os, sys
def _write():
    with open(os.environ["IMPORTED"], "a") as file:
        file.write("".join(f"{name}\\n" for name in [*sys.modules]))
atexit.register(_write)
"""


def main(words: list[str] | None = None) -> None:
    """List or download the wheels, or renew the list of what is needed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--installed", type=Path)
    parser.add_argument("--mib", type=int, default=60)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--trace", action="store_true")
    options = parser.parse_args(words)
    if options.trace:
        lines = requirement_lines(traced_packages())
        NEEDED.write_text("\n".join(lines) + "\n", encoding="utf-8")
        print("\n".join(lines))
        return
    machine, installed = read_installed(options.installed) if options.installed else ("", {})
    wanted = with_pinned(lacking(needed_packages(), installed))
    pinned = [f"{name}=={importlib.metadata.version(name)}" for name in wanted]
    print("\n".join(pinned) or "Nothing is missing.")
    if options.list or not pinned:
        return
    if options.folder is None:
        parser.error("FOLDER is missing.")
    with tempfile.TemporaryDirectory() as scratch:
        for requirement in pinned:
            download(requirement, Path(scratch), machine)
        for number, group in enumerate(batches(Path(scratch).glob("*.whl"), options.mib), 1):
            folder = options.folder / str(number)
            folder.mkdir(parents=True, exist_ok=True)
            for wheel in group:
                (folder / wheel.name).write_bytes(wheel.read_bytes())
            size = sum(wheel.stat().st_size for wheel in group) / 2**20
            print(f"{folder}: {len(group)} wheels, {size:.0f} MiB")


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


def traced_packages() -> list[str]:
    """Return the packages that the pieces import, without those of the card and this one."""
    with tempfile.TemporaryDirectory() as scratch:
        hook, modules = Path(scratch, "sitecustomize.py"), Path(scratch, "modules")
        hook.write_text(HOOK, encoding="utf-8")
        path = os.pathsep.join(filter(None, [scratch, os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "PYTHONPATH": path, "IMPORTED": str(modules)}
        command = [sys.executable, "-m", "benchmarks.gpu", f"{scratch}/out"]
        subprocess.run([*command, "--device", "cpu", "--tiny"], env=environment, check=True)
        imported = {name.partition(".")[0] for name in modules.read_text().splitlines()}
    return packages_of(imported)


def packages_of(modules: Iterable[str]) -> list[str]:
    """Return the installed packages of top-level modules, without the card's and this one."""
    of_module = importlib.metadata.packages_distributions()
    others = set(modules) - sys.stdlib_module_names
    names = {canonical(name) for module in others for name in of_module.get(module, ())}
    return sorted(name for name in names if name != OURS and not CARD_PACKAGES.match(name))


def requirement_lines(packages: Iterable[str]) -> list[str]:
    """Return ``name specifier`` of packages, with the closest limits that they set to each other.

    Exact versions are left out, see `with_pinned`.
    """
    names = list(packages)
    limits: dict[str, set[Specifier]] = {name: set() for name in names}
    for name, specifier in _requirements([OURS, *names]):
        if name in limits:
            limits[name].update(part for part in specifier if part.operator != "==")
    return [f"{name}{','.join(_closest(limits[name]))}" for name in names]


def _closest(limits: Iterable[Specifier]) -> list[str]:
    """Return the highest lower limit, the lowest upper limit, and all others."""
    every = sorted(limits, key=lambda limit: Version(limit.version))
    lower = [limit for limit in every if limit.operator in (">", ">=")][-1:]
    upper = [limit for limit in every if limit.operator in ("<", "<=")][:1]
    others = [limit for limit in every if limit.operator not in (">", ">=", "<", "<=")]
    return [str(limit) for limit in (*lower, *upper, *others)]


def with_pinned(packages: Iterable[str]) -> list[str]:
    """Return the packages with those of which they need exactly one version."""
    names = list(packages)
    for name, specifier in _requirements(names):
        if name not in names and any(part.operator == "==" for part in specifier):
            names.append(name)
    return names


def _requirements(packages: Iterable[str]) -> Iterator[tuple[str, SpecifierSet]]:
    """Yield name and specifiers of what packages require here, without their extras."""
    for package in packages:
        for text in importlib.metadata.requires(package) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                yield canonical(requirement.name), requirement.specifier


if __name__ == "__main__":
    main()
