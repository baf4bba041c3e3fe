"""Evaluation of a run on its validation cases, and export of the members the package ships.

python benchmarks/demo_ensemble.py evaluate RUN DATASET RESULTS.jsonl   (resumable, a line per case)
python benchmarks/demo_ensemble.py table RESULTS.jsonl
python benchmarks/demo_ensemble.py ship RUN RESULTS.jsonl FOLDER

Dice on the original grid; ECE with 100 bins in the foreground box of the reference; full mirroring.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from time import perf_counter

import numpy as np

from napari_bayes_nnunet.app.segmentation.case_scores import case_scores, mean_scores, score_ranges
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.member_statistics import MemberStatistics
from napari_bayes_nnunet.app.segmentation.methods import choose_members
from napari_bayes_nnunet.core.heart.measurements import measure_spread, volumes_ml
from napari_bayes_nnunet.core.metrics.calibration import ReliabilityBins, reliability_bins
from napari_bayes_nnunet.core.metrics.overlap import dice
from napari_bayes_nnunet.io.dataset.raw_dataset import TrainingCase, read_dataset
from napari_bayes_nnunet.io.ensemble.ensemble_folder import Member, find_ensemble
from napari_bayes_nnunet.io.ensemble.run_folder import read_record, write_record
from napari_bayes_nnunet.io.images.nifti import read_channels, read_labels

SHIPPED = "multi, n 9"
METHODS = {
    "vanilla": ("vanilla", 1),
    "single, n 3": ("single", 3),
    "single, n 10": ("single", 10),
    "multi, n 3": ("multi", 3),
    SHIPPED: ("multi", 9),
    "multi, n 30": ("multi", 30),
}


def evaluate(run: Path, dataset: Path, results: Path) -> None:
    """Segment every validation case with every member and append the scores of each method."""
    ensemble = Ensemble(run)
    (fold,) = read_record(run / "ensemble.json").folds.values()
    done = {json.loads(line)["case"] for line in _lines(results)}
    cases = [c for c in read_dataset(dataset).cases if c.name in fold["validation_cases"]]
    for case in cases:
        if case.name not in done:
            row = evaluate_case(ensemble, case)
            with results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(case.name, row["seconds"], "s", flush=True)


def evaluate_case(ensemble: Ensemble, case: TrainingCase) -> dict[str, object]:
    """Return Dice and reliability bins of every method on one case."""
    started = perf_counter()
    channels = read_channels(case.images[0])
    reference = read_labels(case.label).voxels
    chosen: dict[str, set[Member]] = {}
    for name, (method, count) in METHODS.items():
        chosen[name] = set(choose_members(ensemble.folder, method, count))
    members = sorted(set().union(*chosen.values()), key=lambda member: member.path)
    spacing = channels[0].spacing
    statistics = {
        name: MemberStatistics(structures=ensemble.structures, spacing=spacing) for name in METHODS
    }
    image = np.stack([channel.voxels for channel in channels])
    probabilities = ensemble.member_probabilities(image, spacing, members)
    for member, softmax in zip(members, probabilities, strict=True):
        for name, totals in statistics.items():
            if member in chosen[name]:
                totals.add(softmax)
    scores = {name: _scores(totals, reference) for name, totals in statistics.items()}
    return {"case": case.name, "seconds": round(perf_counter() - started, 1), "methods": scores}


def _scores(statistics: MemberStatistics, reference: np.ndarray) -> dict:
    posterior = statistics.posterior
    labels = np.asarray(posterior.labels())
    bins = reliability_bins(np.asarray(posterior.mean()), reference)
    volumes = volumes_ml(labels, statistics.spacing, statistics.structures)
    spreads = {name: measure_spread(values) for name, values in statistics.volumes.items()}
    return {
        "n": posterior.count,
        "dice": dice(labels, reference, statistics.structures),
        "bins": {name: np.asarray(values).tolist() for name, values in asdict(bins).items()},
        "case_scores": case_scores(volumes, spreads, statistics.agreement.mean()),
    }


def table(results: Path) -> str:
    """Return mean Dice ± standard deviation over volumes and pooled ECE as a Markdown table."""
    rows = [json.loads(line) for line in _lines(results)]
    structures = list(rows[0]["methods"]["vanilla"]["dice"])
    head = ["method", "n", *structures, "mean Dice", "ece_pooled %", "ece_volume_mean %"]
    text = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name in METHODS:
        of_method = [row["methods"][name] for row in rows]
        values = {s: np.array([m["dice"][s] for m in of_method]) for s in structures}
        bins = [_read_bins(scores["bins"]) for scores in of_method]
        pooled = sum(bins, ReliabilityBins.empty()).ece
        columns = [name, str(of_method[0]["n"])]
        columns += [f"{np.nanmean(v):.3f} ± {np.nanstd(v, ddof=1):.3f}" for v in values.values()]
        columns += [f"{np.mean([np.nanmean(v) for v in values.values()]):.4f}"]
        columns += [f"{100 * pooled:.2f}", f"{100 * np.nanmean([b.ece for b in bins]):.2f}"]
        text.append("| " + " | ".join(columns) + " |")
    return "\n".join(text) + f"\n\n{len(rows)} volumes"


def _read_bins(values: dict[str, list[float]]) -> ReliabilityBins:
    return ReliabilityBins(**{name: np.array(column) for name, column in values.items()})


def ship(run: Path, results: Path, folder: Path) -> None:
    """Copy plans, record and members of ``SHIPPED`` into ``folder``, and add their scores."""
    record = read_record(run / "ensemble.json")
    chosen = choose_members(find_ensemble(run), *METHODS[SHIPPED])
    for name in ("plans.json", "dataset.json"):
        shutil.copyfile(run / name, folder / name)
    for member in chosen:
        target = folder / member.path.relative_to(run)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(member.path, target)
    files = {member.path.relative_to(run).as_posix() for member in chosen}
    measured = [json.loads(line)["methods"][SHIPPED] for line in _lines(results)]
    for fold, content in record.folds.items():
        content["members"] = [row for row in content["members"] if row["file"] in files]
        record.validation[fold] = {
            "method": "multi",
            "members": len(chosen),
            "mirroring": "full",
            "cases": len(measured),
            "structures": score_ranges(scores["case_scores"] for scores in measured),
            "dice": mean_scores(scores["dice"] for scores in measured),
        }
    # Do not publish the paths of the training machine.
    words = [word.rpartition("/")[2] for word in shlex.split(record.command)]
    shipped = replace(record, name="Demo ensemble (ACDC)", command=shlex.join(words))
    write_record(folder / "ensemble.json", shipped)


def _lines(results: Path) -> list[str]:
    return results.read_text(encoding="utf-8").splitlines() if results.exists() else []


def main() -> None:
    """Run the command named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name, arguments in {
        "evaluate": ("run", "dataset", "results"),
        "table": ("results",),
        "ship": ("run", "results", "folder"),
    }.items():
        command = commands.add_parser(name)
        for argument in arguments:
            command.add_argument(argument, type=Path)
    flags = vars(parser.parse_args())
    command = flags.pop("command")
    outcome = {"evaluate": evaluate, "table": table, "ship": ship}[command](**flags)
    if outcome:
        print(outcome)


if __name__ == "__main__":
    main()
