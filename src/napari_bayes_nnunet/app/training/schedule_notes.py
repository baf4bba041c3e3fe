"""What the numbers of a schedule lead to and do not say: fewer members, rates that rarely work."""

from __future__ import annotations

from ...core.ensemble.schedule import MemberSelection, RestartSchedule

HIGH_RATE = 1.0
"""Ten times the paper's restart rate; the loss is then hardly ever a number for long."""


def schedule_notes(schedule: RestartSchedule, selection: MemberSelection) -> dict[str, str]:
    """Name of a number → a sentence about it; nothing of it keeps a training from starting."""
    notes = {}
    kept = sum(selection.keeps(schedule, epoch) for epoch in range(schedule.cycle_length))
    if kept < selection.per_cycle:
        plateau = schedule.cycle_length - schedule.plateau_start
        notes["per_cycle"] = (
            f"The plateau of a cycle has {_count(plateau, 'epoch')}, so that "
            f"{_count(kept, 'member')} of each cycle will be kept, not {selection.per_cycle}."
        )
    for name in ("initial_lr", "restart_lr"):
        rate = getattr(schedule, name)
        if rate > HIGH_RATE:
            notes[name] = (
                f"With a learning rate as high as {rate:g} a training mostly fails; the paper's "
                "rates are 0.01 and, at a restart, 0.1."
            )
    return notes


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
