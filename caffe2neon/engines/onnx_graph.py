"""The one helper both translators share: a growing ONNX graph, and its session on ONNX Runtime."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from caffe2neon.errors import EngineError
from caffe2neon.records import Array, Shape

OPSET = 17

# As it is published, ONNX Runtime reports its use to its makers, and leaves an identifier in the home folder; it reads this once,
# before it starts. Who wants that says so: a value of the user's own stays.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

#: Bytes from which a constant is handed to ONNX Runtime as it lies in memory: a protobuf would copy it thrice, and ends at 2 GB.
LARGE = 1 << 20


class OnnxGraph:
    """Collects nodes, constants and inputs; tensor names are made here, so callers hold names but never invent any."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._large: dict[str, Array] = {}
        self._inputs: list[Any] = []
        self._count = 0

    def input(self, name: str, shape: Sequence[int | str]) -> str:
        """Declare a float32 input; a string in ``shape`` is a free axis."""
        from onnx import TensorProto, helper

        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))
        return name

    def constant(self, value: Array | Sequence[int] | float) -> str:
        """A constant: floats become float32, integers int64. A large array must not change as long as the session lives."""
        from onnx import TensorProto, numpy_helper

        array = np.asarray(value)
        # not ascontiguousarray, which gives a scalar an axis
        array = np.require(array, np.int64 if array.dtype.kind in "iu" else np.float32, ["C", "A"])
        name = self._name("c")
        if array.nbytes < LARGE or array.dtype != np.float32:
            self._constants.append(numpy_helper.from_array(array, name))
            return name
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=array.shape, data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value=name)
        self._constants.append(tensor)
        self._large[name] = array
        return name

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Append a node; returns the name of its first output."""
        return self.add_many(operator, *inputs, outputs=outputs, **attributes)[0]

    def add_many(self, operator: str, *inputs: str, outputs: int, **attributes: Any) -> tuple[str, ...]:
        """Append a node with several outputs; returns their names."""
        from onnx import helper

        names = tuple(self._name("t") for _ in range(outputs))
        self._nodes.append(helper.make_node(operator, list(inputs), list(names), **attributes))
        return names

    def session(self, outputs: Sequence[str], *, threads: int = 0) -> OnnxSession:
        """Make it runnable. ``outputs`` are all tensors anyone will ask for; ``threads`` 0 means one a core."""
        from onnx import TensorProto, helper

        names = tuple(dict.fromkeys(outputs))
        declared = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names]
        graph = helper.make_graph(self._nodes, "caffe2neon", self._inputs, declared, self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
        return OnnxSession(model.SerializeToString(), threads, self._large)

    def _name(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count}"


class OnnxSession:
    """ONNX Runtime on the CPU, without the rewrites that change numbers."""

    def __init__(self, model: bytes, threads: int, large: Mapping[str, Array]) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # Threads that wait in a loop take the cores from those that decode pictures, and from other processes: with SqueezeNet on 2
        # busy cores a fifth of the processor time, and more of the clock's.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._large = [ort.OrtValue.ortvalue_from_numpy(array) for array in large.values()]

        def session(*disabled: str) -> ort.InferenceSession:
            # without a fallback, which would print that it tries the same provider again
            return ort.InferenceSession(
                model, options, providers=["CPUExecutionProvider"], disabled_optimizers=disabled, enable_fallback=0
            )

        try:
            options.add_external_initializers(list(large), self._large)
            try:
                self._session = session()
            except Exception:
                # this fusion can take away a convolution's output that is asked for and also added to another one's
                self._session = session("ConvAddActivationFusion")
        except Exception as error:  # ONNX Runtime's exceptions share no root of their own
            raise EngineError(f"ONNX Runtime refuses the translated net: {error}") from error

    def run(self, outputs: Sequence[str], inputs: Mapping[str, Array]) -> list[Array]:
        try:
            return list(self._session.run(list(outputs), dict(inputs)))
        except Exception as error:
            raise EngineError(f"ONNX Runtime failed: {error}") from error


def batched(shape: Shape) -> tuple[str | int, ...]:
    """A feature shape with a free batch axis before it."""
    return ("N", *shape)
