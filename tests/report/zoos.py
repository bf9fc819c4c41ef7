"""Published zoos made up for the tests of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from caffe2neon.files import json_bytes, write_bytes
from caffe2neon.publish import staged_build
from caffe2neon.records import JSON
from caffe2neon.report.drawing import Drawing, Layer, draw

#: What an attacker would write where a manifest takes free text.
MARKUP = "\"><img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


@dataclass(frozen=True)
class Made:
    """One made-up model. ``top1``: published and measured, None where not known. ``errors``: of its layers."""

    name: str
    license: str = "BSD-2-Clause"
    size: int = 1000
    top1: tuple[float | None, float | None] = (57.1, 56.9)
    errors: Sequence[float | str] = (1e-7, 2e-6)
    record: dict[str, Any] = field(default_factory=dict)
    picture: bytes = b""


def publish(root: Path, models: Sequence[Made]) -> Path:
    """Publish ``models`` under ``root`` as the pipeline does."""
    for number, made in enumerate(models):
        with staged_build(root, made.name, f"{number:016x}") as stage:
            write_bytes(stage.folder / f"{made.name}.prm", bytes(made.size))
            write_bytes(stage.folder / f"{made.name}.prototxt", b'name: "net"\n')
            write_bytes(stage.folder / f"{made.name}.svg", made.picture or picture(made.name))
            write_bytes(stage.folder / "model.json", json_bytes(_record(made)))
            write_bytes(stage.folder / "parity.json", json_bytes(_parity(made)))
            if made.top1[1] is not None:
                write_bytes(stage.folder / "evaluation.json", json_bytes(_evaluation(made.top1[1])))
            stage.commit()
    return root


def picture(name: str) -> bytes:
    layers = (Layer("data", "Input", "data", shape="3×8×8"), Layer("conv1", "Convolution", "convolution", "3×3", "4×8×8"))
    return draw(Drawing(name, "neon model, 1 layer", layers, ((0, 1),)))


def _record(made: Made) -> JSON:
    published: JSON = {"topk": {"1": made.top1[0], "5": 80.2}, "protocol": "center crop", "source": "the authors' readme"}
    return {
        "schema": 1,
        "name": made.name,
        "description": f"a net called {made.name}",
        "license": made.license,
        "converter": {"caffe2neon": "0.1.0", "neon": "1.4.0"},
        "sources": {
            "prototxt": {"url": "models/deploy.prototxt", "sha256": "a" * 64, "size": 12},
            "caffemodel": {"url": "https://example.org/net.caffemodel", "sha256": "b" * 64, "size": made.size},
        },
        "input": {"name": "data", "shape": [3, 224, 224]},
        "outputs": ["prob"],
        "preprocess": {"channel_order": "BGR", "resize": [256, 256], "crop": [224, 224], "mean": [104, 117, 123], "scale": 1},
        "class_order": "neon",
        "published": published if made.top1[0] is not None else None,
        "notes": ["conv2: 2 groups as dense weights, 2 times as large"],
        **made.record,
    }


def _parity(made: Made) -> JSON:
    layers: list[JSON] = [
        {
            "blob": f"blob{number}",
            "neon_layer": f"layer{number}",
            "shape": [64, 56, 56],
            "max_difference": error,
            "max_reference": 1.0,
            "error": error,
        }
        for number, error in enumerate(made.errors)
    ]
    numbers = [error for error in made.errors if not isinstance(error, str)]
    return {
        "engine": "neon-embedded",
        "reference": "caffe-embedded",
        "tolerance": 1e-5,
        "inputs": "2 examples of seeded noise",
        "outputs": layers[-1:],
        "layers": layers,
        "worst": "NaN" if len(numbers) < len(made.errors) else max(numbers, default=0.0),
        "passed": True,
        "first": None,
    }


def _evaluation(measured: float) -> JSON:
    return {
        "engine": "neon-embedded",
        "dataset": "ilsvrc12",
        "count": 50000,
        "class_order": "neon",
        "method": "ties count against the model",
        "topk": [
            {"k": 1, "correct": round(500 * measured), "percent": measured, "low": measured - 0.8, "high": measured + 0.8},
            {"k": 5, "correct": 40000, "percent": 80.0, "low": 79.6, "high": 80.4},
        ],
    }
