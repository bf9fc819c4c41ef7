"""One layer family per file; importing this package fills the registry."""

from caffe2neon.convert.layers import (
    activation,
    affine,
    combine,
    convolution,
    neutral,
    normalize,
    pooling,
    product,
    select,
    unsupported,
)

__all__ = ["activation", "affine", "combine", "convolution", "neutral", "normalize", "pooling", "product", "select", "unsupported"]
