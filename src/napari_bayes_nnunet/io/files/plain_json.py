"""Numbers as JSON has them: there is no NaN and no infinity in it."""

from __future__ import annotations

import math
from typing import Any


def null_for_nan(value: Any) -> Any:
    """The same dictionaries, lists and numbers, with None for NaN and infinity."""
    if isinstance(value, dict):
        return {key: null_for_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [null_for_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
