"""`clusterous credential`: the credential plugin that kubectl starts by itself.

It asks AWS for nothing and imports nothing heavy: kubectl starts it with every command.
"""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import click

from clusterous_api.errors import UserError
from clusterous_cli import options
from clusterous_cli.options import Settings


@click.command(cls=options.Command, hidden=True)
@options.with_settings
def command(settings: Settings) -> None:
    """Open the tunnel to the cluster, and print an ExecCredential for kubectl."""
    from clusterous_cli import kubeconfig

    if not settings.cluster:
        raise UserError("credential needs --cluster NAME; kubectl gives it.")
    home = Path(os.environ.get("CLUSTEROUS_HOME") or Path.home() / ".clusterous")
    where = home / "clusters" / settings.cluster
    link = kubeconfig.read_or_explain(where, settings.cluster)
    link.tunnel.ensure()
    click.echo(json.dumps(kubeconfig.credential(link, datetime.now(UTC))))
