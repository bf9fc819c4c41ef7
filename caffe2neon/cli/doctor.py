"""What works on this machine."""

from __future__ import annotations

import json
import sys

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--strict", is_flag=True, help="Fail unless all work, the real neon and Caffe too; the image's health check.")
def doctor(as_json: bool, strict: bool) -> None:
    """Say which engines work here, with versions, each proved by a tiny forward pass.

    \b
    Example:
      caffe2neon doctor
    """
    from caffe2neon.diagnosis import diagnose

    findings = diagnose()
    if as_json:
        click.echo(json.dumps([finding.__dict__ for finding in findings], indent=2))
    else:
        for finding in findings:
            state = "ok" if finding.works else "needed, fails" if finding.required else "not here"
            click.echo(f"{finding.name:15} {state:13} {finding.detail}")
    sys.exit(any((strict or finding.required) and not finding.works for finding in findings))
