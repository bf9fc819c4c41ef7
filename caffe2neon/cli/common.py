"""What all commands share: errors as exit codes, progress, and options that return in several of them."""

from __future__ import annotations

import functools
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click

from caffe2neon.errors import Caffe2NeonError, ManifestError, UsageError

F = TypeVar("F", bound=Callable[..., Any])



class LocalPath(click.Path):
    """A file or a folder of this machine; ``instead`` says what to do for one that lies elsewhere."""

    def __init__(self, instead: str = "name a file or a folder", **options: Any) -> None:
        super().__init__(path_type=Path, **options)
        self._instead = instead

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and re.match("[A-Za-z][A-Za-z0-9+.-]+:/", value):
            self.fail(f"{value} is an address, and this is for what lies on this machine: {self._instead}.", param, ctx)
        return super().convert(value, param, ctx)


#: A file that must be there. Whether it can be read as what it should be, the rooms say better than click.
FILE = LocalPath()

#: A folder that is there, as the user says: a slip of the hand is said before anything is done.
FOLDER = LocalPath(exists=True, file_okay=False)


def is_terminal(stream: TextIO) -> bool:
    """Whether somebody looks at it. A terminal without a size (``script``, a pty nobody set up) has no room for bars or tables."""
    try:
        return stream.isatty() and all(os.get_terminal_size(stream.fileno()))
    except (OSError, ValueError):
        return False


def table_width(stream: TextIO) -> int:
    """Columns to fold text at: ``COLUMNS``, or the terminal's. What goes to a program or a file is not folded."""
    wish = os.environ.get("COLUMNS", "")
    if wish.isdecimal() and int(wish):
        return int(wish)
    return os.get_terminal_size(stream.fileno()).columns if is_terminal(stream) else sys.maxsize


class ErrorsToExitCodes(click.Group):
    """Prints our errors without a traceback: exit code 2 for a wrong command or manifest, 130 for Ctrl-C, 1 for all else."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Caffe2NeonError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(2 if isinstance(error, ManifestError | UsageError) else 1)
        except MemoryError:
            click.echo("error: not enough memory for this", err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(128 + signal.SIGINT)


def refuse_overwriting(output: Path, *sources: Path) -> None:
    """A slip of the hand must not cost the file that a model is made of.

    Raises:
        UsageError: ``output`` is one of ``sources``.
    """
    for source in sources:
        if output.exists() and source.exists() and output.samefile(source):
            message = "the output would replace a file that it is made of"
            raise UsageError(message, path=str(output), remedy="choose another name for the output")


class Steps:
    """Progress of long steps: a bar each on a terminal, a plain line each in a log."""

    def __init__(self) -> None:
        self._terminal = is_terminal(sys.stderr)
        self._step = ""
        self._bar: Any = None

    def __call__(self, step: str, done: int, total: int | None) -> None:
        """A :data:`caffe2neon.records.Progress`."""
        if step != self._step:
            self.close()
            self._step = step
            if not self._terminal:
                click.echo(step, err=True)
        if self._terminal:
            self._show(step, done, total)

    def close(self) -> None:
        """Take the bar off the terminal."""
        if self._bar is not None:
            self._bar.close()
        self._bar, self._step = None, ""

    def _show(self, step: str, done: int, total: int | None) -> None:
        from tqdm import tqdm

        if self._bar is None:
            in_bytes = not step.startswith("evaluate")
            unit = {"unit": "B", "unit_scale": True} if in_bytes else {"unit": "img"}
            self._bar = tqdm(total=total, desc=step, leave=False, dynamic_ncols=True, **unit)
        self._bar.update(done - self._bar.n)


def engine_option(function: F) -> F:
    """``--engine``"""
    return _choice("--engine", ["auto", "embedded", "neon"], "Who computes for neon.")(function)


def engine_options(function: F) -> F:
    """``--engine`` and ``--reference``"""
    return engine_option(_choice("--reference", ["auto", "embedded", "caffe"], "Who computes for Caffe.")(function))


def order_option(name: str, text: str) -> Callable[[F], F]:
    """An option that names one of ILSVRC12's two class orders."""
    return click.option(name, type=click.Choice(["caffe", "neon"]), default=None, help=f"ILSVRC12: {text}")


TOPK = click.option("--topk", type=click.IntRange(1), multiple=True, default=(1, 5), show_default=True, help="May be repeated.")
WORKERS = click.option("--workers", type=click.IntRange(1), default=None, help="Threads that decode pictures. Default: one a core.")


def _positive(_: click.Context, __: click.Parameter, value: float) -> float:
    if not value > 0:  # NaN is not, either, and with it nothing would ever pass
        raise click.BadParameter(f"{value:g} is no tolerance: write a number above 0, such as 1e-5")
    return value


TOLERANCE = click.option(
    "--tolerance", callback=_positive, default=1e-5, show_default=True, help="max |difference| / max(1, max |reference|)."
)


def input_option(function: F) -> F:
    """``--input``, which the command gets as ``shape``."""
    text = "The input's shape, where none is stated."
    return click.option("--input", "shape", callback=_shape, metavar="C,H,W", help=text)(function)


def net_options(function: Callable[..., None]) -> Callable[..., None]:
    """Options that the command gets as one argument, ``net``, a :class:`~caffe2neon.single.NetOptions`."""

    @functools.wraps(function)
    def command(**given: Any) -> None:
        from caffe2neon.single import NetOptions

        names = ("phase", "stages", "level", "shape", "head", "cut")
        chosen = {name: given.pop(name) for name in names}
        function(**given, net=NetOptions(**{**chosen, "phase": chosen["phase"].upper()}))

    return _with(
        command,
        _choice("--phase", ["test", "train"], "Which layers to keep; train keeps the losses, as costs."),
        click.option("--stage", "stages", multiple=True, metavar="NAME", help="Keep the layers of this stage, too."),
        click.option("--level", default=0, show_default=True, help="The level for min_level and max_level."),
        input_option,
        click.option("--head", default="", metavar="NAME", help="Of several outputs, keep this one."),
        click.option("--cut", default="", metavar="BLOB", help="End the net at this blob."),
    )


def _with(function: F, *options: Callable[[F], F]) -> F:
    """``function`` with ``options``, which the help shows in this order."""
    for option in reversed(options):
        function = option(function)
    return function


def _shape(_: click.Context, __: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    parts = value.split(",")
    if not all(part.strip().isdecimal() and int(part) for part in parts):
        raise click.BadParameter(f"{value!r} is no shape: write 3,224,224")
    return tuple(map(int, parts))


def _choice(name: str, values: list[str], text: str) -> Callable[[F], F]:
    return click.option(name, type=click.Choice(values), default=values[0], show_default=True, help=text)


def _size(_: click.Context, __: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """``227`` or ``227x227``, rows first."""
    if value is None:
        return None
    parts = value.lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() and int(part) for part in parts):
        raise click.BadParameter(f"{value!r} is no size: write 227 or 227x227")
    return int(parts[0]), int(parts[-1])


def _numbers(_: click.Context, __: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    try:
        return None if value is None else tuple(float(part) for part in value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is no list of numbers: write 104,117,123") from error


def preprocess_options(function: Callable[..., None]) -> Callable[..., None]:
    """Options that the command gets as one argument, ``preprocess``: fields of :class:`Preprocess`, those that are given."""

    @functools.wraps(function)
    def command(**given: Any) -> None:
        chosen = {name: given.pop(name) for name in ("resize", "crop", "channel_order", "mean", "scale")}
        function(**given, preprocess={name: value for name, value in chosen.items() if value is not None})

    return _with(
        command,
        click.option("--resize", callback=_size, metavar="H[xW]", help="Squash each picture to this size first."),
        click.option("--crop", callback=_size, metavar="H[xW]", help="Then take the centre."),
        click.option("--channel-order", type=click.Choice(["BGR", "RGB", "GRAY"]), default=None, help="Default: BGR."),
        click.option("--mean", callback=_numbers, metavar="B,G,R", help="Subtract these: one number, or one a channel."),
        click.option("--scale", type=float, default=None, help="Then multiply. Caffe's order: (pixel - mean) * scale."),
    )
