"""A cluster's secrets, made before its first machine: authorities, tokens, admin and SSH keys.

Because the authorities exist first, the join token (which holds their hash) and the admin's
certificate are known before any node runs, so that all nodes start in one wave and nobody logs in.
"""

import ipaddress
import json
import secrets as randomness
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from clusterous_cli.cluster.file import registry

YEARS_OF_CA: Final = 10
YEARS_OF_ADMIN: Final = 1
# The file names that k3s looks for in server/tls; it makes only those authorities that are missing.
AUTHORITIES: Final = (
    "server-ca",
    "client-ca",
    "request-header-ca",
    "etcd/peer-ca",
    "etcd/server-ca",
)
SERVICE_KEY: Final = "service.key"
# The parts of `Secrets.registry`: who signed the next two, the registry's own certificate, that of
# the nodes, which pull by it, and what tokens of those who push are signed with.
REGISTRY_CA: Final = "ca.crt"
SERVER: Final = ("server.crt", "server.key")
NODE: Final = ("node.crt", "node.key")
PUSH: Final = ("push.crt", "push.key")
# What uploads are signed with: the same for each pod, so that one goes on where another ended.
UPLOADS: Final = "uploads"


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """All secrets of one cluster."""

    tls: Mapping[str, str]
    server_secret: str
    agent_secret: str
    admin_certificate: str
    admin_key: str
    ssh_private: str
    ssh_public: str
    # By which a registry on the cluster is known, and those who pull and push. See `_registry`.
    registry: Mapping[str, str] = field(default_factory=dict)

    @property
    def server_ca(self) -> str:
        """The certificate by which clients know the API server."""
        return self.tls["server-ca.crt"]

    @property
    def server_token(self) -> str:
        """The token of servers; it is worth the whole cluster."""
        return f"{self._prefix}::server:{self.server_secret}"

    @property
    def agent_token(self) -> str:
        """The token with which workers join; the hash in it tells them the true server."""
        return f"{self._prefix}::node:{self.agent_secret}"

    @property
    def _prefix(self) -> str:
        return f"K10{sha256(self.server_ca.encode()).hexdigest()}"

    def to_json(self) -> str:
        """Spell the secrets for the record."""
        return json.dumps(asdict(self), indent=1)

    @staticmethod
    def from_json(text: str) -> "Secrets":
        """Read what `to_json` wrote."""
        return Secrets(**json.loads(text))


def create(name: str, now: datetime) -> Secrets:
    """Make all secrets of cluster *name*; valid a little before *now*, since clocks differ."""
    authorities = {stem: _authority(f"{name} {stem}", now) for stem in AUTHORITIES}
    admin_key, admin_certificate = _admin(*authorities["client-ca"], now)
    ssh = ed25519.Ed25519PrivateKey.generate()
    return Secrets(
        tls=_files(authorities),
        server_secret=randomness.token_hex(32),
        agent_secret=randomness.token_hex(32),
        admin_certificate=_pem(admin_certificate),
        admin_key=_key_pem(admin_key),
        ssh_private=ssh.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        ).decode(),
        ssh_public=ssh.public_key()
        .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        .decode()
        + f" clusterous-{name}",
        registry=_registry(name, now),
    )


def _files(
    authorities: Mapping[str, tuple[ec.EllipticCurvePrivateKey, x509.Certificate]],
) -> dict[str, str]:
    files = {}
    for stem, (key, certificate) in authorities.items():
        files[f"{stem}.crt"] = _pem(certificate)
        files[f"{stem}.key"] = _key_pem(key)
    service = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return {**files, SERVICE_KEY: _key_pem(service)}


def _authority(
    common_name: str, now: datetime
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"clusterous {common_name}")])
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=True,
        data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    builder = _builder(subject, subject, key.public_key(), now, YEARS_OF_CA)
    certificate = (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return key, certificate


def _admin(
    ca_key: ec.EllipticCurvePrivateKey, ca: x509.Certificate, now: datetime
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters"),
            x509.NameAttribute(NameOID.COMMON_NAME, "clusterous-admin"),
        ]
    )
    certificate = (
        _builder(subject, ca.subject, key.public_key(), now, YEARS_OF_ADMIN)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return key, certificate


def _registry(name: str, now: datetime) -> dict[str, str]:
    """Make what a registry on the cluster needs; the key of its authority is kept by nobody.

    Who pushes has an authority of its own: else a node could make itself one who does.
    """
    ca_key, ca = _authority(f"{name} registry", now)
    push_key, push = _authority(f"{name} push", now)
    addresses = [ipaddress.ip_address(one) for one in (registry.READ, registry.WRITE, "127.0.0.1")]
    called = [x509.DNSName(registry.NAME), *(x509.IPAddress(one) for one in addresses)]
    of_registry = [
        x509.SubjectAlternativeName(called),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
    ]
    of_node = [x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])]
    return {
        REGISTRY_CA: _pem(ca),
        UPLOADS: randomness.token_hex(32),
        **_certified(SERVER, of_registry, ca_key, ca, now),
        **_certified(NODE, of_node, ca_key, ca, now),
        PUSH[0]: _pem(push),
        PUSH[1]: _key_pem(push_key),
    }


def _certified(
    names: tuple[str, str],
    extensions: Sequence[x509.ExtensionType],
    ca_key: ec.EllipticCurvePrivateKey,
    ca: x509.Certificate,
    now: datetime,
) -> dict[str, str]:
    """Make a key and its certificate, by their *names*."""
    key = ec.generate_private_key(ec.SECP256R1())
    title = f"clusterous registry {names[0].removesuffix('.crt')}"
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    builder = _builder(subject, ca.subject, key.public_key(), now, YEARS_OF_CA).add_extension(
        x509.BasicConstraints(ca=False, path_length=None), critical=True
    )
    for extension in (issuer, *extensions):
        builder = builder.add_extension(extension, critical=False)
    return {names[0]: _pem(builder.sign(ca_key, hashes.SHA256())), names[1]: _key_pem(key)}


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    now: datetime,
    years: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.astimezone(UTC) - timedelta(hours=1))
        .not_valid_after(now.astimezone(UTC) + timedelta(days=365 * years))
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()
