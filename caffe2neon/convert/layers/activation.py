"""Element-wise functions that neon has as transforms."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from caffe2neon.convert.neon_layers import activation, affine, constant, merge_sum, sequential, skip_node
from caffe2neon.convert.registry import Item, Refused, Site, converter
from caffe2neon.records import Deferred, NeonLayer, shortest

#: Widest Clip: three roundings, each half of 2^-23 of the width, stay within 1e-5 of values around 1.
_CLIP = 55


@converter("ReLU", becomes="Activation(Rectlin)")
def convert_relu(site: Site) -> list[NeonLayer]:
    slope = shortest(site.node.layer.param.relu_param.negative_slope)
    return [activation(site.name, "Rectlin", slope=slope) if slope else activation(site.name, "Rectlin")]


@converter("AbsVal", becomes="Activation(Rectlin), slope -1")
def convert_abs_val(site: Site) -> list[NeonLayer]:
    """``max(x, 0) + slope·min(x, 0)`` with a slope of -1."""
    return [activation(site.name, "Rectlin", slope=-1.0)]


@converter("ELU", becomes="Activation(Explin)")
def convert_elu(site: Site) -> list[NeonLayer]:
    return [activation(site.name, "Explin", alpha=shortest(site.node.layer.param.elu_param.alpha))]


@converter(
    "PReLU",
    becomes="MergeSum of two rectified arms between BatchNorms, or Activation(Rectlin) where all channels share a slope",
    condition="inference only, unless the slope is shared",
)
def convert_prelu(site: Site) -> list[Item]:
    """Per channel: ``max(x, 0) - a·max(-x, 0)``, the sum of two arms. One slope for all channels is a Rectlin's."""
    slope = site.blobs[0]
    if not slope.shape:
        return [activation(site.name, "Rectlin", slope=float(slope.make()))]
    if slope.shape != site.shape[:1]:
        raise Refused(f"has {slope.shape[0]} slopes; neon's layer here has {site.shape[0]} channels")
    zero, name = constant(slope.shape, 0), site.name
    site.notes.append(f"{name}: as a sum of two rectified arms with BatchNorms of fixed statistics, which serves inference only")
    negative = Deferred(slope.shape, lambda: -slope.make())
    arms = (
        [skip_node(f"{name}_skip"), activation(f"{name}_positive", "Rectlin")],
        [
            affine(f"{name}_minus", constant(slope.shape, -1), zero),
            activation(f"{name}_negative", "Rectlin"),
            affine(f"{name}_slope", negative, zero),
        ],
    )
    return [replace(merge_sum(name), layers=tuple(sequential(arm, f"{name}_arm{i}") for i, arm in enumerate(arms)))]


@converter(
    "Clip",
    becomes="two Activation(Rectlin) between BatchNorms",
    condition=f"inference only; bounds, and what lies between them, up to {_CLIP}",
    reason="two rectifiers lose digits over a wider range",
)
def convert_clip(site: Site) -> list[NeonLayer]:
    """``max - relu((max - min) - relu(x - min))``"""
    param, shape = site.node.layer.param.clip_param, site.shape[:1]
    low, high = shortest(param.min), shortest(param.max)
    if low > high:
        raise Refused(f"clips to [{low:g}, {high:g}], which is empty")
    if max(-low, high, high - low) > _CLIP:
        raise Refused(f"clips to [{low:g}, {high:g}]; the rectifiers that stand for it lose digits beyond a width of {_CLIP}")
    site.notes.append(f"{site.name}: as two rectifiers between BatchNorms of fixed statistics, which serves inference only")
    return [
        affine(f"{site.name}_low", constant(shape, 1), constant(shape, -low)),
        activation(f"{site.name}_above", "Rectlin"),
        affine(f"{site.name}_high", constant(shape, -1), constant(shape, high - low)),
        activation(f"{site.name}_below", "Rectlin"),
        affine(site.name, constant(shape, -1), constant(shape, high)),
    ]


@converter("Sigmoid", becomes="Activation(Logistic)")
def convert_sigmoid(site: Site) -> list[NeonLayer]:
    return [activation(site.name, "Logistic")]


@converter("TanH", becomes="Activation(Tanh)")
def convert_tanh(site: Site) -> list[NeonLayer]:
    return [activation(site.name, "Tanh")]


@converter(
    "Softmax",
    becomes="Activation(Softmax)",
    condition="over all features of an example",
    reason="neon has no softmax for each pixel of a map",
)
def convert_softmax(site: Site) -> list[NeonLayer]:
    shape = site.node.bottoms[0].shape
    along = site.node.layer.param.softmax_param.axis % len(shape)
    if along == 0 or shape[along] != prod(shape[1:]):
        raise Refused(
            f"works along axis {along} of {'×'.join(map(str, shape))}; neon's Softmax runs over all features of an example",
            f"end the net before it: --cut {site.node.bottoms[0].name}",
        )
    return [activation(site.name, "Softmax")]
