"""The classes a description may name, and the constructor arguments each takes: as neon v1.4.0 itself lists them.

neon imports whatever dotted name a description holds and calls it with the description's ``config``: an unknown key is a
``TypeError`` there, and a name outside neon would run. Both are refused here, before anything is built.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from caffe2neon.errors import Finding, PrmError, Where
from caffe2neon.records import NeonContainer, NeonLayer, NeonModel

#: Module -> class -> its arguments; those without a default carry a star. Source: the signatures in neon's own modules.
_MODULES = {
    "neon.layers.layer": {
        "Activation": "transform* name",
        "BatchNorm": "rho eps name",
        "BatchNormAutodiff": "rho eps name",
        "Bias": "init* name",
        "BranchNode": "name",
        "ColorNoise": "colorpca colorstd noise_coeff name",
        "Convolution": "fshape* strides padding init bsum name parallelism",
        "DataTransform": "transform* name",
        "Deconvolution": "fshape* strides padding init bsum name",
        "Dropout": "keep name",
        "LRN": "depth* alpha beta ascale bpower name",
        "Linear": "nout* init* bsum name",
        "LookupTable": "vocab_size* embedding_dim* init* update pad_idx name",
        "Pooling": "fshape* op strides padding name",
        "SkipNode": "name",
    },
    "neon.layers.recurrent": {
        "BiLSTM": "output_size* init* init_inner activation gate_activation reset_cells split_inputs name",
        "BiRNN": "output_size* init* init_inner activation reset_cells split_inputs name",
        "GRU": "output_size* init* init_inner activation gate_activation reset_cells name",
        "LSTM": "output_size* init* init_inner activation gate_activation reset_cells name",
        "Recurrent": "output_size* init* init_inner activation reset_cells name",
        "RecurrentLast": "name",
        "RecurrentMean": "name",
        "RecurrentSum": "name",
    },
    "neon.layers.container": {
        "MergeBroadcast": "layers* merge* alphas name",
        "MergeMultistream": "layers* merge* name",
        "MergeSum": "layers* name",
        "RoiPooling": "layers* bprop_enabled HW spatial_scale name",
        "Sequential": "layers* name",
        "SingleOutputTree": "layers* name alphas",
        "Tree": "layers* name alphas",
    },
    "neon.transforms.activation": {
        "Explin": "alpha name",
        "Identity": "name",
        "Logistic": "name shortcut",
        "Normalizer": "name divisor",
        "Rectlin": "slope name",
        "Softmax": "name epsilon",
        "Tanh": "name",
    },
    "neon.initializers.initializer": {
        "Array": "val name",
        "Constant": "val name",
        "Gaussian": "loc scale name",
        "GlorotUniform": "name",
        "IdentityInit": "local name",
        "Kaiming": "local name",
        "Orthonormal": "scale name",
        "Uniform": "low high name",
        "Xavier": "local name",
    },
}
_LAYERS = ("neon.layers.layer", "neon.layers.recurrent")
_CONTAINERS = ("neon.layers.container",)
_TRANSFORMS = ("neon.transforms.activation",)
_INITIALIZERS = ("neon.initializers.initializer",)
#: Arguments that neon makes an object of, and what kinds of layers have them. Only a transform may come without a ``config``.
_NESTED = {
    "transform": _TRANSFORMS,
    "activation": _TRANSFORMS,
    "gate_activation": _TRANSFORMS,
    "init": _INITIALIZERS,
    "init_inner": _INITIALIZERS,
}


def arguments(kind: str, *modules: str) -> Mapping[str, bool] | None:
    """The constructor arguments of a dotted class name, each with whether it is required; None for a class neon has not got.

    A class may be named in its module (``neon.layers.layer.Linear``) or in the package above it (``neon.layers.Linear``).
    """
    home, _, name = kind.rpartition(".")
    for module in modules or _MODULES:
        if home in (module, module.rpartition(".")[0]) and name in _MODULES[module]:
            return {word.rstrip("*"): word.endswith("*") for word in _MODULES[module][name].split()}
    return None


def check_classes(model: NeonModel) -> None:
    """Refuse what neon's constructors refuse, all of it at once.

    Raises:
        PrmError: a class that neon v1.4.0 has not got, an argument that its constructor does not take, or one that is missing.
    """
    findings = list(_container(model.root))
    if findings:
        lines = "".join(f"\n  {finding}" for finding in findings)
        raise PrmError(f"neon v1.4.0 cannot build this model:{lines}")


def _container(node: NeonContainer) -> Iterator[Finding]:
    yield from _call(node, node.type, {**node.config, "layers": ()}, _CONTAINERS)
    for item in node.layers:
        if isinstance(item, NeonContainer):
            yield from _container(item)
        else:
            yield from _call(item, item.type, item.config, _LAYERS)


def _call(node: NeonLayer | NeonContainer, kind: str, config: Mapping[str, Any], modules: tuple[str, ...]) -> Iterator[Finding]:
    """What is wrong with calling ``kind(**config)``."""
    where = Where(layer=node.name, layer_type=node.kind)
    accepted = arguments(kind, *modules)
    if accepted is None:
        yield Finding(where, f"{kind} is no class that neon has here")
        return
    for key in config:
        if key not in accepted:
            yield Finding(where, f"{kind.rpartition('.')[2]} takes no argument {key!r}", "it takes " + ", ".join(accepted))
    for key, required in accepted.items():
        if required and key not in config:
            yield Finding(where, f"{kind.rpartition('.')[2]} needs an argument {key!r}")
    for key in (key for key in config if key in _NESTED and key in accepted):
        yield from _nested(node, key, config[key])


def _nested(node: NeonLayer | NeonContainer, key: str, value: Any) -> Iterator[Finding]:
    where = Where(layer=node.name, layer_type=node.kind)
    if value is None and key != "transform":
        return
    if not isinstance(value, Mapping) or not isinstance(value.get("type"), str):
        yield Finding(where, f"{key!r} is no description of an object", "a dict with 'type' and 'config'")
        return
    if not isinstance(value.get("config", None if key == "init" else {}), Mapping):
        yield Finding(where, f"{key!r} has no 'config'")
        return
    yield from _call(node, value["type"], value.get("config", {}), _NESTED[key])
