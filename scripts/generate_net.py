#!/usr/bin/env python3
"""Write the definition of a net in the shape of a well-known one, for benchmarks.

Depths, widths and windows are those of the papers (VGG: arXiv 1409.1556; GoogLeNet: 1409.4842; SqueezeNet: 1602.07360).

    python scripts/generate_net.py vgg16 deploy.prototxt
    python scripts/generate_net.py vgg16 small.prototxt --divide 8
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

#: GoogLeNet's modules: maps of 1x1, of 3x3 and of 5x5 with the reduction before each, and of the 1x1 after pooling.
_INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
_LAST_OF_A_SIZE = ("3b", "4e")
#: Where GoogLeNet's helpers in training begin, whose weights its caffemodel holds too.
_AUXILIARY = ("4a", "4d")

#: SqueezeNet 1.0's fire modules: maps of the squeeze, and of each of the two expansions.
_FIRES = {2: (16, 64), 3: (16, 64), 4: (32, 128), 5: (32, 128), 6: (48, 192), 7: (48, 192), 8: (64, 256), 9: (64, 256)}
_POOL_AFTER_FIRE = (4, 8)


class Net:
    """A definition as it grows. Each method appends layers and returns the name of the blob they end in."""

    def __init__(self, name: str, size: int, divide: int) -> None:
        self._divide = divide
        shape = " ".join(f"dim: {n}" for n in (1, 3, size, size))
        self.lines = [
            f'name: "{name}"',
            f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {shape} }} }} }}',
        ]

    def layer(self, kind: str, name: str, *bottoms: str, top: str = "", parameters: str = "") -> str:
        top = top or name
        ends = "".join(f' bottom: "{bottom}"' for bottom in bottoms) + f' top: "{top}"'
        self.lines.append(f'layer {{ name: "{name}" type: "{kind}"{ends}{parameters and " " + parameters} }}')
        return top

    def convolution(self, name: str, bottom: str, outputs: int, window: int, *, stride: int = 1, pad: int = 0) -> str:
        """With a ReLU in place."""
        outputs = max(1, outputs // self._divide)
        sizes = f"num_output: {outputs} kernel_size: {window} stride: {stride} pad: {pad}"
        self.layer("Convolution", name, bottom, parameters=f"convolution_param {{ {sizes} }}")
        return self.relu(name)

    def pooling(self, name: str, bottom: str, window: int, *, stride: int = 1, pad: int = 0, kind: str = "MAX") -> str:
        sizes = f"pool: {kind} kernel_size: {window} stride: {stride} pad: {pad}"
        return self.layer("Pooling", name, bottom, parameters=f"pooling_param {{ {sizes} }}")

    def global_average(self, name: str, bottom: str) -> str:
        return self.layer("Pooling", name, bottom, parameters="pooling_param { pool: AVE global_pooling: true }")

    def dense(self, name: str, bottom: str, outputs: int) -> str:
        outputs = max(1, outputs // self._divide)
        return self.layer("InnerProduct", name, bottom, parameters=f"inner_product_param {{ num_output: {outputs} }}")

    def relu(self, blob: str) -> str:
        return self.layer("ReLU", f"relu_{blob}", blob, top=blob)

    def dropout(self, blob: str) -> str:
        return self.layer("Dropout", f"drop_{blob}", blob, top=blob)

    def lrn(self, name: str, bottom: str) -> str:
        return self.layer("LRN", name, bottom, parameters="lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }")

    def concat(self, name: str, *bottoms: str) -> str:
        return self.layer("Concat", name, *bottoms)


def vgg16(divide: int) -> Net:
    """138 million parameters, 553 MB, nearly all of them in the first dense layer."""
    net, blob = Net("vgg16", 224, divide), "data"
    for stage, (depth, width) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), start=1):
        for number in range(1, depth + 1):
            blob = net.convolution(f"conv{stage}_{number}", blob, width, 3, pad=1)
        blob = net.pooling(f"pool{stage}", blob, 2, stride=2)
    for name in ("fc6", "fc7"):
        blob = net.dropout(net.relu(net.dense(name, blob, 4096)))
    net.layer("Softmax", "prob", net.dense("fc8", blob, 1000))
    return net


def googlenet(divide: int) -> Net:
    """7 million parameters, 28 MB."""
    return _googlenet(divide, auxiliary=False)


def googlenet_training(divide: int) -> Net:
    """With the two helpers: 13 million parameters, 53 MB. The caffemodel of it is what people convert with the net above."""
    return _googlenet(divide, auxiliary=True)


def _googlenet(divide: int, *, auxiliary: bool) -> Net:
    net = Net("googlenet", 224, divide)
    blob = net.lrn("norm1", net.pooling("pool1", net.convolution("conv1", "data", 64, 7, stride=2, pad=3), 3, stride=2))
    blob = net.convolution("conv2", net.convolution("conv2_reduce", blob, 64, 1), 192, 3, pad=1)
    blob = net.pooling("pool2", net.lrn("norm2", blob), 3, stride=2)
    for name, sizes in _INCEPTIONS.items():
        blob = _inception(net, name, blob, *sizes)
        if auxiliary and name in _AUXILIARY:
            side = net.convolution(f"aux_{name}_conv", net.pooling(f"aux_{name}_pool", blob, 5, stride=3, kind="AVE"), 128, 1)
            side = net.dropout(net.relu(net.dense(f"aux_{name}_fc", side, 1024)))
            net.dense(f"aux_{name}_classifier", side, 1000)
        if name in _LAST_OF_A_SIZE:
            blob = net.pooling(f"pool{name[0]}", blob, 3, stride=2)
    net.layer("Softmax", "prob", net.dense("classifier", net.dropout(net.global_average("pool5", blob)), 1000))
    return net


def _inception(net: Net, name: str, bottom: str, one: int, three_r: int, three: int, five_r: int, five: int, pool: int) -> str:
    arms = (
        net.convolution(f"{name}_1x1", bottom, one, 1),
        net.convolution(f"{name}_3x3", net.convolution(f"{name}_3x3_reduce", bottom, three_r, 1), three, 3, pad=1),
        net.convolution(f"{name}_5x5", net.convolution(f"{name}_5x5_reduce", bottom, five_r, 1), five, 5, pad=2),
        net.convolution(f"{name}_pool_1x1", net.pooling(f"{name}_pool", bottom, 3, pad=1), pool, 1),
    )
    return net.concat(f"inception_{name}", *arms)


def squeezenet(divide: int) -> Net:
    """1.2 million parameters, 5 MB. Always 1,000 classes, to be measured on any labels."""
    net = Net("squeezenet", 227, divide)
    blob = net.pooling("pool1", net.convolution("conv1", "data", 96, 7, stride=2), 3, stride=2)
    for number, (squeeze, expand) in _FIRES.items():
        squeezed = net.convolution(f"fire{number}_squeeze", blob, squeeze, 1)
        arms = [net.convolution(f"fire{number}_{n}x{n}", squeezed, expand, n, pad=n // 2) for n in (1, 3)]
        blob = net.concat(f"fire{number}", *arms)
        if number in _POOL_AFTER_FIRE:
            blob = net.pooling(f"pool{number}", blob, 3, stride=2)
    net.global_average("pool10", net.convolution("conv10", net.dropout(blob), 1000 * divide, 1))
    return net


NETS: dict[str, Callable[[int], Net]] = {
    "vgg16": vgg16,
    "googlenet": googlenet,
    "googlenet-training": googlenet_training,
    "squeezenet": squeezenet,
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the definition of a net in the shape of a well-known one.")
    parser.add_argument("net", choices=NETS)
    parser.add_argument("prototxt", type=Path)
    parser.add_argument("--divide", type=int, default=1, help="make every layer so many times narrower")
    arguments = parser.parse_args()
    try:
        arguments.prototxt.write_text("\n".join(NETS[arguments.net](arguments.divide).lines) + "\n", encoding="utf-8")
    except OSError as error:
        print(f"error: {arguments.prototxt}: cannot write: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
