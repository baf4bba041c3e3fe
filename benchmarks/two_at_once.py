"""Speed of two processes that segment on the same cores, compared with a single process.

``python -m benchmarks.two_at_once ENSEMBLE IMAGE`` prints the seconds per member, with the default
spin count of GNU_SPIN_COUNT OpenMP and with that of this package (``nnunet.SPIN_COUNT``).
"""

from __future__ import annotations

import os
import subprocess
import sys
from statistics import median

from napari_bayes_nnunet.nnunet import SPIN_COUNT

MEMBERS, REPEATS, TIMEOUT = 3, 3, 600
GNU_SPIN_COUNT = 300_000
SEGMENT = f"""
import sys
from time import perf_counter
from napari_bayes_nnunet import Ensemble, read_volume
ensemble, volume = Ensemble(sys.argv[1], device="cpu"), read_volume(sys.argv[2])
volume = volume.frame(1) if volume.is_cine else volume
ensemble.segment(volume.voxels, volume.spacing, members=1)
started = perf_counter()
ensemble.segment(volume.voxels, volume.spacing, members={MEMBERS})
print((perf_counter() - started) / {MEMBERS})
"""


def measure_seconds(ensemble: str, image: str, *, at_once: int, spin_count: int) -> list[float]:
    """Return the seconds per member in each of the processes."""
    environment = {**os.environ, "GOMP_SPINCOUNT": str(spin_count)}
    command = [sys.executable, "-c", SEGMENT, ensemble, image]
    running = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(at_once)
    ]
    return [float(process.communicate(timeout=TIMEOUT)[0]) for process in running]


def main() -> None:
    """Print the table."""
    ensemble, image = sys.argv[1:]
    for spin_count in (GNU_SPIN_COUNT, SPIN_COUNT):
        for at_once in (1, 2):
            seconds = [
                value
                for _ in range(REPEATS)
                for value in measure_seconds(
                    ensemble, image, at_once=at_once, spin_count=spin_count
                )
            ]
            print(
                f"GOMP_SPINCOUNT={spin_count}, {at_once} at once: "
                f"{median(seconds):.2f} s per member ({min(seconds):.2f} to {max(seconds):.2f})"
            )


if __name__ == "__main__":
    main()
