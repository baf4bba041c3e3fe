"""Plans that are checked before nnU-Net sees them, in the one place where nnU-Net opens them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..io import DataError
from ..io.files.nnunet_names import check_dataset_json, check_plans
from . import ModelError

if TYPE_CHECKING:
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

REFUSED_PLANS = "The plans cannot be used, because {reason}. Choose other plans."


def open_plans(plans: dict[str, Any], dataset_json: dict[str, Any]) -> PlansManager:
    """Return nnU-Net's view of plans. Raises ModelError if they could run code."""
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    refuse_foreign_parts(plans, dataset_json)
    return PlansManager(plans)


def refuse_foreign_parts(plans: dict[str, Any], dataset_json: dict[str, Any]) -> None:
    """Raise ModelError if the plans or dataset.json name anything that is not nnU-Net's own."""
    try:
        check_plans(plans)
        check_dataset_json(dataset_json)
    except DataError as error:
        raise ModelError(REFUSED_PLANS, reason=error) from error
