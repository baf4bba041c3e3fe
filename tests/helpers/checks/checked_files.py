"""What is checked and what is refused: one table for the tests and for the page of that name.

A new check is a new line of `CHECKS`. ``python -m tests.helpers.checks.checked_files`` writes the page,
and ``tests/test_checked_files.py`` fails if it is old or if a line has no test.
"""

# ruff: noqa: E501 (a check is one line)

import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from napari_bayes_nnunet.app.cluster.worker_call import ENSEMBLE_CHANGED
from napari_bayes_nnunet.app.cohort.run import MIXTURE
from napari_bayes_nnunet.app.cohort.table import FOREIGN_TABLE
from napari_bayes_nnunet.app.evaluation.evaluate import (
    COMPARED_BY_VOXEL,
    EMPTY_REFERENCE,
    IDENTICAL,
    NO_SHARED_PATIENT,
    REFERENCE_UNNAMED,
)
from napari_bayes_nnunet.app.prediction.output_files import (
    DISK_FULL,
    IS_IMAGE,
    OUTPUT_IN_USE,
    SKEWED,
    SLICES_STORED,
    TWO_VOXEL_SIZES,
)
from napari_bayes_nnunet.app.prediction.predict import NAME_TAKEN
from napari_bayes_nnunet.app.prediction.request import READ_ONLY_OUTPUT
from napari_bayes_nnunet.app.remote.stream import LARGEST_FILE
from napari_bayes_nnunet.app.report.output_folder import (
    FOREIGN_FILE,
    FOREIGN_SETTINGS,
    OUTPUT_IS_INPUT,
)
from napari_bayes_nnunet.app.segmentation.image_check import (
    CLIPPED,
    CONSTANT_IMAGE,
    CONTRADICTION,
    UNKNOWN_SLICES,
)
from napari_bayes_nnunet.app.segmentation.recipe import MADE_WITH_OTHER
from napari_bayes_nnunet.app.training.job import LINKED_FILE
from napari_bayes_nnunet.io.dataset.check import CONSTANT_CASE, STACKED_CASE, SWAPPED_AXES
from napari_bayes_nnunet.io.dicom.limits import MOST_FRAMES, MOST_PIXELS, MOST_UNPACKED
from napari_bayes_nnunet.io.dicom.reader import FOLDERS_LEFT_OUT, IMAGES_LEFT_OUT, LEFT_ALIGNED
from napari_bayes_nnunet.io.dicom.series import (
    ACQUISITIONS_LEFT_OUT,
    ASSUMED_THICKNESS,
    JOINED_BY_TIME,
    REPEATS_LEFT_OUT,
    SLICES_LEFT_OUT,
    SPARSE_SLICES,
    UNKNOWN_THICKNESS,
)
from napari_bayes_nnunet.io.evaluation.predictions import MIRRORED_PROBABILITIES
from napari_bayes_nnunet.io.evaluation.references import (
    IGNORED_VOXELS,
    SEVERAL_REFERENCES,
    SHARED_REFERENCE,
)
from napari_bayes_nnunet.io.files.limits import LARGEST_TEXT
from napari_bayes_nnunet.io.files.special import SPECIAL_FILE
from napari_bayes_nnunet.io.heart.normal_ranges import WRONG_LINE
from napari_bayes_nnunet.io.images.nifti import (
    MORE_THAN_HEADER,
    MOST_VOXELS,
    NEEDS_MEMORY,
    ONE_SLICE_CINE,
    SLICES_ON_FOURTH_AXIS,
    TOO_LARGE,
    WRONG_INFO_CFG,
)
from napari_bayes_nnunet.io.study.long_axes import MOST_LONG_AXIS_PIXELS
from napari_bayes_nnunet.nnunet.architecture import LARGE_NETWORK, MOST_WEIGHTS
from napari_bayes_nnunet.nnunet.inference import WRONG_SIZE
from napari_bayes_nnunet.nnunet.memory import IMAGE_NEEDS_MEMORY, PATCH_NEEDS_MEMORY
from napari_bayes_nnunet.nnunet.planning import PLANNING_FILLED_DISK

TESTS = Path(__file__).parents[2]
PAGE = TESTS.parent / "docs" / "reference" / "what-is-checked.md"
CODE = "Files that could run code"
MEMORY = "Files that could fill the memory or never end"
GEOMETRY = "Images that are stored unusually"
EARLIER = "Results of an earlier run"
EVALUATION = "References of an evaluation"
OUTPUT = "Folders to write to"

MADE_AGAIN = "The images are preprocessed again from the dataset."
REFUSED = "The command stops with an error message."
LEFT_OUT = "The member is refused with the reason. Other members are used."
NOT_READ = "The file is not read."
OPENED_WITHOUT = "The study is opened without it, and a message says so."
PHASE_LEFT_OUT = "The phase is left out, and a note says so. The command stops if no phase is left."
TEXT = "The content is only ever text and numbers."

TITLE = """# What is checked and what is refused

A folder with an ensemble, a run, a study or images can come from anywhere. This page lists what
could be wrong with its files and what happens then. In messages, … stands for a name or a number.
Each line has a test. This command writes the page: `python -m tests.helpers.checks.checked_files`.
"""


def refusal(template: str) -> str:
    """Return the outcome for an error message."""
    return f"Refused: {_quoted(template)}"


def note(template: str) -> str:
    """Return the outcome for a note or warning."""
    return f"Note: {_quoted(template)}"


def _quoted(template: str) -> str:
    return f"“{re.sub(r'{[^}]*}', '…', template)}”"


def millions(number: int) -> str:
    """Return a large number in words."""
    return f"{number / 1e6:,.0f} million"


class Check(NamedTuple):
    """A file, what it could do, the commands that read it, and what happens instead.

    ``proof`` is a test, as ``io/files/test_atomic.py::test_name``, or the name of a payload of
    ``test_hostile_files.py``, which tries it with every command.
    """

    section: str
    file: str
    threat: str
    commands: tuple[str, ...]
    outcome: str
    proof: str


READ_PLANS = (
    *("inspect", "predict", "calibrate", "train --resume", "train --add-cycle"),
    *("Segment (dock)", "cluster worker"),
)
COMPUTE = tuple(command for command in READ_PLANS if command != "inspect")
READ_MEMBERS = ("inspect", "predict", "calibrate", "Segment (dock)", "cluster worker")

SEGMENT = ("predict", "Segment (dock)")
CONTINUE = ("predict --continue",)
EVALUATE = ("evaluate", "evaluate-queue", "evaluate-reader")
NO_COMMANDS = ("Segment (dock)", "Review (dock)", "cluster worker", "all commands")
HEADS = {
    CODE: ("File", "What it could do", "Read by", "What happens"),
    OUTPUT: ("Folder or file", "What is asked for", "Asked by", "What happens"),
}
HEAD = ("File", "It may …", "Read by", "What happens")

# fmt: off
CHECKS: tuple[Check, ...] = (
    Check(CODE, "plans.json", "name a Python function as a layer or as the network", READ_PLANS, REFUSED, "name_a_function_as_layer"),
    Check(CODE, "plans.json", "name a Python function as reader, preprocessor, resampling, normalisation or label manager", ("inspect", "predict", "train --resume"), REFUSED, "name_functions_elsewhere"),
    Check(CODE, "plans.json", "name a folder outside the run, which nnU-Net would delete", ("inspect", "predict", "train --resume"), REFUSED, "name_a_folder_to_delete"),
    Check(CODE, "plans.json", "reach the trainer unchecked from the folder of nnU-Net's data", ("train",), REFUSED, "nnunet/test_trainer.py::test_plans_that_could_run_code_are_refused"),
    Check(CODE, "dataset.json of a run", "name a Python function as the reader of images", ("inspect", "predict"), REFUSED, "name_a_reader"),
    Check(CODE, "dataset.json of a dataset", "name a Python function as the reader of images", ("train", "train --resume", "train --add-cycle"), REFUSED, "name_a_reader"),
    Check(CODE, "ensemble.json", "name a dataset outside the run, whose folder nnU-Net would replace", ("train --resume", "train --add-cycle"), REFUSED, "name_a_dataset_elsewhere"),
    Check(CODE, "ensemble.json", "call a fold by a path to another folder", ("train --resume", "train --add-cycle"), REFUSED, "io/ensemble/test_run_folder.py::test_fold_never_leads_to_another_folder"),
    Check(CODE, "member", "run a function when it is unpickled", READ_MEMBERS, LEFT_OUT, "pickle_a_member"),
    Check(CODE, "member", "run a function when it is unpickled", ("trajectory",), REFUSED, "pickle_a_member"),
    Check(CODE, "checkpoint_latest.pth", "run a function when it is unpickled", ("train --resume",), REFUSED, "pickle_the_latest_state"),
    Check(CODE, "checkpoint_latest.pth", "run a function when it is unpickled", ("inspect", "predict"), NOT_READ, "pickle_the_latest_state"),
    Check(CODE, "checkpoint_final.pth", "run a function when it is unpickled", ("train --add-cycle",), REFUSED, "pickle_the_final_state"),
    Check(CODE, "checkpoint_final.pth", "run a function when it is unpickled", ("inspect", "predict"), NOT_READ, "pickle_the_final_state"),
    Check(CODE, "preprocessed .pkl", "run a function when it is unpickled", ("train --resume",), MADE_AGAIN, "pickle_properties"),
    Check(CODE, "preprocessed .b2nd", "name a codec for which blosc2 starts Python", ("train --resume",), MADE_AGAIN, "forge_codecs"),
    Check(CODE, "preprocessed .npz", "run a function when it is unpickled", ("train --resume",), MADE_AGAIN, "replace_arrays"),
    Check(CODE, "any file of a run", "be a link to another file, into which nnU-Net would write text of the plans", ("train --resume", "train --add-cycle"), refusal(LINKED_FILE), "app/training/test_job.py::test_links_in_a_run_are_refused"),
    Check(CODE, "train.log and progress.jsonl", "be a link to a file that the shell runs", ("train --resume", "train --add-cycle"), REFUSED, "link_logs"),
    Check(CODE, "use_log.csv of a study", "be a link to a file that the shell runs", ("Review (dock)",), "The use is not recorded, and a message says so.", "io/study/test_usage_log.py::test_a_log_that_is_a_link_is_refused"),
    Check(CODE, "splits, fingerprint, job.json and progress.jsonl", "contain a shell command", ("train --resume", "inspect", "predict"), TEXT, "write_commands"),
    Check(CODE, "zip file of a model", "put files or links outside its folder", ("inspect", "predict", "Segment (dock)"), REFUSED, "app/test_model_export.py::test_harmful_entries_are_refused"),
    Check(CODE, "layers of an epoch (.npz)", "run a function when it is unpickled", ("trajectory",), REFUSED, "pickle_layers"),
    Check(CODE, "posterior of a study (.npz)", "run a function when it is unpickled", ("evaluate-queue", "evaluate-reader"), PHASE_LEFT_OUT, "pickle_posteriors"),
    Check(CODE, "posterior of a study (.npz)", "run a function when it is unpickled", ("Review (dock)",), OPENED_WITHOUT, "pickle_posteriors"),
    Check(CODE, "study.json and review.json", "contain a shell command and a path", ("evaluate-queue", "evaluate-reader", "Review (dock)"), TEXT, "write_commands_into_studies"),
    Check(CODE, "cohort.csv", "contain a shell command and a path", ("predict --continue",), TEXT, "write_commands_into_a_cohort"),
    Check(CODE, "study.json", "call the case by a path to another folder", ("export-dicom", "Review (dock)"), TEXT, "io/study/test_info.py::test_case_never_leads_to_another_folder"),
    Check(CODE, "lock of a study", "be a link to another file, which would be emptied", ("Review (dock)",), "The study is opened read-only.", "io/study/test_study.py::test_linked_lock_changes_no_other_file"),
    Check(CODE, "probabilities (.npz)", "run a function when it is unpickled", ("evaluate",), REFUSED, "pickle_probabilities"),
    Check(CODE, "Info.cfg", "contain a shell command", ("prepare acdc",), TEXT, "write_commands_into_acdc"),
    Check(CODE, "Info.cfg", "contain a shell command", ("predict",), TEXT, "write_commands_next_to_the_image"),
    Check(CODE, "table of M&Ms", "contain a shell command and a path", ("prepare mnms",), TEXT, "write_commands_into_mnms"),
    Check(CODE, "DICOM", "have UIDs and names that are shell commands and paths", ("predict", "export-dicom"), TEXT, "write_commands_into_dicom"),
    Check(CODE, "text of any file", "become part of a page as HTML", ("evaluate", "predict", "Review (dock)"), TEXT, "app/report/test_html.py::test_values_are_escaped"),
    Check(CODE, "random.py and the like in the current folder", "be imported by child processes in place of Python's own", ("all commands",), NOT_READ, "core/test_command.py::test_child_processes_import_nothing_from_the_current_folder"),
    Check(CODE, "matplotlibrc in the current folder", "set which programs matplotlib runs, and with old versions which code", (*EVALUATE, "trajectory", "train"), refusal(FOREIGN_SETTINGS), "app/report/test_output_folder.py::test_settings_in_the_current_folder_are_refused"),
    Check(MEMORY, "image", f"have a header of more than {millions(MOST_VOXELS)} voxels", SEGMENT, refusal(TOO_LARGE), "io/images/test_nifti.py::test_unreadable_content_is_refused"),
    Check(MEMORY, "image", "unpack to more than the free memory", SEGMENT, refusal(NEEDS_MEMORY), "io/images/test_nifti.py::test_image_that_fills_the_memory_is_refused"),
    Check(MEMORY, "member", "unpack to more than its size", READ_MEMBERS, LEFT_OUT, "io/ensemble/test_model_folder.py::test_checkpoint_that_unpacks_to_more_is_refused"),
    Check(MEMORY, "member", "have a pickle that repeats its content", READ_MEMBERS, LEFT_OUT, "nnunet/test_weights.py::test_pickle_that_fills_the_memory_is_refused"),
    Check(MEMORY, "plans.json", f"describe a network of more than {millions(MOST_WEIGHTS)} weights", READ_PLANS, refusal(LARGE_NETWORK), "nnunet/test_weights.py::test_network_that_fills_the_memory_is_not_built"),
    Check(MEMORY, "plans.json", "give patches and features that need more memory than is free", COMPUTE, refusal(PATCH_NEEDS_MEMORY), "nnunet/test_memory.py::test_patch_that_fills_the_memory_is_refused"),
    Check(MEMORY, "plans.json and image", "need more memory together than is free", SEGMENT, refusal(IMAGE_NEEDS_MEMORY), "nnunet/test_memory.py::test_image_that_fills_the_memory_is_refused"),
    Check(MEMORY, "zip file of a model", "unpack to far more than its size, or than the disk has room for", ("inspect", "predict", "Segment (dock)"), REFUSED, "app/test_model_export.py::test_zip_file_larger_than_the_disk_is_refused"),
    Check(MEMORY, "JSON and CSV", f"have more than {millions(LARGEST_TEXT)} bytes (cohort.csv: {millions(2**28)})", ("all commands",), REFUSED, "io/files/test_limits.py::test_huge_json_file_is_refused_unread"),
    Check(MEMORY, "posterior of a study (.npz)", "unpack to more than the study needs", ("evaluate-queue", "evaluate-reader"), PHASE_LEFT_OUT, "io/study/test_arrays.py::test_posterior_arrays_are_measured_before_unpacking"),
    Check(MEMORY, "posterior of a study (.npz)", "unpack to more than the study needs", ("Review (dock)",), OPENED_WITHOUT, "io/study/test_arrays.py::test_posterior_arrays_are_measured_before_unpacking"),
    Check(MEMORY, "long axis of a study (.npz)", f"unpack to more than {millions(MOST_LONG_AXIS_PIXELS)} pixels", ("Review (dock)",), OPENED_WITHOUT, "io/study/test_long_axes.py::test_long_axes_are_measured_before_unpacking"),
    Check(MEMORY, "probabilities (.npz)", "unpack to more than the prediction needs", ("evaluate",), REFUSED, "io/evaluation/test_predictions.py::test_probabilities_are_measured_before_unpacking"),
    Check(MEMORY, "DICOM", f"be deflated to more than {millions(MOST_UNPACKED)} bytes", SEGMENT, NOT_READ, "io/dicom/test_limits.py::test_deflated_file_is_read_up_to_a_limit"),
    Check(MEMORY, "DICOM", f"announce more than {MOST_FRAMES:,} frames", SEGMENT, NOT_READ, "io/dicom/test_limits.py::test_file_with_billions_of_frames_is_left_out"),
    Check(MEMORY, "DICOM", f"have frames of more than {millions(MOST_PIXELS)} pixels", SEGMENT, REFUSED, "io/dicom/test_limits.py::test_frame_with_too_many_pixels_is_refused"),
    Check(MEMORY, "DICOM", "have endlessly nested sequences", SEGMENT, NOT_READ, "io/dicom/test_limits.py::test_endlessly_nested_sequences_are_left_out"),
    Check(MEMORY, "array of another computer", f"announce another size than it has, or more than {millions(LARGEST_FILE)} bytes", ("Segment (dock)", "predict", "serve"), REFUSED, "app/remote/test_stream.py::test_only_whole_arrays_of_numbers_are_received"),
    Check(MEMORY, "any path that is given", "be a pipe, a socket or a device", ("all commands",), refusal(SPECIAL_FILE), "cli/test_options.py::test_every_path_refuses_a_device"),
    Check(MEMORY, "any file in a folder", "be a pipe, a socket or a device", ("all commands",), REFUSED, "io/files/test_special.py::test_no_reader_waits_for_a_pipe"),
    Check(GEOMETRY, "image", "store its slices along x or y", (*SEGMENT, "evaluate"), note(SLICES_STORED), "app/prediction/test_output_files.py::test_slices_on_another_axis_change_no_result"),
    Check(GEOMETRY, "image", "have a spacing that contradicts its shape", SEGMENT, refusal(CONTRADICTION), "app/segmentation/test_ensemble.py::test_spacing_that_contradicts_the_shape_is_refused"),
    Check(GEOMETRY, "image", "have nothing that shows the axis of its slices", SEGMENT, note(UNKNOWN_SLICES), "app/segmentation/test_ensemble.py::test_slices_that_cannot_be_told_are_a_warning"),
    Check(GEOMETRY, "image", "store its slices along a fourth axis", SEGMENT, note(SLICES_ON_FOURTH_AXIS), "io/images/test_nifti.py::test_slices_on_the_fourth_axis_are_a_volume"),
    Check(GEOMETRY, "image or label of a dataset", "store its slices along a fourth axis", ("train",), refusal(STACKED_CASE), "io/dataset/test_check.py::test_slices_on_a_fourth_axis_are_refused"),
    Check(GEOMETRY, "image", "have one slice and a fourth axis of unclear meaning", SEGMENT, note(ONE_SLICE_CINE), "io/images/test_nifti.py::test_unclear_fourth_axis_is_noted"),
    Check(GEOMETRY, "image", "have another voxel size in its pixdim than in its affine", SEGMENT, note(TWO_VOXEL_SIZES), "app/prediction/test_output_files.py::test_affine_decides_the_volumes_and_report_has_both"),
    Check(GEOMETRY, "image", "have axes that are not perpendicular", SEGMENT, note(SKEWED), "app/prediction/test_output_files.py::test_skewed_axes_are_noted_with_their_factor"),
    Check(GEOMETRY, "image", "have an impossible size, such as metres called mm", SEGMENT, refusal(WRONG_SIZE), "app/segmentation/test_ensemble.py::test_spacing_in_another_unit_is_refused"),
    Check(GEOMETRY, "image", "have extreme voxels", SEGMENT, note(CLIPPED), "app/segmentation/test_ensemble.py::test_outlier_changes_nothing_but_the_notes"),
    Check(GEOMETRY, "image", "have the same value everywhere", SEGMENT, refusal(CONSTANT_IMAGE), "app/segmentation/test_image_check.py::test_constant_image_is_refused"),
    Check(GEOMETRY, "image of a dataset", "have a spacing that contradicts its shape", ("train",), note(SWAPPED_AXES), "io/dataset/test_check.py::test_a_spacing_that_contradicts_the_shape_is_a_warning"),
    Check(GEOMETRY, "image of a dataset", "have the same value everywhere", ("train",), note(CONSTANT_CASE), "io/dataset/test_check.py::test_an_image_of_one_value_is_a_warning"),
    Check(GEOMETRY, "DICOM", "have several images with one UID", SEGMENT, "All of them are read.", "io/dicom/test_odd_headers.py::test_images_with_one_uid_are_all_read"),
    Check(GEOMETRY, "DICOM", "have images of one slice at the same time", SEGMENT, note(REPEATS_LEFT_OUT), "io/dicom/test_odd_headers.py::test_images_at_the_same_time_are_noted"),
    Check(GEOMETRY, "DICOM", "have slices at the ends with another spacing, size, direction or kind", SEGMENT, note(SLICES_LEFT_OUT), "io/dicom/test_odd_headers.py::test_left_out_end_slices_are_noted"),
    Check(GEOMETRY, "DICOM", "be damaged or have an impossible position in some files", SEGMENT, note(IMAGES_LEFT_OUT), "io/dicom/test_odd_headers.py::test_impossible_geometry_is_refused_or_noted"),
    Check(GEOMETRY, "DICOM", "be unreadable in some files", SEGMENT, note(IMAGES_LEFT_OUT), "io/dicom/test_odd_headers.py::test_unreadable_end_slice_is_noted"),
    Check(GEOMETRY, "DICOM", "have subfolders that cannot be opened", SEGMENT, note(FOLDERS_LEFT_OUT), "io/dicom/test_odd_headers.py::test_folder_that_cannot_be_opened_is_noted"),
    Check(GEOMETRY, "DICOM", "be converted by another program (Secondary Capture), with a position", SEGMENT, "They are read like other images.", "io/dicom/test_odd_headers.py::test_converted_images_with_a_position_are_read"),
    Check(GEOMETRY, "DICOM", "have two patients in one series", SEGMENT, REFUSED, "io/dicom/test_odd_headers.py::test_two_patients_are_never_one_stack"),
    Check(GEOMETRY, "DICOM", "show high values as dark", SEGMENT, "The values are reversed.", "io/dicom/test_pixels.py::test_dark_high_values_are_read_bright"),
    Check(GEOMETRY, "DICOM", "have slices that begin at another time of the cardiac cycle", SEGMENT, note(JOINED_BY_TIME), "io/dicom/test_cardiac_time.py::test_slices_half_a_cycle_later_are_joined"),
    Check(GEOMETRY, "DICOM", "have slices whose trigger times contradict each other by more than half a phase", SEGMENT, REFUSED, "io/dicom/test_cardiac_time.py::test_contradictory_times_are_refused"),
    Check(GEOMETRY, "DICOM", "have two acquisitions in one series", SEGMENT, note(ACQUISITIONS_LEFT_OUT), "io/dicom/test_cardiac_time.py::test_later_of_two_acquisitions_is_read"),
    Check(GEOMETRY, "DICOM", "have slices at least twice as far apart as they are thick", SEGMENT, note(SPARSE_SLICES), "io/dicom/test_cardiac_time.py::test_doubtful_thickness_is_said"),
    Check(GEOMETRY, "DICOM", "have no slice thickness", SEGMENT, note(UNKNOWN_THICKNESS), "io/dicom/test_cardiac_time.py::test_doubtful_thickness_is_said"),
    Check(GEOMETRY, "DICOM", "have one slice without thickness", SEGMENT, note(ASSUMED_THICKNESS), "io/dicom/test_cardiac_time.py::test_doubtful_thickness_is_said"),
    Check(GEOMETRY, "DICOM", "have left-aligned values", SEGMENT, note(LEFT_ALIGNED), "io/dicom/test_reader.py::test_left_aligned_values_are_said"),
    Check(GEOMETRY, "DICOM", "have padded pixels (PixelPaddingValue and its range)", SEGMENT, "They get the lowest real value of the series.", "io/dicom/test_pixels.py::test_padding_becomes_the_lowest_real_value"),
    Check(GEOMETRY, "image", "hold a slice or more behind the voxels of its header", SEGMENT, refusal(MORE_THAN_HEADER), "io/images/test_nifti.py::test_unreadable_content_is_refused"),
    Check(GEOMETRY, "image", "begin its voxels at byte 0 (vox_offset)", SEGMENT, "They are read from behind the header.", "io/images/test_nifti.py::test_voxels_at_byte_0_follow_the_header"),
    Check(GEOMETRY, "Info.cfg", "name phases that do not exist, or one for both ED and ES", ("predict", "Segment (dock)"), f"Refused if ED and ES are asked for, otherwise a note: {_quoted(WRONG_INFO_CFG)}", "app/prediction/test_predict.py::test_wrong_info_cfg_is_said"),
    Check(EARLIER, "report of a case, study", "be made with another ensemble, training, plans or calibration, or with other settings, members or labels, or from another image or voxel size", CONTINUE, refusal(MADE_WITH_OTHER), "app/segmentation/test_recipe.py::test_first_difference_is_named"),
    Check(EARLIER, "cohort.csv", "have results of another ensemble or other settings", ("predict FOLDER",), refusal(MIXTURE), "app/cohort/test_run.py::test_cohort_of_two_ensembles_is_refused"),
    Check(EARLIER, "cohort.csv", "be of another program, or be saved by one with semicolons, other columns or not as UTF-8", ("predict FOLDER",), refusal(FOREIGN_TABLE), "app/cohort/test_table.py::test_table_in_another_form_is_never_replaced"),
    Check(EARLIER, "ensemble of a running cohort", "change, as by a training that continues", ("predict FOLDER",), refusal(ENSEMBLE_CHANGED), "app/cluster/test_ensemble_cache.py::test_ensemble_that_changed_during_a_run_is_refused"),
    Check(EARLIER, "result in the window", "be of an ensemble that has been replaced", ("Segment (dock)",), "The earlier phases are removed, and a message says so.", "widgets/segment/test_job.py::test_phases_of_another_training_are_removed"),
    Check(EARLIER, "calibration.json", "be fitted to another training or other plans", ("predict", "Segment (dock)"), "The calibration is not used.", "app/segmentation/test_calibration.py::test_temperature_of_another_training_or_fold_is_not_used"),
    Check(EARLIER, "results of a running command", "be written at the same time", ("predict",), refusal(OUTPUT_IN_USE), "app/prediction/test_output_files.py::test_second_run_into_one_output_is_refused"),
    Check(EVALUATION, "reference labels", "have no position in the patient", EVALUATE, note(COMPARED_BY_VOXEL), "paper/review/test_queue.py::test_comparison_without_positions_is_noted"),
    Check(EVALUATION, "reference labels", "have no dataset.json with the names of the labels", EVALUATE, note(REFERENCE_UNNAMED), "paper/review/test_queue.py::test_comparison_without_positions_is_noted"),
    Check(EVALUATION, "reference labels", "be a copy of the prediction", EVALUATE, note(IDENTICAL), "app/evaluation/test_evaluate.py::test_a_copy_of_the_reference_is_noted"),
    Check(EVALUATION, "reference labels", "be empty", ("evaluate",), note(EMPTY_REFERENCE), "app/evaluation/test_evaluate.py::test_an_empty_reference_is_noted"),
    Check(EVALUATION, "reference labels", "have voxels with nnU-Net's ignore label", EVALUATE, refusal(IGNORED_VOXELS), "io/evaluation/test_references.py::test_ignore_label_is_not_a_structure"),
    Check(EVALUATION, "probabilities (.npz)", "be mirrored", ("evaluate",), refusal(MIRRORED_PROBABILITIES), "io/evaluation/test_predictions.py::test_mirrored_probabilities_are_refused"),
    Check(EVALUATION, "reference labels", "lie on another grid", EVALUATE, REFUSED, "io/evaluation/test_references.py::test_reference_on_another_grid_is_refused"),
    Check(EVALUATION, "reference labels", "be possible for two cases", EVALUATE, refusal(SHARED_REFERENCE), "io/evaluation/test_references.py::test_reference_of_several_cases_is_refused"),
    Check(EVALUATION, "reference labels", "be one of several for a case", EVALUATE, refusal(SEVERAL_REFERENCES), "io/evaluation/test_references.py::test_several_references_of_a_case_are_refused"),
    Check(EVALUATION, "names of the cases", "not show which cases are of one patient", EVALUATE, note(NO_SHARED_PATIENT), "app/evaluation/test_evaluate.py::test_cases_without_shared_names_are_noted"),
    Check(EVALUATION, "CSV file with normal ranges", "count papillary muscles by another rule, or have a wrong line", ("export-dicom", "Review (dock)"), refusal(WRONG_LINE), "io/heart/test_normal_ranges.py::test_a_wrong_line_is_named_with_what_to_write"),
    Check(OUTPUT, "folder of the images", "write results there", ("predict FOLDER",), refusal(OUTPUT_IS_INPUT), "app/cohort/test_run.py::test_results_among_the_images"),
    Check(OUTPUT, "folder of the DICOM images", "write results there", ("export-dicom",), refusal(OUTPUT_IS_INPUT), "app/review/test_dicom_export.py::test_output_folder_and_images_are_checked"),
    Check(OUTPUT, "folder of reference labels or of images", "write a report there", ("evaluate",), refusal(OUTPUT_IS_INPUT), "app/evaluation/test_request.py::test_preview_refuses_what_would_fail"),
    Check(OUTPUT, "imagesTr, labelsTr, imagesTs, labelsTs of a dataset", "write results, a run or a report there", ("predict", "train", "export-dicom", *EVALUATE, "trajectory"), refusal(OUTPUT_IS_INPUT), "app/report/test_output_folder.py::test_cases_of_a_dataset_are_refused"),
    Check(OUTPUT, "folder of a dataset", "write a run there", ("train",), refusal(OUTPUT_IS_INPUT), "app/training/test_preflight.py::test_an_output_in_the_dataset_blocks"),
    Check(OUTPUT, "image", "replace it with labels", ("predict --overwrite",), refusal(IS_IMAGE), "app/prediction/test_predict.py::test_the_image_itself_is_never_replaced"),
    Check(OUTPUT, "images whose names differ only in upper and lower case", "write both results into one folder", ("predict",), refusal(NAME_TAKEN), "app/prediction/test_predict.py::test_images_with_one_name_raise"),
    Check(OUTPUT, "images whose names differ only in upper and lower case", "write both results into one folder", ("predict FOLDER",), "The results of the second have a number (heart-2).", "io/search/test_studies.py::test_names_that_differ_in_case_only_are_numbered"),
    Check(OUTPUT, "full disk", "write results there", ("predict", "predict FOLDER"), f"The run stops with exit code 1: {_quoted(DISK_FULL)} Nothing half written is left, and `--continue` does the rest.", "end_to_end/test_full_disk.py::test_disk_full_leaves_nothing_half_written"),
    Check(OUTPUT, "full disk", "train there", ("train",), f"The training stops: {_quoted(PLANNING_FILLED_DISK)} What was preprocessed is removed, and the same command starts again.", "nnunet/test_planning.py::test_full_disk_names_its_remedy"),
    Check(OUTPUT, "full disk", "save a review there", ("Review (dock)",), "The corrections stay in the window, which says so, tries again and refuses to close once.", "end_to_end/test_full_disk.py::test_edits_on_a_full_disk_are_kept"),
    Check(OUTPUT, "read-only disk", "write results there", ("predict", "predict FOLDER"), refusal(READ_ONLY_OUTPUT), "end_to_end/test_full_disk.py::test_read_only_output_is_refused_before_segmenting"),
    Check(OUTPUT, "file of another program with the name of a report", "replace it", (*EVALUATE, "trajectory"), refusal(FOREIGN_FILE), "app/report/test_output_folder.py::test_files_of_others_are_not_replaced"),
)
# fmt: on


def pairs() -> Iterator[tuple[Check, str]]:
    """Yield every check that a payload proves, with each of its commands."""
    for check in CHECKS:
        if "::" not in check.proof:
            yield from ((check, command) for command in check.commands)


def page() -> str:
    """Return the page of the documentation, with a table for each section."""
    parts = [TITLE]
    for section, checks in groupby(CHECKS, key=lambda check: check.section):
        rows = [HEADS.get(section, HEAD)]
        rows += [(c.file, c.threat, _listed(c.commands), c.outcome) for c in checks]
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        parts.append(
            "\n".join([f"## {section}", "", lines[0], "|---|---|---|---|", *lines[1:], ""])
        )
    return "\n".join(parts)


def _listed(commands: tuple[str, ...]) -> str:
    return ", ".join(c if c in NO_COMMANDS else f"`{c}`" for c in commands)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
