"""Which layers a blob is computed by."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from caffe2neon.records import CaffeLayer


def ancestors(layers: Sequence[CaffeLayer], blobs: Collection[str]) -> set[int]:
    """Indices of all layers that the newest versions of ``blobs`` are computed by."""
    writers: dict[str, int] = {}
    depends: list[list[int]] = []
    for index, layer in enumerate(layers):
        depends.append([writers[name] for name in layer.bottoms if name in writers])
        writers.update((top, index) for top in layer.tops)
    found: set[int] = set()
    waiting = [writers[name] for name in blobs if name in writers]
    while waiting:
        index = waiting.pop()
        if index not in found:
            found.add(index)
            waiting += depends[index]
    return found
