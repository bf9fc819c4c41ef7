"""``python -m caffe2neon``: the command line."""

from __future__ import annotations

from caffe2neon.cli import main

if __name__ == "__main__":
    main(prog_name="caffe2neon")
