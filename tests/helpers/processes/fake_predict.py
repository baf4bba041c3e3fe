"""Fake ``bayes-nnunet predict ENSEMBLE FOLDER -o OUT --continue --jsonl``.

Every .nii.gz file in FOLDER is a study. Files named broken… fail, files named seg… are left out.
The result is an empty OUT/<case>/study.json; OUT/words.json has the arguments of the last call.
"""

import argparse
import json
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

from napari_bayes_nnunet.app.messages import (
    JobEnded,
    Message,
    Notice,
    StageStarted,
    StudiesFound,
    StudyDone,
    text_fields,
)
from napari_bayes_nnunet.core.problems import Action, Statement, statement

STOP = threading.Event()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=0.0, help="per study")
    parser.add_argument("--dies-at", type=int, default=0, help="study at which it crashes")
    parser.add_argument("--refuses", default="", help="error to exit with at once")
    parser.add_argument("--notice", default="")
    parser.add_argument("call", nargs=argparse.REMAINDER)
    flags = parser.parse_args()
    signal.signal(signal.SIGTERM, _on_signal)
    if flags.refuses:
        refusal = statement(flags.refuses, Action.OVERWRITE)
        tell(JobEnded(outcome="failed", **text_fields(refusal)))
        sys.exit(f"Error: {refusal}")
    sys.exit(segment(flags))


def _on_signal(_: int, __: FrameType | None) -> None:
    STOP.set()


def tell(message: Message) -> None:
    print(message.to_line(), flush=True)


def segment(flags: argparse.Namespace) -> int:
    command, _, folder, _, output = flags.call[:5]
    assert command == "predict"
    files = sorted(Path(folder).rglob("*.nii.gz"))
    studies = [file for file in files if not file.name.startswith("seg")]
    Path(output).mkdir(exist_ok=True)
    (Path(output) / "words.json").write_text(json.dumps(flags.call))
    print("not a message: libraries print too", flush=True)
    tell(StageStarted(text="Looking into the folder"))
    if not studies:
        tell(JobEnded(outcome="failed", text=f"{folder} holds no images to segment."))
        return 1
    count = len(files) - len(studies)
    left_out = (f"files that are labels: {count}",) * (count > 0)
    tell(StudiesFound(studies=len(studies), left_out=left_out))
    if flags.notice:
        tell(Notice(text=flags.notice))
    for number, file in enumerate(studies, 1):
        case = str(file.relative_to(folder)).removesuffix(".nii.gz")
        if number == flags.dies_at:
            print("RuntimeError: fake crash", file=sys.stderr, flush=True)
            os._exit(3)
        outcome, text = segment_one(case, Path(output), flags.seconds)
        if outcome == "stopped":
            tell(JobEnded(outcome="stopped", text="Stopped. Segmented some."))
            return 130
        counts = {"done": number, "total": len(studies)}
        eta = 60.0 * (len(studies) - number)
        tell(StudyDone(case=case, outcome=outcome, **text_fields(text), **counts, eta_seconds=eta))
    tell(JobEnded(outcome="finished", text="Segmented all."))
    return 1


def segment_one(case: str, output: Path, seconds: float) -> tuple[str, Statement | str]:
    """Segment one study, and return its outcome and a message."""
    if (output / case / "study.json").exists():
        return "finished before", ""
    if STOP.wait(seconds):
        return "stopped", ""
    if "broken" in case:
        return "failed", statement("{file} is damaged.", Action.OVERWRITE, file=f"{case}.nii.gz")
    (output / case).mkdir(parents=True)
    (output / case / "study.json").touch()
    return "done", "ED is phase 1, ES is phase 8 (Info.cfg next to the image)."


if __name__ == "__main__":
    main()
