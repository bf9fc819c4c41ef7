"""A translated net, ready to run."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

import numpy as np

from caffe2neon.engines.caffe_embedded.translate import Translation, translate
from caffe2neon.engines.onnx_graph import OnnxSession
from caffe2neon.errors import EngineError
from caffe2neon.records import Array, CaffeNet, CaffeWeights, Shape


class CaffeEmbedded:
    """The engine ``caffe-embedded``.

    The session for the outputs is compiled when the engine is opened; the one for taps, and one for any other batch size, when they
    are first asked for. Translating again is cheaper than keeping a second copy of the weights.
    """

    def __init__(
        self, net: CaffeNet, weights: CaffeWeights, batch: int | None, threads: int, shapes: Mapping[str, Shape]
    ) -> None:
        self._net = net
        self._weights = weights
        self._batch = batch
        self._threads = threads
        self._shapes = shapes
        self._sessions: dict[tuple[int | None, bool], OnnxSession] = {}
        translation = translate(net, weights, batch, shapes)
        self._inputs = dict(translation.inputs)
        self._outputs = translation.outputs
        self._tensors = {key: tensor.name for key, tensor in translation.tensors.items()}
        if not {self._tensors[key] for key in self._outputs} <= self._fed:
            self._sessions[batch, False] = self._compile(translation, self._outputs)

    @property
    def name(self) -> str:
        return "caffe-embedded"

    @property
    def version(self) -> str:
        import onnxruntime

        return f"ONNX Runtime {onnxruntime.__version__}"

    @property
    def inputs(self) -> Mapping[str, Shape]:
        return {name: shape[1:] for name, shape in self._inputs.items()}

    @property
    def outputs(self) -> tuple[str, ...]:
        return self._outputs

    @property
    def taps(self) -> tuple[str, ...]:
        return tuple(self._tensors)

    def run(self, inputs: Mapping[str, Array], taps: Sequence[str] = ()) -> dict[str, Array]:
        """See :meth:`caffe2neon.engines.base.Engine.run`. Scalars (losses, accuracies) have no axis."""
        for tap in taps:
            if tap not in self._tensors:
                near = ", ".join(difflib.get_close_matches(tap, self._tensors))
                raise EngineError(f"the net has no blob {tap!r}", remedy=f"Near it: {near}." if near else "")
        fed = {f"input:{name}": array for name, array in self._checked(inputs).items()}
        batch = self._batch_of(inputs)
        wanted = list(dict.fromkeys([*self._outputs, *taps]))
        arrays = dict(fed)
        computed = list(dict.fromkeys(self._tensors[key] for key in wanted if self._tensors[key] not in fed))
        if computed:  # ONNX Runtime refuses a graph without nodes
            session = self._session(batch, tapped=not set(taps) <= set(self._outputs))
            arrays.update(zip(computed, session.run(computed, fed), strict=True))
        return {key: arrays[self._tensors[key]] for key in wanted}

    @property
    def _fed(self) -> set[str]:
        """Tensors that are inputs; a blob may be one too."""
        return {f"input:{name}" for name in self._inputs}

    def _checked(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        if set(inputs) != set(self._inputs):
            raise EngineError(f"the net's inputs are {', '.join(self._inputs)}; given are {', '.join(inputs) or 'none'}")
        for name, shape in self._inputs.items():
            given = np.shape(inputs[name])
            if len(given) != len(shape) or given[1:] != shape[1:]:
                raise EngineError(f"input {name!r} has shape {given}; the net takes {shape}, or another batch of them")
        return {name: np.ascontiguousarray(inputs[name], dtype=np.float32).reshape(np.shape(inputs[name])) for name in self._inputs}

    def _batch_of(self, inputs: Mapping[str, Array]) -> int | None:
        """The batch size to compile for: what the engine was opened with where that fits, else the one that all inputs have."""
        if all(np.shape(inputs[name]) == shape for name, shape in self._inputs.items()):
            return self._batch
        sizes = {np.shape(inputs[name])[0] for name, shape in self._inputs.items() if shape}
        if len(sizes) != 1:
            raise EngineError(f"the inputs' batches differ: {', '.join(map(str, sorted(sizes)))}")
        return int(sizes.pop())

    def _session(self, batch: int | None, *, tapped: bool) -> OnnxSession:
        if (batch, tapped) not in self._sessions:
            translation = translate(self._net, self._weights, batch, self._shapes)
            keys = tuple(translation.tensors) if tapped else translation.outputs
            self._sessions[batch, tapped] = self._compile(translation, keys)
        return self._sessions[batch, tapped]

    def _compile(self, translation: Translation, keys: Sequence[str]) -> OnnxSession:
        names = [translation.tensors[key].name for key in keys]
        return translation.graph.session([name for name in names if name not in self._fed], threads=self._threads)
