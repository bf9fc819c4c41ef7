"""Convolution and Deconvolution: neon has no groups and no dilation; both are exact as zeros in dense weights."""

from __future__ import annotations

from math import prod

from caffe2neon.convert.neon_layers import bias, convolution, deconvolution, dense
from caffe2neon.convert.registry import Refused, Site, converter
from caffe2neon.records import NeonLayer, Shape


@converter(
    "Convolution",
    "Deconvolution",
    becomes="{type}, Bias; groups and dilation as zeros in dense weights",
    condition="two spatial axes",
    reason="neon convolves maps, which have two axes",
)
def convert_convolution(site: Site) -> list[NeonLayer]:
    param = site.node.layer.param.convolution_param
    if len(site.shape) != 3:
        axes = len(site.node.bottoms[0].shape) - 2
        what = f"convolves over {axes} spatial axes" if axes != 2 else "convolves a blob that was flat before"
        raise Refused(f"{what}; neon convolves maps, which have 2")
    weight, *rest = site.blobs
    stride, pad, dilation = (_per_axis(param, what, default) for what, default in (("stride", 1), ("pad", 0), ("dilation", 1)))
    full = dense(weight, param.group, dilation)
    growth = prod(full.shape) / prod(weight.shape)
    if growth > 1:
        causes = [f"group {param.group}"] if param.group > 1 else []
        if dilation != (1, 1):
            causes.append(f"dilation {dilation[0]}×{dilation[1]}")
        site.notes.append(f"{site.name}: {' and '.join(causes)} written as dense weights, {growth:,.4g} times as large")
    write = convolution if site.node.layer.type == "Convolution" else deconvolution
    return [write(site.name, full, stride=stride, pad=pad), *(bias(f"{site.name}_bias", blob) for blob in rest)]


def _per_axis(param: object, what: str, default: int) -> Shape:
    """(rows, columns); the graph has checked that the fields agree."""
    if what != "dilation" and (param.HasField(f"{what}_h") or param.HasField(f"{what}_w")):  # type: ignore[attr-defined]
        return (getattr(param, f"{what}_h"), getattr(param, f"{what}_w"))
    values = tuple(getattr(param, what)) or (default,)
    return values * 2 if len(values) == 1 else values
