"""ECR's registry: AWS's tokens, repositories and rules before the distribution registry."""

import base64
import binascii
import contextlib
import hashlib
import shutil
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from tests.region.internet import server
from tests.region.registry import front
from tests.region.registry.distribution import Distribution
from tests.region.registry.front import Asked, Pushed, Reply

_EXPIRED: Final = "Your authorization token has expired. Reauthenticate and try again."


class Aws(Protocol):
    """What the registry asks of the simulated AWS."""

    def ecr_check(self, token: str) -> bool: ...
    def ecr_allowed(self, token: str, action: str, repository: str) -> bool: ...
    def ecr_repository_exists(self, name: str) -> bool: ...
    def ecr_fixed_digest(self, repository: str, tag: str) -> str | None:
        """Return what an immutable tag stands for; None where it may be (over)written."""

    def ecr_put_image(
        self, repository: str, tag: str | None, digest: str, manifest: bytes, media_type: str
    ) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Decides who may do what, as ECR does."""

    aws: Aws

    def check(self, asked: Asked) -> Reply | None:
        token = _password(asked.authorization)
        if token is None:
            return _unauthorized(asked)
        if not self.aws.ecr_check(token):
            return front.errors(403, "DENIED", _EXPIRED)
        if asked.path in ("/v2/", "/v2"):
            return None
        if not asked.name or asked.method == "DELETE":
            return front.errors(405, "UNSUPPORTED", "The operation is unsupported.")
        return self._check_repository(asked, token)

    def _check_repository(self, asked: Asked, token: str) -> Reply | None:
        action = _action(asked)
        if not self.aws.ecr_allowed(token, action, asked.name):
            account, region = _place(asked.host)
            resource = f"arn:aws:ecr:{region}:{account}:repository/{asked.name}"
            message = f"User is not authorized to perform: ecr:{action} on resource: {resource}"
            return front.errors(403, "DENIED", message)
        if not self.aws.ecr_repository_exists(asked.name):
            account, _ = _place(asked.host)
            message = (
                f"The repository with name '{asked.name}' does not exist "
                f"in the registry with id '{account}'"
            )
            return front.errors(404, "NAME_UNKNOWN", message)
        return None

    def target(self, asked: Asked) -> str:
        # ECR mounts no layers from other repositories, unless an account opts in: the client
        # is told to upload, which is what comes of the request without its query.
        is_mount = asked.is_upload and asked.method == "POST" and "mount=" in asked.query
        return asked.path if is_mount or not asked.query else f"{asked.path}?{asked.query}"

    def check_manifest(self, asked: Asked, manifest: bytes) -> Reply | None:
        held = self.aws.ecr_fixed_digest(asked.name, asked.reference)
        if held is None or held == f"sha256:{hashlib.sha256(manifest).hexdigest()}":
            return None
        message = (
            f"The image tag '{asked.reference}' already exists in the '{asked.name}' repository "
            "and cannot be overwritten because the tag is immutable."
        )
        return front.errors(400, "TAG_INVALID", message)

    def pushed(self, push: Pushed) -> None:
        self.aws.ecr_put_image(push.name, push.tag, push.digest, push.manifest, push.media_type)


class Ecr:
    """The registry of one account in one region, on a socket."""

    def __init__(
        self,
        listening: socket.socket,
        tls: ssl.SSLContext | None,
        program: Path,
        storage: Path,
        aws: Aws,
    ) -> None:
        self._storage = storage
        self._distribution = Distribution(program, storage, read_only=False)
        guard = front.handler(Gate(aws=aws), self._distribution.socket_path)
        self._servers = server.serve([(listening, tls)], guard, "ecr")

    def delete(self, repository: str, digest: str, tag: str | None) -> None:
        """Forget an image that was deleted by way of the API: one tag of it, or the whole."""
        home = self._storage / "docker/registry/v2/repositories" / repository / "_manifests"
        gone = home / "tags" / tag if tag else home / "revisions/sha256" / digest[7:]
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(gone)

    def close(self) -> None:
        server.stop(self._servers)
        self._distribution.close()


def start(
    listening: socket.socket,
    tls: ssl.SSLContext | None,
    program: Path,
    storage: Path,
    aws: Aws,
) -> Ecr:
    """Serve ECR on *listening*; let the AWS server's `ecr_image_deleted` be its `delete`."""
    storage.mkdir(parents=True, exist_ok=True)
    return Ecr(listening, tls, program, storage, aws)


def _password(authorization: str) -> str | None:
    """Return the token of `Basic base64(AWS:token)`, or None for anything else."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return password if scheme.lower() == "basic" and user == "AWS" and password else None


def _unauthorized(asked: Asked) -> Reply:
    challenge = f'Basic realm="https://{asked.host}/",service="ecr.amazonaws.com"'
    return Reply(
        status=401,
        body=b"Not Authorized\n",
        headers={"Www-Authenticate": challenge, "Content-Type": "text/plain; charset=utf-8"},
    )


def _place(host: str) -> tuple[str, str]:
    """Return account and region of ACCOUNT.dkr.ecr.REGION.amazonaws.com."""
    account, _, rest = host.partition(".dkr.ecr.")
    return account, rest.partition(".")[0]


def _action(asked: Asked) -> str:
    """Return the IAM action that a request of the registry API needs."""
    match asked.kind, asked.method:
        case "manifests", "PUT":
            return "PutImage"
        case "manifests", _:
            return "BatchGetImage"
        case "blobs", "HEAD":
            return "BatchCheckLayerAvailability"
        case "blobs", "POST":
            return "InitiateLayerUpload"
        case "blobs", "PATCH":
            return "UploadLayerPart"
        case "blobs", "PUT":
            return "CompleteLayerUpload"
        case "blobs", _:
            return "UploadLayerPart" if asked.is_upload else "GetDownloadUrlForLayer"
        case _:
            return "ListImages"
