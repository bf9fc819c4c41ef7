#!/usr/bin/env python3
"""Reorder a model's ILSVRC12 classes for neon: the command of the tool before this one, over ``caffe2neon remap``.

    python scripts/i1k_label_mapping.py MODEL.prm [--caffe_synset DIR --neon_mb DIR] [--use_existing] [--layers NAME ...]

Writes MODEL_neon_shuffle.prm beside MODEL.prm, and the map as neon_caffe_label_map.pkl into the current folder.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from caffe2neon.errors import Caffe2NeonError
from caffe2neon.labels import LabelMap, builtin_map, devkit_map, read_map, remap, write_map
from caffe2neon.neon import read_prm, write_prm

MAP = Path("neon_caffe_label_map.pkl")
SYNSETS = "synsets.txt"
DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"


def find_map(options: argparse.Namespace) -> LabelMap:
    """The map that the options ask for; a new one is also written."""
    if options.use_existing:
        return read_map(MAP)
    order = devkit_map(options.caffe_synset / SYNSETS, options.neon_mb / DEVKIT) if options.caffe_synset else builtin_map()
    write_map(order, MAP)
    print(f"wrote {MAP}")
    return order


def main() -> int:
    parser = argparse.ArgumentParser(description="Reorder a model's ILSVRC12 classes from Caffe's order to neon's.")
    parser.add_argument("model", type=Path, metavar="MODEL.prm", help="a neon model file")
    parser.add_argument("--caffe_synset", type=Path, metavar="DIR", help=f"folder with Caffe's {SYNSETS} (default: built in)")
    parser.add_argument("--neon_mb", type=Path, metavar="DIR", help=f"folder with {DEVKIT} (default: built in)")
    parser.add_argument("--use_existing", action="store_true", help=f"take the map from {MAP} in the current folder")
    parser.add_argument("--layers", nargs="*", default=[], metavar="NAME", help="layers to reorder (default: all classifiers)")
    options = parser.parse_args()
    if (options.caffe_synset is None) != (options.neon_mb is None):
        parser.error("--caffe_synset and --neon_mb go together; without both, the built-in orders are taken")
    output = options.model.with_name(f"{options.model.stem}_neon_shuffle{options.model.suffix}")
    try:
        model = remap(read_prm(options.model), find_map(options), layers=options.layers)
        write_prm(model, output)
    except Caffe2NeonError as error:
        print("error:", "; ".join(line.strip() for line in str(error).splitlines()), file=sys.stderr)
        return 1
    print(f"reordered {', '.join(model.meta['remap']['layers'])}\nwrote {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
