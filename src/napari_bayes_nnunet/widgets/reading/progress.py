"""Progress of a review, remaining spread, and a suggestion to stop."""

from __future__ import annotations

from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QVBoxLayout, QWidget

from ...core.review.progress import ENOUGH_POINTS, ReviewProgress
from ..common.dock import MessageLabel

BAR_STEPS = 1000
SHARE_HELP = (
    "Share of the study's uncertain volume that lies in accepted slices, with each voxel weighted "
    "by its uncertainty."
)
SPREAD_HELP = (
    "Standard deviation of the ejection fraction (EF) over the models, with your contours in all "
    "accepted slices. Not a clinical confidence interval."
)
ENOUGH = (
    f"The models' spread of the EF is below {ENOUGH_POINTS:g} points. Further slices will hardly "
    "change it, so you could stop here if you need only the EF."
)
ALL_DONE = "All slices of the queue are reviewed."
REVIEWED_SHARE = "{percent} % of the uncertain volume"


class ReviewProgressPanel(QWidget):
    """Numbers, a bar of the reviewed uncertain volume, and a suggestion to stop."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.slices = QLabel()
        self.share = QLabel()
        self.bar = QProgressBar()
        self.spread = MessageLabel()
        self.advice = MessageLabel()
        self.bar.setRange(0, BAR_STEPS)
        self.bar.setTextVisible(False)
        self.bar.setMaximumHeight(8)
        for widget in (self.bar, self.share):
            widget.setToolTip(SHARE_HELP)
        self.spread.setToolTip(SPREAD_HELP)
        row = QHBoxLayout()
        row.addWidget(self.slices)
        row.addStretch(1)
        row.addWidget(self.share)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        column.addLayout(row)
        for widget in (self.bar, self.spread, self.advice):
            column.addWidget(widget)
        self.set_progress(None)

    def set_progress(self, progress: ReviewProgress | None) -> None:
        """Show ``progress``, or hide the panel without a study."""
        self.setVisible(progress is not None)
        if progress is None:
            return
        share = progress.uncertain_share
        self.slices.setText(f"{progress.done} of {progress.total} slices")
        self.share.setText(REVIEWED_SHARE.format(percent=int(100 * share)))
        self.bar.setValue(int(BAR_STEPS * share))
        self.spread.say(progress.spread_left)
        all_done = ALL_DONE if progress.done == progress.total else ""
        self.advice.say(all_done or (ENOUGH if progress.suggest_stop else ""))
