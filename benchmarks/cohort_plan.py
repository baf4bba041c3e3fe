"""Time and storage that segmenting a cohort needs.

python -m benchmarks.cohort_plan STUDY STUDY … [--studies 100000] [--phases 50] [--speedups 10 30]

Each STUDY is a folder written by predict --save study. The seconds come from
docs/explanation/speed.csv: the full-size network and 30 members on two CPU cores. No GPU was
measured; the GPU rows divide these seconds by an assumed speed-up.
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
    """Return the seconds per volume for 30 members in bfloat16, averaged over measured volumes."""
    with speed.open(encoding="utf-8", newline="") as rows:
        # Rows with a peak memory come from one larger volume only.
        return mean(
            float(row["seconds"])
            for row in csv.DictReader(rows)
            if (row["mirroring"], row["stock"], row["precision"], row["until_stable"])
            == (mirroring, "False", "bfloat16", "False")
            and row["members"] == str(MEMBERS)
            and not row["peak_anonymous_mb"]
        )


def study_seconds(mirroring: str, *, phases: int, all_phases: bool) -> float:
    """Return the seconds for all phases of a study, or for ED and ES, found by one member."""
    volume = volume_seconds(mirroring)
    finding = phases * volume_seconds("none") / MEMBERS
    return phases * volume if all_phases else 2 * volume + finding


@dataclass(frozen=True, kw_only=True)
class StudySize:
    """Size of a study on disk in bytes, without its image.

    ``member_bytes`` is the part taken by the labels of the members.
    """

    name: str
    phases: int
    members: int
    size: int
    member_bytes: int

    @classmethod
    def measure(cls, study: Path) -> StudySize:
        """Return the size of a study folder."""
        info = read_study_info(study)
        return cls(
            name=study.name,
            phases=len(info.phases),
            members=len(next(iter(info.reports.values()))["members"]),
            size=sum(file.stat().st_size for file in study.rglob("*") if file.is_file()),
            member_bytes=sum(map(member_label_bytes, (study / POSTERIOR).iterdir())),
        )

    def bytes_per_phase(self, *, members: int) -> float:
        """Return the bytes of one phase if the study had ``members`` members."""
        rest = self.size - self.member_bytes
        return (rest + self.member_bytes * members / self.members) / self.phases

    def row(self, *, studies: int, phases: int) -> str:
        """Return the measured size, and the sizes of the cohort with 30 members, as a table row."""
        phase = self.bytes_per_phase(members=MEMBERS)
        whole = (f"{count * phase * studies / 1e12:.2f} TB" for count in (2, phases))
        measured = f"{self.size / MB:.2f} MB"
        return row(self.name, self.phases, self.members, measured, f"{phase / MB:.2f} MB", *whole)


def member_label_bytes(posterior: Path) -> int:
    """Return the compressed bytes of the members' labels in one file of a study."""
    with ZipFile(posterior) as parts:
        return parts.getinfo("members.npy").compress_size


def row(*cells: object) -> str:
    """Return a row of a Markdown table."""
    return f"| {' | '.join(map(str, cells))} |"


def duration(seconds: float) -> str:
    """Return a duration in days, or in hours if it is shorter than two days."""
    return f"{seconds / DAY:,.1f} d" if seconds >= 2 * DAY else f"{seconds / 3600:.1f} h"


def time_table(*, studies: int, phases: int, speedups: list[float]) -> Iterator[str]:
    """Yield the rows of the time table by phases, mirroring and device."""
    counts = (f"{n} machine{'s' if n > 1 else ''} or GPU{'s' if n > 1 else ''}" for n in MACHINES)
    yield row("phases", "mirroring", "device", "seconds per study", *counts)
    yield row(*["---"] * (4 + len(MACHINES)))
    for all_phases in (False, True):
        for mirroring in MIRRORS:
            seconds = study_seconds(mirroring, phases=phases, all_phases=all_phases)
            devices = {"2 CPU cores, **measured**": 1.0}
            devices |= {f"GPU, {times:g} × *assumed*": times for times in speedups}
            for device, times in devices.items():
                study = seconds / times
                whole = (duration(studies * study / count) for count in MACHINES)
                which = f"all {phases}" if all_phases else "ED, ES"
                yield row(which, mirroring, device, f"{study:,.1f}", *whole)


def main() -> None:
    """Print the tables of time and storage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", nargs="+", type=Path)
    parser.add_argument("--studies", type=int, default=100_000)
    parser.add_argument("--phases", type=int, default=50)
    parser.add_argument("--speedups", type=float, nargs="+", default=[10, 30, 100])
    options = parser.parse_args()
    cohort = {"studies": options.studies, "phases": options.phases}
    print("\n".join(time_table(**cohort, speedups=options.speedups)), end="\n\n")
    phase = f"one phase with {MEMBERS} members"
    ends = ("cohort, ED and ES", "cohort, all phases")
    print(row("study", "phases", "members", "measured", phase, *ends))
    print(row(*["---"] * 7))
    for study in options.study:
        print(StudySize.measure(study).row(**cohort))


if __name__ == "__main__":
    main()
