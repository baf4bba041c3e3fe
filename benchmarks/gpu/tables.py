"""Tables of the measurements on a card, as Markdown and CSV.

python -m benchmarks.gpu.tables OUT

Writes OUT/tables.md, tests.csv, compare.csv, speed.csv and training.csv from OUT/results.jsonl.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..command_line import run
from ..results import markdown_table, write_csv
from .progress import read_results

Row = dict[str, Any]
PAPER_EPOCHS = 1200


def main(out: Path) -> str:
    """Write the tables, and return them."""
    text = "\n".join(_section(out, *section) for section in SECTIONS)
    installed = out / "installed.txt"
    if installed.exists():
        lines = installed.read_text(encoding="utf-8").splitlines()
        machine = [line.removeprefix("# ") for line in lines if line.startswith("#")]
        text = "Machine: {}.\n\n{}".format("; ".join(machine), text)
    (out / "tables.md").write_text(text, encoding="utf-8")
    return text


def _section(out: Path, kind: str, title: str, table: Callable[[list[Row]], str]) -> str:
    rows = read_results(out, kind)
    if not rows:
        return ""
    lines = [{name: value for name, value in row.items() if name != "kind"} for row in rows]
    write_csv(out / f"{kind}.csv", lines)
    cards = ", ".join(dict.fromkeys(row["card"] for row in rows))
    return f"## {title} ({cards})\n\n{table(rows)}"


def tests_table(rows: Sequence[Row]) -> str:
    """Return the outcome of every test."""
    cells = [[row["name"], row["outcome"], f"{row['seconds']:.1f}"] for row in rows]
    return markdown_table(["test", "outcome", "seconds"], cells)


def compare_table(rows: Sequence[Row]) -> str:
    """Return seconds from host to host, and speed-ups over nnU-Net with the same and all mirrors.

    Seconds of a cine are divided by its phases for the speed-ups.
    """
    stock = {row["mirroring"]: row["seconds"] for row in rows if row["stock"]}
    cells = []
    for row in rows:
        mirrors = "none" if row["mirroring"] == "none" else "full"
        ratios = [
            f"{stock[name] * row['phases'] / row['seconds']:.1f}" if name in stock else ""
            for name in (mirrors, "full")
        ]
        difference = row["largest_difference"]
        cells.append(
            [
                f"{'nnU-Net' if row['stock'] else 'ours'}, mirrors {row['mirroring']}",
                *(row["computed_in"], row["slices"], row["members_asked"]),
                *(f"{row['first_seconds']:.2f}", f"{row['seconds']:.2f}", *ratios),
                "" if difference is None else f"{difference:.4f}",
            ]
        )
    heads = ["", "number type", "slices", "members", "seconds, first", "seconds, again"]
    heads += ["× nnU-Net, same mirrors", "× nnU-Net's default", "largest |Δp|"]
    return markdown_table(heads, cells)


def speed_table(rows: Sequence[Row]) -> str:
    """Return the seconds of every variant, the fastest first for each number of slices.

    Those of the network alone and of its arithmetic at the rate of matrix products stand beside.
    """
    cells = [
        [
            *(row["slices"], row["members"], row["precision"], row["batch"]),
            "channels last" if row["channels_last"] else "channels first",
            "on the card" if row["resident"] else "copied",
            f"{row['seconds']:.3f}",
            f"{row['network_seconds']:.3f}",
            f"{row['floor_seconds']:.3f}",
            f"{row['seconds'] / max(row['floor_seconds'], 1e-9):.1f}",
            row["peak_mb"],
            _remarks(row),
        ]
        for row in sorted(rows, key=lambda row: (row["slices"], row["seconds"]))
    ]
    heads = ["slices", "members", "number type", "batch", "order", "members are", "seconds"]
    heads += ["network alone", "arithmetic floor", "× floor", "peak MB", "notes"]
    return markdown_table(heads, cells)


def _remarks(row: Row) -> str:
    other = row["computed_in"] != row["precision"]
    notes = [f"computed in {row['computed_in']}"] if other else []
    return " ".join([*notes, *row["notes"]])


def training_table(rows: Sequence[Row]) -> str:
    """Return the epochs of every piece of training, their seconds, and the parts of its state."""
    cells = [
        [
            f"{row['first_epoch']} to {row['last_epoch']}",
            "joined from parts" if row["joined_files"] else "new",
            f"{row['start_seconds']:.0f}",
            f"{row['first_epoch_seconds']:.1f}",
            f"{row['epoch_seconds']:.2f}",
            f"{row['epoch_seconds'] * PAPER_EPOCHS / 3600:.1f}",
            row["memory_mb"],
            f"{row['parts']} ({row['all_mib']:.0f} MiB)",
        ]
        for row in rows
    ]
    heads = ["epochs", "state", "seconds to the first epoch", "first epoch, s", "an epoch, s"]
    heads += [f"hours for {PAPER_EPOCHS} epochs", "memory, MB", "files of the state"]
    return markdown_table(heads, cells)


SECTIONS: tuple[tuple[str, str, Callable[[list[Row]], str]], ...] = (
    ("test", "Tests", tests_table),
    ("compare", "nnU-Net and ours, from host to host", compare_table),
    ("speed", "Number types, batches and memory orders", speed_table),
    ("training", "Training at the paper's size", training_table),
)

if __name__ == "__main__":
    run(__doc__, main)
