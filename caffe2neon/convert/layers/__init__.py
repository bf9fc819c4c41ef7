"""One layer family per file; importing this package fills the registry."""

from caffe2neon.convert.layers import activation, combine, convolution, neutral, normalize, pooling, product, unsupported

__all__ = ["activation", "combine", "convolution", "neutral", "normalize", "pooling", "product", "unsupported"]
