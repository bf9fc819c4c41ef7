"""InnerProduct (inner_product_layer.cpp)."""

from __future__ import annotations

from caffe2neon.engines.caffe_embedded.registry import Layer, Tensor, layer


@layer("InnerProduct")
def inner_product(layer: Layer) -> list[Tensor]:
    param = layer.param.inner_product_param
    bottom = layer.bottoms[0]
    axis = layer.axis(param.axis)
    outputs, inputs = param.num_output, bottom.count(axis)
    layer.require(outputs > 0, "num_output must be positive")
    weight_shape = (inputs, outputs) if param.transpose else (outputs, inputs)
    constants = layer.weights(weight_shape, *([(outputs,)] if param.bias_term else []))
    # (..., C, H, W) -> (M, K)
    rows = layer.reshape(bottom, (bottom.count(0, axis), inputs))
    product = layer.op("Gemm", rows, *constants, shape=(rows.shape[0], outputs), transB=int(not param.transpose))
    return [layer.reshape(product, (*bottom.shape[:axis], outputs))]
