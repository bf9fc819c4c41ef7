"""CaffeNet -> Graph -> Layout: blob versions, shapes, passes, regions."""

from caffe2neon.graph.build import build_graph
from caffe2neon.graph.costs import already_owned, multiply_adds
from caffe2neon.graph.layout import lay_out
from caffe2neon.graph.passes import simplify
from caffe2neon.graph.shapes import known_types

__all__ = ["already_owned", "build_graph", "known_types", "lay_out", "multiply_adds", "simplify"]
