"""Tables of an evaluation: methods as rows, groups as blocks of columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ...core.counts import format_count
from ..report.html import UNKNOWN
from ..text_table import align_columns
from .aggregates import Aggregate, aggregate_difference
from .case import CaseEvaluation
from .evaluate import MethodEvaluation
from .measures import Measure
from .phases import pair_warnings

SETTING_NAMES: Final = ("members", "temperature", "mirroring", "window", "largest_component")
NOT_RECORDED: Final = "settings not recorded"
METHODS_DIFFER: Final = (
    "The methods differ in {setting} ({values}), which alone may change the results. Calibrate "
    "every method, and segment with the same settings."
)


@dataclass(frozen=True, kw_only=True)
class Block:
    """Measures of the cases for which ``takes`` is true, side by side under one title."""

    title: str
    measures: Sequence[Measure]
    takes: Callable[[CaseEvaluation], bool] = lambda case: True


@dataclass(frozen=True, kw_only=True)
class TableCell:
    """A formatted number: "0.911", "±0.052", its interval "0.893 to 0.927".

    ``remark`` counts the volumes without the number; ``stands_out``: in bold.
    """

    value: str
    deviation: str = ""
    interval: str = ""
    remark: str = ""
    stands_out: bool = False

    def __str__(self) -> str:
        interval = f"({self.interval})" if self.interval else ""
        value = f"**{self.value}**" if self.stands_out else self.value
        return " ".join(filter(None, (value, self.deviation, interval, self.remark)))


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table: ``heads`` are titles of blocks and their columns, ``rows`` methods and cells."""

    heads: tuple[tuple[str, tuple[str, ...]], ...]
    rows: tuple[tuple[str, tuple[TableCell, ...]], ...]

    @property
    def columns(self) -> list[str]:
        """Title of every column, after that of its block if there are several blocks."""
        several = len(self.heads) > 1
        return [
            f"{block}: {column}" if several else column
            for block, columns in self.heads
            for column in columns
        ]


def evaluation_table(methods: Sequence[MethodEvaluation], blocks: Sequence[Block]) -> Table:
    """Return every measure of every block for each method; the best of a column stands out."""
    columns = []
    for block in blocks:
        kept = [[case for case in method.cases if block.takes(case)] for method in methods]
        for measure in block.measures:
            aggregates = [measure.aggregate(cases) for cases in kept]
            columns.append(_best_marked(aggregates, measure))
    return _table(methods, blocks, columns)


def difference_table(methods: Sequence[MethodEvaluation], blocks: Sequence[Block]) -> Table:
    """Return paired differences from the first method; bold if the interval excludes 0."""
    columns = []
    for block in blocks:
        kept = [[case for case in method.cases if block.takes(case)] for method in methods]
        for measure in block.measures:
            base, *others = (measure.aggregate(cases) for cases in kept)
            columns.append([_difference_cell(other, base, measure) for other in others])
    return _table(methods[1:], blocks, columns)


def group_blocks(
    methods: Sequence[MethodEvaluation], group: str, measures: Sequence[Measure]
) -> list[Block]:
    """Return a block for each value of a group, such as "Vendor A (32 volumes)"."""
    cases = methods[0].cases

    def has(value: str) -> Callable[[CaseEvaluation], bool]:
        return lambda case: case.groups.get(group) == value

    values = sorted({case.groups[group] for case in cases if group in case.groups})
    title = f"{group[:1].upper()}{group[1:]}"
    return [
        Block(
            title=f"{title} {value} ({format_count(sum(map(has(value), cases)), 'volume')})",
            measures=measures,
            takes=has(value),
        )
        for value in values
    ]


def list_groups(methods: Sequence[MethodEvaluation]) -> list[str]:
    """Return the names of the groups with at least two values, sorted."""
    values: dict[str, set[str]] = {}
    for case in methods[0].cases:
        for group, value in case.groups.items():
            values.setdefault(group, set()).add(value)
    return sorted(group for group, distinct in values.items() if len(distinct) > 1)


def describe_extent(methods: Sequence[MethodEvaluation]) -> str:
    """Return the numbers of volumes and patients: "32 volumes of 16 patients"."""
    volumes = format_count(len(methods[0].cases), "volume")
    return f"{volumes} of {format_count(methods[0].patients, 'patient')}"


def describe_methods(methods: Sequence[MethodEvaluation]) -> tuple[list[str], list[str]]:
    """Return a line with the settings of each method, and warnings.

    These are on settings in which the methods differ, and numbers that no heart has. Every method
    has a fitted temperature of its own, and the number of members is part of the kind of method.
    """
    settings = {method.name: _settings_of(method) for method in methods}
    kinds = {made.get("method") for method in methods for made in method.made_by}
    is_fitted = all(made.get("fitted") for method in methods for made in method.made_by)
    warnings = []
    for setting in SETTING_NAMES if len(kinds) == 1 else SETTING_NAMES[1:]:
        values = {name: of[setting] for name, of in settings.items() if of}
        if len(set(values.values())) > 1 and not (setting == "temperature" and is_fitted):
            shown = ", ".join(f"{name} {value}" for name, value in values.items())
            warnings.append(METHODS_DIFFER.format(setting=setting.replace("_", " "), values=shown))
    warnings += (f"{m.name}: {s}" for m in methods for s in pair_warnings(m.cases, m.grids))
    words = {
        name: ", ".join(f"{setting.replace('_', ' ')} {value}" for setting, value in of.items())
        for name, of in settings.items()
    }
    return [f"{name}: {text or NOT_RECORDED}" for name, text in words.items()], warnings


def _settings_of(method: MethodEvaluation) -> dict[str, str]:
    """Return setting → its value in the reports, several if they differ; {} without reports."""
    rows = [
        {"largest_component": "off", **made, "members": len(made.get("members", ()))}
        for made in method.made_by
    ]
    values = {n: dict.fromkeys(str(row.get(n, UNKNOWN)) for row in rows) for n in SETTING_NAMES}
    return {name: " or ".join(known) for name, known in values.items() if known}


def make_cell(aggregate: Aggregate, measure: Measure) -> TableCell:
    """Return an aggregate in the format of its measure."""
    if math.isnan(aggregate.value):
        return TableCell(value=UNKNOWN)
    deviation = _written(aggregate.deviation, measure)
    return TableCell(
        value=_written(aggregate.value, measure),
        deviation=f"±{deviation}" if deviation != UNKNOWN else "",
        interval=_interval(aggregate, measure),
        remark=f"{aggregate.skipped} without" if aggregate.skipped else "",
    )


def text_table(table: Table) -> str:
    """Return the table for a terminal, without intervals."""
    rows = [
        [name, *(" ".join(filter(None, (c.value, c.deviation))) for c in cells)]
        for name, cells in table.rows
    ]
    return "\n".join(align_columns([["", *table.columns], *rows]))


def _table(
    methods: Sequence[MethodEvaluation],
    blocks: Sequence[Block],
    columns: Iterable[Sequence[TableCell]],
) -> Table:
    rows = zip(*columns, strict=True)
    return Table(
        heads=tuple((b.title, tuple(_head(m) for m in b.measures)) for b in blocks),
        rows=tuple((m.name, tuple(cells)) for m, cells in zip(methods, rows, strict=True)),
    )


def _head(measure: Measure) -> str:
    return f"{measure.title}, {measure.unit}" if measure.unit else measure.title


def _best_marked(aggregates: Sequence[Aggregate], measure: Measure) -> list[TableCell]:
    """Return the cells, in bold if their text equals that of the best."""
    cells = [make_cell(aggregate, measure) for aggregate in aggregates]
    keys = {
        "higher": lambda value: value,
        "lower": lambda value: -value,
        "nearer to 0": lambda value: -abs(value),
    }
    pairs = zip(aggregates, cells, strict=True)
    known = [(a.value, c.value) for a, c in pairs if c.value != UNKNOWN]
    if not measure.better or len(known) < 2:
        return cells
    _, best = max(known, key=lambda pair: keys[measure.better](pair[0]))
    return [replace(c, stands_out=c.value == best) for c in cells]


def _difference_cell(aggregate: Aggregate, base: Aggregate, measure: Measure) -> TableCell:
    difference = aggregate_difference(aggregate, base)
    if math.isnan(difference.value):
        return TableCell(value=UNKNOWN)
    low, high = (round(end * measure.scale, measure.digits) for end in difference.interval)
    return TableCell(
        value=_signed(difference.value, measure),
        interval=_interval(difference, measure, _signed),
        stands_out=low > 0 or high < 0,
    )


def _interval(
    aggregate: Aggregate,
    measure: Measure,
    write: Callable[[float, Measure], str] | None = None,
) -> str:
    low, high = aggregate.interval
    write = write or _written
    return "" if math.isnan(low) else f"{write(low, measure)} to {write(high, measure)}"


def _signed(value: float, measure: Measure) -> str:
    text = _written(value, measure)
    return text if value < 0 or not text.strip("0.") else f"+{text}"


def _written(value: float, measure: Measure) -> str:
    if math.isnan(value):
        return UNKNOWN
    text = f"{value * measure.scale:.{measure.digits}f}"
    return (text if text.strip("-0.") else text.lstrip("-")).replace("-", "−")
