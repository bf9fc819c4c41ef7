"""Old formats of Caffe's in the newest one."""

from __future__ import annotations

from pathlib import Path

import click

from caffe2neon.cli.common import FILE, refuse_overwriting


@click.command()
@click.argument("file", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="The file to write.")
def upgrade(file: Path, output: Path) -> None:
    """Write a prototxt or a caffemodel of any age (V0, V1) in Caffe's newest format.

    Which of the two it is, the file itself says. As Caffe's own tools do, all layers stay, with their include and exclude rules;
    blobs keep their bytes, so that one with the old four dimensions keeps these (every Caffe reads them). A file that is in the
    newest format is copied.

    \b
    Examples:
      caffe2neon upgrade old_train_val.prototxt -o train_val.prototxt
      caffe2neon upgrade old.caffemodel -o new.caffemodel
    """
    from caffe2neon.caffe import upgrade_file
    from caffe2neon.errors import located

    refuse_overwriting(output, file)
    with located(stage="upgrade"):
        done = upgrade_file(file, output)
    what = f"{done.layers} layers, {done.kind}"
    if done.format == "newest":
        click.echo(f"{output}: {what}: a copy, the file is in the newest format already")
    else:
        click.echo(f"{output}: {what}, upgraded from {done.format}")
