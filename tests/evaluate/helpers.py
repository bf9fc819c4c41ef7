"""Pictures on disk, and an engine that scores pictures by a rule a test can follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from caffe2neon.engines.base import Engine
from caffe2neon.errors import Where
from caffe2neon.evaluate import Dataset, count, total
from caffe2neon.records import Array, Evaluation, Preprocess, Shape


def picture(seed: int, height: int = 12, width: int = 16, channels: int = 3) -> Array:
    """uint8 noise, (H, W, C) or (H, W)."""
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.Generator(np.random.PCG64(seed)).integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, image: Array) -> Path:
    """Write a picture, BGR, in the format that the name asks for."""
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return path


def jpeg(image: Array) -> bytes:
    import cv2

    done, data = cv2.imencode(".jpg", image)
    assert done
    return data.tobytes()


def decoded(data: bytes) -> Array:
    """BGR, straight from OpenCV."""
    import cv2

    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))


def write_list(folder: Path, *lines: str, name: str = "val.txt") -> Path:
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def evaluate(engine: Engine, dataset: Dataset, preprocess: Preprocess, **options: Any) -> Evaluation:
    """A whole data set in one part."""
    return total([count(engine, dataset, preprocess, **options)])


@dataclass
class FakeDataset:
    """Pictures and labels as given."""

    pictures: Sequence[Array]
    given_labels: Sequence[int]
    class_order: str = ""
    name: str = "fake"

    @property
    def labels(self) -> Array:
        return np.array(self.given_labels, np.int64)

    def __len__(self) -> int:
        return len(self.pictures)

    def picture(self, index: int, channel_order: str) -> Array:  # noqa: ARG002 as given
        return self.pictures[index]

    def where(self, index: int) -> Where:
        return Where(path="fake.txt", line=index + 1)


@dataclass
class FakeEngine:
    """Scores are ``rule`` of the batch (n, C, H, W); every batch is remembered."""

    rule: Callable[[Array], Mapping[str, Array]]
    shape: Shape = (3, 2, 2)
    outputs: tuple[str, ...] = ("prob",)
    name: str = "fake"
    version: str = "1"
    taps: tuple[str, ...] = ()
    batches: list[Array] = field(default_factory=list)

    @property
    def inputs(self) -> Mapping[str, Shape]:
        return {"data": self.shape}

    def run(self, inputs: Mapping[str, Array], taps: Sequence[str] = ()) -> dict[str, Array]:  # noqa: ARG002 none asked for
        self.batches.append(inputs["data"].copy())
        return dict(self.rule(inputs["data"]))
