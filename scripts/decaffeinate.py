#!/usr/bin/env python3
"""Convert a Caffe model to neon: the command of the tool before this one, over ``caffe2neon convert``.

    python scripts/decaffeinate.py MODEL.prototxt WEIGHTS.caffemodel [-o OUT.prm]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from caffe2neon.errors import Caffe2NeonError
from caffe2neon.single import convert_files


def main() -> int:
    parser = argparse.ArgumentParser(description="Convert a Caffe model to a neon v1.4.0 model file.")
    parser.add_argument("model", type=Path, metavar="MODEL.prototxt", help="definition of the net")
    parser.add_argument("weights", type=Path, metavar="WEIGHTS.caffemodel", help="its weights")
    parser.add_argument("--output_file", "-o", type=Path, metavar="OUT.prm", help="default: WEIGHTS.prm, beside the weights")
    options = parser.parse_args()
    output = options.output_file or options.weights.with_name(options.weights.name.removesuffix(".caffemodel") + ".prm")
    try:
        convert_files(options.model, options.weights, output)
    except Caffe2NeonError as error:
        print("error:", "; ".join(line.strip() for line in str(error).splitlines()), file=sys.stderr)
        return 1
    print(f"wrote {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
