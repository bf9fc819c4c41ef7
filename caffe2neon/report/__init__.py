"""-> JSON and the table on the terminal."""

from __future__ import annotations

from caffe2neon.report.jsonable import to_json
from caffe2neon.report.report import SCHEMA, STATUSES, summary, write_report
from caffe2neon.report.table import table

__all__ = ["SCHEMA", "STATUSES", "summary", "table", "to_json", "write_report"]
