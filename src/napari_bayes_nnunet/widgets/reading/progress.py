"""Progress of a review."""

from __future__ import annotations

from qtpy.QtWidgets import QLabel, QSizePolicy, QWidget

from ...core.review.progress import ReviewProgress
from ..common.dock import row_layout
from ..common.progress_row import ProgressBar

BAR_STEPS = 1000
SHARE_HELP = (
    "Share of the study's uncertain volume that lies in accepted slices, with each voxel weighted "
    "by its uncertainty."
)
DONE_MARK = "✓"
IN_QUEUE, NOT_IN_QUEUE = "Queue: {position} of {total}", "Not in the queue"
PLACE_AND_ACCEPTED = "{place} · {done} of {total} accepted{mark}"


class ReviewProgressPanel(QWidget):
    """Position in the queue, accepted slices, and a bar of the uncertain volume in them."""

    def __init__(self) -> None:
        super().__init__()
        self.slices = QLabel()
        self.bar = ProgressBar()
        self.bar.setRange(0, BAR_STEPS)
        self.bar.setToolTip(SHARE_HELP)
        self.slices.setMinimumWidth(1)  # no text widens the dock
        self.bar.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        row_layout(self, self.slices, self.bar, wide=self.bar)
        self._progress: ReviewProgress | None = None
        self._position: int | None = None
        self.hide()

    def set_progress(self, progress: ReviewProgress) -> None:
        """Show ``progress``."""
        self._progress = progress
        self._show()

    def set_position(self, position: int | None) -> None:
        """Show the position in the queue, from 1, of the slice on screen; None outside of it."""
        self._position = position
        self._show()

    def _show(self) -> None:
        progress, position = self._progress, self._position
        self.setVisible(progress is not None)
        if progress is None:
            return
        done, total = progress.done, progress.total
        place = IN_QUEUE.format(position=position, total=total) if position else NOT_IN_QUEUE
        mark = f" {DONE_MARK}" if done == total else ""
        self.slices.setText(
            PLACE_AND_ACCEPTED.format(place=place, done=done, total=total, mark=mark)
        )
        # Rounded down, so that the bar is full only when nothing is left.
        self.bar.setValue(int(BAR_STEPS * progress.uncertain_share))
