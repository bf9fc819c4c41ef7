"""Per-channel ``gamma·x + beta``: BatchNorm, Scale, Bias, Power.

neon's BatchNorm is the layer for all of them. A Scale behind a BatchNorm becomes its gamma and beta, as in training; alone, it is a
BatchNorm of mean 0 and variance 1, which serves inference only (training would normalize).
"""

from __future__ import annotations

from math import prod

import numpy as np

from caffe2neon.convert.neon_layers import affine, batch_norm, bias, constant
from caffe2neon.convert.registry import TRAIN, Refused, Site, converter
from caffe2neon.records import Array, Deferred, NeonLayer, shortest


@converter(
    "BatchNorm",
    becomes="BatchNorm; with a Scale behind it one BatchNorm for both",
    condition="stored statistics at inference, one for each channel",
    reason="neon's BatchNorm normalizes by the statistics of the batch in training only",
)
def convert_batch_norm(site: Site) -> list[NeonLayer]:
    layer = site.node.layer.param
    param = layer.batch_norm_param
    stored = param.use_global_stats if param.HasField("use_global_stats") else layer.phase != TRAIN
    if not stored and not site.training:
        raise Refused("normalizes by the statistics of the batch at inference, too; neon uses the stored ones")
    if stored and site.training:
        site.notes.append(f"{site.name}: trains with the stored statistics in Caffe, with those of the batch in neon")
    channels = _channels(site, site.blobs[0].shape)
    if _carries_scale(site):
        return []  # the Scale behind it writes both
    gmean, gvar, eps = _statistics(site)
    return [batch_norm(site.name, gmean, gvar, eps, constant((channels,), 1), constant((channels,), 0))]


@converter(
    "Scale",
    becomes="gamma and beta of the BatchNorm before it; alone a BatchNorm of fixed statistics",
    condition="one bottom, one factor for each channel or one for all; alone: inference only",
    reason="neon has no element-wise product",
)
def convert_scale(site: Site) -> list[NeonLayer]:
    param = site.node.layer.param.scale_param
    gamma = _per_channel(site, site.blobs[0])
    beta = _per_channel(site, site.blobs[1]) if param.bias_term else constant(gamma.shape, 0)
    if site.before is not None and _carries_scale(site.before):
        return [batch_norm(site.name, *_statistics(site.before), gamma, beta)]
    return [_inference_only(site, affine(site.name, gamma, beta))]


@converter(
    "Bias",
    becomes="Bias",
    condition="one bottom, one value for each channel or one for all",
    reason="neon's Bias has one value for each channel",
)
def convert_bias(site: Site) -> list[NeonLayer]:
    return [_shift(site, _per_channel(site, site.blobs[0]))]


@converter(
    "Power",
    becomes="BatchNorm of fixed statistics; Bias where it only shifts; nothing where it changes nothing",
    condition="power 1; inference only where it scales",
    reason="neon has no power and no element-wise product",
)
def convert_power(site: Site) -> list[NeonLayer]:
    """Caffe: ``(shift + scale·x)^power``."""
    param = site.node.layer.param.power_param
    power, scale, shift = (shortest(value) for value in (param.power, param.scale, param.shift))
    if power != 1:
        raise Refused(f"raises to the power {power:g}; neon has no power and no element-wise product")
    shape = (site.shape[0],)
    if scale == 1:
        return [_shift(site, constant(shape, shift))] if shift else []
    return [_inference_only(site, affine(site.name, constant(shape, scale), constant(shape, shift)))]


def _carries_scale(site: Site) -> bool:
    """Whether the only reader of a BatchNorm is a Scale over the same channels, so that one neon layer does both."""
    after = site.after
    if site.node.layer.type != "BatchNorm" or after is None or after.layer.type != "Scale":
        return False
    return after.params[0] == site.node.params[0]


def _statistics(site: Site) -> tuple[Deferred, Deferred, float]:
    """Mean, variance and eps of a BatchNorm; Caffe stores the first two times a factor, and counts a factor of 0 as none at all."""
    mean, variance, factor = site.blobs

    def unscaled(blob: Deferred) -> Deferred:
        def make() -> Array:
            f = np.float32(factor.make().reshape(())[()])
            return np.asarray(blob.make() * (np.float32(0) if f == 0 else np.float32(1) / f), np.float32)

        return Deferred(blob.shape, make)

    return unscaled(mean), unscaled(variance), shortest(site.node.layer.param.batch_norm_param.eps)


def _channels(site: Site, shape: tuple[int, ...]) -> int:
    """How many channels neon's layer has; Caffe's must be the same."""
    if shape != (site.shape[0],):
        raise Refused(
            f"has {prod(shape)} parameters of shape {'×'.join(map(str, shape)) or 'scalar'}; "
            f"neon's layer here has one for each of {site.shape[0]} channels"
        )
    return site.shape[0]


def _per_channel(site: Site, blob: Deferred) -> Deferred:
    """A blob over channels alone, or a scalar, as (C,)."""
    if not blob.shape:
        return Deferred((site.shape[0],), lambda: np.full(site.shape[0], blob.make(), np.float32))
    squeezed = blob.shape[:1] if prod(blob.shape[1:]) == 1 else blob.shape
    _check_axis(site)
    _channels(site, squeezed)
    return Deferred(squeezed, lambda: blob.make().reshape(-1))


def _check_axis(site: Site) -> None:
    layer = site.node.layer.param
    first = layer.scale_param.axis if layer.type == "Scale" else layer.bias_param.axis
    axes = len(site.node.bottoms[0].shape)
    if first % axes != 1:
        raise Refused(f"works from axis {first} on; neon's layer works on channels (axis 1)")


def _shift(site: Site, offset: Deferred) -> NeonLayer:
    """A Bias; of flat blobs a BatchNorm, for flat input and stacks have a bare number for a shape, and there neon's Bias fails."""
    if len(site.shape) == 3:
        return bias(site.name, offset)
    return _inference_only(site, affine(site.name, constant(offset.shape, 1), offset))


def _inference_only(site: Site, layer: NeonLayer) -> NeonLayer:
    site.notes.append(f"{site.name}: as a BatchNorm of fixed statistics, which serves inference only")
    return layer
