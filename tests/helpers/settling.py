"""Wait until a window has done what it began, instead of for some milliseconds."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QCoreApplication, QEvent, QObject, QTimer

from napari_bayes_nnunet.widgets.common.background import Background

SOON_MS = 200
"""Timers of a single shot that are not longer follow an event; longer ones watch over it."""


def settle(qtbot: Any, *owners: QObject) -> None:
    """Wait until nothing of ``owners`` works in a thread or soon, and no event is left."""

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
