"""Which engines work on this machine, each proved by a forward pass of the bundled model."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from caffe2neon.caffe import read_net, read_weights
from caffe2neon.engines import open_caffe, open_neon
from caffe2neon.engines.base import Engine, Measuring
from caffe2neon.errors import Caffe2NeonError
from caffe2neon.single import convert_files


@dataclass(frozen=True)
class Diagnosis:
    """One engine. ``detail`` is its version, or why it does not work; without the ``required`` ones nothing is verified."""

    name: str
    required: bool
    works: bool
    detail: str


def diagnose() -> list[Diagnosis]:
    """Try every engine on the bundled digit classifier."""
    bundled = Path(str(resources.files("caffe2neon").joinpath("bundled", "digits")))
    prototxt, caffemodel = bundled / "digits.prototxt", bundled / "digits.caffemodel"
    with tempfile.TemporaryDirectory() as folder:
        prm = Path(folder, "digits.prm")
        convert_files(prototxt, caffemodel, prm)
        net, weights = read_net(prototxt), read_weights(caffemodel)
        return [
            _try("neon-embedded", True, lambda: open_neon(prm, engine="embedded")),
            _try("caffe-embedded", True, lambda: open_caffe(net, weights, engine="embedded", batch=1)),
            _try("neon", False, lambda: open_neon(prm, engine="neon")),
            _try("caffe", False, lambda: open_caffe(net, weights, engine="caffe", batch=1)),
        ]


def _try(name: str, required: bool, opened: Callable[[], Engine]) -> Diagnosis:
    try:
        engine = opened()
        ((name_of_input, shape),) = engine.inputs.items()
        scores = engine.run({name_of_input: np.zeros((1, *shape), np.float32)})[engine.outputs[0]]
    except Caffe2NeonError as error:
        return Diagnosis(name, required, False, "; ".join(filter(None, (error.message, error.remedy))))
    if not np.isclose(scores.sum(), 1, atol=1e-4):
        return Diagnosis(name, required, False, f"class probabilities of the bundled model add up to {scores.sum():g}, not 1")
    loader = f", {'with' if engine.has_image_loader else 'without'} its ImageLoader" if isinstance(engine, Measuring) else ""
    return Diagnosis(name, required, True, engine.version + loader)
