"""Tables of an evaluation as in the paper: methods as rows, groups as blocks of columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from ..report.html import UNKNOWN
from ..text_table import aligned
from .aggregates import Aggregate, aggregate_difference
from .case import CaseEvaluation
from .evaluate import MethodEvaluation
from .measures import Measure


@dataclass(frozen=True, kw_only=True)
class Block:
    """Some measures of the cases for which ``takes`` is true, side by side under one title."""

    title: str
    measures: Sequence[Measure]
    takes: Callable[[CaseEvaluation], bool] = lambda case: True


@dataclass(frozen=True, kw_only=True)
class TableCell:
    """A number as it is written: "0.911", "±0.052", its interval "0.893 to 0.927".

    ``remark`` says how many volumes have no such number; ``stands_out`` in bold.
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
    """``heads``: title of each block and of its columns; ``rows``: method and its cells."""

    heads: tuple[tuple[str, tuple[str, ...]], ...]
    rows: tuple[tuple[str, tuple[TableCell, ...]], ...]

    @property
    def columns(self) -> list[str]:
        """Title of every column, that of its block before it where there are several blocks."""
        several = len(self.heads) > 1
        return [
            f"{block}: {column}" if several else column
            for block, columns in self.heads
            for column in columns
        ]


def evaluation_table(methods: Sequence[MethodEvaluation], blocks: Sequence[Block]) -> Table:
    """Every measure of every block for each method; the best of a column stands out."""
    columns = []
    for block in blocks:
        kept = [[case for case in method.cases if block.takes(case)] for method in methods]
        for measure in block.measures:
            found = [measure.aggregate(cases) for cases in kept]
            columns.append(_best_marked([cell(f, measure) for f in found], found, measure))
    return _table(methods, blocks, columns)


def difference_table(methods: Sequence[MethodEvaluation], blocks: Sequence[Block]) -> Table:
    """How much each method differs from the first; it stands out where the interval is beside 0.

    The differences are of the same patients, drawn alike.
    """
    columns = []
    for block in blocks:
        kept = [[case for case in method.cases if block.takes(case)] for method in methods]
        for measure in block.measures:
            base, *found = (measure.aggregate(cases) for cases in kept)
            columns.append([_difference_cell(f, base, measure) for f in found])
    return _table(methods[1:], blocks, columns)


def group_blocks(
    methods: Sequence[MethodEvaluation], group: str, measures: Sequence[Measure]
) -> list[Block]:
    """A block for each value of a group, such as "Vendor A (32 volumes)"."""
    cases = methods[0].cases

    def has(value: str) -> Callable[[CaseEvaluation], bool]:
        return lambda case: case.groups.get(group) == value

    values = sorted({case.groups[group] for case in cases if group in case.groups})
    title = f"{group[:1].upper()}{group[1:]}"
    return [
        Block(
            title=f"{title} {value} ({volumes(sum(map(has(value), cases)))})",
            measures=measures,
            takes=has(value),
        )
        for value in values
    ]


def groups_of(methods: Sequence[MethodEvaluation]) -> list[str]:
    """Groups by which the cases fall into at least two parts, in the order of their names."""
    values: dict[str, set[str]] = {}
    for case in methods[0].cases:
        for group, value in case.groups.items():
            values.setdefault(group, set()).add(value)
    return sorted(group for group, found in values.items() if len(found) > 1)


def volumes(count: int) -> str:
    """The number in words."""
    return "1 volume" if count == 1 else f"{count} volumes"


def extent(methods: Sequence[MethodEvaluation]) -> str:
    """What was measured: "32 volumes of 16 patients"."""
    patients = methods[0].patients
    of = "1 patient" if patients == 1 else f"{patients} patients"
    return f"{volumes(len(methods[0].cases))} of {of}"


def cell(found: Aggregate, measure: Measure) -> TableCell:
    """An aggregate as the measure is written."""
    if math.isnan(found.value):
        return TableCell(value=UNKNOWN)
    deviation = _written(found.deviation, measure)
    return TableCell(
        value=_written(found.value, measure),
        deviation=f"±{deviation}" if deviation != UNKNOWN else "",
        interval=_interval(found, measure),
        remark=f"{found.skipped} without" if found.skipped else "",
    )


def text_table(table: Table) -> str:
    """Return the values and their deviations alone, for a terminal."""
    rows = [
        [name, *(" ".join(filter(None, (c.value, c.deviation))) for c in cells)]
        for name, cells in table.rows
    ]
    return "\n".join(aligned([["", *table.columns], *rows]))


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


def _best_marked(
    cells: Sequence[TableCell], found: Sequence[Aggregate], measure: Measure
) -> list[TableCell]:
    """The cells, with those in bold that are written like the best."""
    keys = {
        "higher": lambda value: value,
        "lower": lambda value: -value,
        "nearer to 0": lambda value: -abs(value),
    }
    known = [(f.value, c.value) for f, c in zip(found, cells, strict=True) if c.value != UNKNOWN]
    if not measure.better or len(known) < 2:
        return list(cells)
    _, best = max(known, key=lambda pair: keys[measure.better](pair[0]))
    return [replace(c, stands_out=c.value == best) for c in cells]


def _difference_cell(found: Aggregate, base: Aggregate, measure: Measure) -> TableCell:
    differs = aggregate_difference(found, base)
    if math.isnan(differs.value):
        return TableCell(value=UNKNOWN)
    low, high = (round(end * measure.scale, measure.digits) for end in differs.interval)
    return TableCell(
        value=_signed(differs.value, measure),
        interval=_interval(differs, measure, _signed),
        stands_out=low > 0 or high < 0,
    )


def _interval(
    found: Aggregate,
    measure: Measure,
    written: Callable[[float, Measure], str] | None = None,
) -> str:
    low, high = found.interval
    write = written or _written
    return "" if math.isnan(low) else f"{write(low, measure)} to {write(high, measure)}"


def _signed(value: float, measure: Measure) -> str:
    text = _written(value, measure)
    return text if value < 0 or not text.strip("0.") else f"+{text}"


def _written(value: float, measure: Measure) -> str:
    if math.isnan(value):
        return UNKNOWN
    text = f"{value * measure.scale:.{measure.digits}f}"
    return (text if text.strip("-0.") else text.lstrip("-")).replace("-", "−")
