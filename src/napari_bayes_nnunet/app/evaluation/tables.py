"""Tables of an evaluation: methods as rows, blocks of measures as columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ...core.counts import format_count
from ..report.html import UNKNOWN
from ..text_table import align_columns
from .aggregates import Aggregate, aggregate_difference
from .case import GROUP, pair_warnings
from .evaluate import MethodEvaluation, judged_structures, known_intervals, known_maps
from .measures import (
    ECE,
    OF_STRUCTURE,
    Measure,
    case_measures,
    detection_measures,
    dice_measures,
    failure_measures,
    interval_measures,
    structure_measures,
)

Methods = Sequence[MethodEvaluation]
SETTING_NAMES: Final = ("members", "temperature", "mirroring", "window", "largest_component")
NOT_RECORDED: Final = "settings not recorded"
METHODS_DIFFER: Final = (
    "The methods differ in {setting} ({values}), which alone may change the results. Calibrate "
    "every method, and segment with the same settings."
)


@dataclass(frozen=True, kw_only=True)
class Block:
    """Measures side by side under one title, in the ``table`` of the report with this name.

    They are of all cases, or of those ``where`` a group has a value: (name, value).
    """

    title: str
    measures: Sequence[Measure]
    table: str = ""
    where: tuple[str, str] | None = None

    def aggregates(self, method: MethodEvaluation) -> list[Aggregate]:
        """Return the measures of a method."""
        table = method.table
        if self.where is not None:
            group, value = self.where
            table = table[table[GROUP, group] == value]
        for measure in self.measures:
            key = measure.key, self.where
            if key not in method.aggregates:  # a bootstrap takes long
                method.aggregates[key] = measure.aggregate(table)
        return [method.aggregates[measure.key, self.where] for measure in self.measures]


@dataclass(frozen=True, kw_only=True)
class TableCell:
    """A formatted number: "0.911", "SD 0.052", its interval "0.893 to 0.927".

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


def report_blocks(methods: Methods, structures: Sequence[str] | None = None) -> Iterator[Block]:
    """Yield all measures in the order of summary.json, with the names of their tables.

    ``structures`` are by default those judged in any case.
    """
    structures = judged_structures(methods) if structures is None else structures
    maps = known_maps(methods)
    every = f"All ({format_count(len(methods[0].cases), 'volume')})"
    yield Block(table="dice", title=every, measures=dice_measures(structures))
    for figure in OF_STRUCTURE[1:]:
        if figure.table:
            measures = structure_measures(figure, structures)
            yield Block(table=figure.table, title=figure.title or every, measures=measures)
    yield Block(table="ece", title=every, measures=ECE)
    yield Block(table="calibration", title=every, measures=case_measures("calibration"))
    for title, gross in (("All wrong voxels", False), ("Gross errors", True)):
        measures = detection_measures(maps, gross=gross)
        yield Block(table="detection", title=title, measures=measures)
    means = {f"mean_{entry.key}" for entry in maps}
    measures = [measure for measure in case_measures("maps") if measure.key in means]
    yield Block(title=every, measures=measures)
    for title, measures in failure_measures().items():
        table = "failures" if measures[0].format.better == "lower" else "ranking"
        yield Block(table=table, title=title, measures=measures)
    if intervals := known_intervals(methods):
        for title, measures in interval_measures(intervals).items():
            yield Block(table="intervals", title=title, measures=measures)


def report_table(methods: Methods, name: str, where: tuple[str, str] | None = None) -> Table:
    """Return a table of the report, such as "dice", of all cases or as in `Block`.

    "dice" and "ece" are Tables 1 and 2 of the paper. Without intervals, theirs is empty.
    """
    blocks = [replace(b, where=where) for b in report_blocks(methods) if b.table == name]
    return evaluation_table(methods, blocks)


def group_table(methods: Methods, name: str, group: str) -> Table:
    """Return the table "dice" or "ece" with a block for each value of a group."""
    (block,) = (block for block in report_blocks(methods) if block.table == name)
    measures = [measure for measure in block.measures if measure.key != "dice_mean"]
    return evaluation_table(methods, group_blocks(methods, group, measures))


def paired_table(methods: Methods) -> Table:
    """Return paired differences of Dice and calibration error from the first method."""
    dice = dice_measures(judged_structures(methods))
    blocks = [
        Block(title="Dice", measures=dice),
        Block(title="Calibration error", measures=ECE),
    ]
    return difference_table(methods, blocks)


def evaluation_table(methods: Methods, blocks: Sequence[Block]) -> Table:
    """Return every measure of every block for each method; the best of a column stands out."""
    return _table(methods, blocks, _best_marked)


def difference_table(methods: Methods, blocks: Sequence[Block]) -> Table:
    """Return paired differences from the first method; bold if the interval excludes 0."""

    def differences(aggregates: Sequence[Aggregate], measure: Measure) -> list[TableCell]:
        base, *others = aggregates
        return [_difference_cell(other, base, measure) for other in others]

    return _table(methods, blocks, differences)


def group_blocks(methods: Methods, group: str, measures: Sequence[Measure]) -> list[Block]:
    """Return a block for each value of a group, such as "Vendor A (32 volumes)"."""
    # Any method serves, because all have the same cases and groups.
    values = [case.groups[group] for case in methods[0].cases if group in case.groups]
    title = f"{group[:1].upper()}{group[1:]}"
    return [
        Block(
            title=f"{title} {value} ({format_count(values.count(value), 'volume')})",
            measures=measures,
            where=(group, value),
        )
        for value in sorted(set(values))
    ]


def list_groups(methods: Methods) -> list[str]:
    """Return the names of the groups with at least two values, sorted."""
    values: dict[str, set[str]] = {}
    for case in methods[0].cases:
        for group, value in case.groups.items():
            values.setdefault(group, set()).add(value)
    return sorted(group for group, distinct in values.items() if len(distinct) > 1)


def describe_extent(methods: Methods) -> str:
    """Return the numbers of volumes and patients: "32 volumes of 16 patients"."""
    volumes = format_count(len(methods[0].cases), "volume")
    return f"{volumes} of {format_count(methods[0].patients, 'patient')}"


def describe_methods(methods: Methods) -> tuple[list[str], list[str]]:
    """Return a line with the settings of each method, and warnings.

    These are on settings in which the methods differ, and numbers that no heart has. Every method
    has a fitted temperature of its own, and the number of members is part of the kind of method.
    """
    settings = {method.name: _settings_of(method) for method in methods}
    kinds = {made.get("method") for method in methods for made in method.made_by}
    is_fitted = all(made.get("fitted") for method in methods for made in method.made_by)
    warnings = []
    # Different kinds of methods, such as multi and vanilla, must differ in their members.
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
        # A report without this entry is of a result that kept all components.
        {"largest_component": "off", **made, "members": len(made.get("members", ()))}
        for made in method.made_by
    ]
    values = {n: dict.fromkeys(str(row.get(n, UNKNOWN)) for row in rows) for n in SETTING_NAMES}
    return {name: " or ".join(known) for name, known in values.items() if known}


def _written(value: float, measure: Measure) -> str:
    if math.isnan(value):
        return UNKNOWN
    text = f"{value * measure.format.scale:.{measure.format.digits}f}"
    # A number that is rounded to 0 has no sign.
    return (text if text.strip("-0.") else text.lstrip("-")).replace("-", "−")


def _signed(value: float, measure: Measure) -> str:
    text = _written(value, measure)
    return text if value < 0 or not text.strip("0.") else f"+{text}"


def _interval(
    aggregate: Aggregate, measure: Measure, write: Callable[[float, Measure], str] = _written
) -> str:
    low, high = aggregate.interval
    return "" if math.isnan(low) else f"{write(low, measure)} to {write(high, measure)}"


def make_cell(aggregate: Aggregate, measure: Measure) -> TableCell:
    """Return an aggregate in the format of its measure."""
    if math.isnan(aggregate.value):
        return TableCell(value=UNKNOWN)
    deviation = _written(aggregate.deviation, measure)
    return TableCell(
        value=_written(aggregate.value, measure),
        deviation=f"SD {deviation}" if deviation != UNKNOWN else "",
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
    methods: Methods,
    blocks: Sequence[Block],
    cells_of: Callable[[Sequence[Aggregate], Measure], list[TableCell]],
) -> Table:
    """Return the table of ``cells_of`` the aggregates of each measure, for the last methods."""
    columns = [
        cells_of(aggregates, measure)
        for block in blocks
        for measure, *aggregates in zip(
            block.measures, *(block.aggregates(method) for method in methods), strict=True
        )
    ]
    rows = list(zip(*columns, strict=True))
    return Table(
        heads=tuple((b.title, tuple(_head(m) for m in b.measures)) for b in blocks),
        rows=tuple(
            (m.name, cells)
            for m, cells in zip(methods[len(methods) - len(rows) :], rows, strict=True)
        ),
    )


def _head(measure: Measure) -> str:
    return f"{measure.title}, {measure.format.unit}" if measure.format.unit else measure.title


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
    # A single number is not the best of anything.
    if not measure.format.better or len(known) < 2:
        return cells
    _, best = max(known, key=lambda pair: keys[measure.format.better](pair[0]))
    # Compared as printed, so that a difference nobody sees marks nothing as better.
    return [replace(c, stands_out=c.value == best) for c in cells]


def _difference_cell(aggregate: Aggregate, base: Aggregate, measure: Measure) -> TableCell:
    difference = aggregate_difference(aggregate, base)
    if math.isnan(difference.value):
        return TableCell(value=UNKNOWN)
    # Rounded as it is shown, so that bold and the printed interval agree.
    low, high = (
        round(end * measure.format.scale, measure.format.digits) for end in difference.interval
    )
    return TableCell(
        value=_signed(difference.value, measure),
        interval=_interval(difference, measure, _signed),
        stands_out=low > 0 or high < 0,
    )
