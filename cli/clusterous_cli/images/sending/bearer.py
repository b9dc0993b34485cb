"""Tokens by which a registry on the cluster lets us push: signed here, for hours. Pure.

JSON Web Tokens, as distribution takes them:
https://distribution.github.io/distribution/spec/auth/jwt/
"""

import base64
import json
import secrets
from collections.abc import Iterable, Mapping
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from clusterous_cli.addons import registry
from clusterous_cli.boot import pki

# In seconds: as long as a build may take, and no day.
LASTS: Final = 7200
# Clocks differ.
EARLIER: Final = 300
_BYTES: Final = 32  # of each number of a signature


def signed(
    keys: Mapping[str, str], repositories: Iterable[str], now: float, seconds: int = LASTS
) -> str:
    """Return a token to push to *repositories*; *keys* are `pki.Secrets.registry`."""
    certificate, key = (keys[name].encode() for name in pki.PUSH)
    private = serialization.load_pem_private_key(key, password=None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    chain = x509.load_pem_x509_certificate(certificate).public_bytes(serialization.Encoding.DER)
    header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(chain).decode()]}
    claims = {
        "iss": registry.ISSUER,
        "sub": "clusterous",
        "aud": registry.SERVICE,
        "iat": int(now),
        "nbf": int(now) - EARLIER,
        "exp": int(now) + seconds,
        "jti": secrets.token_hex(8),
        "access": [
            {"type": "repository", "name": name, "actions": ["pull", "push"]}
            for name in repositories
        ],
    }
    text = f"{_encoded(header)}.{_encoded(claims)}"
    numbers = decode_dss_signature(private.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
    signature = b"".join(number.to_bytes(_BYTES, "big") for number in numbers)
    return f"{text}.{_spelled(signature)}"


def _encoded(value: Mapping[str, Any]) -> str:
    return _spelled(json.dumps(value, separators=(",", ":")).encode())


def _spelled(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
