"""The command line: options, progress, exit codes, and nothing else."""

from __future__ import annotations

import importlib
from typing import Any

import click

from caffe2neon import __version__
from caffe2neon.cli.common import ErrorsToExitCodes

#: Where each command lives; a command's module is imported only when it is called, so that none waits for the others.
_COMMANDS = {
    "convert": "model",
    "check": "check",
    "inspect": "inspect",
    "upgrade": "upgrade",
    "verify": "model",
    "evaluate": "evaluate",
    "remap": "remap",
    "zoo": "zoo",
    "doctor": "doctor",
}


class _Lazy(ErrorsToExitCodes):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 click's signature
        if cmd_name not in _COMMANDS:
            return None
        module: Any = importlib.import_module(f"caffe2neon.cli.{_COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="caffe2neon")
def main() -> None:
    """Convert Caffe models to neon v1.4.0, verified number by number.

    \b
    Example:
      caffe2neon convert deploy.prototxt weights.caffemodel -o model.prm --verify

    Exit code 0: all well; 1: a model failed; 2: the command or the manifest is wrong.
    """
