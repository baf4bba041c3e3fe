"""The page of a training's way: maps, distances, single members, each with what it means."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

import numpy as np

from ..report.html import RESEARCH_USE, Html, bullets, page, picture, section, tag
from .analysis import SEED, LayerDistances, TrajectoryAnalysis
from .member_comparison import MemberCase
from .member_comparison_picture import picture_name

_UNKNOWN: Final = "–"
_STYLE: Final = """
body { max-width: 76rem; }
figure { margin: 1rem 0 1.8rem; }
figcaption, p { max-width: 60rem; }
section table { font-size: .9rem; }
th, td { padding: .3rem .45rem; }
th.number { white-space: normal; vertical-align: bottom; }
td small { display: block; margin: 0; font-size: .8rem; font-weight: 400; }
td.layer { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .76rem;
  white-space: nowrap; }
tr.drawn td { font-weight: 600; }
"""
_HEAD: Final = (
    *("Weights", "Norm", "Epoch to epoch", "At a restart", "Within cycles", "Between cycles"),
    *("Between / within", "Silhouette", "Drift exponent"),
)
_CONTROL_HEAD: Final = ("Control: between / within", "Control: silhouette")
_T_SNE: Final = (
    "t-SNE keeps neighbours together; how far apart groups lie in it, how large they are and which "
    "way up it is mean nothing, and another perplexity gives another picture. What the weights "
    "themselves say is in the table of distances."
)
_GROUPS: Final = (
    "Members of a cycle are also close in time, so weights that simply move on form groups too, "
    "and neither the groups nor the silhouette prove modes. What speaks for modes: groups that are "
    "more distinct than those of the same epochs without restarts (the control), a step at the "
    "restarts that is far larger than the others, and members of a cycle that stay about one place "
    "(drift exponent near 0; 0.5 is a random walk, 1 straight on)."
)
_NO_CONTROL: Final = (
    "There is no control here: train once more with --schedule poly and --keep-trajectory, all "
    "else the same, and name it with --control."
)
_CONTROL: Final = (
    "The control is a training without restarts, of which the same epochs were grouped in the same "
    "way."
)
_COUNTED: Final = (
    "Epochs count from 0, as in the names of the files. Pseudo Dice is nnU-Net's, on patches of "
    "the validation cases while it trains."
)


def trajectory_page(
    analysis: TrajectoryAnalysis, cases: Sequence[MemberCase], figures: Mapping[str, bytes]
) -> str:
    """The report as an HTML document; ``figures`` are PNG by file name."""
    parts = (
        Html(f"<style>{_STYLE}</style>"),
        *_heading(analysis),
        section("Fig. 2. The way of the weights", *_way(analysis, figures)),
        *_layers(analysis, figures),
        section("Distances", *_distances(analysis, figures)),
        *_cases(cases, figures),
        section("How to read it", bullets(_notes(analysis), class_="notes")),
    )
    return page(f"{analysis.name}: the way of the weights", parts)


def way_of_members(layer: LayerDistances) -> str:
    """Whether the members of a cycle stay or move on, in a sentence; "" where nobody knows."""
    exponent = layer.spreading.exponent
    if math.isnan(exponent):
        return ""
    if exponent < 0.25:
        words = "they bounce about one place"
    else:
        words = "like a random walk" if exponent < 0.75 else "they move on, nearly straight"
    return (
        f"The distance of two members of one cycle grows with the power {exponent:.2f} of the "
        f"epochs between them: {words}."
    )


def _heading(analysis: TrajectoryAnalysis) -> Iterator[Html]:
    cycles = f"{analysis.schedule.all_cycles} cycles of {analysis.schedule.cycle_length} epochs"
    facts = (
        f"{datetime.now():%Y-%m-%d %H:%M}", f"fold {analysis.fold}", cycles,
        f"{len(analysis.members)} members", analysis.first.name,
    )  # fmt: skip
    yield tag("p", "Checkpoint ensemble, training trajectory", class_="kind")
    yield tag("h1", analysis.name)
    yield tag("p", " · ".join(facts), class_="muted")
    yield tag("p", RESEARCH_USE, class_="use")
    yield tag("div", *_tiles(analysis.first), class_="tiles")


def _tiles(layer: LayerDistances) -> Iterator[Html]:
    modes, control = layer.modes, layer.control
    apart = f"{_number(modes.between)} / {_number(modes.within)}"
    groups = "1: far apart · 0: no groups"
    if control is not None:
        apart = f"without restarts {_number(control.ratio)} ×"
        groups = f"without restarts {_number(control.silhouette)}"
    tiles = (
        ("Between / within cycles", modes.ratio, "×", apart),
        ("Silhouette of the cycles", modes.silhouette, "", groups),
        ("Step at a restart", layer.restart / layer.step if layer.step > 0 else math.nan, "×",
         "of the step from epoch to epoch"),
        ("Drift exponent", layer.spreading.exponent, "", "0: about one place · 1: straight on"),
    )  # fmt: skip
    yield from (_tile(*tile) for tile in tiles)


def _tile(label: str, value: float, unit: str, below: str) -> Html:
    return tag(
        "div",
        tag("div", label, class_="label"),
        tag("div", _number(value), tag("small", f" {unit}"), class_="value"),
        tag("div", below, class_="below"),
        class_="tile",
    )


def _way(analysis: TrajectoryAnalysis, figures: Mapping[str, bytes]) -> Iterator[Html]:
    maps = analysis.maps[analysis.first.name]
    whole = (
        "(a) the weights at the end of every epoch, consecutive ones joined by a dotted line, "
        "within a cycle from light to full colour; "
        if analysis.is_whole
        else "The epochs between the members were not kept (train --keep-trajectory keeps them). "
    )
    used = [m for m in (maps.epochs, maps.members) if m is not None]
    machine = " and ".join(f"{m.perplexity:.3g}" for m in used)
    caption = (
        f"{analysis.first.name}, {analysis.first.weights:,} weights. {whole}"
        f"{'(b)' if analysis.is_whole else '(a)'} the members alone; learning rate and pseudo Dice "
        "with the cycles as background, stronger where members are taken. t-SNE started from the "
        f"principal components, perplexity {machine}, seed {SEED}."
    )
    yield _figure(figures["trajectory.png"], "t-SNE of the weights, learning rate, Dice", caption)


def _layers(analysis: TrajectoryAnalysis, figures: Mapping[str, bytes]) -> Iterator[Html]:
    if "layers.png" in figures:
        names = ", ".join(analysis.maps)
        shown = _figure(figures["layers.png"], "t-SNE of several layers", f"{names}.")
        # As large as in the figure above, however few they are.
        width = f"max-width: {min(100, 28 * len(analysis.maps))}%"
        yield section("Layers side by side", tag("div", shown, style=width))


def _distances(analysis: TrajectoryAnalysis, figures: Mapping[str, bytes]) -> Iterator[Html]:
    titles = (*_HEAD, *(_CONTROL_HEAD if analysis.first.control else ()))
    head = tag("tr", tag("th", "Layer"), *(tag("th", title, class_="number") for title in titles))
    body = tag("tbody", *(_row(layer, drawn=layer.name in analysis.maps)
                          for layer in analysis.layers))  # fmt: skip
    yield tag("table", tag("thead", head), body)
    yield tag(
        "p",
        "Mean Euclidean distances, in the unit of the weights and in % of their norm. “Epoch to "
        "epoch” leaves out the restarts. In bold: the layers that are drawn.",
        class_="notes",
    )
    restarts = "the first epoch of a cycle is its restart"
    caption = (
        f"{analysis.first.name}. (a) between all epochs that are known; (b) to the epoch before: "
        f"{restarts}; (c) of two members of one cycle, by the epochs between them. "
        f"{way_of_members(analysis.first)}"
    )
    yield _figure(figures["distances.png"], "Distances of the weights", caption)


def _row(layer: LayerDistances, *, drawn: bool) -> Html:
    lengths = (layer.step, layer.restart, layer.modes.within, layer.modes.between)
    cells = [tag("td", f"{layer.weights:,}", class_="number"), _cell(layer.norm)]
    cells += [_cell(length, share=layer.relative(length)) for length in lengths]
    cells += map(_cell, (layer.modes.ratio, layer.modes.silhouette, layer.spreading.exponent))
    if layer.control is not None:
        cells += [_cell(layer.control.ratio), _cell(layer.control.silhouette)]
    name = tag("td", layer.name, class_="layer")
    return tag("tr", name, *cells, class_="drawn" if drawn else "")


def _cell(value: float, share: float = math.nan) -> Html:
    small = "" if math.isnan(share) else tag("small", f"{100 * share:.2g} %")
    return tag("td", _number(value), small, class_="number")


def _cases(cases: Sequence[MemberCase], figures: Mapping[str, bytes]) -> Iterator[Html]:
    if not cases:
        return
    parts = []
    for case in cases:
        if not case.shown:
            parts.append(tag("p", f"{case.case}: no structure was found, so there is no picture."))
            continue
        bits = ", ".join(f"slice {row.z}: {row.disagreement:,.0f} bit" for row in case.shown)
        caption = (
            f"{case.case}, {case.depth} slices: what members of each cycle make of the slice on "
            "which they disagree most (hard) and least (easy) of those with structures, and the "
            f"entropy of all {case.count}. Mutual information summed over the slice: {bits}."
        )
        caption = " ".join([caption, *case.notes])
        png = figures[picture_name(case)]
        parts.append(_figure(png, f"Members' segmentations of {case.case}", caption))
    yield section("Fig. 1. What single members make of an image", *parts)


def _notes(analysis: TrajectoryAnalysis) -> Iterator[str]:
    yield _T_SNE
    if np.count_nonzero(analysis.is_member) > 1:
        yield _GROUPS
        yield _CONTROL if analysis.first.control else _NO_CONTROL
    yield _COUNTED
    if not analysis.is_whole:
        yield "The weights are those in the members' files, which are kept in half precision."


def _figure(png: bytes, description: str, caption: str) -> Html:
    return tag("figure", picture(png, description), tag("figcaption", caption))


def _number(value: float) -> str:
    """Three digits."""
    if math.isnan(value):
        return _UNKNOWN
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}"
