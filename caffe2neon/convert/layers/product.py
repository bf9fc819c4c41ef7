"""InnerProduct."""

from __future__ import annotations

from caffe2neon.convert.neon_layers import bias, linear
from caffe2neon.convert.registry import Refused, Site, converter
from caffe2neon.records import Deferred, NeonLayer


@converter(
    "InnerProduct",
    becomes="Linear, Bias",
    condition="axis 1, transposed or not",
    reason="neon's Linear takes all features of an example",
)
def convert_inner_product(site: Site) -> list[NeonLayer]:
    param, (bottom,) = site.node.layer.param.inner_product_param, site.node.bottoms
    if param.axis % len(bottom.shape) != 1:
        raise Refused(f"works along axis {param.axis}; neon's Linear takes all features of an example")
    weight, *rest = site.blobs
    if param.transpose:
        # (nin, nout) -> (nout, nin)
        given = weight
        weight = Deferred((given.shape[1], given.shape[0]), lambda: given.make().T)
    return [linear(site.name, weight), *(bias(f"{site.name}_bias", blob) for blob in rest)]
