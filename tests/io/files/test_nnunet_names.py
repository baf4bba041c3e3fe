"""Names in plans and dataset.json that nnU-Net would import, call or use as a path."""

from collections.abc import Callable
from typing import Any

import pytest

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.files.nnunet_names import (
    FOREIGN_PART,
    FOREIGN_PATH,
    NO_CONFIGURATIONS,
    NO_NETWORK,
    check_dataset_json,
    check_plans,
    is_plain_name,
)

from ...helpers.checks.problems import says
from ...helpers.data.models import plans

Change = Callable[[dict[str, Any]], object]


def two_d(content: dict[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = content["configurations"]["2d"]
    return settings


def parts(content: dict[str, Any]) -> dict[str, Any]:
    arguments: dict[str, Any] = two_d(content)["architecture"]["arch_kwargs"]
    return arguments


def refusal(change: Change) -> str:
    """Return the template of the error that changed plans raise."""
    content = plans()
    change(content)
    with pytest.raises(DataError) as caught:
        check_plans(content)
    return caught.value.statement.template


@pytest.mark.parametrize("residual", [False, True])
def test_planned_networks_are_accepted(residual):
    check_plans(plans(residual=residual))


@pytest.mark.parametrize(
    "change",
    [
        lambda p: two_d(p)["architecture"].update(network_class_name="subprocess.run"),
        lambda p: two_d(p)["architecture"].update(network_class_name="torch.nn.Conv2d"),
        lambda p: two_d(p)["architecture"].update(network_class_name=["a"]),
        lambda p: parts(p).update(nonlin="os.system"),
        lambda p: parts(p).update(conv_op="torch.nn.Module"),
        lambda p: parts(p).update(norm_op=3),
        lambda p: p["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"].update(
            nonlin="os.system"
        ),
        lambda p: (
            parts(p).update(extra="os.system"),
            two_d(p)["architecture"]["_kw_requires_import"].append("extra"),
        ),
        lambda p: p.update(image_reader_writer="os"),
        lambda p: p.update(label_manager="join"),
        lambda p: p.update(label_manager=None),
        lambda p: two_d(p).update(preprocessor_name="shutil"),
        lambda p: two_d(p).update(normalization_schemes=["np"]),
        *(
            lambda p, of=of: two_d(p).update({f"resampling_fn_{of}": "partial"})
            for of in ("data", "seg", "probabilities")
        ),
    ],
)
def test_a_name_outside_of_nnunet_is_refused(change):
    assert refusal(change) == FOREIGN_PART


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.update(plans_name="../../settings"),
        lambda p: p.update(dataset_name="/home"),
        lambda p: two_d(p).update(data_identifier=".."),
        lambda p: two_d(p).update(data_identifier="C:x"),
        lambda p: two_d(p).update(next_stage=["3d_fullres", "..\\x"]),
        lambda p: two_d(p).update(previous_stage={}),
    ],
)
def test_path_in_place_of_name_is_refused(change):
    assert refusal(change) == FOREIGN_PATH


@pytest.mark.parametrize(
    ("change", "template"),
    [
        (lambda p: p.update(configurations=[]), NO_CONFIGURATIONS),
        (lambda p: two_d(p).update(architecture=True), NO_NETWORK),
        (lambda p: two_d(p)["architecture"].update(arch_kwargs=3), NO_NETWORK),
        (lambda p: two_d(p)["architecture"].update(_kw_requires_import=True), NO_NETWORK),
        (lambda p: two_d(p).update(normalization_schemes=[None]), FOREIGN_PART),
    ],
)
def test_entries_of_another_type_are_refused(change, template):
    assert refusal(change) == template


def test_a_foreign_reader_in_the_dataset_is_refused():
    check_dataset_json({})
    check_dataset_json({"overwrite_image_reader_writer": "NibabelIO"})
    with pytest.raises(DataError, check=says(file="dataset.json")):
        check_dataset_json({"overwrite_image_reader_writer": "os"})


def test_plain_names_stay_in_their_folder():
    assert all(map(is_plain_name, ("nnUNetPlans_2d", "Dataset001_Herz für alle", "ab:c", "..a")))
    assert not any(map(is_plain_name, ("", ".", "..", "a/b", "a\\b", "/a", "c:a", "a\0", None)))
