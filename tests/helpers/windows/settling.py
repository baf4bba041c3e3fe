"""Waiting for the pending work of a window, instead of for some milliseconds."""

from typing import Any

from qtpy.QtCore import QCoreApplication, QEvent, QObject, QTimer

from napari_bayes_nnunet.widgets.common.background import Background

SOON_MS = 200
"""Longest single-shot timer that follows an event; longer timers are timeouts."""


def settle(qtbot: Any, *owners: QObject) -> None:
    """Wait until ``owners`` have no background work, no short timer and no event pending."""

    def is_settled() -> bool:
        QCoreApplication.processEvents()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
        return not any(_is_busy(owner) for owner in owners)

    qtbot.waitUntil(is_settled)
    QCoreApplication.processEvents()


def _is_busy(owner: QObject) -> bool:
    timers = (timer for timer in owner.findChildren(QTimer) if timer.isSingleShot())
    return any(work.is_busy for work in owner.findChildren(Background)) or any(
        timer.isActive() and timer.interval() <= SOON_MS for timer in timers
    )
