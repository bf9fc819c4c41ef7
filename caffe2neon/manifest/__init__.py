"""zoo.yaml -> ModelSpec: reading, checking, choosing, adding."""

from __future__ import annotations

from caffe2neon.manifest.fixes import apply_fixes
from caffe2neon.manifest.growth import begin, entry_text, with_entry
from caffe2neon.manifest.schema import SCHEMA, read_manifest
from caffe2neon.manifest.selection import select

__all__ = ["SCHEMA", "apply_fixes", "begin", "entry_text", "read_manifest", "select", "with_entry"]
