"""`clusterous kubectl ARGS…`: kubectl against the cluster."""

import click

from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(
    cls=options.Command,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.option("--config", "show_config", is_flag=True, help="Print the path of the kubeconfig.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[ARGS]...")
@options.with_settings
def command(settings: Settings, show_config: bool, arguments: tuple[str, ...]) -> None:
    """Run kubectl against the cluster, or make its kubeconfig.

    Options of clusterous come before the first argument, everything after it is kubectl's.
    The kubeconfig also serves plain kubectl and other programs; its credential plugin opens the
    tunnel by itself:

    \b
    export KUBECONFIG=$(clusterous kubectl --config)
    kubectl get capp
    """
    from clusterous_cli.commands import opening
    from clusterous_cli.reach import kubeconfig, session
    from clusterous_cli.system import shell

    if not show_config:
        shell.program("kubectl")
    opened = opening.session_of(settings)
    reached = session.link(opened.cluster)
    if show_config:
        click.echo(opened.cluster.kubeconfig)
        return
    reached.tunnel.ensure()
    shell.replace(["kubectl", *arguments], kubeconfig.environment(opened.cluster.home))
