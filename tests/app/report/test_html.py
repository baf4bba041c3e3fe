"""Markup: what is no markup is escaped, and nothing comes from outside."""

from __future__ import annotations

import base64
from html.parser import HTMLParser

import pytest

from napari_bayes_nnunet.app.report.html import bullets, page, picture, section, tag


class Balance(HTMLParser):
    """Whether every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, name: str, attributes: object) -> None:
        if name not in ("meta", "img"):
            self.open.append(name)

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", 'a & b "c"', "</td></table>", "'"])
def test_text_is_escaped(text: str) -> None:
    written = tag("p", text, title=text)
    assert "<" not in written.removeprefix("<p").removesuffix("</p>").replace("&lt;", "")
    found: list[object] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda name, given: found.append((name, given))  # type: ignore[method-assign]
    parser.handle_data = found.append  # type: ignore[method-assign]
    parser.feed(written)
    parser.close()
    assert found == [("p", [("title", text)]), text]


def test_markup_is_not_escaped_again() -> None:
    assert tag("p", "a < ", tag("b", "c"), class_="x") == '<p class="x">a &lt; <b>c</b></p>'
    assert bullets(["a", "b"], class_="") == "<ul><li>a</li><li>b</li></ul>"
    assert section("A & B", "c") == "<section><h2>A &amp; B</h2>c</section>"


def test_a_picture_is_inside_the_page() -> None:
    written = picture(b"PNG", 'a "slice"')
    assert base64.b64encode(b"PNG").decode() in written
    assert 'alt="a &quot;slice&quot;"' in written


def test_a_page_asks_for_nothing() -> None:
    written = page("A < B", [tag("p", "c"), picture(b"PNG", "d")])
    assert written.startswith("<!DOCTYPE html>")
    assert "<title>A &lt; B</title>" in written
    assert "default-src 'none'" in written
    for outside in ("http:", "https:", "//", "<script", "<link", "@import", "url("):
        assert outside not in written
    balance = Balance()
    balance.feed(written)
    assert balance.open == []
