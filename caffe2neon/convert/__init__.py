"""Layout -> NeonModel: one converter per layer family, containers by structure."""

from caffe2neon.convert import layers
from caffe2neon.convert.judge import judge
from caffe2neon.convert.model import check, check_types, convert
from caffe2neon.convert.registry import layer_rules, registered_types

__all__ = ["check", "check_types", "convert", "judge", "layer_rules", "layers", "registered_types"]
