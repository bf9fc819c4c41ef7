"""neon descriptions for tests, written to files as a converter would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from caffe2neon.neon import write_prm
from caffe2neon.records import Array, NeonContainer, NeonLayer, NeonModel, Shape

Node = NeonLayer | NeonContainer

_INIT = {"type": "neon.initializers.initializer.Constant", "config": {"val": 0.0}}


def layer(kind: str, name: str, params: dict[str, Array] | None = None, **config: Any) -> NeonLayer:
    extra: dict[str, Any] = {"states": [[], []]} if kind == "BatchNorm" else {}
    return NeonLayer(f"neon.layers.layer.{kind}", {"name": name, **config}, params or {}, extra)


def weighted(kind: str, name: str, weights: Array, **config: Any) -> NeonLayer:
    return layer(kind, name, {"W": np.asarray(weights, np.float32)}, init=_INIT, **config)


def activation(kind: str, name: str, **config: Any) -> NeonLayer:
    return layer("Activation", name, transform={"type": f"neon.transforms.activation.{kind}", "config": config})


def container(kind: str, name: str, *nodes: Node, **config: Any) -> NeonContainer:
    return NeonContainer(f"neon.layers.container.{kind}", {"name": name, **config}, nodes)


def sequential(name: str, *nodes: Node) -> NeonContainer:
    return container("Sequential", name, *nodes)


def saved(path: Path, root: NeonContainer, shape: Shape | None = None, compat: str = "caffe", **header: Any) -> Path:
    recorded = {} if shape is None else {"train_input_shape": shape}
    write_prm(NeonModel(root, {"backend": {"compat_mode": compat}, **recorded, **header}), path)
    return path
