"""Measurements on one CUDA card, in calls of under nine minutes.

python -m benchmarks.gpu OUT [--wheels FOLDER] [--dataset FOLDER] [--device cuda] [--tiny]

For a machine with a card, its own torch, and no network. Each call installs the wheels of FOLDER
into OUT/work/site, then works for at most nine minutes on the pieces that are left: the tests
marked ``gpu``, our predictor and nnU-Net's side by side, the speed in all number types and batches,
a training at the paper's size, and its continuation from the parts of its state. Exit code 10
means: call again, here or on another machine to which OUT was copied (OUT/work is not needed
there). All calls take at most 45 minutes; ``--tiny`` tries them with small sizes. Tables are in
OUT/tables.md and OUT/*.csv. DATASET is an nnU-Net raw dataset for the training; without it, hearts
are made in the size of ACDC.

Commands next to this one: ``benchmarks.gpu.wheels`` (what to bring along), ``benchmarks.gpu.parts``
(take a training state home), ``benchmarks.gpu.tables`` (write the tables again).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from time import monotonic

from ..command_line import run
from .packages import MISSING_PACKAGES, import_error, install_wheels, write_installed
from .processes import run_for
from .progress import (
    CALL_AGAIN,
    CALL_SECONDS,
    FAILED,
    FINISHED,
    GRACE_SECONDS,
    Piece,
    Progress,
    read_results,
)

ROOT = Path(__file__).parents[2]


def main(
    out: Path,
    *,
    wheels: Path | None = None,
    dataset: Path | None = None,
    device: str = "cuda",
    tiny: bool = False,
) -> int:
    """Work on the pieces until the call is over, and return the exit code."""
    started = monotonic()
    out = out.absolute()
    (out / "work").mkdir(parents=True, exist_ok=True)
    progress = Progress.read(out, {"device": device, "tiny": tiny})
    environment = piece_environment(out)
    if not _prepare(out, wheels, environment):
        return MISSING_PACKAGES
    progress.seconds += monotonic() - started
    arguments = ["--device", device, *(["--tiny"] if tiny else [])]
    if dataset:
        arguments += ["--dataset", str(dataset.absolute())]
    for piece in progress.open_pieces():
        seconds = progress.allowed(piece, CALL_SECONDS - (monotonic() - started))
        if progress.of(piece).is_done:
            continue
        if not seconds:
            break
        _work_on(piece, out, progress, [*arguments, "--seconds", str(seconds)], environment)
    progress.write()
    tables = [sys.executable, "-P", "-m", "benchmarks.gpu.tables", str(out)]
    run_for(tables, 60, environment=environment, log=None)
    return _exit_code(out, progress)


def piece_environment(out: Path) -> dict[str, str]:
    """Return the environment in which a piece finds the packages, this repository and its code."""
    # The repository first, because some wheels bring a package called tests.
    paths = [str(ROOT), str(ROOT / "src"), str(out / "work" / "site")]
    given = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*paths, *([given] if given else [])])}


def _prepare(out: Path, wheels: Path | None, environment: dict[str, str]) -> bool:
    """Install wheels, print versions, and return whether the pieces can be imported."""
    if wheels is not None:
        print("Installed:", ", ".join(install_wheels(wheels, out / "work" / "site")) or "nothing")
    print(write_installed(out / "installed.txt", environment), flush=True)
    error = import_error(environment)
    if error:
        print(
            f"{error}\nPackages are missing. On a machine with network, run\n"
            f"python -m benchmarks.gpu.wheels WHEELS {out / 'installed.txt'}"
        )
    return not error


def _work_on(
    piece: Piece, out: Path, progress: Progress, arguments: list[str], environment: dict[str, str]
) -> None:
    allowed = int(arguments[-1])
    print(f"{piece.name}: up to {allowed} s", flush=True)
    progress.charge(piece, allowed)
    started = monotonic()
    command = [sys.executable, "-P", "-m", piece.module, str(out), *arguments, *piece.arguments]
    log = out / f"{piece.name}.log"
    code = run_for(command, allowed + GRACE_SECONDS, environment=environment, log=log)
    progress.charge(piece, monotonic() - started - allowed)
    progress.end(piece, code)
    print(f"{piece.name}: exit code {code} after {monotonic() - started:.0f} s", flush=True)
    if code not in (FINISHED, CALL_AGAIN):
        print("\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]))


def _exit_code(out: Path, progress: Progress) -> int:
    if progress.open_pieces():
        print("Not all done. Call again, here or on another machine with a copy of OUT.")
        return CALL_AGAIN
    failed = [name for name, piece in progress.pieces.items() if piece.has_failed]
    failed += [row["name"] for row in read_results(out, "test") if row["outcome"] == "failed"]
    print(f"Failed: {', '.join(failed)}" if failed else "All done.")
    return FAILED if failed else FINISHED


if __name__ == "__main__":
    run(__doc__, main)
