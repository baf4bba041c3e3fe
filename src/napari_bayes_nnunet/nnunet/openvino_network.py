"""The network on a CPU, run by OpenVINO, which is made for inference and faster there than torch.

An architecture is converted once, by a child process (`openvino_conversion`), and kept in the
user's cache. The tensors of a member are put into it when the member is loaded.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import signal
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from platformdirs import user_cache_path

from ..core.command import python_command
from ..io.files.atomic import replacing
from .architecture import Architecture
from .openvino_conversion import import_openvino, openvino_core, unpack

if TYPE_CHECKING:
    import openvino

FAILURES: Final = (ImportError, RuntimeError, OSError, ValueError, TypeError, AttributeError)
"""Errors of OpenVINO, or of what it needs."""
CONVERSION_NOT_KEPT: Final = (
    "The network converted for OpenVINO could not be kept in {folder} ({reason}), so it is "
    "converted at each start. Check the permissions and the free space of the folder."
)
MOST_COMPILED: Final = 2**28
"""Bytes of the float32 weights of compiled members: 30 of 2 million weights, or 2 of 33 million."""
CHECKSUM: Final = hashlib.sha256().digest_size
_VERSIONED: Final = ("openvino", "torch", "dynamic-network-architectures", "napari-bayes-nnunet")
_log = logging.getLogger(__name__)


def is_installed() -> bool:
    """Return whether OpenVINO is installed; it has no wheel for some computers."""
    return importlib.util.find_spec("openvino") is not None


def openvino_version() -> str:
    """Return the name and the version of the runtime."""
    return f"OpenVINO {version('openvino')}"


class OpenVinoNetwork:
    """Network of an architecture; its conversion begins at once, in another process.

    ``is_full`` asks for float32 also on a processor with bfloat16. What fails raises one of
    `FAILURES`.
    """

    def __init__(
        self, architecture: Architecture, *, is_full: bool, notify: Callable[[str], None]
    ) -> None:
        self._is_full = is_full
        self._notify = notify
        self._kept: dict[int, tuple[Mapping[str, torch.Tensor], openvino.InferRequest, int]] = {}
        thread = ThreadPoolExecutor(1, thread_name_prefix="convert-network")
        self._packed: Future[tuple[bytes, str]] = thread.submit(_converted, architecture)
        thread.shutdown(wait=False)

    @cached_property
    def _model(self) -> openvino.Model:
        """The converted network, whose inputs are the image and the learnt tensors."""
        packed, note = self._packed.result()
        if note:
            self._notify(note)
        return unpack(packed)

    @cached_property
    def dtype(self) -> torch.dtype:
        """Number type in which the network is computed; it sums in float32 internally."""
        _ = self._model  # only what has been tried is asked
        abilities = openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        return torch.float32 if self._is_full or "BF16" not in abilities else torch.bfloat16

    def load(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Compute with the weights of a member from now on."""
        known = self._kept.pop(id(weights), None) or self._compiled(weights)
        # The weights are kept with it, because the next ones may get the id of those nobody holds.
        self._kept[id(weights)] = known
        while sum(size for *_, size in self._kept.values()) > MOST_COMPILED and len(self._kept) > 1:
            self._kept.pop(next(iter(self._kept)))
        self._request = known[1]

    def _compiled(
        self, weights: Mapping[str, torch.Tensor]
    ) -> tuple[Mapping[str, torch.Tensor], openvino.InferRequest, int]:
        ov = import_openvino()
        model, size = self._model.clone(), 0
        _, *tensors = model.get_parameters()
        for tensor in tensors:
            values = weights[tensor.get_friendly_name()].float().numpy()
            tensor.output(0).replace(ov.op.Constant(values).output(0))
            model.remove_parameter(tensor)
            size += values.nbytes
        options = {
            "INFERENCE_PRECISION_HINT": "f32" if self.dtype == torch.float32 else "bf16",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "ENABLE_CPU_PINNING": False,  # several processes would choose the same cores
        }
        return (
            weights,
            openvino_core().compile_model(model, "CPU", options).create_infer_request(),
            size,
        )

    def __call__(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return what `WithFeatures` returns for a batch (N, channels, …) float32."""
        outputs = self._request.infer([np.ascontiguousarray(batch.numpy())], share_inputs=True)
        return tuple(torch.from_numpy(values) for values in outputs.values())


def _converted(architecture: Architecture) -> tuple[bytes, str]:
    """Return the packed network of an architecture, and a sentence if it could not be kept."""
    about = [asdict(architecture), *map(version, _VERSIONED)]
    about.append(torch.backends.cpu.get_cpu_capability())  # tried on such a processor
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    folder = user_cache_path("napari-bayes-nnunet", appauthor=False) / "networks"
    file = folder / key.hexdigest()
    packed = _read(file, key.digest())
    if packed is not None:
        return packed, ""
    packed = _convert_in_child(architecture)
    try:
        with replacing(file) as temporary:
            temporary.write_bytes(_checksum(key.digest(), packed) + packed)
    except OSError as error:
        return packed, CONVERSION_NOT_KEPT.format(folder=folder, reason=error.strerror)
    return packed, ""


def _read(file: Path, key: bytes) -> bytes | None:
    """Return the packed network in a file, None if it is missing, damaged or of another key."""
    try:
        content = file.read_bytes()
    except OSError:
        return None
    packed = content[CHECKSUM:]
    return packed if content[:CHECKSUM] == _checksum(key, packed) else None


def _checksum(key: bytes, packed: bytes) -> bytes:
    return hashlib.sha256(key + packed).digest()


def _convert_in_child(architecture: Architecture) -> bytes:
    done = subprocess.run(
        python_command("napari_bayes_nnunet.nnunet.openvino_conversion"),
        input=json.dumps(asdict(architecture)).encode(),
        capture_output=True,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # exists on Windows only
    )
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        if done.returncode < 0:
            lines.append(signal.strsignal(-done.returncode) or "")
        raise RuntimeError(lines[-1] if lines else f"exit code {done.returncode}")
    return done.stdout
