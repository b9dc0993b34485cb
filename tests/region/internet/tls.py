"""The region's own certificate authority, and one certificate for all names of its internet.

People and machines of the region trust the authority as they would trust the public ones; nobody
else ever does: its key lives in the region's state and goes with it.
"""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Where the region keeps what `write` wrote."""

    ca: Path  # what to trust
    certificate: Path
    key: Path


def names(aws_region: str) -> tuple[str, ...]:
    """List every name that the region's internet serves; a star stands for one label only."""
    services = ("ec2", "sts", "iam", "ssm", "elasticfilesystem", "servicequotas", "ecr")
    return (
        "amazonaws.com",
        "*.amazonaws.com",
        f"*.{aws_region}.amazonaws.com",
        *(f"{service}.{aws_region}.amazonaws.com" for service in services),
        f"api.ecr.{aws_region}.amazonaws.com",
        "api.pricing.us-east-1.amazonaws.com",
        "*.us-east-1.amazonaws.com",
        f"*.s3.{aws_region}.amazonaws.com",
        "*.s3.amazonaws.com",
        f"*.dkr.ecr.{aws_region}.amazonaws.com",
        "github.com",
        "*.githubusercontent.com",
        "artifacts.k8s.io",
        "*.debian.org",
        "pypi.org",
        "files.pythonhosted.org",
        "registry.k8s.io",
        "docker.io",
        "*.docker.io",
        "*.docker.com",
    )


def write(folder: Path, dns_names: Sequence[str], addresses: Sequence[str]) -> Files:
    """Make an authority and a certificate of it, and write them into *folder*."""
    authority = trustme.CA(organization_name="simulated region")
    made = authority.issue_cert(*dns_names, *addresses)
    folder.mkdir(parents=True, exist_ok=True, mode=0o755)
    files = Files(
        ca=folder / "ca.pem", certificate=folder / "server.pem", key=folder / "server.key"
    )
    files.ca.write_bytes(authority.cert_pem.bytes())
    files.certificate.write_bytes(made.cert_chain_pems[0].bytes())
    files.key.touch(mode=0o600)
    files.key.write_bytes(made.private_key_pem.bytes())
    return files


def context(files: Files) -> ssl.SSLContext:
    """Answer what a server of the region needs to prove who it is."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(files.certificate, files.key)
    made.set_alpn_protocols(["http/1.1"])
    return made
