"""The report of the paper's experiment as one text."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.paper.tables import LINK, PAGE_OF_TABLES, read_tables
from benchmarks.results import markdown_table


def report_text(report: Path) -> str:
    """Return the page with all tables in place of their links."""
    tables = {heading: (heads, lines) for heading, (heads, *lines) in read_tables(report)}

    def table(found: re.Match[str]) -> str:
        return f"\n## {found[1]}\n\n{markdown_table(*tables[found[1]])}"

    return LINK.sub(table, (report / PAGE_OF_TABLES).read_text(encoding="utf-8"))
