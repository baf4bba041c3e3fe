"""Parts of an open review that all of its classes share."""

from __future__ import annotations

from dataclasses import dataclass

from ...app.review.session import ReviewSession
from ...core.heart.structures import structure_colors
from ...core.types import Place
from ..editing.corrections import Corrections
from ..layers.cine_player import CinePlayer
from ..reading.picture import ReviewPicture
from .forms import ReviewForms


@dataclass(frozen=True, eq=False)
class ReviewContext:
    """Session, forms, picture, corrections and cine of an open review."""

    session: ReviewSession
    forms: ReviewForms
    picture: ReviewPicture
    corrections: Corrections
    player: CinePlayer

    @property
    def place(self) -> Place:
        """Phase and slice on screen, (phase, z)."""
        return self.picture.place

    @property
    def label(self) -> int:
        """Label of the structure to correct."""
        return self.session.structures[self.forms.corrections.structure]

    @property
    def color(self) -> str:
        """Colour of the structure to correct."""
        return structure_colors(self.session.structures)[self.label]
