"""A small client of the Kubernetes API: HTTPS with our certificate, JSON in and out."""

import http.client
import json
import socket
import ssl
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import quote, urlencode

from clusterous_api import applying, names
from clusterous_api.errors import FailedError, TransientError, UserError

Object = dict[str, Any]

FIELD_MANAGER: Final = "clusterous-cli"
TIMEOUT: Final = 30


# https://github.com/kubernetes/kubernetes/blob/master/pkg/registry/core/pod/storage/eviction.go
TWO_BUDGETS: Final = "more than one PodDisruptionBudget"


class ApiError(FailedError):
    """The API server refused a request."""


class Refused(UserError):
    """The API server does not accept what the user's file says."""


class Transport(Protocol):
    """Sends one request and brings back its status and body."""

    def __call__(self, method: str, path: str, body: str | None, kind: str) -> tuple[int, str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Https:
    """A transport to 127.0.0.1:*port*, where the tunnel begins."""

    port: int
    context: ssl.SSLContext
    server_name: str

    def __call__(self, method: str, path: str, body: str | None, kind: str) -> tuple[int, str]:
        connection = _Connection(self.port, self.context, self.server_name)
        headers = {"Accept": "application/json", "Content-Type": kind}
        try:
            # As bytes: http.client would send text as Latin-1, which has no emoji.
            data = None if body is None else body.encode()
            connection.request(method, path, body=data, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise TransientError(
                f"The cluster's API server does not answer ({error}). Try again; "
                "`clusterous status` says how the controller is."
            ) from error
        finally:
            connection.close()


class _Connection(http.client.HTTPSConnection):
    """Connects to loopback, but expects the certificate of the API server."""

    def __init__(self, port: int, context: ssl.SSLContext, server_name: str) -> None:
        super().__init__("127.0.0.1", port, timeout=TIMEOUT, context=context)
        self._tls, self._server_name = context, server_name

    def connect(self) -> None:
        plain = socket.create_connection((self.host, self.port), timeout=TIMEOUT)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self._server_name)


def tls_context(server_ca: str, certificate: str, key: str) -> ssl.SSLContext:
    """Trust only the cluster's authority, and show our certificate."""
    context = ssl.create_default_context(cadata=server_ca)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:  # ssl takes it from a file only
        file.write(certificate.rstrip() + "\n" + key)
        file.flush()
        context.load_cert_chain(file.name)
    return context


class Api:
    """The requests that we make."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self._resources: dict[str, dict[str, Object]] = {}

    def find(self, path: str) -> Object | None:
        """The object at *path*, or None."""
        status, body = self.transport("GET", path, None, "application/json")
        return None if status == 404 else _checked(status, body)

    def items(self, path: str) -> list[Object]:
        """All objects of a list; none where the kind itself is not known."""
        found = self.find(path)
        return list((found or {}).get("items", ()))

    def text(self, path: str, query: Mapping[str, str]) -> str:
        """What is no object, such as a log; nothing where there is none (400: none yet)."""
        status, body = self.transport("GET", f"{path}?{urlencode(query)}", None, "application/json")
        if status in (400, 404):
            return ""
        if status >= 400:
            _checked(status, body)
        return body

    def apply(self, manifest: Object) -> tuple[Object, bool]:
        """Server-side apply; the object as it is now, and whether anything changed."""
        before = self.find(self.path_of(manifest))
        after = self._patch(manifest)
        return after, before is None or _version(before) != _version(after)

    def cordon(self, node: str) -> bool:
        """Let nothing new come to a *node*; False where there is no such node."""
        path = f"/api/v1/nodes/{quote(node, safe='')}"
        change = json.dumps({"spec": {"unschedulable": True}})
        status, body = self.transport("PATCH", path, change, "application/merge-patch+json")
        if status == 404:
            return False
        _checked(status, body)
        return True

    def evict(self, pod: Mapping[str, Any]) -> str:
        """Ask this very pod to end, as far as disruption budgets allow; return why not (yet)."""
        metadata = pod["metadata"]
        place, name = quote(metadata["namespace"], safe=""), quote(metadata["name"], safe="")
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
            "deleteOptions": {"preconditions": {"uid": metadata["uid"]}},
        }
        status, body = self.transport(
            "POST",
            f"/api/v1/namespaces/{place}/pods/{name}/eviction",
            json.dumps(eviction),
            "application/json",
        )
        if status in (404, 409):  # it is gone, or another has its name by now
            return ""
        # A budget; two of them, which is an answer 500; a webhook; a namespace that is going.
        if status in (400, 403, 422, 429) or (status == 500 and TWO_BUDGETS in body):
            return _message(body) or "a disruption budget keeps it"
        _checked(status, body)
        return ""

    def delete(self, path: str) -> None:
        """Remove the object at *path*, which may be gone already."""
        status, body = self.transport("DELETE", path, None, "application/json")
        if status != 404:
            _checked(status, body)

    def annotate(self, path: str, key: str, value: str) -> Object:
        """Set one annotation of the object at *path*; nothing else of it is claimed."""
        return self.merge(path, {"metadata": {"annotations": {key: value}}})

    def merge(self, path: str, change: Mapping[str, Any]) -> Object:
        """Change some fields of the object at *path*; nothing else of it is claimed."""
        text = json.dumps(change)
        status, body = self.transport("PATCH", path, text, "application/merge-patch+json")
        return _checked(status, body)

    def edit(self, path: str, operations: Sequence[Mapping[str, Any]]) -> Object:
        """Change some fields of the object at *path* by a JSON patch; all of it, or nothing."""
        text = json.dumps(list(operations))
        status, body = self.transport("PATCH", path, text, "application/json-patch+json")
        return _checked(status, body)

    def check(self, manifest: Object) -> None:
        """Let the server say now what it would refuse later; nothing is changed."""
        namespace = manifest["metadata"].get("namespace", "default")
        if self.find(f"/api/v1/namespaces/{quote(namespace, safe='')}") is not None:
            self._patch(manifest, "&dryRun=All")

    def _patch(self, manifest: Object, more: str = "") -> Object:
        query = f"fieldManager={FIELD_MANAGER}&force=true&fieldValidation=Strict{more}"
        path = f"{self.path_of(manifest)}?{query}"
        status, body = self.transport(
            "PATCH", path, applying.dumps(manifest), "application/apply-patch+yaml"
        )
        return _checked(status, body, what=_title(manifest))

    def path_of(self, manifest: Mapping[str, Any]) -> str:
        """Where an object lives, found out from the API server itself."""
        group = str(manifest["apiVersion"])
        if group not in self._resources:
            found = self.find(group_path(group)) or {}
            plain = [r for r in found.get("resources", ()) if "/" not in r["name"]]
            self._resources[group] = {r["kind"]: r for r in plain}
        resource = self._resources[group].get(str(manifest["kind"]))
        if resource is None:
            raise Refused(f"The cluster knows no {manifest['kind']} of {group}.")
        metadata = manifest["metadata"]
        inside = f"/namespaces/{quote(metadata.get('namespace', 'default'), safe='')}"
        where = inside if resource["namespaced"] else ""
        return f"{group_path(group)}{where}/{resource['name']}/{quote(metadata['name'], safe='')}"


def readiness(node: Mapping[str, Any]) -> str:
    """What Kubernetes holds of a node: True, False, or Unknown of one that is silent; or nothing.

    https://kubernetes.io/docs/reference/node/node-status/#condition
    """
    conditions = node.get("status", {}).get("conditions") or ()
    return next((str(one["status"]) for one in conditions if one["type"] == "Ready"), "")


def group_path(group: str) -> str:
    return f"/apis/{group}" if "/" in group else f"/api/{group}"


def apps_path(namespace: str | None = None, name: str | None = None) -> str:
    """Where ClusterousApps live: all, those of a namespace, or one."""
    where = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
    one = f"/{quote(name, safe='')}" if name else ""
    return f"/apis/{names.API_VERSION}{where}/{names.PLURAL}{one}"


def pods_path(namespace: str, labels: Mapping[str, str]) -> str:
    """Where the pods of a namespace are that have *labels*."""
    which = quote(",".join(f"{key}={value}" for key, value in labels.items()), safe="")
    return f"/api/v1/namespaces/{quote(namespace, safe='')}/pods?labelSelector={which}"


def _checked(status: int, body: str, what: str = "") -> Object:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = {}
    if status < 400 and isinstance(answer, dict):
        return answer
    message = answer.get("message") if isinstance(answer, dict) else None
    message = message or body.strip()[:300] or f"HTTP status {status}"
    is_misshapen = status == 500 and applying.is_misshapen(message)
    if status in (400, 422) or is_misshapen or applying.is_denied(message):
        raise Refused(f"The cluster does not accept {what or 'the request'}: {message}")
    if status in (429, 500, 503, 504):
        raise TransientError(f"The cluster's API server is busy: {message}")
    raise ApiError(f"The cluster's API server refused {what or 'a request'}: {message}")


def _message(body: str) -> str:
    """What a refusal says; of a budget the cause says more than the message."""
    try:
        said = json.loads(body)
        causes = [str(one["message"]) for one in said.get("details", {}).get("causes", ())]
        return next(iter(causes), str(said.get("message", "")))
    except (ValueError, AttributeError, KeyError, TypeError):
        return ""


def _title(manifest: Mapping[str, Any]) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def _version(item: Mapping[str, Any]) -> str:
    return str(item.get("metadata", {}).get("resourceVersion"))
