"""Small zoos in a folder: nets, weights, data sets and the manifest, and what must hold of what is built from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from click.testing import CliRunner, Result

from caffe2neon.caffe import caffe_pb2
from caffe2neon.cli import main
from caffe2neon.manifest import read_manifest
from caffe2neon.planning import Options
from caffe2neon.records import Array, ModelSpec
from tests.nets import conv, data, layer

DIGITS = Path(str(resources.files("caffe2neon").joinpath("bundled", "digits")))

#: 1 × 6 × 6 -> 5 classes.
SMALL = "\n".join(
    (
        'name: "small"',
        data(1, 1, 6, 6),
        conv("conv", "data", 4, "kernel_size: 3"),
        layer("relu", "ReLU", "conv", "conv"),
        layer("ip", "InnerProduct", "conv", more="inner_product_param { num_output: 5 }"),
        layer("prob", "Softmax", "ip"),
    )
)
SMALL_SHAPES = {"conv": ((4, 1, 3, 3), (4,)), "ip": ((5, 64), (5,))}

#: 3 × 2 × 2 -> 1000 classes; without a Softmax, so that class scores are a plain product.
WIDE = "\n".join((data(1, 3, 2, 2), layer("ip", "InnerProduct", "data", more="inner_product_param { num_output: 1000 }")))
WIDE_SHAPES = {"ip": ((1000, 12), (1000,))}


def random_weights(shapes: Mapping[str, Sequence[Sequence[int]]], seed: int = 0) -> dict[str, list[Array]]:
    random = np.random.default_rng(seed)
    return {
        name: [(random.standard_normal(shape) * 0.1).astype(np.float32) for shape in params] for name, params in shapes.items()
    }


def caffemodel(blobs: Mapping[str, Sequence[Array]]) -> bytes:
    """As Caffe writes it, by protobuf alone."""
    net = caffe_pb2.NetParameter()
    for name, arrays in blobs.items():
        entry = net.layer.add(name=name)
        for array in arrays:
            blob = entry.blobs.add()
            blob.shape.dim.extend(array.shape)
            blob.data.extend(array.ravel().tolist())
    return net.SerializeToString()


@dataclass
class Zoo:
    """A manifest in the making, all in one folder; what is published goes to ``zoo`` in it."""

    folder: Path
    models: dict[str, Any] = field(default_factory=dict)
    datasets: dict[str, Any] = field(default_factory=dict)

    @property
    def manifest(self) -> Path:
        return self.folder / "zoo.yaml"

    @property
    def output(self) -> Path:
        return self.folder / "zoo"

    def add(self, name: str, prototxt: str, weights: bytes, **more: Any) -> None:
        self.models[name] = {
            "prototxt": self._pinned(f"{name}.prototxt", prototxt.encode()),
            "caffemodel": self._pinned(f"{name}.caffemodel", weights),
            "license": "Apache-2.0",
            **more,
        }

    def add_small(self, name: str = "small", seed: int = 0, **more: Any) -> None:
        self.add(name, SMALL, caffemodel(random_weights(SMALL_SHAPES, seed)), **more)

    def add_digits(self) -> None:
        """The bundled model with its data; the published accuracy is that of its README."""
        self.add(
            "digits",
            (DIGITS / "digits.prototxt").read_text(),
            (DIGITS / "digits.caffemodel").read_bytes(),
            input=[1, 8, 8],
            preprocess={"channel_order": "GRAY", "mean": 8, "scale": 0.125},
            dataset="digits",
            published={"top1": 99.72},
            tolerance={"parity": 1e-5, "top1": 0.3},
        )
        (self.folder / "digits.npz").write_bytes((DIGITS / "digits_heldout.npz").read_bytes())
        self.datasets["digits"] = {"kind": "npz", "path": "digits.npz"}

    def add_npz(self, name: str, images: Array, labels: Array, **more: Any) -> None:
        np.savez(self.folder / f"{name}.npz", images=images, labels=labels)
        self.datasets[name] = {"kind": "npz", "path": f"{name}.npz", **more}

    def _pinned(self, name: str, content: bytes) -> dict[str, Any]:
        (self.folder / name).write_bytes(content)
        return {"url": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    def write(self) -> Path:
        self.manifest.write_text(yaml.safe_dump({"schema": 1, "models": self.models, "datasets": self.datasets}))
        return self.manifest

    def build(self, *arguments: str | Path) -> Result:
        self.write()
        return run("zoo", "build", *self.arguments(), *arguments)

    def specs(self) -> tuple[ModelSpec, ...]:
        """Of all entries, as the manifest is read."""
        return read_manifest(self.write()).models

    def options(self) -> Options:
        """Of a build in this process, as :meth:`build` has them."""
        return Options(self.folder, self.output, self.folder / "cache", engine="embedded", reference="embedded")

    def arguments(self) -> list[str | Path]:
        """Of ``zoo build``, without the entries."""
        engines = ["--engine", "embedded", "--reference", "embedded"]
        return ["--manifest", self.manifest, "--output", self.output, "--cache", self.folder / "cache", *engines]

    def outcomes(self) -> dict[str, Any]:
        """The report, by model."""
        report = json.loads((self.output / "report.json").read_bytes())
        return {outcome["name"]: outcome for outcome in report["outcomes"]}

    def builds(self, name: str) -> list[Path]:
        """The published folders of a model; looks at nothing hidden."""
        folder = self.output / name
        return sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.exists() else []


def run(*arguments: str | Path) -> Result:
    """``caffe2neon ARGUMENTS``, in this process; our errors are in ``stderr``, a bug is raised."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def files_of(folder: Path) -> dict[str, bytes]:
    """All files below, hidden ones too, with their content."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
