"""Fakes, small data and processes shared by tests."""

from pathlib import Path

HELPERS = Path(__file__).parent
