#!/usr/bin/env python3
"""The numbers of this project, as ratios measured side by side: what a noisy machine does to one side, it does to the other.

    python scripts/bench.py                       all of it, some minutes, 1.5 GB of disk
    python scripts/bench.py --only vgg16 --json results.json
    python scripts/bench.py --quick               the same steps with small nets, in seconds: does it work?

VGG-16 and GoogLeNet are generated with random weights. SqueezeNet and 1,000 photos are the developers' in ../shared where that
folder is, generated otherwise; the output says which. A missed aim is reported, not an error: the exit code is 0.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import operator
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).resolve().parent
SHARED = SCRIPTS.parent.parent / "shared"
#: What the console script runs.
CAFFE2NEON = [sys.executable, "-c", "from caffe2neon.cli import main; main()"]
CONTENDERS = ("caffe2neon", "onnxruntime", "opencv")
MB = 1e6


@dataclass(frozen=True)
class Scale:
    """How much is measured. ``repeat``: interleaved runs of commands; ``passes`` over all ``photos``, taken in ``parts``."""

    divide: int
    repeat: int
    photos: int
    parts: int
    passes: int


FULL = Scale(divide=1, repeat=5, photos=1000, parts=10, passes=2)
QUICK = Scale(divide=16, repeat=1, photos=8, parts=1, passes=1)


@dataclass(frozen=True)
class Number:
    """One line of the result: the median of ``samples``. ``aim``: a comparison and its bound, as in ``("<=", 2.0)``."""

    measure: str
    samples: tuple[float, ...]
    aim: tuple[str, float] | None = None
    detail: str = ""

    @property
    def value(self) -> float:
        return statistics.median(self.samples)

    @property
    def met(self) -> bool | None:
        compare = {"<=": operator.le, "<": operator.lt, ">=": operator.ge}
        return None if self.aim is None else bool(compare[self.aim[0]](self.value, self.aim[1]))


@dataclass(frozen=True)
class Usage:
    """What a finished process took: seconds by the clock and of CPU, most memory in bytes."""

    wall: float
    cpu: float
    peak: int


def say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def run(command: Sequence[str | Path]) -> Usage:
    """Run to the end. The peak is right only because this process, which the kernel counts in, stays small: no numpy here."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"error: exit code {process.returncode} of: {' '.join(map(str, command))}")
    return Usage(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def script(name: str, *arguments: str | Path) -> list[str | Path]:
    return [sys.executable, SCRIPTS / name, *arguments]


def generate(folder: Path, scale: Scale, net: str) -> tuple[Path, Path]:
    """The prototxt and the caffemodel of a generated net."""
    prototxt, caffemodel = folder / f"{net}.prototxt", folder / f"{net}.caffemodel"
    say(f"generate {net}")
    run(script("generate_net.py", net, prototxt, "--divide", str(scale.divide)))
    run(script("generate_weights.py", prototxt, caffemodel))
    return prototxt, caffemodel


def convert(prototxt: Path, caffemodel: Path, output: Path) -> list[str | Path]:
    return [*CAFFE2NEON, "convert", prototxt, caffemodel, "-o", output]


def bench_vgg16(folder: Path, scale: Scale) -> list[Number]:
    """Converting a large file against hashing it."""
    if not shutil.which("sha256sum"):
        raise SystemExit("error: there is no sha256sum here, with which converting is compared; choose others: --only")
    prototxt, caffemodel = generate(folder, scale, "vgg16")
    size = caffemodel.stat().st_size
    run(["sha256sum", caffemodel])  # so that the file is in memory for both
    hashing, converting = [], []
    for number in range(scale.repeat):
        say(f"vgg16: sha256sum and convert, {number + 1} of {scale.repeat}")
        hashing.append(run(["sha256sum", caffemodel]))
        converting.append(run(convert(prototxt, caffemodel, folder / "vgg16.prm")))
    ratios = tuple(ours.wall / theirs.wall for ours, theirs in zip(converting, hashing, strict=True))
    times = f"{_median(converting, 'wall'):.2f} s / {_median(hashing, 'wall'):.2f} s, {_median(converting, 'cpu'):.2f} s of CPU"
    peak = max(usage.peak for usage in converting)
    return [
        Number(f"convert VGG-16 ({size / MB:.0f} MB): time / sha256sum", ratios, ("<=", 2.0), times),
        Number("convert VGG-16: peak memory / file", (peak / size,), ("<=", 1.25), f"{peak / MB:.0f} MB"),
    ]


def bench_googlenet(folder: Path, scale: Scale) -> list[Number]:
    """Converting a small file, where starting is most of it. Its caffemodel holds the training's helpers, as the real one does."""
    prototxt, _ = generate(folder, scale, "googlenet")
    _, caffemodel = generate(folder, scale, "googlenet-training")
    converting = []
    for number in range(scale.repeat + 1):
        say(f"googlenet: convert, {number} of {scale.repeat}" if number else "googlenet: convert, to warm up")
        converting.append(run(convert(prototxt, caffemodel, folder / "googlenet.prm")))
    del converting[0]
    detail = f"{_median(converting, 'wall'):.2f} s by the clock, {_median(converting, 'peak') / MB:.0f} MB"
    name = f"convert GoogLeNet ({caffemodel.stat().st_size / MB:.0f} MB): CPU seconds"
    return [Number(name, tuple(usage.cpu for usage in converting), ("<", 1.0), detail)]


def bench_evaluate(folder: Path, scale: Scale) -> list[Number]:
    """Evaluating photos, decoding included, against two that only compute. All take turns, part by part of the photos."""
    source = squeezenet(folder, scale)
    run(convert(folder / "net.prototxt", folder / "net.caffemodel", folder / "net.prm"))
    parts = split(folder, scale)
    contenders: list[Contender] = []
    try:
        for name in CONTENDERS:
            say(f"evaluate: {name} opens the net" + ("" if name == "caffe2neon" else " and looks for its best batch size"))
            contenders.append(Contender(name, folder, parts[0]))
        rates: dict[str, list[float]] = {name: [] for name in CONTENDERS}
        for number in range(scale.passes * len(parts)):
            say(f"evaluate: round {number + 1} of {scale.passes * len(parts)}, {scale.photos // scale.parts} photos each")
            first = number % len(contenders)
            for contender in contenders[first:] + contenders[:first]:
                rates[contender.name].append(contender.rate(parts[number % len(parts)]))
        for contender in contenders:
            contender.close()
    finally:
        for contender in contenders:
            contender.kill()
    if len({tuple(contender.about["classes"]) for contender in contenders}) > 1:
        say("warning: the contenders do not find the same classes in the same photos")
    ours, bare, opencv = contenders
    return [
        Number(f"evaluate {source}: images per second", tuple(rates[ours.name]), detail=ours.cost()),
        _against(bare, rates, 0.9),
        _against(opencv, rates, 2.0),
    ]


def _against(contender: Contender, rates: dict[str, list[float]], aim: float) -> Number:
    ratios = tuple(ours / theirs for ours, theirs in zip(rates["caffe2neon"], rates[contender.name], strict=True))
    rate = statistics.median(rates[contender.name])
    detail = f"{rate:.1f} images/s, batch {contender.about['batch']}, {contender.cost()}"
    return Number(f"... / {contender.about['version']} fed from memory", ratios, (">=", aim), detail)


class Contender:
    """A process of ``bench_contender.py``, which says how it is talked to."""

    def __init__(self, name: str, folder: Path, part: str) -> None:
        self.name = name
        command = script("bench_contender.py", name, folder, part)
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._cpu: list[float] = []
        self.peak = 0
        self.about = self._answer()

    def rate(self, part: str) -> float:
        """Images per second."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # that it ended is seen, and said, when no answer comes
            self._process.stdin.write(part + "\n")
            self._process.stdin.flush()
        answer = self._answer()
        self._cpu.append(float(answer["cpu"]) / float(answer["images"]))
        return float(answer["images"]) / float(answer["seconds"])

    def cost(self) -> str:
        """CPU time, which other load on the machine changes less than speed, and memory; after :meth:`close`."""
        return f"{statistics.median(self._cpu) * 1000:.1f} ms of CPU an image, {self.peak / MB:.0f} MB"

    def close(self) -> None:
        """Let it end, and learn its peak memory."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self.peak = int(self._answer()["peak"])

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"error: {self.name} ended, exit code {self._process.wait()}; what it said is above")
        answer: dict[str, Any] = json.loads(line)
        return answer


def squeezenet(folder: Path, scale: Scale) -> str:
    """Put net.prototxt, net.caffemodel and the photos into ``folder``; returns what they are."""
    model, photos = SHARED / "models" / "squeezenet_v1.0", SHARED / "data" / "imagenet1000"
    if scale is FULL and model.is_dir() and photos.is_dir():
        for name, path in (
            ("net.prototxt", model / "SqueezeNet_deploy.prototxt"),
            ("net.caffemodel", model / "squeezenet_v1.0_dc.caffemodel"),
            ("photos", photos),
        ):
            (folder / name).symlink_to(path)
        return "SqueezeNet on photos, both from ../shared"
    for suffix, path in zip(("prototxt", "caffemodel"), generate(folder, scale, "squeezenet"), strict=True):
        (folder / f"net.{suffix}").symlink_to(path)
    say(f"generate {scale.photos} photos")
    run(script("generate_photos.py", folder / "photos", "--count", str(scale.photos)))
    return "SqueezeNet on photos, both generated"


def split(folder: Path, scale: Scale) -> list[str]:
    """The list of photos in parts of equal length; returns the files' names."""
    lines = (folder / "photos" / "val.txt").read_text(encoding="utf-8").splitlines(keepends=True)
    names = [f"part{index}.txt" for index in range(scale.parts)]
    for index, name in enumerate(names):
        (folder / name).write_text("".join(lines[index : scale.photos : scale.parts]), encoding="utf-8")
    return names


BENCHES = {"vgg16": bench_vgg16, "googlenet": bench_googlenet, "evaluate": bench_evaluate}


def _median(usages: Sequence[Usage], field: str) -> float:
    return float(statistics.median(getattr(usage, field) for usage in usages))


def table(numbers: Sequence[Number], quick: bool) -> str:
    """A line each; aims are for the full size only."""
    rows = [("measure", "median", "range", "aim", "", "")]
    for number in numbers:
        low, high = min(number.samples), max(number.samples)
        spread = f"{low:.2f}-{high:.2f}" if len(number.samples) > 1 else ""
        aim = f"{number.aim[0]} {number.aim[1]:g}" if number.aim and not quick else ""
        verdict = {True: "met", False: "MISSED", None: ""}[None if quick else number.met]
        rows.append((number.measure, f"{number.value:.2f}", spread, aim, verdict, number.detail))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure caffe2neon against others, side by side.")
    parser.add_argument("--quick", action="store_true", help="small nets, once each: tries the steps, says nothing about speed")
    parser.add_argument("--only", choices=BENCHES, action="append", help="may be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples there, too")
    parser.add_argument("--folder", type=Path, help="where a temporary folder is made; 1.5 GB are needed")
    arguments = parser.parse_args()
    before, numbers = os.getloadavg(), list[Number]()
    for name in arguments.only or BENCHES:
        with tempfile.TemporaryDirectory(prefix="caffe2neon-bench-", dir=arguments.folder) as folder:
            numbers += BENCHES[name](Path(folder), QUICK if arguments.quick else FULL)
    load = [round(average, 2) for average in (before[0], os.getloadavg()[0])]
    print(table(numbers, arguments.quick))
    print(f"{os.cpu_count()} CPUs, load average {load[0]} before and {load[1]} after" + "; --quick: no aims" * arguments.quick)
    if arguments.json:
        rows = [{**asdict(number), "value": number.value, "met": None if arguments.quick else number.met} for number in numbers]
        record = {"quick": arguments.quick, "cpus": os.cpu_count(), "load": load, "numbers": rows}
        arguments.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
