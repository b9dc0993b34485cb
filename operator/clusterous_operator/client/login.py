"""How to reach the API server: the service account in a pod, else the kubeconfig.

Files are read at every call, so that a renewed token is found after the old one was refused.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import kopf

from clusterous_api.errors import TransientError, UserError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_AGAIN_SECONDS = 2.0


async def connection(
    environ: Mapping[str, str] = os.environ, account: Path = ACCOUNT
) -> kopf.ConnectionInfo:
    """Return address and credentials as they are now."""
    host = environ.get("KUBERNETES_SERVICE_HOST")
    if host and (account / "token").exists() and not environ.get("KUBECONFIG"):
        return _in_cluster(host, environ.get("KUBERNETES_SERVICE_PORT", "443"), account)
    info = kopf.login_with_kubeconfig(settings=kopf.OperatorSettings())
    if info is None:
        raise UserError("There is neither a service account nor a kubeconfig; set KUBECONFIG.")
    if info.token or info.username or info.certificate_data or info.certificate_path:
        return info
    # Nowhere else: inside a cluster `kubernetes` is neither needed nor there (docs/adr/0003).
    from clusterous_operator.client import helpers

    return await helpers.completed(info)


def _in_cluster(host: str, port: str, account: Path) -> kopf.ConnectionInfo:
    # By address, not by name: the operator must work before the cluster's DNS does.
    address = f"[{host}]" if ":" in host else host
    return kopf.ConnectionInfo(
        server=f"https://{address}:{port}",
        ca_path=str(account / "ca.crt"),
        token=(account / "token").read_text().strip(),
    )


async def log_in(known: "Known") -> kopf.ConnectionInfo:
    """Return what kopf is to be given; it asks again after a moment where that fails."""
    try:
        return known.other(await connection())
    except TransientError as error:
        raise kopf.TemporaryError(str(error), delay=_AGAIN_SECONDS) from error


class Known:
    """The credentials that kopf has been given: it asks again when they were refused.

    Given the same ones once more, kopf ends the process; so it waits until there are others.
    """

    def __init__(self) -> None:
        self._given: kopf.ConnectionInfo | None = None

    def other(self, found: kopf.ConnectionInfo) -> kopf.ConnectionInfo:
        """Return *found* unless it was given before."""
        if found == self._given:
            raise kopf.TemporaryError(
                "The API server refused our token, and there is no newer one yet.",
                delay=_AGAIN_SECONDS,
            )
        self._given = found
        return found
