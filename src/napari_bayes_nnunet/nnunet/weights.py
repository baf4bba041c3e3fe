"""Members: small files with the weights of one epoch, written and read safely.

A member is a checkpoint that nnU-Net's own predictor loads without this package. Weights are
stored in float16, each tensor once: nnU-Net's state dict names most tensors two or three times.
"""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray

from ..io.ensemble.ensemble_folder import why_unreadable
from ..io.files.atomic import replacing
from ..io.files.checksum import sha256 as checksum
from . import ModelError
from .architecture import Architecture
from .plans import open_plans

StateDict = dict[str, torch.Tensor]
Shapes = Mapping[str, torch.Size]
LARGEST_LAYER = 100_000

UNUSABLE = "{file} cannot be used, because {reason}. Replace it with an intact copy."
LACKS_WEIGHTS = "it is not an nnU-Net v2 checkpoint (it has no network_weights)"
WRONG_AXES = "its mirroring axes are not numbers from 0 to 2"
RUNS_CODE = "it would run code ({names}), and only weights are accepted"
FILLS_MEMORY = "it would take far more memory than its weights need"
WRONG_CHECKSUM = "the file is damaged (its content does not match its checksum)"
NOT_FINITE_WEIGHTS = "its weights are not all finite numbers ({tensor})"
NO_TENSOR = "its architecture differs: {tensor} of plans.json is missing"
OTHER_TENSOR_SHAPE = "its architecture differs: {tensor} is {shape}, but {expected} in plans.json"
EXTRA_TENSOR = "its architecture differs: {tensor} is not in plans.json"

# Texts and blocks of bytes are left out: half a kilobyte could ask for gigabytes of them.
_NUMBER_TYPES = [type(np.dtype(code)) for code in "?bBhHiIlLqQefd"]


def _make_number_type(*arguments: Any) -> np.dtype[Any]:
    """Return a number type of numpy; raise ValueError for texts and blocks, of any size."""
    made: np.dtype[Any] = np.dtype(*arguments)
    if type(made) not in _NUMBER_TYPES:
        raise ValueError(f"{made} is not a number type")
    return made


# nnU-Net's own checkpoints hold numpy scalars in their log; everything else needs no code.
_make_scalar = np.float64(0).__reduce__()[0]
_HARMLESS: list[Any] = [
    (_make_number_type, "numpy.dtype"),
    *_NUMBER_TYPES,
    _make_scalar,
    (_make_scalar, "numpy.core.multiarray.scalar"),  # its name in numpy 1
]

_LOADING = Lock()
"""Held while torch's list of harmless names is longer, which it has once for all threads."""

# Steps of a pickle that keep a value under a number, that fetch it, and that give a text.
_PUT = ("PUT", "BINPUT", "LONG_BINPUT")
_GET = ("GET", "BINGET", "LONG_BINGET")
_TEXT = "text"

_ONLY_WEIGHTS = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
"""Variable with which torch overrides its argument ``weights_only=False``."""

# Errors of torch's restricted unpickler for bytes that are not a pickled checkpoint.
_DAMAGED = (
    OSError,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    OverflowError,
    MemoryError,
    struct.error,
)


def write_member(
    path: Path,
    weights: StateDict,
    *,
    configuration: str,
    mirroring_axes: tuple[int, ...] | None,
) -> None:
    """Write ``weights`` as a member, atomically."""
    content = {
        "network_weights": to_half_precision(weights),
        "trainer_name": "nnUNetTrainer",
        "init_args": {"configuration": configuration},
        "inference_allowed_mirroring_axes": mirroring_axes,
    }
    # Saved to memory first: torch would write the temporary name into the content, so that equal
    # members had different files, and would hide the cause of a failed write.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    # Not Path.write_bytes: in the traceback of a failed write it keeps a view of the buffer.
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(buffer.getbuffer())


def to_half_precision(weights: StateDict) -> StateDict:
    """Return the state dict in float16 on the CPU; names that shared a tensor still share it."""
    copies: dict[tuple[Any, ...], torch.Tensor] = {}
    halved: StateDict = {}
    for name, tensor in weights.items():
        key = (tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride())
        if key not in copies:
            dtype = torch.float16 if tensor.is_floating_point() else tensor.dtype
            # A copy, because torch.save stores the whole storage behind a view.
            copies[key] = tensor.detach().to(
                "cpu", dtype, copy=True, memory_format=torch.contiguous_format
            )
        halved[name] = copies[key]
    return halved


def trajectory_layers(weights: StateDict) -> dict[str, NDArray[np.float32]]:
    """Return the layers of a trajectory, few and small because every epoch keeps them.

    They are the first and the last convolution of the encoder, the last one of each stage of the
    decoder, and the last segmentation layer. Layers with more than a hundred thousand weights are
    left out, except the last of the decoder, which the paper shows in Fig. 2.
    """
    kernels = {n: t for n, t in weights.items() if t.ndim >= 4 and "all_modules" not in n}
    encoder = [n for n in kernels if n.startswith("encoder.stages")]
    decoder = {n.split(".")[2]: n for n in kernels if n.startswith("decoder.stages")}
    last = list(decoder.values())[-1:]
    chosen = [*encoder[:1], *encoder[-1:], *decoder.values()]
    chosen += [n for n in kernels if n.startswith("decoder.seg_layers")][-1:]
    return {
        name: kernels[name].detach().float().cpu().numpy()
        for name in dict.fromkeys(chosen)
        if name in last or kernels[name].numel() <= LARGEST_LAYER
    }


def mean_weights(members: Sequence[StateDict]) -> StateDict:
    """Return the mean of the members' weights, float32 (SWA), or a single member's own weights.

    Tensors that several names share are averaged once. Raises ModelError for networks with batch
    normalisation, whose statistics would have to be measured again on the training images.
    """
    if len(members) == 1:
        return members[0]
    if any(name.endswith("running_mean") for name in members[0]):
        raise ModelError(
            "The method swa cannot average networks with batch normalisation, because their "
            "statistics depend on the training images. Choose another method."
        )
    means: dict[int, torch.Tensor] = {}
    for name, tensor in without_duplicates(members[0]).items():
        total = tensor.float()
        for member in members[1:]:
            total = total + member[name]
        means[tensor.data_ptr()] = total / len(members)
    return {name: means[tensor.data_ptr()] for name, tensor in members[0].items()}


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a member or an nnU-Net checkpoint without running any code from it.

    The tensors are views of the mapped file: they only take memory while they are read, and the
    optimizer's tensors are never read. Names lose the prefixes of DDP and torch.compile.

    Raises ModelError if the file is missing, cut short, damaged, would run code or is not an
    nnU-Net v2 checkpoint; the value ``reason`` says which, without the name of the file.
    """
    _, reason = why_unreadable(path)
    if reason:
        raise _unusable(path, reason)
    try:
        fills_memory = _fills_memory(path)
    except (zipfile.BadZipFile, *_DAMAGED) as error:
        raise _unusable(path, f"the file is damaged ({_first_line(error)})") from error
    if fills_memory:
        raise _unusable(path, FILLS_MEMORY)
    with _LOADING, torch.serialization.safe_globals(_HARMLESS):
        try:
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except pickle.UnpicklingError as error:
            raise _unusable(path, _why_not_opened(path)) from error
        except _DAMAGED as error:
            raise _unusable(path, f"the file is damaged ({_first_line(error)})") from error
    weights = content.get("network_weights") if isinstance(content, dict) else None
    if not _is_state_dict(weights):
        raise _unusable(path, LACKS_WEIGHTS)
    if not _are_axes(content.get("inference_allowed_mirroring_axes")):
        raise _unusable(path, WRONG_AXES)
    return {**content, "network_weights": without_prefixes(weights)}


@contextmanager
def loading_only_weights() -> Iterator[None]:
    """Make ``torch.load`` refuse code inside the block, even where nnU-Net allows code."""
    before = os.environ.get(_ONLY_WEIGHTS)
    os.environ[_ONLY_WEIGHTS] = "1"
    try:
        with torch.serialization.safe_globals(_HARMLESS):
            yield
    finally:
        if before is None:
            del os.environ[_ONLY_WEIGHTS]
        else:
            os.environ[_ONLY_WEIGHTS] = before


def without_prefixes(weights: StateDict) -> StateDict:
    """Return the state dict without the prefixes "module." of DDP and "_orig_mod." of compile."""
    prefixes = ("module.", "_orig_mod.")
    while weights and all(name.startswith(prefixes) for name in weights):
        weights = {name.partition(".")[2]: tensor for name, tensor in weights.items()}
    return weights


def expected_shapes(
    plans: dict[str, Any], dataset_json: dict[str, Any], configuration: str
) -> dict[str, torch.Size]:
    """Return the shape of every tensor in the network of the plans, without allocating any.

    Raises ModelError if that network cannot be built.
    """
    try:
        manager = open_plans(plans, dataset_json)
        with torch.device("meta"):
            settings = manager.get_configuration(configuration)
            network = Architecture.planned(manager, settings, dataset_json).build()
    except (ImportError, *_DAMAGED) as error:
        raise ModelError(
            "The network in plans.json ({configuration}) cannot be built ({reason}). Check that "
            "the plans are complete and of this version of nnU-Net.",
            configuration=configuration,
            reason=_first_line(error),
        ) from error
    return {name: tensor.shape for name, tensor in network.state_dict().items()}


def check_member(path: Path, expected: Shapes, *, sha256: str = "") -> str:
    """Return why a member cannot be used with a network of ``expected`` shapes, "" if it can.

    Its bytes are compared with the checksum ``sha256`` if it is known, else with the checksums
    inside the file, so every byte is read from disk once.
    """
    try:
        weights = read_checkpoint(path)["network_weights"]
        if not _is_intact(path, sha256):
            return WRONG_CHECKSUM
    except ModelError as error:
        return str(error.values["reason"])
    except (zipfile.BadZipFile, zlib.error, *_DAMAGED) as error:
        return f"the file is damaged or missing ({_first_line(error)})"
    return _architecture_difference(weights, expected) or _why_not_finite(weights)


def _unusable(path: Path, reason: str) -> ModelError:
    return ModelError(UNUSABLE, file=path.name, reason=reason)


def _fills_memory(path: Path) -> bool:
    """Return whether a pickle asks for memory without having its content.

    torch's restricted unpickler still calls ``bytearray`` with any length, copies a tensor that
    repeats one number, and encodes bytes with a codec that doubles them, as often as the pickle
    says. Checkpoints need none of these.
    """
    # As torch reads it: zipfile may find another entry of an archive made to mislead it.
    with path.open("rb") as file:
        pickled = torch._C.PyTorchFileReader(file).get_record("data.pkl")
    if any(name in pickled for name in (b"bytearray", b"_rebuild_device_tensor")):
        return True
    return b"_codecs" in pickled and _encodes_otherwise(pickled)


def _encodes_otherwise(pickled: bytes) -> bool:
    """Return whether a pickle uses the function ``encode`` differently from Python for bytes.

    Python pickles bytes, of which numpy's numbers are made, as the call encode(text, "latin1").
    Names of other codecs cannot be looked for: the bytes of numbers read like them, and a pickle
    can compute them. Raises ValueError or LookupError if the pickle is damaged.
    """
    steps: list[tuple[str, Any]] = []
    kept: dict[Any, Any] = {}
    for code, value, _ in pickletools.genops(pickled):
        # A text can be kept under several numbers and fetched by any of them.
        if code.name in _PUT:
            kept[value] = steps[-1][1]
        else:
            text = kept[value] if code.name in _GET else value
            steps.append((_TEXT if isinstance(text, str) else code.name, text))
    for index, (_, text) in enumerate(steps):
        if text == "_codecs encode":
            names, values = zip(*steps[index + 1 : index + 5], strict=True)
            if names != (_TEXT, _TEXT, "TUPLE2", "REDUCE") or values[1] != "latin1":
                return True
    return False


def _is_intact(path: Path, sha256: str) -> bool:
    if sha256:
        return checksum(path) == sha256
    with zipfile.ZipFile(path) as archive:
        return archive.testzip() is None


def _architecture_difference(weights: StateDict, expected: Shapes) -> str:
    """Return the first difference in the order of the network, "" if there is none."""
    unusual = next((n for n, t in weights.items() if not (_is_plain(t) or _is_count(n, t))), None)
    if unusual:
        return f"{unusual} is not a dense tensor of real numbers"
    for name, shape in expected.items():
        if name not in weights:
            return NO_TENSOR.format(tensor=name)
        if weights[name].shape != torch.Size(shape):
            return OTHER_TENSOR_SHAPE.format(
                tensor=name, shape=tuple(weights[name].shape), expected=tuple(shape)
            )
    extra = next((name for name in weights if name not in expected), None)
    return EXTRA_TENSOR.format(tensor=extra) if extra else ""


def _is_plain(tensor: torch.Tensor) -> bool:
    """Return whether a tensor is dense and real, and does not repeat a part of its file.

    A repeated number takes no space in the file, but in the network.
    """
    if tensor.layout != torch.strided or not tensor.is_floating_point():
        return False
    return tensor.untyped_storage().nbytes() >= tensor.nbytes


def _is_count(name: str, tensor: torch.Tensor) -> bool:
    """Return whether a tensor is the number of batches that a batch normalisation has seen."""
    return name.endswith("num_batches_tracked") and tensor.dtype == torch.int64 and not tensor.dim()


def _why_not_finite(weights: StateDict) -> str:
    for name, tensor in without_duplicates(weights).items():
        # Minimum and maximum are NaN if any weight is; this is far faster than testing all weights.
        if tensor.numel() and not bool(torch.isfinite(torch.stack(torch.aminmax(tensor))).all()):
            return NOT_FINITE_WEIGHTS.format(tensor=name)
    return ""


def without_duplicates(weights: StateDict) -> StateDict:
    """Return each tensor once, under one of the names that share it."""
    names = {tensor.data_ptr(): name for name, tensor in weights.items()}
    return {name: weights[name] for name in names.values()}


def _is_state_dict(weights: object) -> TypeGuard[StateDict]:
    return (
        isinstance(weights, dict)
        and bool(weights)
        and all(isinstance(n, str) and isinstance(t, torch.Tensor) for n, t in weights.items())
    )


def _are_axes(axes: object) -> bool:
    """Return whether these are mirroring axes; each doubles the number of mirrored copies."""
    if axes is None:
        return True
    if not isinstance(axes, list | tuple) or len(axes) > 3:
        return False
    return all(type(axis) is int and 0 <= axis < 3 for axis in axes)


def _why_not_opened(path: Path) -> str:
    """Return why a file was not opened, with the functions it would call; none is resolved."""
    try:
        unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except (pickle.UnpicklingError, *_DAMAGED):
        unsafe = []
    if not unsafe:
        return "the file is damaged or was not written by torch.save"
    return RUNS_CODE.format(names=", ".join(sorted(unsafe)[:3]))


def _first_line(error: BaseException) -> str:
    """Return the first line of an error; torch continues with advice for programmers."""
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
