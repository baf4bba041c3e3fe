"""How far a review has come, what is left open, and whether going on is worth it."""

from __future__ import annotations

from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QVBoxLayout, QWidget

from ...core.review.progress import ENOUGH_POINTS, ReviewProgress
from ..common.dock import MessageLabel

BAR_STEPS = 1000
SHARE_HELP = (
    "Of all that the models are unsure of in this study, the part that lies in slices you have "
    "accepted. Weighted by how unsure they are."
)
SPREAD_HELP = (
    "Standard deviation over the models of the ejection fraction (EF), in points of EF, with your "
    "contours in every slice you have accepted. It is not a clinical confidence interval."
)
ENOUGH = (
    f"The models' spread left in the EF is below {ENOUGH_POINTS:g} points: further slices will "
    "hardly change it. If the EF is all you need, you could stop here."
)
ALL_DONE = "All slices of the queue are reviewed."


class ReviewProgressPanel(QWidget):
    """Words, a bar of the uncertain volume, and a suggestion to stop."""

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
        for part in (self.bar, self.share):
            part.setToolTip(SHARE_HELP)
        self.spread.setToolTip(SPREAD_HELP)
        row = QHBoxLayout()
        row.addWidget(self.slices)
        row.addStretch(1)
        row.addWidget(self.share)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        column.addLayout(row)
        for part in (self.bar, self.spread, self.advice):
            column.addWidget(part)
        self.set_progress(None)

    def set_progress(self, progress: ReviewProgress | None) -> None:
        """Show ``progress``; nothing where there is no study."""
        self.setVisible(progress is not None)
        if progress is None:
            return
        share = progress.uncertain_share
        self.slices.setText(f"{progress.done} of {progress.total} slices")
        self.share.setText(f"{int(100 * share)} % of the uncertain volume")
        self.bar.setValue(int(BAR_STEPS * share))
        self.spread.say(progress.spread_left)
        all_done = ALL_DONE if progress.done == progress.total else ""
        self.advice.say(all_done or (ENOUGH if progress.suggest_stop else ""))
