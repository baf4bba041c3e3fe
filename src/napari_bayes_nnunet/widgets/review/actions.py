"""Actions of the keys of a review."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from ..editing.ends_form import END_BUTTONS

if TYPE_CHECKING:
    from .controller import ReviewController


def review_actions(controller: ReviewController) -> Mapping[str, Callable[[], object]]:
    """Return the actions of the keys."""
    return {
        "next": partial(controller.step, 1),
        "previous": partial(controller.step, -1),
        "accept": controller.accept,
        "flag": controller.flag,
        "most uncertain": controller.centre,
        "next view": controller.forms.view.choose_next,
        "outline or fill": controller.forms.display.toggle_fill,
        "previous alternative": partial(controller.step_alternative, -1),
        "next alternative": partial(controller.step_alternative, 1),
        "interpolate": controller.interpolate,
        "revert": controller.revert,
        "ED or ES": controller.other_landmark,
        "absent": controller.remove,
        **{
            action: partial(controller.move_end, end, outwards)
            for action, (_, end, outwards) in END_BUTTONS.items()
        },
        "scribble": controller.toggle_scribble,
        "carry": controller.carry,
        "previous phase": partial(controller.step_phase, -1),
        "next phase": partial(controller.step_phase, 1),
    }
