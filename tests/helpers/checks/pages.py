"""Parser of HTML reports."""

import re
from html.parser import HTMLParser

VOID = {"br", "img", "meta"}
HIDDEN = {"style", "title"}


class Page(HTMLParser):
    """Titles, tables, pictures, text and the classes of elements of a page.

    Raises AssertionError if tags are unbalanced.

    ``tables`` has the text of each cell of each row.
    """

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.tags: set[str] = set()
        self.classes: set[str] = set()
        self.titles: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.pictures: list[dict[str, str | None]] = []
        self._open: list[str] = []
        self._text: list[str] = []
        self.feed(source)
        self.close()
        assert self._open == []
        self.tables = [[[*map(one_line, row)] for row in table] for table in self.tables]
        self.titles = [*map(one_line, self.titles)]

    @property
    def text(self) -> str:
        """Visible text in one line."""
        return one_line("".join(self._text))

    @property
    def outside(self) -> list[str]:
        """References to anything outside the page."""
        reference = r"""(?:src|href|srcset)=["'](?!data:)[^"']*|url\(|@import|<script|<link"""
        return re.findall(reference, self.source)

    def row(self, first: str) -> list[str]:
        """Return the other cells of the row whose first cell is ``first``."""
        (row,) = (r[1:] for t in self.tables for r in t if r and r[0] == first)
        return row

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.classes.update((dict(attrs).get("class") or "").split())
        assert not {name for name, _ in attrs if name.startswith("on")}
        if tag == "img":
            self.pictures.append(dict(attrs))
        elif tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag == "h2":
            self.titles.append("")
        if tag not in VOID:
            self._open.append(tag)
        self._write(" " if tag not in ("b", "span") else "")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        self._write(" " if tag not in ("b", "span") else "")

    def handle_data(self, data: str) -> None:
        self._write(data)

    def _write(self, data: str) -> None:
        if HIDDEN & set(self._open):
            return
        self._text.append(data)
        if {"td", "th"} & set(self._open):
            self.tables[-1][-1][-1] += data
        if "h2" in self._open:
            self.titles[-1] += data


def one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
