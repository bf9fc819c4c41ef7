"""Layers that bend each number by itself: ReLU, PReLU, ELU, Sigmoid, TanH, Swish, BNLL."""

from __future__ import annotations

from caffe2neon.engines.caffe_embedded.registry import FINE, Layer, Tensor, layer


@layer("ReLU", in_place=FINE)
def relu(layer: Layer) -> list[Tensor]:
    slope = layer.param.relu_param.negative_slope
    return [layer.op("LeakyRelu", *layer.bottoms, alpha=slope) if slope else layer.op("Relu", *layer.bottoms)]


@layer("PReLU", in_place=FINE)
def prelu(layer: Layer) -> list[Tensor]:
    bottom = layer.bottoms[0]
    layer.require(bottom.rank >= 2, f"PReLU takes blobs with at least 2 axes, not {bottom.shape}")
    shared = layer.param.prelu_param.channel_shared
    (slope,) = layer.weights(() if shared else (bottom.shape[1],))
    return [layer.op("PRelu", bottom, slope if shared else slope.reshape(-1, *[1] * (bottom.rank - 2)))]


@layer("ELU", in_place=FINE)
def elu(layer: Layer) -> list[Tensor]:
    return [layer.op("Elu", *layer.bottoms, alpha=layer.param.elu_param.alpha)]


@layer("Sigmoid", in_place=FINE)
def sigmoid(layer: Layer) -> list[Tensor]:
    return [layer.op("Sigmoid", *layer.bottoms)]


@layer("TanH", in_place=FINE)
def tanh(layer: Layer) -> list[Tensor]:
    return [layer.op("Tanh", *layer.bottoms)]


@layer("Swish", in_place=FINE)
def swish(layer: Layer) -> list[Tensor]:
    bottom = layer.bottoms[0]
    return [layer.op("Mul", bottom, layer.op("Sigmoid", layer.op("Mul", bottom, layer.param.swish_param.beta)))]


@layer("BNLL", in_place=FINE)
def bnll(layer: Layer) -> list[Tensor]:
    return [layer.op("Softplus", *layer.bottoms)]
