"""Pages from templates: values are escaped, and nothing comes from outside."""

from __future__ import annotations

from typing import Any

import pytest
from jinja2 import UndefinedError

from napari_bayes_nnunet.app.report.figures import DPI
from napari_bayes_nnunet.app.report.html import Tile, natural_width, render_page

from ...helpers.checks.pages import Page

MARKUP = ("<script>alert(1)</script>", '"onload="alert(1)', "</td></table>", "'a' & b", "{{ 7 }}")
STUDY = {
    "heading": "one",
    "facts": [],
    "warnings": [],
    "tiles": [],
    "failed": [],
    "segmented": [],
    "most_rows": 1,
    "settings": {},
    "left_out": [],
}


def page(**values: Any) -> Page:
    return Page(render_page("cohort.html.j2", **(STUDY | values)))


@pytest.mark.parametrize("text", MARKUP)
def test_values_are_escaped(text: str) -> None:
    plain = page()
    written = page(
        heading=text,
        facts=[text],
        warnings=[text],
        tiles=[Tile(text, text, text, text)],
        settings={text: text},
        left_out=[text],
    )
    assert written.tags - plain.tags <= {"b", "ul", "li", "dt", "dd", "div", "small", "section"}
    assert written.text.count(text) == 10


def test_page_refers_to_nothing_outside() -> None:
    written = page()
    assert written.source.startswith("<!DOCTYPE html>\n")
    assert written.outside == []
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert f'<meta http-equiv="Content-Security-Policy" content="{policy}">' in written.source
    assert "//" not in written.source


def test_missing_value_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="heading"):
        render_page("cohort.html.j2", **{k: v for k, v in STUDY.items() if k != "heading"})


def test_figures_have_one_scale() -> None:
    header = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
    assert natural_width(header + (2 * DPI).to_bytes(4)) == "14.0rem"
