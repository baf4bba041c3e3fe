"""Conversion of a network for OpenVINO, in a child process that also tries it.

`python -m napari_bayes_nnunet.nnunet.openvino_conversion` reads an architecture as JSON on standard
input and writes the packed network to standard output. An OpenVINO that fails on this computer,
even by an illegal instruction, ends only the child. OpenVINO's own converter is not used, because
it reports its use to its makers.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np
import torch

from .architecture import Architecture, WithFeatures

if TYPE_CHECKING:
    import openvino

MOST_DIFFERENT: Final = 1e-3
"""Largest difference from torch in float32, as a share of the largest logit."""
LENGTH: Final = 8
"""Bytes of the length in front of a packed network."""


def import_openvino() -> Any:
    """Return the module openvino, without the package that reports its use to its makers.

    The import alone would do so, and write an identifier into the user's home.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


@cache
def openvino_core() -> openvino.Core:
    """Return OpenVINO's core, which stays until the process ends.

    Each core replaces the stack for signals and puts the earlier one back when it goes. If a second
    core outlives the first, that is a stack which is gone, and the next signal ends the process.
    """
    return import_openvino().Core()


def convert(architecture: Architecture) -> openvino.Model:
    """Return the network of an architecture; its inputs are the image and each learnt tensor.

    It has been tried in float32 and in the fastest precision of this processor. Raises
    RuntimeError or another error of OpenVINO if that fails.
    """
    ov = import_openvino()
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    network = WithFeatures(architecture.build()).eval()
    example = torch.rand(1, architecture.channels, *architecture.smallest_patch)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing has a successor that is ten times slower
        expected = network(example)[0].numpy()
        decoder = TorchScriptPythonDecoder(
            network, example_input=(example,), trace_kwargs={"check_trace": False}
        )
        frontend = FrontEndManager().load_by_framework("pytorch")
        model = frontend.convert(frontend.load(decoder))
    for hint in ({"INFERENCE_PRECISION_HINT": "f32"}, {}):
        logits = openvino_core().compile_model(model, "CPU", hint)(example.numpy())[0]
        if not np.isfinite(logits).all():
            raise RuntimeError("its results are not finite")
        if hint and abs(logits - expected).max() > MOST_DIFFERENT * abs(expected).max():
            raise RuntimeError("its results differ from those of torch")
    _make_inputs(ov, model)
    return model


def _make_inputs(ov: Any, model: openvino.Model) -> None:
    """Turn the constants that hold a learnt tensor into inputs with the name of the tensor."""
    prefix = "self.network."  # of `WithFeatures`
    inputs = []
    for constant in model.get_ops():
        name = constant.get_friendly_name()
        if constant.get_type_name() == "Constant" and name.startswith(prefix):
            shape = constant.get_output_partial_shape(0)
            weights = ov.op.Parameter(constant.get_element_type(), shape)
            weights.set_friendly_name(name.removeprefix(prefix))
            constant.output(0).replace(weights.output(0))
            inputs.append(weights)
    model.add_parameters(inputs)


def pack(model: openvino.Model) -> bytes:
    """Return a network without its learnt tensors as bytes, less than 1 MB."""
    ov = import_openvino()
    with tempfile.TemporaryDirectory() as folder:
        graph, constants = Path(folder, "network.xml"), Path(folder, "network.bin")
        ov.serialize(model, graph, constants)
        text = graph.read_bytes()
        return len(text).to_bytes(LENGTH, "big") + text + constants.read_bytes()


def unpack(packed: bytes) -> openvino.Model:
    """Return the network of `pack`."""
    ov = import_openvino()
    length = int.from_bytes(packed[:LENGTH], "big")
    text, constants = packed[LENGTH : LENGTH + length], packed[LENGTH + length :]
    return openvino_core().read_model(text, ov.Tensor(np.frombuffer(constants, np.uint8)))


def main(given: BinaryIO, written: BinaryIO) -> None:
    """Convert the architecture that is given as JSON."""
    written.write(pack(convert(Architecture(**json.load(given)))))


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "wb") as output:
        os.dup2(2, 1)  # keep prints of libraries out of the output
        main(sys.stdin.buffer, output)
