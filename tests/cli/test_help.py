"""What the command line says of itself."""

from __future__ import annotations

import click
import pytest

from caffe2neon import __version__
from caffe2neon.cli import main
from tests.zoos import run


def _commands(group: click.Group, context: click.Context, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, f"{name} is listed, but not there"
        found.append((*path, name))
        if isinstance(command, click.Group):
            found += _commands(command, context, (*path, name))
    return found


COMMANDS = [(), *_commands(main, click.Context(main))]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command) or "caffe2neon")
def test_help_shows_an_example_that_names_the_command(command: tuple[str, ...]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Example" in result.stdout
    assert " ".join(("caffe2neon", *command)) in result.stdout.partition("Example")[2]
    assert all(len(line) <= 100 for line in result.stdout.splitlines())


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command) or "caffe2neon")
def test_every_option_says_what_it_is_for(command: tuple[str, ...]) -> None:
    context = click.Context(main)
    found: click.Command = main
    for name in command:
        assert isinstance(found, click.Group)
        following = found.get_command(context, name)
        assert following is not None
        found = following
    options = [option for option in found.params if isinstance(option, click.Option)]
    silent = {option.opts[0] for option in options if not option.help}
    assert silent <= {"--timeout"}, "an option without a help text"


def test_the_commands_of_the_design_are_there() -> None:
    wanted = {"convert", "inspect", "check", "remap", "verify", "evaluate", "doctor", "zoo list", "zoo build"}
    assert wanted <= {" ".join(command) for command in COMMANDS}


def test_version() -> None:
    assert run("--version").stdout == f"caffe2neon, version {__version__}\n"


@pytest.mark.parametrize("arguments", [("convrt",), ("convert", "--no-such-option"), ("convert",), ("zoo", "bild")])
def test_what_the_command_line_does_not_know_is_exit_code_2(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Usage: " in result.stderr
