"""The cluster's secrets: authorities that verify what they signed, tokens with the right hash."""

import hashlib
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import verification

from clusterous_cli.boot import pki
from tests import programs

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def secrets() -> pki.Secrets:
    return pki.create("reef", NOW)


def test_the_admins_certificate_is_signed_by_the_client_authority(secrets: pki.Secrets) -> None:
    admin = x509.load_pem_x509_certificate(secrets.admin_certificate.encode())
    authority = x509.load_pem_x509_certificate(secrets.tls["client-ca.crt"].encode())

    admin.verify_directly_issued_by(authority)
    subject = {part.rfc4514_attribute_name: part.value for part in admin.subject}
    assert subject == {"O": "system:masters", "CN": "clusterous-admin"}
    assert admin.not_valid_before_utc < NOW < admin.not_valid_after_utc
    assert admin.not_valid_after_utc < NOW + timedelta(days=366)


def test_the_admins_certificate_may_sign_nothing(secrets: pki.Secrets) -> None:
    admin = x509.load_pem_x509_certificate(secrets.admin_certificate.encode())

    constraints = admin.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = admin.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert (constraints.critical, constraints.value.ca) == (True, False)
    assert list(usage.value) == [x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]


@pytest.mark.parametrize(
    ("name", "purpose"),
    [
        (pki.SERVER[0], x509.oid.ExtendedKeyUsageOID.SERVER_AUTH),
        (pki.NODE[0], x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH),
    ],
)
def test_what_the_registrys_authority_signed_serves_one_purpose_and_signs_nothing(
    secrets: pki.Secrets, name: str, purpose: x509.ObjectIdentifier
) -> None:
    found = x509.load_pem_x509_certificate(secrets.registry[name].encode())

    found.verify_directly_issued_by(
        x509.load_pem_x509_certificate(secrets.registry[pki.REGISTRY_CA].encode())
    )
    constraints = found.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert (constraints.critical, constraints.value.ca) == (True, False)
    assert list(usage.value) == [purpose]


def test_who_pulls_is_not_who_pushes_and_nobody_keeps_the_key_of_the_registrys_authority(
    secrets: pki.Secrets,
) -> None:
    keys = [
        serialization.load_pem_private_key(text.encode(), None).public_key()
        for name, text in secrets.registry.items()
        if name.endswith(".key")
    ]
    signs = x509.load_pem_x509_certificate(secrets.registry[pki.REGISTRY_CA].encode())
    pushes = x509.load_pem_x509_certificate(secrets.registry[pki.PUSH[0]].encode())

    assert len(keys) == 3
    assert signs.public_key() not in keys
    assert pushes.public_key() in keys
    assert pushes.public_key() != signs.public_key()


@programs.needs("openssl")
@pytest.mark.parametrize("stem", pki.AUTHORITIES)
def test_openssl_accepts_the_authorities(secrets: pki.Secrets, stem: str, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text(secrets.tls[f"{stem}.crt"])
    (tmp_path / "admin.crt").write_text(secrets.admin_certificate)

    argv = ["openssl", "verify", "-purpose", "sslclient", "-CAfile", str(tmp_path / "ca.crt")]
    said = subprocess.run([*argv, str(tmp_path / "admin.crt")], capture_output=True, text=True)

    assert (said.returncode == 0) == (stem == "client-ca"), said.stderr


def test_every_key_fits_its_certificate(secrets: pki.Secrets) -> None:
    for stem in pki.AUTHORITIES:
        certificate = x509.load_pem_x509_certificate(secrets.tls[f"{stem}.crt"].encode())
        key = serialization.load_pem_private_key(secrets.tls[f"{stem}.key"].encode(), None)
        assert certificate.public_key() == key.public_key()  # type: ignore[union-attr]
    assert verification.Store([certificate])


def test_tokens_carry_the_hash_of_the_server_authority(secrets: pki.Secrets) -> None:
    digest = hashlib.sha256(secrets.tls["server-ca.crt"].encode()).hexdigest()

    assert secrets.server_token == f"K10{digest}::server:{secrets.server_secret}"
    assert secrets.agent_token == f"K10{digest}::node:{secrets.agent_secret}"
    assert secrets.server_secret != secrets.agent_secret


def test_secrets_survive_the_record(secrets: pki.Secrets) -> None:
    assert pki.Secrets.from_json(secrets.to_json()) == secrets
