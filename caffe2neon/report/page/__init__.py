"""The page of a published zoo: one file that needs no server and asks nobody for anything."""

from __future__ import annotations

from caffe2neon.report.page.page import PAGE, render, write_page
from caffe2neon.report.page.zoo import Zoo, read_zoo

__all__ = ["PAGE", "Zoo", "read_zoo", "render", "write_page"]
