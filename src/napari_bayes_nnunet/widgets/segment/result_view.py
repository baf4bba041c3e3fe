"""View of the results of the chosen image: their layers, contours, numbers and notes."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any
from weakref import WeakSet

from napari.layers import Image
from qtpy.QtCore import QObject

from ..common.display_form import DisplayForm
from ..common.settings import Display
from ..common.window_thread import Turns
from ..layers.front import bring_to_front, is_set_aside, set_aside
from ..layers.result import SegmentationResult
from ..layers.result_layers import (
    forget_result,
    keep_result,
    kept_result,
    kept_results,
    result_layers,
    show_map,
    steps_to_put,
)
from ..layers.review_layers import hide_closed_review, is_reviewed, show_hidden_result
from ..layers.structure_contours import apply_display, steps_to_show_contours
from ..layers.viewing import current_phase, go_to_phase
from .canvas_caption import ResultCaption
from .image_form import ImageForm
from .job import SegmentationProgress, stopped_sentence, unfinished_sentence
from .run_form import RunForm

CHOOSE_TO_SEE = "The result of {image} is hidden. Choose {image} to see it."
IN_REVIEW = "A review of {image} hides its result. Close the review, then choose {image} to see it."
PREDICTION_REMOVED = (
    "The layer with the prediction was removed, so the result is not on screen. Segment again to "
    "show it. Save… and Review… still work."
)


class ResultView(QObject):
    """View of the results that the images keep, with the settings of the forms.

    ``turns`` shows a result in steps between which the window answers. While an image is reviewed,
    its results wait until the review is closed.
    """

    def __init__(
        self, viewer: Any, image: ImageForm, run: RunForm, display: DisplayForm, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._image = image
        self._run = run
        self._display = display
        self._held: WeakSet[SegmentationResult] = WeakSet()  # until their review is closed
        self.caption = ResultCaption(viewer)
        self.turns = Turns(self)

    @property
    def result(self) -> SegmentationResult | None:
        """The chosen result of the chosen image."""
        layer = self._image.layer
        return kept_result(layer) if layer is not None else None

    @property
    def chosen(self) -> tuple[Image, SegmentationResult] | None:
        """The chosen image and its chosen result."""
        layer, result = self._image.layer, self.result
        return None if layer is None or result is None else (layer, result)

    @property
    def is_held(self) -> bool:
        """Whether the chosen result waits for the end of a review."""
        return self.result in self._held if self.result is not None else False

    def show_first(self, layer: Image, result: SegmentationResult, phase: int | None) -> None:
        """Show layers and a segmented phase in steps; if the user has left the image, on return."""
        self.turns.run(self._steps_to_first(layer, result, phase))

    def show_requested(self, layer: Image, result: SegmentationResult, phase: int | None) -> None:
        """Show a segmented phase in place of one that has only a look and is not to be segmented.

        Nothing changes if the user has left the image, or reviews it.
        """
        if phase is None or layer is not self._image.layer or is_reviewed(self._viewer, layer):
            return
        if current_phase(self._viewer, layer) not in result.requested:
            go_to_phase(self._viewer, layer, phase)

    def choose(self, method: str) -> None:
        """Show the result of a method of the chosen image."""
        layer = self._image.layer
        if layer is not None and (result := kept_results(layer).get(method)) is not None:
            self._put(layer, result)

    def remove(self, method: str) -> None:
        """Remove the result of a method with its layers, and show the one that remains."""
        layer = self._image.layer
        if layer is not None:
            reviewed = is_reviewed(self._viewer, layer)
            forget_result(self._viewer, layer, method, is_reviewed=reviewed)
            if self.result is not None:
                self._put(layer, self.result)

    def show_numbers(self) -> None:
        """Show the numbers of all results of the chosen image, and the warnings of its result."""
        layer, chosen = self._image.layer, self.result
        self._run.warnings.show_message("\n".join(chosen.warnings if chosen else ()))
        results = kept_results(layer) if layer is not None else {}
        numbers = {method: result.numbers() for method, result in results.items()}
        method = chosen.settings.method if chosen else ""
        self._run.results.set_results(numbers, method)
        ed, es = self._image.known_phases or (None, None)
        if method:
            ed, es = numbers[method].ed or ed, numbers[method].es or es
        self.caption.set_landmarks(ed, es)
        self.caption.set_provisional(chosen.provisional if chosen is not None else ())

    def show_display(self, display: Display) -> None:
        """Show contours, fill and image as chosen."""
        layer, result = self._image.layer, self.result
        if layer is not None:
            has_labels = result is not None and "prediction" in result_layers(self._viewer, layer)
            posteriors = result.posteriors if result is not None and has_labels else None
            apply_display(self._viewer, layer, display, posteriors)

    def show_map(self) -> None:
        """Show the chosen map, unless a review hides the result."""
        self.turns.finish()
        chosen = self.chosen
        if chosen is not None and not is_reviewed(self._viewer, chosen[0]):
            show_map(self._viewer, *chosen, self._run.shown_map.title)

    def notes(self) -> list[str]:
        """Return the progress of an incomplete result of the chosen image, and its notes."""
        result = self.result
        if result is None:
            return []
        progress = [
            SegmentationProgress(state.done, state.total, 0.0, phase, 0.0)
            for phase, state in result.phases.items()
            if state.done < state.total and not state.provisional
        ]
        stopped = [stopped_sentence(progress, phases=len(result.phases))] if progress else []
        return [*stopped, unfinished_sentence(result), *result.notes]

    def where_is(self, image: Image) -> str:
        """Return where to find a result that is not on screen, "" if there is no way to it."""
        if image not in self._viewer.layers:
            return ""
        if is_reviewed(self._viewer, image):
            return IN_REVIEW.format(image=image.name)
        if is_set_aside(self._viewer, image):
            return CHOOSE_TO_SEE.format(image=image.name)
        return "" if "prediction" in result_layers(self._viewer, image) else PREDICTION_REMOVED

    def close(self) -> None:
        """Do the remaining steps, and leave the canvas."""
        self.turns.finish()
        self.caption.close()

    def _steps_to_first(
        self, layer: Image, result: SegmentationResult, phase: int | None
    ) -> Generator[None, None, None]:
        yield from self._steps_to_put(layer, result)
        yield
        if layer is not self._image.layer:
            set_aside(self._viewer, layer)
        elif not is_reviewed(self._viewer, layer):
            bring_to_front(self._viewer, *self._image.layers)
            if phase is not None and current_phase(self._viewer, layer) not in result.phases:
                go_to_phase(self._viewer, layer, phase)

    def _put(self, layer: Image, result: SegmentationResult) -> None:
        """Make a result the chosen one of its image, and show it at once.

        It is shown even if a review, or the user, had hidden it before another one was chosen.
        """
        self.turns.run(self._steps_to_put(layer, result))
        self.turns.finish()
        if result not in self._held:
            show_hidden_result(self._viewer, layer)

    def _steps_to_put(
        self, layer: Image, result: SegmentationResult
    ) -> Generator[None, None, None]:
        keep_result(layer, result)
        if is_reviewed(self._viewer, layer):
            self._held.add(result)
            return
        self._held.discard(result)
        shown = self._run.shown_map.title
        yield from steps_to_put(self._viewer, layer, result, shown=shown)
        yield
        hide_closed_review(self._viewer, layer)
        if layer in self._viewer.layers:
            display = self._display.display
            yield from steps_to_show_contours(self._viewer, layer, result.posteriors, display)
