"""What segmenting a cohort takes: time by the measured seconds, storage by studies that were made.

python -m benchmarks.cohort_plan STUDY STUDY … [--studies 100000] [--phases 50] [--speedups 10 30]

Each STUDY is a folder of predict --save study. The seconds are those of
docs/explanation/speed.csv: the full-size network and 30 members on two CPU cores. No GPU was
measured: the rows of GPUs are those seconds divided by a speed-up that is assumed.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from zipfile import ZipFile

from napari_bayes_nnunet.io.study.arrays import POSTERIOR
from napari_bayes_nnunet.io.study.info import read_study_info

SPEED = Path(__file__).parents[1] / "docs" / "explanation" / "speed.csv"
MACHINES = (1, 8, 64)
MEMBERS = 30
MIRRORS = ("full", "spread")
DAY = 86400.0
MB = 1e6


def volume_seconds(mirroring: str, *, speed: Path = SPEED) -> float:
    """Seconds a volume for 30 members in bfloat16, the mean of the measured volumes."""
    with speed.open(encoding="utf-8", newline="") as rows:
        # Those of the comparison with nnU-Net; the later ones are of one larger volume alone.
        return mean(
            float(row["seconds"])
            for row in csv.DictReader(rows)
            if (row["mirroring"], row["stock"], row["precision"], row["until_stable"])
            == (mirroring, "False", "bfloat16", "False")
            and row["members"] == str(MEMBERS)
            and not row["peak_anonymous_mb"]
        )


def study_seconds(mirroring: str, *, phases: int, all_phases: bool) -> float:
    """Seconds of a study: every phase, or ED and ES, which one member finds among all phases."""
    volume = volume_seconds(mirroring)
    finding = phases * volume_seconds("none") / MEMBERS
    return phases * volume if all_phases else 2 * volume + finding


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What a study takes on the disk, bytes; ``of_members`` is the part of the members' labels.

    The image it was made of is not in it.
    """

    name: str
    phases: int
    members: int
    size: int
    of_members: int

    @classmethod
    def of(cls, study: Path) -> Stored:
        """Measure the folder of a study."""
        info = read_study_info(study)
        return cls(
            name=study.name,
            phases=len(info.phases),
            members=len(next(iter(info.reports.values()))["members"]),
            size=sum(file.stat().st_size for file in study.rglob("*") if file.is_file()),
            of_members=sum(map(size_of_members, (study / POSTERIOR).iterdir())),
        )

    def a_phase(self, *, members: int) -> float:
        """Bytes of one phase with so many members: their labels grow with their number."""
        rest = self.size - self.of_members
        return (rest + self.of_members * members / self.members) / self.phases

    def row(self, *, studies: int, phases: int) -> str:
        """Measured; and computed with 30 members for the cohort with ED and ES, and all phases."""
        each = self.a_phase(members=MEMBERS)
        whole = (f"{count * each * studies / 1e12:.2f} TB" for count in (2, phases))
        measured = f"{self.size / MB:.2f} MB"
        return row(self.name, self.phases, self.members, measured, f"{each / MB:.2f} MB", *whole)


def size_of_members(posterior: Path) -> int:
    """Bytes of the labels of the members in a file of a study, compressed."""
    with ZipFile(posterior) as parts:
        return parts.getinfo("members.npy").compress_size


def row(*cells: object) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(map(str, cells))} |"


def duration(seconds: float) -> str:
    """Days, or hours where it is less than two days."""
    return f"{seconds / DAY:,.1f} d" if seconds >= 2 * DAY else f"{seconds / 3600:.1f} h"


def time_table(*, studies: int, phases: int, speedups: list[float]) -> Iterator[str]:
    """Rows by phases, mirrors and device."""
    counts = (f"{n} machine{'s' if n > 1 else ''} or GPU{'s' if n > 1 else ''}" for n in MACHINES)
    yield row("phases", "mirrors", "device", "seconds a study", *counts)
    yield row(*["---"] * (4 + len(MACHINES)))
    for all_phases in (False, True):
        for mirroring in MIRRORS:
            seconds = study_seconds(mirroring, phases=phases, all_phases=all_phases)
            devices = {"2 CPU cores, from what was **measured**": 1.0}
            devices |= {f"GPU, {times:g} × *assumed*": times for times in speedups}
            for device, times in devices.items():
                each = seconds / times
                whole = (duration(studies * each / count) for count in MACHINES)
                which = f"all {phases}" if all_phases else "ED, ES"
                yield row(which, mirroring, device, f"{each:,.1f}", *whole)


def main() -> None:
    """Print the tables of time and storage."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("study", nargs="+", type=Path)
    words.add_argument("--studies", type=int, default=100_000)
    words.add_argument("--phases", type=int, default=50)
    words.add_argument("--speedups", type=float, nargs="+", default=[10, 30, 100])
    asked = words.parse_args()
    cohort = {"studies": asked.studies, "phases": asked.phases}
    print("\n".join(time_table(**cohort, speedups=asked.speedups)), end="\n\n")
    each = f"a phase with {MEMBERS} members"
    ends = ("cohort, ED and ES", "cohort, all phases")
    print(row("study", "phases", "members", "measured", each, *ends))
    print(row(*["---"] * 7))
    for study in asked.study:
        print(Stored.of(study).row(**cohort))


if __name__ == "__main__":
    main()
