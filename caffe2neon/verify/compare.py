"""How far one array is from another, and how a neon array is brought into a Caffe blob's shape and class order."""

from __future__ import annotations

import numpy as np

from caffe2neon.errors import VerificationError
from caffe2neon.records import Array, Difference


def difference(blob: str, neon_layer: str, value: Array, reference: Array) -> Difference:
    """Compare ``value`` with ``reference``, both of one shape with the batch axis first.

    Where either is NaN, or one is infinite and the other is not the same infinity, the error is infinite: a model whose outputs are
    NaN in Caffe too has nothing to be verified by. Infinities that agree differ by 0 and do not count in ``max_reference``, so
    they cannot hide a difference elsewhere.
    """
    # Differences are taken in float64: two large float32 values may be further apart than float32 can hold.
    value, reference = value.astype(np.float64), reference.astype(np.float64)
    finite = np.isfinite(value) & np.isfinite(reference)
    apart = np.abs(np.subtract(value, reference, where=finite, out=np.zeros_like(reference)))
    apart[~finite & (value != reference)] = np.inf
    largest = float(apart.max(initial=0.0))
    scale = float(np.abs(reference, where=np.isfinite(reference), out=np.zeros_like(reference)).max(initial=0.0))
    return Difference(blob, neon_layer, reference.shape[1:], largest, scale, largest / max(1.0, scale))


def aligned(value: Array, reference: Array, *, blob: str, neon_layer: str) -> Array:
    """A neon array in the shape of the Caffe blob that it stands for.

    neon leaves out axes, or adds them (``(F,)``, ``(F, 1)``, ``(C, H, W)``), but features lie in the order of (C, H, W) on both
    sides, so equal counts per example mean the same numbers in the same order.

    Raises:
        VerificationError: the counts differ.
    """
    if value.shape[:1] != reference.shape[:1] or value.size != reference.size:
        raise VerificationError(
            f"blob {blob!r} has shape {tuple(reference.shape)} in Caffe, neon computes {tuple(value.shape)} for it",
            layer=neon_layer,
        )
    return value.reshape(reference.shape)  # (N, F) or (N, C, H, W) or (N, F, 1) -> as Caffe


def in_caffe_order(value: Array, order: Array, *, blob: str, neon_layer: str) -> Array:
    """Undo a class permutation on axis 1: ``order[i]`` is the Caffe index of the model's class i.

    Raises:
        VerificationError: axis 1 has another number of classes than ``order``.
    """
    classes = value.shape[1] if value.ndim > 1 else 0
    if classes != len(order):
        raise VerificationError(
            f"the model's record says that blob {blob!r} is remapped, with {len(order)} classes, but it has {classes}",
            layer=neon_layer,
        )
    return value[:, np.argsort(order)]
