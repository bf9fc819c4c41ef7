"""Element-wise functions that neon has as transforms."""

from __future__ import annotations

from math import prod

from caffe2neon.convert.neon_layers import activation, shortest
from caffe2neon.convert.registry import Refused, Site, converter
from caffe2neon.records import NeonLayer


@converter("ReLU")
def convert_relu(site: Site) -> list[NeonLayer]:
    slope = shortest(site.node.layer.param.relu_param.negative_slope)
    return [activation(site.name, "Rectlin", slope=slope) if slope else activation(site.name, "Rectlin")]


@converter("Sigmoid")
def convert_sigmoid(site: Site) -> list[NeonLayer]:
    return [activation(site.name, "Logistic")]


@converter("TanH")
def convert_tanh(site: Site) -> list[NeonLayer]:
    return [activation(site.name, "Tanh")]


@converter("Softmax")
def convert_softmax(site: Site) -> list[NeonLayer]:
    shape = site.node.bottoms[0].shape
    along = site.node.layer.param.softmax_param.axis % len(shape)
    if along == 0 or shape[along] != prod(shape[1:]):
        raise Refused(
            f"works along axis {along} of {'×'.join(map(str, shape))}; neon's Softmax runs over all features of an example",
            "leave this layer out of the prototxt and compute it outside",
        )
    return [activation(site.name, "Softmax")]
