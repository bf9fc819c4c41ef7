"""Reading Caffe: net definitions in any of its formats, and weights, without a Python object per number.

``caffe_pb2`` is ``caffe.proto`` compiled. :func:`read_net` reads a prototxt as Caffe HEAD does: parsed (:mod:`.text`), upgraded
(:mod:`.upgrade`), filtered to one phase (:mod:`.phases`). :func:`deploy` makes a training net compute
without data and losses. :func:`upgrade_file` writes what is old in the newest
format (:mod:`.newest`). :func:`read_weights` maps a caffemodel and finds its blobs
(:mod:`.weights`, :mod:`caffe2neon.wire`).
"""

from __future__ import annotations

from caffe2neon.caffe.data_layers import brings_data, source_shape, unfed
from caffe2neon.caffe.deploy import at_inference, deploy, deploy_rules
from caffe2neon.caffe.net import net_text, read_net
from caffe2neon.caffe.newest import Upgraded, upgrade_file
from caffe2neon.caffe.weights import read_weights, require_finite

__all__ = [
    "Upgraded",
    "at_inference",
    "brings_data",
    "deploy",
    "deploy_rules",
    "net_text",
    "read_net",
    "read_weights",
    "require_finite",
    "source_shape",
    "unfed",
    "upgrade_file",
]
