#!/usr/bin/env python3
"""Write JPEGs that cost as much to decode as photos, with Caffe's list of them: the same pictures for the same seed.

Each is a colour gradient under coarse and fine noise, 256 x 256; labels are 0, 1, 2... For benchmarks where no photos are at hand.

    python scripts/generate_photos.py photos/ --count 1000
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

SIZE = 256
#: Noise that gives files of some 20 kB, as photos of this size have.
_COARSE, _FINE = 60, 7


def generate(folder: Path, count: int, seed: int = 0) -> None:
    """Write ``count`` pictures and ``val.txt`` into ``folder``, which is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{index:06d}.jpg" for index in range(count)]
    for index, name in enumerate(names):
        random = np.random.Generator(np.random.PCG64([seed, index]))
        noises = [
            cv2.resize(random.normal(mean, _COARSE, (n, n, 3)), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
            for n, mean in ((2, 127), (32, 0))
        ]
        picture = np.clip(sum(noises, random.normal(0, _FINE, (SIZE, SIZE, 3))), 0, 255)
        _, data = cv2.imencode(".jpg", picture.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90])
        (folder / name).write_bytes(data.tobytes())
    lines = [f"{name} {index % 1000}\n" for index, name in enumerate(names)]
    (folder / "val.txt").write_text("".join(lines), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description="Write JPEGs that cost as much to decode as photos, and Caffe's list of them.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    try:
        generate(arguments.folder, arguments.count, arguments.seed)
    except OSError as error:
        print(f"error: {arguments.folder}: cannot write: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
