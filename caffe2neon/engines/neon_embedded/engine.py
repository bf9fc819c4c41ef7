"""The engine over a translated model: one session for the outputs, and another, made when first asked for, with every tap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from caffe2neon.engines.neon_embedded.base import Buffer, Emission, axes
from caffe2neon.engines.neon_embedded.build import build, neon_shape, outputs
from caffe2neon.engines.neon_io import check_taps, checked_input, input_name, output_names, resolve_shape
from caffe2neon.engines.onnx_graph import OnnxGraph, OnnxSession, batched
from caffe2neon.neon import check_classes, read_prm
from caffe2neon.records import Array, Shape


class NeonEmbedded:
    """Implements :class:`caffe2neon.engines.base.Engine`."""

    def __init__(self, path: Path, input_shape: Shape | None, threads: int) -> None:
        model = read_prm(path)
        check_classes(model)
        self._shape = resolve_shape(model, input_shape)
        self._input = input_name(model)
        self._threads = threads
        root = build(model, self._shape)
        self._graph = OnnxGraph()
        emission = Emission(self._graph)
        source = Buffer(self._graph.input(self._input, batched(axes(neon_shape(self._shape)))), neon_shape(self._shape))
        first = root.fprop(emission, source)
        found = [self._computed(buffer.value) for buffer in outputs(root, first)]
        self._outputs = dict(zip(output_names(model, len(found)), found, strict=True))
        self._taps = {name: self._computed(value) for name, value in emission.taps.items()}
        self._fast = self._graph.session(found, threads=threads)
        self._full: OnnxSession | None = None

    @property
    def name(self) -> str:
        return "neon-embedded"

    @property
    def version(self) -> str:
        """Of ONNX Runtime, which computes."""
        import onnxruntime

        return f"ONNX Runtime {onnxruntime.__version__}"

    @property
    def inputs(self) -> Mapping[str, Shape]:
        return {self._input: self._shape}

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(self._outputs)

    @property
    def taps(self) -> tuple[str, ...]:
        return tuple(self._taps)

    def run(self, inputs: Mapping[str, Array], taps: Sequence[str] = ()) -> dict[str, Array]:
        """See :class:`caffe2neon.engines.base.Engine`."""
        data = checked_input(inputs, self._input, self._shape)
        feed = {self._input: data.reshape(len(data), *axes(neon_shape(self._shape)))}
        check_taps(self.taps, taps)
        wanted = {**{tap: self._taps[tap] for tap in taps}, **self._outputs}  # a layer may be called like an output's blob
        session = self._fast
        if taps:
            self._full = self._full or self._graph.session([*self._outputs.values(), *self._taps.values()], threads=self._threads)
            session = self._full
        tensors = list(dict.fromkeys(wanted.values()))
        values = dict(zip(tensors, session.run(tensors, feed), strict=True))
        return {name: values[tensor] for name, tensor in wanted.items()}

    def _computed(self, tensor: str) -> str:
        """ONNX has no output that is an input."""
        return self._graph.add("Identity", tensor) if tensor == self._input else tensor
