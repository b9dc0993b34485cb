"""Signature version 4, checked over what was really sent, and refused in each service's words."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, unquote

from tests.region.aws.errors import Protocol, Refusal
from tests.region.aws.keys import Key, Keys
from tests.region.aws.request import Request

ALGORITHM: Final = "AWS4-HMAC-SHA256"
UNSIGNED: Final = "UNSIGNED-PAYLOAD"
_EMPTY: Final = hashlib.sha256(b"").hexdigest()
_UNRESERVED: Final = "-_.~"
_FORMAT: Final = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a request says about its own signature."""

    key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    time: str
    token: str | None
    payload: str
    presigned: bool = False
    expires: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A good signature. *seed* and *signing_key* begin the chain of signed chunks."""

    key: Key
    claim: Claim
    signing_key: bytes


def verify(request: Request, keys: Keys, now: float, skew: float, region: str) -> Verified:
    """Return whose signature *request* bears; raise AWS's refusal if it is missing or wrong.

    *region* is the one that the service at this address expects.
    """
    words = _Words(request.target.protocol)
    claim = _claim(request, words)
    key = keys.find(claim.key_id)
    if key is None:
        raise words.unknown_key(claim.key_id)
    _check_token(claim, key, now, words)
    _check_time(claim, now, skew, words)
    _check_scope(claim, request, region, words)
    _check_all_signed(claim, request)
    signing_key = derive(key.credentials.secret_access_key, claim)
    canonical = canonical_request(request, claim)
    to_sign = string_to_sign(claim, canonical)
    if not hmac.compare_digest(_sign(signing_key, to_sign), claim.signature):
        raise words.mismatch(claim, canonical, to_sign)
    if request.target.service != "s3":
        _check_body(request, claim, words, canonical, to_sign)
    return Verified(key=key, claim=claim, signing_key=signing_key)


def _check_body(
    request: Request, claim: Claim, words: _Words, canonical: str, to_sign: str
) -> None:
    if claim.payload != hashlib.sha256(request.body).hexdigest():
        raise words.mismatch(claim, canonical, to_sign)


# --- what the request says --------------------------------------------------------------------


def _claim(request: Request, words: _Words) -> Claim:
    if "X-Amz-Algorithm" in request.query:
        return _presigned(request, words)
    header = request.headers.get("authorization", "")
    if not header:
        raise words.missing()
    return _from_header(request, header, words)


def _from_header(request: Request, header: str, words: _Words) -> Claim:
    algorithm, _, rest = header.partition(" ")
    parts = dict(re.findall(r"(\w+)=([^,\s]+)", rest))
    scope = parts.get("Credential", "").split("/")
    complete = {"Credential", "SignedHeaders", "Signature"} <= set(parts)
    if algorithm != ALGORITHM or not complete or len(scope) != 5:
        raise words.malformed()
    signed = tuple(parts["SignedHeaders"].split(";"))
    if "host" not in signed:
        raise words.unsigned("host")
    return Claim(
        key_id=scope[0],
        date=scope[1],
        region=scope[2],
        service=scope[3],
        signed_headers=signed,
        signature=parts["Signature"],
        time=request.headers.get("x-amz-date", ""),
        token=request.headers.get("x-amz-security-token"),
        payload=_payload(request),
    )


def _payload(request: Request) -> str:
    """Return the payload hash that the signature covers; S3 wants it told in a header."""
    told = request.headers.get("x-amz-content-sha256")
    if request.target.service != "s3":
        return told or hashlib.sha256(request.body).hexdigest()
    if told is None:
        raise Refusal(
            "InvalidRequest", "Missing required header for this request: x-amz-content-sha256"
        )
    return told


def _presigned(request: Request, words: _Words) -> Claim:
    query = request.query
    scope = query.get("X-Amz-Credential", "").split("/")
    if query["X-Amz-Algorithm"] != ALGORITHM or len(scope) != 5:
        raise words.malformed()
    return Claim(
        key_id=scope[0],
        date=scope[1],
        region=scope[2],
        service=scope[3],
        signed_headers=tuple(query.get("X-Amz-SignedHeaders", "host").split(";")),
        signature=query.get("X-Amz-Signature", ""),
        time=query.get("X-Amz-Date", ""),
        token=query.get("X-Amz-Security-Token"),
        payload=request.headers.get("x-amz-content-sha256", UNSIGNED)
        if request.target.service == "s3"
        else hashlib.sha256(request.body).hexdigest(),
        presigned=True,
        expires=float(query.get("X-Amz-Expires", "604800")),
    )


# --- the computation --------------------------------------------------------------------------


def canonical_request(request: Request, claim: Claim) -> str:
    headers = "".join(
        f"{name}:{_trim(request.headers.get(name, ''))}\n" for name in claim.signed_headers
    )
    parts = (
        request.method,
        canonical_path(request.raw_path, request.target.service),
        canonical_query(request.raw_query),
        headers,
        ";".join(claim.signed_headers),
        claim.payload,
    )
    return "\n".join(parts)


def canonical_path(raw: str, service: str) -> str:
    """S3 encodes each segment once and keeps `//` and `..`; everyone else encodes twice."""
    if service == "s3":
        return quote(unquote(raw), safe="/" + _UNRESERVED) or "/"
    return quote(_without_dots(raw), safe="/" + _UNRESERVED) or "/"


def _without_dots(path: str) -> str:
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == ".." and kept:
            kept.pop()
        elif segment not in ("", ".", ".."):
            kept.append(segment)
    slash = "/" if path.endswith("/") and kept else ""
    return "/" + "/".join(kept) + slash


def canonical_query(raw: str) -> str:
    pairs = []
    for item in raw.split("&") if raw else []:
        name, _, value = item.partition("=")
        if unquote(name) != "X-Amz-Signature":
            pairs.append((_encoded(name), _encoded(value)))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _encoded(text: str) -> str:
    # A plus in a query is a space to AWS too: signers must send %2B or %20.
    return quote(unquote(text.replace("+", " ")), safe=_UNRESERVED)


def _trim(value: str) -> str:
    return re.sub(r"\s+", " ", value.strip())


def string_to_sign(claim: Claim, canonical: str) -> str:
    scope = f"{claim.date}/{claim.region}/{claim.service}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return f"{ALGORITHM}\n{claim.time}\n{scope}\n{digest}"


def derive(secret: str, claim: Claim) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (claim.date, claim.region, claim.service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def _sign(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def chunk_signature(verified: Verified, previous: str, data_hash: str) -> str:
    """Return the signature that a chunk of an aws-chunked body must bear."""
    claim = verified.claim
    scope = f"{claim.date}/{claim.region}/{claim.service}/aws4_request"
    lines = (f"{ALGORITHM}-PAYLOAD", claim.time, scope, previous, _EMPTY, data_hash)
    return _sign(verified.signing_key, "\n".join(lines))


# --- the checks around it ---------------------------------------------------------------------


def _check_token(claim: Claim, key: Key, now: float, words: _Words) -> None:
    if key.credentials.token != claim.token:
        raise words.bad_token(claim.key_id)
    if key.is_expired(now):
        raise words.expired()


def _check_time(claim: Claim, now: float, skew: float, words: _Words) -> None:
    try:
        signed = datetime.strptime(claim.time, _FORMAT).replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise words.malformed() from None
    if claim.presigned:
        if now > signed + claim.expires:
            raise words.request_expired()
    elif abs(now - signed) > skew:
        raise words.skewed(claim.time, now)
    if not claim.time.startswith(claim.date):
        raise words.malformed()


def _check_scope(claim: Claim, request: Request, region: str, words: _Words) -> None:
    if claim.service != request.target.signing:
        raise words.wrong_service(claim.service, request.target.signing)
    if claim.region != region:
        raise words.wrong_region(claim.region, region)


def _check_all_signed(claim: Claim, request: Request) -> None:
    """S3 takes no x-amz- header that the signature does not cover."""
    if request.target.service != "s3":
        return
    loose = {name for name in request.headers if name.startswith("x-amz-")}
    loose -= set(claim.signed_headers)
    if claim.presigned:
        loose -= {"x-amz-content-sha256"}
    if loose:
        raise Refusal(
            "AccessDenied",
            "There were headers present in the request which were not signed",
            403,
            {"HeadersNotSigned": ", ".join(sorted(loose))},
        )


_CALCULATED: Final = (
    "The request signature we calculated does not match the signature you provided. "
    "Check your AWS Secret Access Key and signing method. "
    "Consult the service documentation for details."
)
_S3_CALCULATED: Final = (
    "The request signature we calculated does not match the signature you provided. "
    "Check your key and signing method."
)
_INVALID_TOKEN: Final = "The security token included in the request is invalid."
_EXPIRED_TOKEN: Final = "The security token included in the request is expired"
_NOT_VALIDATED: Final = "AWS was not able to validate the provided access credentials"


class _Words:
    """The refusals of one protocol; each service family has its own codes for the same thing."""

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def _pick(
        self, s3: Refusal, ec2: Refusal, query: Refusal, json: Refusal | None = None
    ) -> Refusal:
        choices: Mapping[Protocol, Refusal] = {
            Protocol.S3: s3,
            Protocol.EC2: ec2,
            Protocol.QUERY: query,
        }
        return choices.get(self._protocol, json or query)

    def missing(self) -> Refusal:
        message = "Request is missing Authentication Token"
        return self._pick(
            Refusal("AccessDenied", "Access Denied", 403),
            Refusal("AuthFailure", _NOT_VALIDATED, 401),
            Refusal("MissingAuthenticationToken", message, 403),
            Refusal("MissingAuthenticationTokenException", message, 400),
        )

    def malformed(self) -> Refusal:
        message = "Authorization header or parameters are not formatted correctly."
        return self._pick(
            Refusal("AuthorizationHeaderMalformed", "The authorization header is malformed."),
            Refusal("AuthFailure", _NOT_VALIDATED, 401),
            Refusal("IncompleteSignature", message, 400),
            Refusal("IncompleteSignatureException", message, 400),
        )

    def unsigned(self, header: str) -> Refusal:
        message = f"'{header}' must be a 'SignedHeader' in the AWS Authorization."
        return self._pick(
            Refusal("AccessDenied", "There were headers present in the request not signed", 403),
            Refusal("AuthFailure", _NOT_VALIDATED, 401),
            Refusal("SignatureDoesNotMatch", message, 403),
            Refusal("InvalidSignatureException", message, 400),
        )

    def unknown_key(self, key_id: str) -> Refusal:
        return self._pick(
            Refusal(
                "InvalidAccessKeyId",
                "The AWS Access Key Id you provided does not exist in our records.",
                403,
                {"AWSAccessKeyId": key_id},
            ),
            Refusal("AuthFailure", _NOT_VALIDATED, 401),
            Refusal("InvalidClientTokenId", _INVALID_TOKEN, 403),
            Refusal("UnrecognizedClientException", _INVALID_TOKEN, 400),
        )

    def bad_token(self, key_id: str) -> Refusal:
        return self._pick(
            Refusal("InvalidToken", "The provided token is malformed or otherwise invalid.", 400),
            Refusal("AuthFailure", _NOT_VALIDATED, 401),
            Refusal("InvalidClientTokenId", _INVALID_TOKEN, 403),
            Refusal("UnrecognizedClientException", _INVALID_TOKEN, 400),
        )

    def expired(self) -> Refusal:
        return self._pick(
            Refusal("ExpiredToken", "The provided token has expired.", 400),
            Refusal("RequestExpired", "Request has expired.", 400),
            Refusal("ExpiredToken", _EXPIRED_TOKEN, 403),
            Refusal("ExpiredTokenException", _EXPIRED_TOKEN, 400),
        )

    def request_expired(self) -> Refusal:
        return self._pick(
            Refusal("AccessDenied", "Request has expired", 403),
            Refusal("RequestExpired", "Request has expired.", 400),
            Refusal("SignatureDoesNotMatch", "Signature expired", 403),
        )

    def skewed(self, signed: str, now: float) -> Refusal:
        here = datetime.fromtimestamp(now, UTC).strftime(_FORMAT)
        message = f"Signature expired: {signed} is now earlier than {here} (15 min.)"
        return self._pick(
            Refusal(
                "RequestTimeTooSkewed",
                "The difference between the request time and the current time is too large.",
                403,
                {"RequestTime": signed, "ServerTime": here},
            ),
            Refusal("RequestExpired", "Request has expired.", 400),
            Refusal("SignatureDoesNotMatch", message, 403),
            Refusal("InvalidSignatureException", message, 400),
        )

    def wrong_region(self, got: str, wanted: str) -> Refusal:
        scoped = f"Credential should be scoped to a valid region, not '{got}'."
        return self._pick(
            Refusal(
                "AuthorizationHeaderMalformed",
                "The authorization header is malformed; "
                f"the region '{got}' is wrong; expecting '{wanted}'",
                400,
                {"Region": wanted},
            ),
            Refusal("AuthFailure", scoped, 401),
            Refusal("SignatureDoesNotMatch", scoped, 403),
            Refusal("InvalidSignatureException", scoped, 400),
        )

    def wrong_service(self, got: str, wanted: str) -> Refusal:
        scoped = f"Credential should be scoped to correct service: '{wanted}'."
        return self._pick(
            Refusal(
                "AuthorizationHeaderMalformed",
                "The authorization header is malformed; "
                f'incorrect service "{got}". This endpoint belongs to "s3".',
            ),
            Refusal("AuthFailure", scoped, 401),
            Refusal("SignatureDoesNotMatch", scoped, 403),
            Refusal("InvalidSignatureException", scoped, 400),
        )

    def mismatch(self, claim: Claim, canonical: str, to_sign: str) -> Refusal:
        """S3 shows what it computed, which is how people find a wrong signer."""
        return self._pick(
            Refusal(
                "SignatureDoesNotMatch",
                _S3_CALCULATED,
                403,
                {
                    "AWSAccessKeyId": claim.key_id,
                    "StringToSign": to_sign,
                    "SignatureProvided": claim.signature,
                    "CanonicalRequest": canonical,
                },
            ),
            Refusal("AuthFailure", _NOT_VALIDATED, 401),
            Refusal("SignatureDoesNotMatch", _CALCULATED, 403),
            Refusal("InvalidSignatureException", _CALCULATED, 400),
        )
