"""Report of the experiment: tables, figures and claims from the finished rows."""

from __future__ import annotations

import os
import platform
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import compress
from pathlib import Path

from napari_bayes_nnunet.app.evaluation.case import CaseEvaluation
from napari_bayes_nnunet.app.evaluation.evaluate import MethodEvaluation, judged_structures
from napari_bayes_nnunet.app.evaluation.measures import (
    ECE,
    detection_measures,
    dice_measures,
    failure_measures,
)
from napari_bayes_nnunet.app.evaluation.tables import (
    Block,
    Table,
    describe_extent,
    evaluation_table,
    group_blocks,
)
from napari_bayes_nnunet.app.report.html import UNKNOWN

from ..results import markdown_table, write_csv
from .claims import THESE_ONLY, Finding, area_correlations, claim_lines, silent_failures
from .diversity import NO_PAIRS, measure_diversity
from .figures import draw_figures
from .judging import OTHERS, Case, file_of, read_lines
from .modes import keep_modes, read_modes
from .pictures import choose_columns, draw_cases
from .questions import comparisons
from .rows import OTHER_DATASETS, VENDOR, Row, rows, with_unchanged
from .rv_slices import RVSlice
from .seeds import CONVERGED, converged_cycles, csv_lines, cycles_table, dice_by_cycle, seeds_table
from .shifts import SHIFTS, UNSHIFTED
from .stability import read_restarts
from .stored_cases import case_from_json
from .summaries import write_summaries
from .tables import PAGE_OF_TABLES, write_tables
from .temperatures import read_temperatures
from .trainings import Preset, has_ended, trainings

INTRODUCTION = """# The paper's experiment: tables

Written by `python -m benchmarks.paper` (see `benchmarks/paper/`) on {machine}; preset {preset},
T = {epochs} epochs of {iterations} iterations. [paper.md](paper.md) discusses them.
{patients} validation patients, {volumes} volumes; 95 % intervals over patients, which do not
include the randomness of training; SD is the standard deviation over volumes. The claims
about slices pool ACDC and all shifts; a slice has failed if its RV Dice is below 0.5, and a
failure escapes if less than half of the wrong voxels have an entropy above 0.5 bit. The
uncertain area of the RV is the area where "RV or not" has more than 0.5 bit; the uncertain area of
anything contains the borders of LV and myocardium too.

{temperatures}
"""

VERDICTS = f"""The intervals of the values are over patients. Where methods were trained with
several seeds, the value is the mean over these trainings, which are listed beside it with their
interval (Student's t). A claim holds, or does not, if both intervals are on one side of 0. If only
that over patients is, or if there are fewer than three trainings, it holds, or does not,
"{THESE_ONLY}". On "multi", only trainings whose cycles are equally good count: the mean Dice of the
single members of each cycle lies within {CONVERGED} of that of the last cycle. If there are none,
all count, and the claim cannot be told."""


def write_report(
    output: Path, report: Path, *, preset: Preset, cases: Sequence[Case], device: str = "auto"
) -> None:
    """Write paper_tables.md, its tables and pictures with the finished rows into ``report``."""
    report.mkdir(parents=True, exist_ok=True)
    keep_modes(output, preset)
    wanted = {
        condition: [case.name for case in cases if case.condition == condition]
        for condition in dict.fromkeys(case.condition for case in cases)
    }
    by_name = {row.name: row for row in rows(preset)}
    own = {c: names for c, names in wanted.items() if c not in OTHER_DATASETS}
    every = _methods(output, by_name, own)
    acdc = {n: m for n, m in every.items() if by_name[n].group in ("compared", "seeds")}
    sunnybrook, mnms = (
        _methods(output, by_name, {name: wanted.get(name, [])}) for name in OTHER_DATASETS
    )
    slices = {name: list(_slices(output, row, own)) for name, row in by_name.items()}
    listed = list(by_name.values())
    by_cycle = dice_by_cycle(every, listed)
    converged = converged_cycles(by_cycle)
    compared = [row for row in listed if row.name in acdc and row.group == "compared"]
    findings = [
        *comparisons(_all_cases(every, sunnybrook, mnms), listed, converged),
        *silent_failures(slices, compared, converged),
        *area_correlations(slices, compared, converged),
    ]
    _draw(acdc, listed, output, report / "images", preset=preset, cases=cases, device=device)
    text = "\n".join(
        [
            INTRODUCTION.format(
                machine=_machine(),
                epochs=preset.epochs,
                iterations=preset.iterations,
                preset=preset.name,
                patients=len({c.patient for c in cases if c.condition == UNSHIFTED}),
                volumes=len(wanted[UNSHIFTED]),
                temperatures=_temperatures(output, listed, wanted[UNSHIFTED]),
            ),
            _costs([row for row in listed if row.name in every]),
            _fitted(output, listed, wanted[UNSHIFTED]),
            *_tables(acdc, {row.name for row in listed if row.is_twin}),
            *_sunnybrook(list(sunnybrook.values())),
            *_mnms(list(mnms.values())),
            *_trainings(every, listed, by_cycle),
            _claims(findings),
            _stability(output, preset),
            _clusters(output, preset),
            _diversity(output, listed, wanted[UNSHIFTED]),
        ]
    )
    write_tables(report, text)
    evaluated = (every, sunnybrook, mnms)
    lines = [line for methods in evaluated for line in csv_lines(methods, listed)]
    write_csv(report / "paper_tables.csv", lines)
    write_csv(report / "paper_claims.csv", [*claim_lines(findings)])
    write_summaries(output, report / "paper_trainings.csv", preset)
    print(f"{len(every)} of {len(by_name)} rows are finished. Report: {report / PAGE_OF_TABLES}")


def _draw(
    acdc: dict[str, MethodEvaluation],
    listed: Sequence[Row],
    output: Path,
    images: Path,
    *,
    preset: Preset,
    cases: Sequence[Case],
    device: str,
) -> None:
    """Write the figures, and pictures of cases by rows whose weights are still there."""
    draw_figures(acdc, listed, output, images)
    plain = [case for case in cases if case.condition == UNSHIFTED]
    known = [row for row in listed if row.name in acdc and row.is_trained(output, preset)]
    drawn = choose_columns(known)
    results = [_unshifted(acdc[row.name]) for row in drawn]
    how = {"mirroring": preset.mirroring, "device": device}
    draw_cases(results, drawn, plain, output, images, **how)


def _methods(
    output: Path, by_name: dict[str, Row], wanted: dict[str, list[str]]
) -> dict[str, MethodEvaluation]:
    """Return the evaluations of the rows with all wanted cases under all conditions."""
    methods = {}
    for name, row in by_name.items():
        cases: list[CaseEvaluation] = []
        for condition, names in wanted.items():
            if not row.is_judged_under(condition):
                continue
            lines = dict(read_lines(file_of(output, condition, row)))
            if not set(names) <= lines.keys():
                break
            cases += [case_from_json(lines[case]["evaluation"]) for case in names]
        else:
            if cases:
                methods[name] = MethodEvaluation(name=row.title, cases=tuple(cases))
    return methods


def _all_cases(*datasets: Mapping[str, MethodEvaluation]) -> dict[str, MethodEvaluation]:
    """Return the evaluations with the cases of all datasets."""
    found: dict[str, MethodEvaluation] = {}
    for name, method in (item for methods in datasets for item in methods.items()):
        known = found[name].cases if name in found else ()
        found[name] = replace(method, cases=(*known, *method.cases))
    return found


def _slices(output: Path, row: Row, wanted: dict[str, list[str]]) -> Iterator[tuple[str, RVSlice]]:
    for condition in wanted:
        for line in dict(read_lines(file_of(output, condition, row))).values():
            for content in line.get("rv_slices", ()):
                yield line["evaluation"]["patient"], RVSlice(**content)


def _machine() -> str:
    """Return the number of cores and the name of the processor."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8").splitlines()
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name = models[0] if models else name
    return f"{os.cpu_count()} cores of {name}"


def _temperatures(output: Path, listed: Sequence[Row], cases: Sequence[str]) -> str:
    of_vanilla = [row for row in listed if row.is_fitted and not row.is_twin]
    for temperatures in read_temperatures(output, of_vanilla, cases).values():
        others, *halves = _halves(temperatures)
        return (
            f"τ of vanilla fitted on one half of the patients for the other half: "
            f"{' and '.join(halves)}; fitted on all patients for other datasets: {others}."
        )
    return "No temperature is fitted yet."


def _halves(temperatures: Mapping[str, float]) -> list[str]:
    """Return the τ fitted on all patients, and those for the halves of the patients."""
    halves = [value for patient, value in sorted(temperatures.items()) if patient != OTHERS]
    return [f"{value:.3f}" for value in (temperatures[OTHERS], *halves[:2])]


def _fitted(output: Path, listed: Sequence[Row], cases: Sequence[str]) -> str:
    """Return a table of all fitted temperatures; patients alternate between the halves."""
    fitted = read_temperatures(output, [row for row in listed if row.is_fitted], cases)
    titles = {row.name: row.title for row in listed}
    heads = ("Method", "For other datasets", "For the first half", "For the second half")
    lines = [[titles[name], *_halves(temperatures)] for name, temperatures in fitted.items()]
    return f"## Temperatures fitted on other patients\n\n{markdown_table(heads, lines)}"


def _costs(listed: Sequence[Row]) -> str:
    heads = ("Method", "Members", "Seeds", "Trainings of T epochs")
    lines = [
        (row.title, row.members, row.seeds, f"{row.cost:g}")
        for row in listed
        if not row.is_twin and row.group not in ("cycles", "members")
    ]
    return f"## Rows and their training cost\n\n{markdown_table(heads, lines)}"


def _unshifted(method: MethodEvaluation) -> MethodEvaluation:
    cases = tuple(case for case in method.cases if case.groups["shift"] == UNSHIFTED)
    return replace(method, cases=cases)


def _tables(acdc: dict[str, MethodEvaluation], twins: Collection[str]) -> Iterator[str]:
    """Yield the tables; in those of the Dice, which no temperature changes, without ``twins``."""
    methods = list(acdc.values())
    if not methods:
        return
    different = [method for name, method in acdc.items() if name not in twins]
    dice = dice_measures(judged_structures(methods))
    pooled = ECE[:1]
    plain = ("shift", UNSHIFTED)
    shifts = [(s.title, ("shift", s.name)) for s in SHIFTS]
    one = [Block(title="ACDC validation", measures=dice, where=plain)]
    yield _section("Table 1a. Dice", evaluation_table(different, one))
    two = [Block(title=title, measures=dice[-1:], where=where) for title, where in shifts[1:]]
    shifted = [method for method in different if len(_unshifted(method).cases) < len(method.cases)]
    yield _section("Table 1b. Mean Dice under simulated shift", evaluation_table(shifted, two))
    three = [Block(title=title, measures=pooled, where=where) for title, where in shifts]
    yield _section("Table 2. ECE (%), pooled", evaluation_table(methods, three))
    four = [
        Block(title="ACDC", measures=ECE[1:], where=plain),
        Block(title="All errors", measures=detection_measures(gross=False), where=plain),
        Block(title="Gross errors", measures=detection_measures(gross=True), where=plain),
    ]  # fmt: skip
    yield _section("Error detection, ACDC", evaluation_table(methods, four))
    yield from _failure_detection("ACDC", [_unshifted(method) for method in methods])


def _failure_detection(dataset: str, methods: Sequence[MethodEvaluation]) -> Iterator[str]:
    for title, measures in failure_measures().items():
        table = evaluation_table(methods, [Block(title=title, measures=measures)])
        yield _section(f"Failure detection, {dataset}: {title}", table)


def _sunnybrook(methods: Sequence[MethodEvaluation]) -> Iterator[str]:
    if methods:
        yield _dice_and_ece("Sunnybrook, LV in the contoured slices", methods)
        yield from _failure_detection("Sunnybrook", methods)


def _mnms(methods: Sequence[MethodEvaluation]) -> Iterator[str]:
    """Yield Dice and ECE of M&Ms, of all cases and by vendor, and failure detection."""
    if not methods:
        return
    yield _dice_and_ece(f"M&Ms, {describe_extent(methods)}", methods)
    dice = dice_measures(judged_structures(methods))[-1]
    measures = [replace(dice, title="Dice"), replace(ECE[0], title="ECE")]
    if blocks := group_blocks(methods, VENDOR, measures):
        yield _section("M&Ms by vendor", evaluation_table(methods, blocks))
    yield from _failure_detection("M&Ms", methods)


def _dice_and_ece(title: str, methods: Sequence[MethodEvaluation]) -> str:
    blocks = [
        Block(title="Dice", measures=dice_measures(judged_structures(methods))),
        Block(title="ECE", measures=ECE[:1]),
    ]
    return _section(title, evaluation_table(methods, blocks))


def _trainings(
    every: Mapping[str, MethodEvaluation],
    listed: Sequence[Row],
    by_cycle: Mapping[str, Sequence[float]],
) -> Iterator[str]:
    """Yield the tables on other seeds, cycles, members and schedules.

    That of the ablations begins with the same methods without a change.
    """
    plain = {name: _unshifted(method) for name, method in every.items()}
    yield f"## Over trainings that differ in their seed, ACDC\n\n{seeds_table(plain, listed)}"
    yield f"## Dice of single members by cycle, ACDC\n\n{cycles_table(by_cycle)}"
    known = [row for row in listed if row.name in every]
    detection = [
        Block(title="Gross errors", measures=detection_measures(gross=True)),
        Block(title="AURC", measures=failure_measures()["AURC"]),
    ]
    for title, chosen, blocks in (
        ("Members", [row for row in known if row.group == "members"], []),
        ("Ablations and SGHMC", with_unchanged(known), detection),
    ):
        methods = [plain[row.name] for row in chosen]
        if methods:
            measures = [*dice_measures(judged_structures(methods)), *ECE[:1]]
            table = [Block(title="ACDC", measures=measures), *blocks]
            yield _section(f"{title}, ACDC", evaluation_table(methods, table))


def _section(title: str, table: Table) -> str:
    """Return the table without empty columns, such as those of scores that need a calibration."""
    columns = zip(*(cells for _, cells in table.rows), strict=True)
    kept = [any(cell.value != UNKNOWN for cell in cells) for cells in columns]
    lines = [[name, *compress(cells, kept)] for name, cells in table.rows]
    return f"## {title}\n\n{markdown_table(['Method', *compress(table.columns, kept)], lines)}"


def _claims(findings: Sequence[Finding]) -> str:
    lines = ["## The paper's claims", "", VERDICTS, ""]
    for claim in dict.fromkeys(finding.claim for finding in findings):
        heads = ("Measured", "Value (95 % interval)", "By training: mean (95 % interval)", "")
        measured = [
            (f.measured, f, f.trainings_text, f.verdict) for f in findings if f.claim == claim
        ]
        table = markdown_table(heads, measured)
        lines += [f"### {claim}", "", table]
    return "\n".join(lines)


def _stability(output: Path, preset: Preset) -> str:
    heads = ("Training", "Pseudo Dice before", "Lowest after", "Epochs until 95 % back")
    lines = []
    for training in trainings(preset):
        if training.kind in ("restarts", "cosine") and has_ended(training, output):
            for restart in read_restarts(training.folder(output)):
                back = "never" if restart.recovered_after is None else restart.recovered_after
                numbers = (f"{restart.before:.3f}", f"{restart.lowest:.3f}", back)
                name = f"{training.name}, restart {restart.cycle}"
                lines.append((name, *numbers, f"{restart.highest_loss:.2f}"))
    table = markdown_table((*heads, "Highest loss"), lines)
    return f"### Cosine restarts are unstable\n\n{table}"


def _clusters(output: Path, preset: Preset) -> str:
    """Return a table of the distances between members in the last decoder layer.

    The control is formed by the same epochs of a training with nnU-Net's own schedule.
    """
    heads = ("Training", "Between / within cycles", "Silhouette", "Control: between / within")
    lines = []
    for training, numbers in read_modes(output, preset):
        cells = [f"{number:.3g}" for number in numbers]
        lines.append([training.name, *cells, *[""] * (4 - len(cells))])
    if not lines:
        return ""
    table = markdown_table((*heads, "Control: silhouette"), lines)
    return f"### The weights cluster by cycle\n\n{table}"


def _diversity(output: Path, listed: Sequence[Row], cases: Sequence[str]) -> str:
    """Return a table of the Dice between members, next to the distances of their weights."""
    heads = ("Method", "Dice within a cycle", "Between cycles or trainings", "Difference")
    lines = []
    for row in (row for row in listed if not row.is_fitted and not row.epochs):
        diversity = measure_diversity(output, row, cases)
        if diversity is not None and set(diversity.cells) != {NO_PAIRS}:
            lines.append([row.title, *diversity.cells])
    table = markdown_table(heads, lines)
    return f"### Members of different cycles segment differently\n\n{table}"
