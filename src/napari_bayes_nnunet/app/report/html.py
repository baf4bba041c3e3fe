"""Markup of a page that needs nothing from outside; text that is no markup is always escaped."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from typing import Final

_STYLE: Final = """
:root { color-scheme: light; --ink: #18212c; --muted: #5a6675; --line: #d8dee6; --soft: #f4f6f9; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 2rem 4rem; max-width: 62rem; color: var(--ink);
  background: #fff; font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans",
  sans-serif; }
h1 { margin: 0; font-size: 1.9rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 2.6rem 0 .7rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line);
  font-size: 1.15rem; }
p { margin: .5rem 0; max-width: 48rem; }
ul { margin: .5rem 0; padding-left: 1.2rem; max-width: 48rem; }
.kind { margin: 0 0 .2rem; color: var(--muted); font-size: .8rem; letter-spacing: .08em;
  text-transform: uppercase; }
.muted, .notes, figcaption { color: var(--muted); }
.notes { font-size: .87rem; }
.use { margin: 1.2rem 0 0; padding: .55rem .9rem; border-left: 4px solid #8a94a3;
  background: var(--soft); max-width: none; }
.warnings { margin: .7rem 0 0; padding: .55rem .9rem; border-left: 4px solid #c2570c;
  background: #fff5ec; }
.warnings ul { margin: .2rem 0 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .8rem;
  margin: 1.4rem 0 0; }
.tile { padding: .7rem .9rem; border: 1px solid var(--line); border-radius: 8px; }
.tile .value { font-size: 1.6rem; font-weight: 600; line-height: 1.25; white-space: nowrap; }
.tile .value small { font-size: .9rem; font-weight: 400; color: var(--muted); }
.tile .label, .tile .below { color: var(--muted); font-size: .87rem; }
td small { margin-left: .6rem; color: var(--muted); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .32rem .6rem; text-align: left; vertical-align: baseline;
  border-bottom: 1px solid var(--line); }
thead th { color: var(--muted); font-weight: 500; font-size: .87rem; border-bottom-color: #aab4c0; }
th.group { padding-top: 1rem; font-weight: 600; }
td.number, th.number { text-align: right; white-space: nowrap; }
td.spread, th.spread { text-align: right; white-space: nowrap; color: var(--muted);
  padding-left: 0; }
td.after { font-weight: 600; }
td.name { overflow-wrap: anywhere; min-width: 8rem; }
.studies th, .studies td { padding: .25rem .4rem; vertical-align: top; }
.studies .first td:not([rowspan]) { border-bottom: 0; }
.warned { color: #a8480a; }
.studies img { display: block; width: 6.5rem; height: auto; border-radius: 4px; }
td.place { white-space: nowrap; }
td.comment { white-space: pre-wrap; overflow-wrap: anywhere; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; margin: .6rem 0 1rem;
  font-size: .87rem; }
.legend i { display: inline-block; width: 1.1rem; height: .75rem; margin-right: .4rem;
  border-radius: 2px; border: 1px solid #0003; }
.legend i.dotted { height: 0; border: 0; border-top: 2px dotted var(--ink); border-radius: 0;
  vertical-align: middle; }
.slices { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(24rem, 100%), 1fr));
  gap: 1.4rem 1.2rem; }
figcaption .comment { display: block; color: var(--ink); white-space: pre-wrap; }
.flagged { color: #a8480a; font-weight: 600; }
section { overflow-x: auto; }
figure { margin: 0; break-inside: avoid; }
figure img { display: block; width: 100%; height: auto; border-radius: 4px; }
figcaption { margin-top: .35rem; font-size: .87rem; overflow-wrap: anywhere; }
figcaption b { color: var(--ink); font-weight: 600; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.4rem; margin: .5rem 0; }
dt { color: var(--muted); }
dd { margin: 0; overflow-wrap: anywhere; }
@media print {
  body { padding: 0; font-size: 10pt; max-width: none; }
  h2 { break-after: avoid; }
  tr { break-inside: avoid; }
  section { overflow: visible; }
  .legend { break-inside: avoid; break-after: avoid; }
  .tiles { grid-template-columns: repeat(4, 1fr); }
  .slices { grid-template-columns: 1fr 1fr; }
  .use, .warnings, .legend i { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""

# Also keeps a browser from ever asking another machine for anything.
_NOTHING_FROM_OUTSIDE: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


class Html(str):
    """Markup, as made by ``tag``; any other text is escaped when it is put into a tag."""

    __slots__ = ()


def tag(name: str, *content: str, **attributes: str) -> Html:
    """An element; ``class_`` stands for the attribute class."""
    inside = "".join(part if isinstance(part, Html) else html.escape(part) for part in content)
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(value)}"'
        for key, value in attributes.items()
        if value
    )
    return Html(f"<{name}{given}>{inside}</{name}>")


def picture(png: bytes, description: str) -> Html:
    """A PNG picture inside the page, described for those who cannot see it."""
    data = base64.b64encode(png).decode()
    return Html(f'<img src="data:image/png;base64,{data}" alt="{html.escape(description)}">')


def bullets(sentences: Iterable[str], *, class_: str = "") -> Html:
    """A list of sentences."""
    return tag("ul", *(tag("li", sentence) for sentence in sentences), class_=class_)


def section(title: str, *content: str) -> Html:
    """A part of the page under its title."""
    return tag("section", tag("h2", title), *content)


def page(title: str, content: Sequence[str]) -> str:
    """The whole document."""
    head = tag("head", Html('<meta charset="utf-8">'), _meta(), tag("title", title), _style())
    return f'<!DOCTYPE html>\n<html lang="en">{head}\n{tag("body", *content)}</html>\n'


def _meta() -> Html:
    return Html(
        f'<meta http-equiv="Content-Security-Policy" content="{_NOTHING_FROM_OUTSIDE}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
    )


def _style() -> Html:
    return Html(f"<style>{_STYLE}</style>")


RESEARCH_USE: Final = (
    "For research use only. Not a medical device: not for diagnosis or for decisions on treatment."
)
