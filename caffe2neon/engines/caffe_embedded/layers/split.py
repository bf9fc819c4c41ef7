"""Split, whose tops all are the bottom's memory, and Silence, which swallows blobs."""

from __future__ import annotations

from caffe2neon.engines.caffe_embedded.registry import FORBIDDEN, Layer, Tensor, layer


@layer("Split", tops=(1, None), in_place=FORBIDDEN)
def split(layer: Layer) -> list[Tensor]:
    return [layer.bottoms[0]] * layer.tops


@layer("Silence", bottoms=(1, None), tops=(0, 0))
def silence(layer: Layer) -> list[Tensor]:  # noqa: ARG001 - every layer's function takes it
    return []
