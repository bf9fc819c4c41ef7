#!/usr/bin/env python3
"""One of the programs that bench.py lets compute a net over photos, in a process of its own.

Started as ``bench_contender.py NAME FOLDER PART``, it opens its net and writes a line of JSON: ``version``, ``batch``, and the
``classes`` it finds in the first photos of that part, by which bench.py sees that all compute the same. Then each line that it
reads names a part of the photos, as a list of Caffe's form, and is answered by a line of JSON: ``images``, ``seconds`` by the
clock, ``cpu`` seconds. When its input ends it answers with ``peak``, the most memory it had, in bytes. FOLDER holds net.prototxt,
net.caffemodel, net.prm and photos.

NAME: ``caffe2neon`` evaluates the .prm as the command does, decoding included, from files. ``onnxruntime`` is the session that
caffe2neon uses, called directly, and ``opencv`` is OpenCV's dnn with the Caffe net; both get floats that lie in memory ready-made,
in whole batches (another size would make OpenCV set up its net anew), of the size that is fastest for them here and now.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffe2neon.engines import open_neon
from caffe2neon.evaluate import Dataset, Preprocessor, count, open_dataset
from caffe2neon.evaluate.shards import BATCH
from caffe2neon.records import DatasetSpec, Preprocess

Floats = NDArray[np.float32]
Forward = Callable[[Floats], Any]
#: From a part to how many images it has, the seconds they took by the clock, and those of CPU.
Measured = Callable[[str], tuple[int, float, float]]

PREPROCESS = Preprocess(channel_order="BGR", crop=(227, 227), mean=(104.0, 117.0, 123.0))
SHAPE = (3, 227, 227)
#: Batches a contender may choose from, and in how many turns each is tried.
BATCHES, TURNS = (1, 4, 8, 16, 32), 3
#: Photos on which all must agree.
SAMPLE = 8


def photos(folder: Path, part: str) -> Dataset:
    return open_dataset(DatasetSpec("photos", "image_list", folder / "photos", folder / part, "caffe"))


def in_memory(dataset: Dataset, count: int | None = None) -> Floats:
    """(N, 3, 227, 227)"""
    prepare = Preprocessor(PREPROCESS, SHAPE)
    inputs = np.empty((count or len(dataset), *SHAPE), np.float32)
    for index, row in enumerate(inputs):
        prepare(dataset.picture(index, "BGR"), row)
    return inputs


def classes(scores: Any) -> list[int]:
    return [int(index) for index in np.asarray(scores).reshape(len(scores), -1).argmax(axis=1)]


def caffe2neon(folder: Path, part: str) -> tuple[dict[str, Any], Measured]:
    engine = open_neon(folder / "net.prm", engine="embedded")
    ((name, _),) = engine.inputs.items()
    found = classes(engine.run({name: in_memory(photos(folder, part), SAMPLE)})[engine.outputs[0]])

    def measured(part: str) -> tuple[int, float, float]:
        start, cpu = time.perf_counter(), time.process_time()
        counts = count(engine, photos(folder, part), PREPROCESS, model_order="caffe")
        return counts.count, time.perf_counter() - start, time.process_time() - cpu

    return {"version": f"{engine.name} {engine.version}", "batch": BATCH, "classes": found}, measured


def onnxruntime(folder: Path) -> tuple[str, Forward]:
    """The very session that caffe2neon opens, caught as it does."""
    import onnxruntime as ort

    sessions: list[Any] = []
    original = ort.InferenceSession

    def caught(*arguments: Any, **options: Any) -> Any:
        sessions.append(original(*arguments, **options))
        return sessions[-1]

    ort.InferenceSession = caught
    open_neon(folder / "net.prm", engine="embedded")
    (session,) = sessions
    name, output = session.get_inputs()[0].name, session.get_outputs()[0].name
    return f"ONNX Runtime {ort.__version__}", lambda inputs: session.run([output], {name: inputs})[0]


def opencv(folder: Path) -> tuple[str, Forward]:
    import cv2

    net = cv2.dnn.readNetFromCaffe(str(folder / "net.prototxt"), str(folder / "net.caffemodel"))

    def forward(inputs: Floats) -> Any:
        net.setInput(inputs)
        return net.forward()

    return f"OpenCV {cv2.__version__}", forward


def seconds(forward: Forward, inputs: Floats, batch: int) -> tuple[float, float]:
    """By the clock and of CPU, for all whole batches, after one that does not count."""
    forward(inputs[:batch])
    start, cpu = time.perf_counter(), time.process_time()
    for first in range(0, len(inputs) - batch + 1, batch):
        forward(inputs[first : first + batch])
    return time.perf_counter() - start, time.process_time() - cpu


def best_batch(forward: Forward, inputs: Floats) -> int:
    """Each size in turn, several times, so that what else the machine does meets all of them; its best time counts."""
    sizes = [size for size in BATCHES if size <= len(inputs)]
    best = dict.fromkeys(sizes, float("inf"))
    for _ in range(TURNS):
        for size in sizes:
            best[size] = min(best[size], seconds(forward, inputs, size)[0] / (len(inputs) // size * size))
    return min(best, key=best.__getitem__)


def fed_from_memory(
    make: Callable[[Path], tuple[str, Forward]], folder: Path, part: str
) -> tuple[dict[str, Any], Measured]:
    version, forward = make(folder)
    inputs = in_memory(photos(folder, part), min(BATCHES[-1], len(photos(folder, part))))
    found = classes(forward(inputs[:SAMPLE]))
    batch = best_batch(forward, inputs)

    def measured(part: str) -> tuple[int, float, float]:
        inputs = in_memory(photos(folder, part))
        return len(inputs) // batch * batch, *seconds(forward, inputs, batch)

    return {"version": version, "batch": batch, "classes": found}, measured


def answer(record: dict[str, Any]) -> None:
    print(json.dumps(record), flush=True)


def main() -> int:
    name, folder, part = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    if name == "caffe2neon":
        about, measured = caffe2neon(folder, part)
    else:
        about, measured = fed_from_memory({"onnxruntime": onnxruntime, "opencv": opencv}[name], folder, part)
    answer(about)
    for line in sys.stdin:
        images, duration, cpu = measured(line.strip())
        answer({"images": images, "seconds": duration, "cpu": cpu})
    answer({"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024})
    return 0


if __name__ == "__main__":
    sys.exit(main())
