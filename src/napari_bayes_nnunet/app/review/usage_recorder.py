"""Recorder of viewing time and edits of each slice, for the usage log."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from time import monotonic
from typing import Final

from ...core.types import Place
from ...io.study.usage_log import UseRow

LONGEST_LOOK_S: Final = 300.0
"""Longest viewing time that is logged; after it the reader was probably away."""


class UseRecorder:
    """Clock of a review, with the ``rows`` not written yet and the ``seconds`` of every slice."""

    def __init__(self, seconds: Mapping[Place, float]) -> None:
        self.rows: list[UseRow] = []
        self.seconds = dict(seconds)
        self._since = monotonic()

    def record(
        self,
        place: Place | None,
        tool: str,
        state: str,
        *,
        counts: tuple[int, int] = (0, 0),
        decided: bool = False,
    ) -> None:
        """Record work on a slice that has ended, with a tool or by viewing ("").

        ``counts``: voxels changed inside and outside the uncertain region. Views shorter than a
        second are left out, unless the reader has ``decided`` about the slice.
        """
        now = monotonic()
        seconds = min(now - self._since, LONGEST_LOOK_S)
        self._since = now
        if place is None or not (tool or decided or math.floor(seconds)):
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

    def take_rows(self) -> list[UseRow]:
        """Return the rows to be written and forget them."""
        rows, self.rows = self.rows, []
        return rows
