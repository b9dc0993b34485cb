"""Credentials that a kubeconfig does not hold but names a helper for: an exec plug-in, or OIDC.

The `kubernetes` package asks them; docs/adr/0003-kubernetes-client.md says why by two of its
modules. Import this late: it costs some 24 MiB, and inside a cluster nothing of it is needed.
"""

import asyncio
import dataclasses
import logging
import os
import sys
from collections.abc import Callable
from typing import Any, Final

import kopf

from clusterous_api.errors import TransientError, UserError

_PLACE: Final = "~/.kube/config"
# A helper may ask a person in a browser, for whom we wait; after so long we say so.
_SECONDS: Final = 20.0
_WAITING: Final = (
    "Waiting for the helper that the kubeconfig names to log in with; does it ask somebody?"
)

logger = logging.getLogger(__name__)
_asking = asyncio.Lock()  # an issuer takes a refresh token once: the second finds what came of it


class HelperError(TransientError):
    """A helper failed; it may do better the next time."""


async def completed(info: kopf.ConnectionInfo) -> kopf.ConnectionInfo:
    """Return *info*, read from the kubeconfig, with the credentials of the helper named there."""
    if sys.modules.get("kubernetes", sys) is None:
        del sys.modules["kubernetes"]  # __main__ hid it from kopf
    try:
        from kubernetes.config import kube_config
    except ImportError as error:
        raise UserError(
            "The kubeconfig names a helper to log in with, and the Python package `kubernetes`, "
            "which asks it, is missing here: `pip install kubernetes`."
        ) from error
    async with _asking:
        files = kube_config.KubeConfigMerger(os.environ.get("KUBECONFIG") or _PLACE)
        context = _context(files)
        user = _user(files, context)
        if user is None or not ("exec" in user or "auth-provider" in user):
            return info
        ask = _by_plugin(user) if "exec" in user else _by_issuer(files, context, user)
        return dataclasses.replace(info, **await _answer(ask))


def _context(files: Any) -> str:
    """As kubectl and kopf do, take the first that is named; the package takes the last."""
    named = (content.get("current-context") for content in files.config_files.values())
    return next((str(name) for name in named if name), "")


def _user(files: Any, context: str) -> Any:
    name = files.config["contexts"].get_with_name(context)["context"].safe_get("user")
    found = files.config["users"].get_with_name(name, safe=True) if name else None
    return found["user"] if found and found.safe_get("user") else None


async def _answer(ask: Any) -> dict[str, Any]:
    import oauthlib.oauth2
    import urllib3.exceptions
    from kubernetes import config
    from kubernetes.aio import config as aio_config

    reminder = asyncio.get_running_loop().call_later(_SECONDS, logger.warning, _WAITING)
    try:
        found: dict[str, Any] = await ask
        return found
    except (
        config.ConfigException,
        aio_config.ConfigException,
        oauthlib.oauth2.OAuth2Error,
        urllib3.exceptions.HTTPError,
        OSError,
        ValueError,
        KeyError,
    ) as error:
        raise HelperError(
            f"The helper that the kubeconfig names to log in with failed: {error}. "
            "`kubectl get --raw /version` asks the same one."
        ) from error
    finally:
        reminder.cancel()


async def _by_plugin(user: Any) -> dict[str, Any]:
    from kubernetes.aio.config.exec_provider import ExecProvider

    said = await ExecProvider(user["exec"]).run()
    if "token" in said:
        return {"token": said["token"]}
    return {
        "certificate_data": said["clientCertificateData"],
        "private_key_data": said["clientKeyData"],
    }


async def _by_issuer(files: Any, context: str, user: Any) -> dict[str, Any]:
    """Return the token of the issuer, refreshed and written back as kubectl does it."""
    import certifi
    from kubernetes.client import Configuration
    from kubernetes.config import kube_config

    kind = user["auth-provider"]["name"]
    if kind != "oidc":
        raise UserError(f"The kubeconfig's auth-provider {kind} is not served; use a plug-in.")
    settings = user["auth-provider"]["config"].value
    loader = kube_config.KubeConfigLoader(
        config_dict=files.config,
        active_context=context,
        config_base_path=None,
        config_persister=_without(settings, _assumed(settings, certifi.where()), files),
    )
    made = Configuration()
    await asyncio.to_thread(loader.load_and_set, made)
    return {"token": made.api_key["BearerToken"].removeprefix("Bearer ")}


def _assumed(settings: dict[str, str], trusted: str) -> dict[str, str]:
    """Fill in what kubectl assumes; return it. Without an authority the package trusts anybody."""
    assumed = {"client-secret": ""}
    if not {"idp-certificate-authority", "idp-certificate-authority-data"} & settings.keys():
        assumed["idp-certificate-authority"] = trusted
    added = {key: value for key, value in assumed.items() if key not in settings}
    settings.update(added)
    return added


def _without(settings: dict[str, str], added: dict[str, str], files: Any) -> Callable[[], None]:
    """Return what writes the kubeconfig, but not what we *added* to it."""

    def keep() -> None:
        for key in added:
            del settings[key]
        files.save_changes()
        settings.update(added)

    return keep
