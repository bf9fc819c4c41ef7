"""-> JSON and the table on the terminal."""

from __future__ import annotations

from caffe2neon.report.jsonable import to_json
from caffe2neon.report.markdown import summary_markdown
from caffe2neon.report.report import SCHEMA, STATUSES, summary, write_report
from caffe2neon.report.table import table

__all__ = ["SCHEMA", "STATUSES", "summary", "summary_markdown", "table", "to_json", "write_report"]
