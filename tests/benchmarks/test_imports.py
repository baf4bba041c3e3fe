"""Tests that every benchmark can be imported."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = [
    ".".join(file.relative_to(ROOT).with_suffix("").parts)
    for file in sorted((ROOT / "benchmarks").rglob("*.py"))
]


@pytest.mark.parametrize("module", MODULES)
def test_benchmark_can_be_imported(module: str) -> None:
    importlib.import_module(module)
