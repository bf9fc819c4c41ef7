"""zoo.yaml -> ModelSpec: reading, checking, choosing."""

from __future__ import annotations

from caffe2neon.manifest.schema import SCHEMA, read_manifest
from caffe2neon.manifest.selection import select

__all__ = ["SCHEMA", "read_manifest", "select"]
