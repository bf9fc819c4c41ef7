"""Run two engines on the same inputs and compare what they compute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from caffe2neon.engines.base import Engine
from caffe2neon.errors import VerificationError
from caffe2neon.records import Array, Difference, Parity, Shape
from caffe2neon.verify.compare import aligned, difference, in_caffe_order
from caffe2neon.verify.noise import noise


def verify(
    neon: Engine,
    caffe: Engine,
    *,
    meta: Mapping[str, Any],
    tolerance: float = 1e-5,
    layers: bool = False,
    inputs: Mapping[str, Array] | None = None,
    batch: int = 2,
) -> Parity:
    """Compare a converted model with the Caffe net it was made of.

    Args:
        neon: the converted model; its outputs stand for the blobs that ``meta["outputs"]`` names, one by one.
        caffe: the reference.
        meta: :attr:`caffe2neon.records.NeonModel.meta`. A file without that record is compared output by output, in order.
        tolerance: largest permitted ``max |difference| / max(1, max |reference|)``.
        layers: compare along ``meta["trace"]`` as well, in its order, wherever both engines can hand out the pair.
        inputs: by Caffe's input names, batch axis first; None: :func:`~caffe2neon.verify.noise.noise`, ``batch`` examples, and
            zeros for inputs that only Caffe has: the labels of a training net, which reach nothing but losses.

    Outputs and layers that ``meta["remap"]`` names are compared in Caffe's class order.

    Raises:
        VerificationError: the two do not have the same inputs, outputs or shapes, so that there is nothing to compare.
        EngineError: an engine failed.
    """
    names = _input_names(neon, caffe)
    if inputs is None:
        made, description = noise({name: caffe.inputs[name] for name in names}, batch, meta.get("preprocess"))
        labels = {name: np.zeros((batch, *shape), np.float32) for name, shape in caffe.inputs.items() if name not in made}
        inputs = {**made, **labels}
    else:
        description = f"{len(next(iter(inputs.values()), ()))} given examples"
        if missing := [name for name in caffe.inputs if name not in inputs]:
            raise VerificationError(f"input {missing[0]!r} is missing; given are {_listed(inputs)}")

    outputs = _output_pairs(neon, caffe, meta)
    trace = [(str(blob), str(layer)) for blob, layer in meta.get("trace", ())]
    pairs = [pair for pair in trace if _offers(caffe, pair[0]) and _offers(neon, pair[1])] if layers else []

    ours = neon.run(_for_neon(inputs, names, neon), _taps(neon, [layer for _, layer in pairs]))
    theirs = caffe.run(inputs, _taps(caffe, [blob for blob, _ in (*outputs, *pairs)]))
    remap = _Remap(meta, trace)
    return Parity(
        engine=f"{neon.name} {neon.version}",
        reference=f"{caffe.name} {caffe.version}",
        tolerance=tolerance,
        inputs=description,
        outputs=tuple(_differences(outputs, ours, theirs, remap)),
        layers=tuple(_differences(pairs, ours, theirs, remap)),
    )


class _Remap:
    """Which of the model's blobs and layers are in another class order than Caffe's, and in which."""

    def __init__(self, meta: Mapping[str, Any], trace: Sequence[tuple[str, str]]) -> None:
        remap = meta.get("remap") or {}
        self.layers = frozenset(remap.get("layers", ()))
        self.blobs = frozenset(blob for blob, layer in trace if layer in self.layers)
        self.order = np.asarray(remap.get("map", ()), dtype=np.int64)
        if not np.array_equal(np.sort(self.order), np.arange(len(self.order))):
            raise VerificationError("the model's record of its remapping is damaged: the map is not a permutation")

    def covers(self, blob: str, layer: str) -> bool:
        return layer in self.layers or blob in self.blobs


def _differences(
    pairs: Sequence[tuple[str, str]], ours: Mapping[str, Array], theirs: Mapping[str, Array], remap: _Remap
) -> Iterator[Difference]:
    for blob, layer in pairs:
        reference = theirs[blob]
        value = aligned(ours[layer], reference, blob=blob, neon_layer=layer)
        if remap.covers(blob, layer):
            value = in_caffe_order(value, remap.order, blob=blob, neon_layer=layer)
        yield difference(blob, layer, value, reference)


def _input_names(neon: Engine, caffe: Engine) -> dict[str, str]:
    """Caffe's name -> neon's, of each of neon's inputs. neon itself names none, so an only one stands for the other."""
    if len(neon.inputs) == len(caffe.inputs) == 1:
        names = dict(zip(caffe.inputs, neon.inputs, strict=True))
    else:
        names = {name: name for name in neon.inputs}
    if not set(names) <= set(caffe.inputs):
        raise VerificationError(f"the model's inputs are {_listed(neon.inputs)}, Caffe's are {_listed(caffe.inputs)}")
    for name, other in names.items():
        if _squeezed(caffe.inputs[name]) != _squeezed(neon.inputs[other]):
            raise VerificationError(
                f"input {name!r} has shape {tuple(caffe.inputs[name])} in Caffe, {tuple(neon.inputs[other])} in the model",
                remedy="was the model converted from this prototxt?",
            )
    return names


def _squeezed(shape: Shape) -> Shape:
    """(F, 1, 1) and (F,) are the same input to neon."""
    return tuple(size for size in shape if size != 1)


def _for_neon(inputs: Mapping[str, Array], names: Mapping[str, str], neon: Engine) -> dict[str, Array]:
    """The same numbers under neon's names and in its shapes; what fits in number only, the engine refuses with its own words."""
    feeds: dict[str, Array] = {}
    for name, other in names.items():
        shape = (len(inputs[name]), *neon.inputs[other])
        fits = inputs[name].size == np.prod(shape, dtype=np.int64)
        feeds[other] = inputs[name].reshape(shape) if fits else inputs[name]
    return feeds


def _output_pairs(neon: Engine, caffe: Engine, meta: Mapping[str, Any]) -> list[tuple[str, str]]:
    """[Caffe's blob key, neon's output name]."""
    blobs = [str(blob) for blob in meta.get("outputs") or caffe.outputs]
    if len(blobs) != len(neon.outputs):
        raise VerificationError(f"the model has the outputs {_listed(neon.outputs)}, they should stand for {_listed(blobs)}")
    if unknown := [blob for blob in blobs if not _offers(caffe, blob)]:
        raise VerificationError(
            f"the model has an output {unknown[0]!r}, Caffe's net has {_listed(caffe.outputs)}",
            remedy="was the model converted from this prototxt?",
        )
    return list(zip(blobs, neon.outputs, strict=True))


def _offers(engine: Engine, name: str) -> bool:
    return name in engine.outputs or name in engine.taps


def _taps(engine: Engine, names: Sequence[str]) -> list[str]:
    """What must be asked for: outputs come by themselves."""
    return [name for name in dict.fromkeys(names) if name not in engine.outputs]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names) or "none"
