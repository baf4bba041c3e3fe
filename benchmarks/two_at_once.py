"""Two processes that segment on the same cores, beside one that has them for itself.

``python -m benchmarks.two_at_once ENSEMBLE IMAGE`` prints the seconds of a member, with the waiting
of torch's threads as GNU OpenMP has it and as this package sets it (``nnunet.SPIN_COUNT``).
"""

from __future__ import annotations

import os
import subprocess
import sys
from statistics import median

from napari_bayes_nnunet.nnunet import SPIN_COUNT

MEMBERS, REPEATS, TIMEOUT = 3, 3, 600
GNU = 300_000
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


def seconds(ensemble: str, image: str, *, at_once: int, spin_count: int) -> list[float]:
    """Seconds of a member in each of the processes."""
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
    for spin_count in (GNU, SPIN_COUNT):
        for at_once in (1, 2):
            found = [
                value
                for _ in range(REPEATS)
                for value in seconds(ensemble, image, at_once=at_once, spin_count=spin_count)
            ]
            print(
                f"GOMP_SPINCOUNT={spin_count}, {at_once} at once: {median(found):.2f} s a member "
                f"({min(found):.2f} to {max(found):.2f})"
            )


if __name__ == "__main__":
    main()
