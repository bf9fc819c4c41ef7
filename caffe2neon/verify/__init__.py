"""Converted model against Caffe, number by number: output by output, and layer by layer on request."""

from caffe2neon.verify.compare import difference
from caffe2neon.verify.noise import noise
from caffe2neon.verify.parity import verify
from caffe2neon.verify.result import require, table

__all__ = ["difference", "noise", "require", "table", "verify"]
