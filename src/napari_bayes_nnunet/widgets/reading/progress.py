"""Progress of a review."""

from __future__ import annotations

from qtpy.QtWidgets import QHBoxLayout, QLabel, QWidget

from ...core.review.progress import ReviewProgress
from ..common.dock import column_layout
from ..common.progress_row import ProgressBar

BAR_STEPS = 1000
SHARE_HELP = (
    "Share of the study's uncertain volume that lies in accepted slices, with each voxel weighted "
    "by its uncertainty."
)
DONE_MARK = "✓"
ACCEPTED_SHARE = "{percent} % of the uncertain volume"


class ReviewProgressPanel(QWidget):
    """Accepted slices of the queue, and a bar of the uncertain volume that lies in them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.slices = QLabel()
        self.share = QLabel()
        self.bar = ProgressBar()
        self.bar.setRange(0, BAR_STEPS)
        for widget in (self.bar, self.share):
            widget.setToolTip(SHARE_HELP)
        row = QHBoxLayout()
        row.addWidget(self.slices)
        row.addStretch(1)
        row.addWidget(self.share)
        column_layout(self, row, self.bar).setSpacing(3)
        self.set_progress(None)

    def set_progress(self, progress: ReviewProgress | None) -> None:
        """Show ``progress``, or hide the panel without a study."""
        self.setVisible(progress is not None)
        if progress is None:
            return
        share = progress.uncertain_share
        done = f" {DONE_MARK}" if progress.done == progress.total else ""
        self.slices.setText(f"{progress.done} of {progress.total} accepted{done}")
        self.share.setText(ACCEPTED_SHARE.format(percent=int(100 * share)))
        self.bar.setValue(int(BAR_STEPS * share))
