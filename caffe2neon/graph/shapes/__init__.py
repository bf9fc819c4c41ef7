"""Shape inference: what Caffe's ``LayerSetUp`` and ``Reshape`` would say, one family per file.

Each rule also names the shapes of the layer's learnable blobs, so that a caffemodel can be checked before any float is read.
"""

from caffe2neon.graph.shapes import activation, combine, data, loss, normalize, product, reshape, vision
from caffe2neon.graph.shapes.registry import Shapes, check_sizes, infer, known_types

__all__ = [
    "Shapes",
    "activation",
    "check_sizes",
    "combine",
    "data",
    "infer",
    "known_types",
    "loss",
    "normalize",
    "product",
    "reshape",
    "vision",
]
