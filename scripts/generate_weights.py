#!/usr/bin/env python3
"""Write a caffemodel with random weights that fit a prototxt: the same bytes for the same net and seed.

Weights are normal with a variance of 2 / fan-in, so that activations keep their size through any depth; the first layers take
pixels down to that size, so that no Softmax saturates. Biases are small, BatchNorm statistics plausible. For benchmarks and for
nets whose trained weights are not at hand.

    python scripts/generate_weights.py deploy.prototxt random.caffemodel
    python scripts/generate_weights.py train_val.prototxt random.caffemodel --phase train    (side branches with losses, too)
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections.abc import Collection, Iterator
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from caffe2neon import wire
from caffe2neon.caffe import deploy, read_net
from caffe2neon.caffe.caffe_pb2 import BlobProto, BlobShape, LayerParameter, NetParameter
from caffe2neon.errors import Caffe2NeonError
from caffe2neon.files import atomic_write
from caffe2neon.graph import build_graph
from caffe2neon.records import Blob, Node, Shape

(_LAYER,) = wire.numbers(NetParameter, "layer")
_NAME, _TYPE, _BLOBS = wire.numbers(LayerParameter, "name", "type", "blobs")
_SHAPE, _DATA = wire.numbers(BlobProto, "shape", "data")
(_DIM,) = wire.numbers(BlobShape, "dim")

#: How large pixels are, once a mean was subtracted.
_PIXELS = 64


def generate(prototxt: Path, caffemodel: Path, seed: int = 0, *, phase: str = "TEST", shape: Shape | None = None) -> None:
    """Write ``caffemodel``; nothing larger than one blob is held in memory.

    Args:
        shape: (C, H, W) of a data layer that does not say it.

    Raises:
        Caffe2NeonError: the prototxt cannot be read, or the file cannot be written.
    """
    graph = build_graph(deploy(read_net(prototxt, phase=phase), shape=shape, train=phase == "TRAIN"))
    with atomic_write(caffemodel) as stream:
        for node in graph.nodes:
            if node.params:
                heads = [_blob_head(shape) for shape in node.params]
                sizes = [len(head) + 4 * prod(shape) for head, shape in zip(heads, node.params, strict=True)]
                text = wire.field(_NAME, node.layer.name.encode()) + wire.field(_TYPE, node.layer.type.encode())
                total = len(text) + sum(len(wire.head(_BLOBS, size)) + size for size in sizes)
                stream.write(wire.head(_LAYER, total) + text)
                for head, size, values in zip(heads, sizes, _values(node, graph.inputs, seed), strict=True):
                    stream.write(wire.head(_BLOBS, size) + head)
                    stream.write(values.tobytes())


def _values(node: Node, inputs: Collection[Blob], seed: int) -> Iterator[NDArray[np.float32]]:
    """The blobs of a layer, each from a generator of its own, so that no layer depends on the ones before it."""
    for index, shape in enumerate(node.params):
        random = np.random.Generator(np.random.PCG64([seed, zlib.crc32(node.layer.name.encode()), index]))
        if node.layer.type == "BatchNorm":
            yield (np.ones(1, np.float32) if index == 2 else np.asarray(random.uniform(0.5, 1.5, shape), np.float32))
        elif index == 0 and len(shape) > 1:
            fan_in = prod(shape[1:])
            values = random.standard_normal(prod(shape), np.float32)
            values *= np.float32(np.sqrt(2 / fan_in) / (_PIXELS if node.bottoms[0] in inputs else 1))
            yield values
        elif node.layer.type == "Scale" and index == 0:
            yield np.asarray(random.uniform(0.5, 1.5, shape), np.float32)
        else:
            yield random.standard_normal(prod(shape), np.float32) * np.float32(0.05)


def _blob_head(shape: Shape) -> bytes:
    """Everything of a BlobProto before its floats."""
    dims = b"".join(wire.to_varint(size) for size in shape)
    return wire.field(_SHAPE, wire.field(_DIM, dims)) + wire.head(_DATA, 4 * prod(shape))


def main() -> int:
    parser = argparse.ArgumentParser(description="Write a caffemodel with random weights that fit a prototxt.")
    parser.add_argument("prototxt", type=Path)
    parser.add_argument("caffemodel", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--phase", choices=["test", "train"], default="test")
    parser.add_argument("--input", help="the shape of the data, where the net does not say it: 3,227,227")
    arguments = parser.parse_args()
    try:
        shape = tuple(map(int, arguments.input.split(","))) if arguments.input else None
        generate(arguments.prototxt, arguments.caffemodel, arguments.seed, phase=arguments.phase.upper(), shape=shape)
    except Caffe2NeonError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
