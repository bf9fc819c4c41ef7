"""-> Publication: a folder of models, where nothing half-written is ever visible."""

from __future__ import annotations

from caffe2neon.publish.build import SUMS, build_id, find_build
from caffe2neon.publish.index import INDEX, read_index, update_index
from caffe2neon.publish.measured import read_measured
from caffe2neon.publish.staging import StagedBuild, staged_build

__all__ = ["INDEX", "SUMS", "StagedBuild", "build_id", "find_build", "read_index", "read_measured", "staged_build", "update_index"]
