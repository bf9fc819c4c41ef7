"""-> Publication: a folder of models or an object store, where nothing half-written is ever visible."""

from __future__ import annotations

from caffe2neon.publish.build import SUMS, build_id, find_build
from caffe2neon.publish.compare import Change, compare_zoos, model_size
from caffe2neon.publish.fields import Fields
from caffe2neon.publish.index import INDEX, Entry, current_builds, read_index, update_index
from caffe2neon.publish.measured import read_measured, read_record
from caffe2neon.publish.place import Folder, Place, Store, open_place
from caffe2neon.publish.provenance import PROVENANCE, Dependency, provenance
from caffe2neon.publish.prune import Stale, prune, stale_builds
from caffe2neon.publish.pull import pull, read_zoo
from caffe2neon.publish.staging import StagedBuild, clear_abandoned, staged_build
from caffe2neon.publish.zoo import Copied, publish_zoo

__all__ = [
    "INDEX",
    "PROVENANCE",
    "SUMS",
    "Change",
    "Copied",
    "Dependency",
    "Entry",
    "Fields",
    "Folder",
    "Place",
    "StagedBuild",
    "Stale",
    "Store",
    "build_id",
    "clear_abandoned",
    "compare_zoos",
    "current_builds",
    "find_build",
    "model_size",
    "open_place",
    "provenance",
    "prune",
    "publish_zoo",
    "pull",
    "read_index",
    "read_measured",
    "read_record",
    "read_zoo",
    "staged_build",
    "stale_builds",
    "update_index",
]
