"""ModelSpec -> FetchedModel: mirrors, cache, downloads, checksums."""

from __future__ import annotations

from caffe2neon.fetch.download import Network
from caffe2neon.fetch.fetching import fetch
from caffe2neon.fetch.plan import Candidate, plan

__all__ = ["Candidate", "Network", "fetch", "plan"]
