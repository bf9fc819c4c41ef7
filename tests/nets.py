"""Nets written as text, a line a layer."""

from __future__ import annotations

import tempfile
from pathlib import Path

from caffe2neon.caffe import read_net
from caffe2neon.records import CaffeNet


def layer(name: str, type_: str, bottoms: str, tops: str = "", more: str = "") -> str:
    """One layer as text; ``tops`` is its own name where left out."""
    names = [f'bottom: "{bottom}"' for bottom in bottoms.split()] + [f'top: "{top}"' for top in (tops or name).split()]
    return f'layer {{ name: "{name}" type: "{type_}" {" ".join(names)} {more} }}'


def data(*shape: int, name: str = "data") -> str:
    dims = " ".join(f"dim: {size}" for size in shape)
    return f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}'


def conv(name: str, bottom: str, maps: int, more: str = "kernel_size: 1") -> str:
    return layer(name, "Convolution", bottom, name, f"convolution_param {{ num_output: {maps} {more} }}")


def parse(*layers: str) -> CaffeNet:
    """The net, read from a file as users' nets are."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.prototxt")
        path.write_text("\n".join(layers))
        return read_net(path)
