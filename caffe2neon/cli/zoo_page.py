"""The page of a published zoo: zoo report."""

from __future__ import annotations

from pathlib import Path

import click

from caffe2neon.cli.common import LocalPath
from caffe2neon.cli.zoo import zoo


@zoo.command()
@click.argument("folder", type=LocalPath("zoo publish takes a folder's page along"), default=Path("zoo"))
def report(folder: Path) -> None:
    """Write index.html of the published zoo in FOLDER (default: zoo): all models, to be opened in any browser.

    The page is one file that needs no server and asks for nothing outside its folder. Publishing writes it too.

    \b
    Example:
      caffe2neon zoo report zoo/
    """
    from caffe2neon.report.page import write_page

    path = write_page(folder)
    click.echo(f"{path}: {path.stat().st_size / 1e3:.1f} kB")
