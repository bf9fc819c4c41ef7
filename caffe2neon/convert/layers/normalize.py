"""Local response normalization."""

from __future__ import annotations

from caffe2neon.convert.neon_layers import activation, lrn
from caffe2neon.convert.registry import Refused, Site, converter
from caffe2neon.records import NeonLayer, shortest


@converter(
    "LRN",
    becomes="LRN; behind it Activation(Normalizer) where k is not 1",
    condition="across channels, k > 0",
    reason="neon's LRN runs across channels only",
)
def convert_lrn(site: Site) -> list[NeonLayer]:
    """Caffe: ``x·(k + α/n·Σx²)^-β``. neon's k is 1, so α/k goes into it and k^-β behind it."""
    param = site.node.layer.param.lrn_param
    if param.norm_region == param.WITHIN_CHANNEL and param.local_size > 1:
        raise Refused("normalizes within each channel; neon's LRN runs across channels only")
    alpha, beta, k = (shortest(value) for value in (param.alpha, param.beta, param.k))
    if param.norm_region == param.WITHIN_CHANNEL:
        k = 1.0  # Caffe ignores k here, and a window of one pixel is the pixel itself
    if k <= 0:
        raise Refused(f"has k = {k:g}; neon's LRN can only be scaled to a positive k")
    layers = [lrn(site.name, param.local_size, alpha / k, beta)]
    if k != 1:
        layers.append(activation(f"{site.name}_k", "Normalizer", divisor=k**beta))
    return layers
