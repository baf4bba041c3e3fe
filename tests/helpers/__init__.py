"""Fakes, small data and processes that tests share."""

from pathlib import Path

HELPERS = Path(__file__).parent
