"""`clusterous credential`: the credential plugin that kubectl starts by itself.

It asks AWS for nothing and imports nothing heavy: kubectl starts it with every command.
"""

import json
from datetime import UTC, datetime

import click

from clusterous_api.errors import UserError
from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command, hidden=True)
@options.with_settings
def command(settings: Settings) -> None:
    """Open the tunnel to the cluster, and print an ExecCredential for kubectl."""
    from clusterous_cli.cluster import local
    from clusterous_cli.reach import kubeconfig

    if not settings.cluster:
        raise UserError("credential needs --cluster NAME; kubectl gives it.")
    link = kubeconfig.read_or_explain(local.find(settings.cluster), settings.cluster)
    link.tunnel.ensure()
    click.echo(json.dumps(kubeconfig.credential(link, datetime.now(UTC))))
