"""How long each slice of a review is looked at, and what is done there: rows for the log of use."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from time import monotonic
from typing import Final

from ...core.types import Place
from ...io.study.usage_log import UseRow

LONGEST_LOOK_S: Final = 300.0
"""A slice that stays on screen for longer than this was left alone: no more seconds are logged."""


class UseRecorder:
    """The clock of one review. ``rows`` are those not written yet; ``seconds`` of every slice."""

    def __init__(self, seconds: Mapping[Place, float]) -> None:
        self.rows: list[UseRow] = []
        self.seconds = dict(seconds)
        self._since = monotonic()

    def stretch(
        self, place: Place | None, tool: str, state: str, *, counts: tuple[int, int] = (0, 0)
    ) -> None:
        """A stretch of work on a slice has ended, with a tool or by looking at it ("").

        ``counts``: voxels changed inside and outside the uncertain region. Short looks at which
        nothing was done are left out.
        """
        now = monotonic()
        seconds = min(now - self._since, LONGEST_LOOK_S)
        self._since = now
        if place is None or not (tool or state or math.floor(seconds)):
            return
        self.seconds[place] = self.seconds.get(place, 0.0) + seconds
        self.rows.append(
            UseRow(
                time=datetime.now().astimezone(),
                phase=place[0],
                z=place[1],
                seconds=round(seconds, 1),
                tool=tool,
                inside=counts[0],
                outside=counts[1],
                state=state,
            )
        )

    def take(self) -> list[UseRow]:
        """The rows since this was last asked, to be written."""
        rows, self.rows = self.rows, []
        return rows
