"""ModelSpec -> FetchedModel: mirrors, cache, downloads, archives, checksums."""

from __future__ import annotations

from caffe2neon.fetch.fetching import fetch, fetch_file, fetch_unpinned
from caffe2neon.fetch.http import PATIENT, Network
from caffe2neon.fetch.plan import Candidate, plan
from caffe2neon.fetch.upstream import check_upstream

__all__ = ["PATIENT", "Candidate", "Network", "check_upstream", "fetch", "fetch_file", "fetch_unpinned", "plan"]
