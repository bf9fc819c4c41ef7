"""ModelSpec -> FetchedModel: mirrors, cache, downloads, archives, checksums."""

from __future__ import annotations

from caffe2neon.fetch.fetching import fetch, fetch_file, fetch_unpinned
from caffe2neon.fetch.http import PATIENT, Network
from caffe2neon.fetch.plan import Candidate, plan

__all__ = ["PATIENT", "Candidate", "Network", "fetch", "fetch_file", "fetch_unpinned", "plan"]
