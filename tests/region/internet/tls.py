"""The region's own certificate authority, and one certificate for all names of its internet.

People and machines of the region trust the authority as they would trust the public ones; nobody
else ever does: its key lives in the region's state and goes with it.
"""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAYS: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


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
        "docker.io",
        "*.docker.io",
        "*.docker.com",
    )


def make_authority(now: datetime) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "simulated region CA")])
    certificate = (
        _builder(name, name, key, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate=certificate, key=key)


def sign(
    authority: Authority, dns_names: Sequence[str], addresses: Sequence[str], now: datetime
) -> tuple[bytes, bytes]:
    """Answer a certificate for *dns_names* and *addresses*, and its key, both as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "simulated region")])
    alternatives = [
        *(x509.DNSName(name) for name in dns_names),
        *(x509.IPAddress(ip_address(address)) for address in addresses),
    ]
    certificate = (
        _builder(subject, authority.certificate.subject, key, now)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_signer(authority), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return pem(certificate), _key_pem(key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=_DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _signer(authority: Authority) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def write(folder: Path, dns_names: Sequence[str], addresses: Sequence[str]) -> Files:
    """Make an authority and a certificate of it, and write them into *folder*."""
    now = datetime.now(UTC)
    authority = make_authority(now)
    certificate, key = sign(authority, dns_names, addresses, now)
    folder.mkdir(parents=True, exist_ok=True, mode=0o755)
    files = Files(
        ca=folder / "ca.pem", certificate=folder / "server.pem", key=folder / "server.key"
    )
    files.ca.write_bytes(pem(authority.certificate))
    files.certificate.write_bytes(certificate)
    files.key.touch(mode=0o600)
    files.key.write_bytes(key)
    return files


def context(files: Files) -> ssl.SSLContext:
    """Answer what a server of the region needs to prove who it is."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(files.certificate, files.key)
    made.set_alpn_protocols(["http/1.1"])
    return made
