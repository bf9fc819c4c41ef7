"""A description becomes layers, as ``Model.deserialize`` makes them; then neon's phases up to the first fprop."""

from __future__ import annotations

from caffe2neon.engines.neon_embedded import elementwise, weights, windows  # noqa: F401 - they register their layers
from caffe2neon.engines.neon_embedded.base import LAYERS, Buffer, Layer, NeonShape
from caffe2neon.engines.neon_embedded.containers import Container, Sequential, Tree
from caffe2neon.errors import EngineError
from caffe2neon.records import NeonContainer, NeonLayer, NeonModel, Shape


def build(model: NeonModel, shape: Shape) -> Sequential | Tree:
    """The configured, allocated model.

    Raises:
        EngineError: where neon would raise while it builds or initialises this model; or a layer that is not supported here.
    """
    backend = model.header.get("backend")
    compat = str(backend.get("compat_mode")) if isinstance(backend, dict) else ""
    root = _Builder(compat).container(model.root)
    if not isinstance(root, (Sequential, Tree)):
        raise root.refuse("AttributeError: it has no 'allocate_deltas'", remedy="the main container is a Sequential or a Tree")
    root.propagate_parallelism("Data")
    root.configure(neon_shape(shape))
    root.allocate_deltas()
    return root


def neon_shape(shape: Shape) -> NeonShape:
    """As neon's data iterators give it: a vector is an integer."""
    return shape[0] if len(shape) == 1 else shape


def outputs(root: Layer, first: Buffer) -> list[Buffer]:
    """What ``Model.fprop`` returns: one buffer, or those of the Tree at the end."""
    if isinstance(root, Tree):
        return root.outputs
    if isinstance(root, Sequential):
        return outputs(root.layers[-1], first)
    return [first]


class _Builder:
    def __init__(self, compat: str) -> None:
        self._compat = compat
        self._branches: dict[str | None, Layer] = {}

    def container(self, node: NeonContainer) -> Container:
        layers = [self.container(item) if isinstance(item, NeonContainer) else self.layer(item) for item in node.layers]
        cls = LAYERS.get(node.kind)
        if cls is None or not issubclass(cls, Container):
            raise _unknown(node)
        return cls(node, self._compat, layers)

    def layer(self, node: NeonLayer) -> Layer:
        cls = LAYERS.get(node.kind)
        if cls is None or issubclass(cls, Container):
            raise _unknown(node)
        if node.kind != "BranchNode":
            return cls(node, self._compat)
        name = node.config.get("name")
        if name not in self._branches:
            self._branches[name] = cls(node, self._compat)
        return self._branches[name]


def _unknown(node: NeonLayer | NeonContainer) -> EngineError:
    return EngineError(
        f"the embedded engine does not compute {node.kind}",
        remedy="run it in the real neon (CAFFE2NEON_NEON_PYTHON)",
        layer=node.name,
        layer_type=node.kind,
    )
