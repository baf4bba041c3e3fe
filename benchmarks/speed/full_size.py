"""The cine table for the full-size network of nnU-Net's plans for ACDC, with random weights.

python -m benchmarks.speed.full_size DATASET OUT [--tiny] [options of benchmarks.speed.cine]

Nothing is trained: the 30 members are random, in three cycles, and are made in OUT/ensemble (1.2
GB). They do for seconds and memory, but not for Dice and ECE; see `made_answers` for the window and
the stopping. By default ours is timed on 3 of 25 phases and nnU-Net on 3 phases with 3 members, and
both are scaled. For Dice and ECE use `benchmarks.speed.cine` with a trained run. DATASET is ACDC,
of which two validation patients are segmented.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.helpers.data.models import make_model

from napari_bayes_nnunet.io.ensemble.ensemble_folder import PLANS_ENTRY

from ..gpu.model import full_size_plans
from ..gpu.piece import FULL, TINY, Size
from ..held_back import held_back_cases
from .cine import TIMED_PHASES, make_cine_parser, run_cines

CYCLES = 3
NNUNET_MEMBERS = 3
"""Members with which nnU-Net is timed."""


def cyclic_ensemble(folder: Path, size: Size, members: int) -> Path:
    """Return an ensemble of random members in cycles, which is made if it is missing."""
    if not folder.exists():
        scratch = folder.with_name(f".{folder.name}")
        shutil.rmtree(scratch, ignore_errors=True)
        model = make_model(scratch, members=members, written=full_size_plans(size))
        plans = json.loads((model / "plans.json").read_text(encoding="utf-8"))
        plans[PLANS_ENTRY] = {"schedule": {"epochs": members, "cycles": CYCLES}}
        (model / "plans.json").write_text(json.dumps(plans), encoding="utf-8")
        (model / "fold_0" / "members").mkdir()
        for epoch in range(members):
            made = model / "fold_0" / f"checkpoint_epoch_{epoch + 1}.pth"
            made.rename(model / "fold_0" / "members" / f"epoch_{epoch:04d}.pth")
        model.rename(folder)
        scratch.rmdir()
    return folder


def main(words: Sequence[str] | None = None) -> None:
    """Make the ensemble, and measure its rows."""
    parser = make_cine_parser(__doc__, "dataset", "out")
    parser.add_argument("--tiny", action="store_true")
    parser.set_defaults(timed_phases=TIMED_PHASES, nnunet_members=NNUNET_MEMBERS)
    options = parser.parse_args(words)
    size = TINY if options.tiny else FULL
    options.out.mkdir(parents=True, exist_ok=True)
    options.run = cyclic_ensemble(options.out / "ensemble", size, options.members)
    cases = held_back_cases(options.dataset, options.split)
    run_cines(options, cases, made_answers=True)


if __name__ == "__main__":
    main()
