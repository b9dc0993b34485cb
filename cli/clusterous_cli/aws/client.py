"""The only module that speaks to AWS: one session, clients made when needed, errors translated."""

import io
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import boto3
import botocore.exceptions as botocore_errors
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.parsers import ResponseParserError

from clusterous_api.errors import ClusterousError, UserError
from clusterous_cli.aws import errors, profiles, tls
from clusterous_cli.system import verbosity
from clusterous_cli.terminal import spell
from clusterous_cli.terminal.options import Settings

READS: Final = ("describe_", "get_", "list_", "head_", "simulate_")
THROTTLES: Final = frozenset(
    {"RequestLimitExceeded", "Throttling", "ThrottlingException", "TooManyRequestsException"}
    | {"SlowDown", "RequestThrottled", "EC2ThrottledException", "ConcurrentModification"}
    | {"OperationAborted", "ConditionalRequestConflict"}
)
UNCLEAR: Final = frozenset(
    {"InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable", "ServiceFailure"}
    | {"500", "502", "503", "504", "RequestTimeout", "InternalServerError"}
)
MISSING: Final = re.compile(
    r"NotFound|NoSuch(?!Tag|Upload)|InvalidAllocationID|InvalidNatGatewayID|^404$|Malformed$"
)
EXISTING: Final = frozenset(
    {"EntityAlreadyExists", "BucketAlreadyOwnedByYou", "FileSystemAlreadyExists"}
    | {"MountTargetConflict", "InvalidGroup.Duplicate", "InvalidPermission.Duplicate"}
    | {"RouteAlreadyExists", "PreconditionFailed", "412"}
    | {"RepositoryAlreadyExistsException"}
)
LATER: Final = frozenset(
    {"DependencyViolation", "IncorrectState", "IncorrectInstanceState", "VolumeInUse"}
    | {"IncorrectFileSystemLifeCycleState", "IncorrectMountTargetState", "FileSystemInUse"}
    | {
        "InvalidIPAddress.InUse",
        "DeleteConflict",
        "BucketNotEmpty",
        "InvalidNetworkInterface.InUse",
    }
    | {"ResourceInUse", "Resource.AlreadyAssociated"}
)
EXPIRED: Final = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
)
# A signature holds the time; these may all mean that ours is not AWS's.
BY_THE_CLOCK: Final = frozenset(
    {"RequestExpired", "RequestTimeTooSkewed", "SignatureDoesNotMatch", "AuthFailure"}
    | {"InvalidSignatureException", "RequestInTheFuture", "InvalidClientTokenId"}
)
# AWS takes five minutes, and the answer has been on its way.
MOST_SKEW: Final = 240.0
UNKNOWN_KEY: Final = frozenset(
    {"InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId"}
    | {"SignatureDoesNotMatch", "IncompleteSignature", "AuthFailure"}
    | {"InvalidSignatureException", "InvalidToken", "MissingAuthenticationToken"}
)
# New accounts are checked for some hours, and some must be paid for first.
NOT_READY: Final = frozenset(
    {"PendingVerification", "Blocked", "NotSignedUp", "SubscriptionRequiredException"}
    | {"OptInRequired"}
)
DENIED: Final = frozenset({"AccessDenied", "UnauthorizedOperation", "AccessDeniedException", "403"})
# What IAM calls otherwise than the call itself is called.
PERMISSIONS: Final = {
    "s3:ListBuckets": "s3:ListAllMyBuckets",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:DeleteObjects": "s3:DeleteObject",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "s3:ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "s3:PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "service-quotas:GetServiceQuota": "servicequotas:GetServiceQuota",
}
QUOTAS: Final = re.compile(r"(Limit|Quota)Exceeded(Exception)?$|TooManyBuckets")
# Every account has these; any other must be enabled first, and answers before as if the keys were
# wrong. https://docs.aws.amazon.com/global-infrastructure/latest/regions/aws-regions.html
ALWAYS_ON: Final = frozenset(
    {"us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1"}
    | {"eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1", "eu-north-1"}
    | {"ap-south-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3"}
    | {"ap-southeast-1", "ap-southeast-2"}
)
# Calls that botocore makes by itself for keys.
GIVE_KEYS: Final = (
    *("AssumeRoleWithSAML", "AssumeRoleWithWebIdentity", "GetSessionToken"),
    *("GetRoleCredentials", "CreateToken", "CreateOAuth2Token"),
)
# A region that answers about the others, by partition.
ASKED: Final = {"aws": "us-east-1"}
# All that botocore says when it has no keys to sign with: by the kind, since each way to log in
# brings errors of its own.
LOGIN: Final = tuple(
    kind
    for name, kind in vars(botocore_errors).items()
    if re.search(r"Credential|Token|Login|SSO|MFA|Metadata", name)
    and isinstance(kind, type)
    and issubclass(kind, botocore_errors.BotoCoreError)
)
ZONE: Final = re.compile(r"\b[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}[a-z]\b")
# S3 says no more than that to who asks for another account's bucket.
SHARED_NAMES: Final = (
    "Or the bucket is another account's: the names of buckets are of all the world, and who takes"
    " one first has it. Then another name for the cluster helps."
)
CAPACITY: Final = frozenset({"InsufficientInstanceCapacity", "InsufficientHostCapacity"})


T = TypeVar("T")


class Cut(ResponseParserError):  # type: ignore[misc]  # botocore has no types
    """The connection ended in the midst of an answer."""


# How botocore says so itself: of XML, which it cannot read then, and of what it hands on unread.
CUT: Final = (
    ResponseParserError,
    botocore_errors.ResponseStreamingError,
    botocore_errors.IncompleteReadError,
)
CUT_TRIES: Final = 3
# An object that is read is the record, a report or a key: who writes more there means no good.
MOST_READ: Final = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Where the keys come from, in botocore's words, and until when they serve, if that is told."""

    method: str
    temporary: bool
    ends: datetime | None


class Witness(Protocol):
    """Who is told of each call: before it is made, and of what came of it."""

    def asked(self, service: str, action: str, parameters: Mapping[str, Any]) -> int | None:
        """Return a number for the call; None: nothing more is to be told of it."""

    def answered(self, number: int, answer: Any, error: str) -> None:
        """Hear AWS's answer, or the code of its error, or what became of the answer."""


class Aws:
    """One session: clients are made once, when first needed, and shared by all threads."""

    def __init__(self, session: Any, region: str, patience: float | None = None) -> None:
        self.session = session
        self.region = region
        self.patience = patience  # seconds for an answer that is not needed; it is asked for once
        self._clients: dict[tuple[str, bool], Any] = {}
        self._lock = threading.RLock()
        self._identity: Mapping[str, str] | None = None
        self._skew = 0.0
        self.witness: Witness | None = None

    def client(self, service: str, *, reads: bool = False) -> Any:
        """Return the shared client; only the one for *reads* repeats calls by itself."""
        with self._lock:
            if (service, reads) not in self._clients:
                self._clients[service, reads] = self._made(service, reads)
            return self._clients[service, reads]

    def _made(self, service: str, reads: bool) -> Any:
        # A create call that botocore repeats after a lost answer makes a second VPC, so writes are
        # tried once here and repeated by the executor, which looks before it asks again.
        attempts = 5 if reads and self.patience is None else 1
        config = Config(
            retries={"mode": "standard", "total_max_attempts": attempts},
            connect_timeout=self.patience or 5,
            read_timeout=self.patience or 60,
            max_pool_connections=32,
            user_agent_extra="clusterous",
        )
        tls.settle()
        client = self.session.client(service, region_name=self.region, config=config)
        client.meta.events.register("before-parse", _check_whole)
        return client

    def call(self, service: str, action: str, **params: Any) -> Any:
        """Call AWS and return its answer, of an object with what is in it; errors come translated.

        Of the object's content it is what `MOST_READ` allows.
        """
        reads = action.startswith(READS)

        def made() -> Any:
            with self._translated(service, action):
                method = getattr(self.client(service, reads=reads), action)
                return _again(lambda: _read(method(**params)), reads=reads)

        return self._witnessed(service, action, params, made)

    def _witnessed(
        self, service: str, action: str, parameters: Mapping[str, Any], made: Callable[[], Any]
    ) -> Any:
        witness = self.witness
        number = witness.asked(service, action, parameters) if witness else None
        if witness is None or number is None:
            return made()
        answer, error = None, "interrupted"
        try:
            answer = made()
        except ClusterousError as failed:
            error = str(getattr(failed, "code", "")) or type(failed).__name__
            raise
        else:
            error = ""
            return answer
        finally:
            witness.answered(number, answer, error)

    def find(self, service: str, action: str, **params: Any) -> Any | None:
        """Call AWS; None when what the call names does not exist."""
        try:
            return self.call(service, action, **params)
        except errors.NotFound:
            return None

    def attempt(self, service: str, action: str, *codes: str, **params: Any) -> Any | None:
        """Call AWS; None when it answers with one of the error *codes*."""
        try:
            return self.call(service, action, **params)
        except errors.ANSWERED as error:
            if error.code in codes:
                return None
            raise

    def upload(self, path: Path, *, bucket: str, key: str, owner: str) -> None:
        """Put a file of any size into a bucket."""
        from boto3.s3.transfer import TransferConfig

        client = self.client("s3", reads=True)  # repeating a part is harmless

        def made() -> None:
            with self._translated("s3", "put_object"):
                client.upload_file(
                    str(path),
                    bucket,
                    key,
                    ExtraArgs={"ExpectedBucketOwner": owner},
                    Config=TransferConfig(multipart_chunksize=16 << 20, max_concurrency=8),
                )

        self._witnessed("s3", "put_object", {"Bucket": bucket, "Key": key}, made)

    def pages(self, service: str, action: str, key: str, **params: Any) -> list[Any]:
        """Return all items under *key* of all pages."""
        with self._translated(service, action):
            client = self.client(service, reads=True)

            def listed() -> list[Any]:
                if not client.can_paginate(action):
                    return list(getattr(client, action)(**params).get(key, ()))
                found = client.get_paginator(action).paginate(**params)
                return [item for page in found for item in page.get(key, ())]

            return _again(listed, reads=True)

    @contextmanager
    def _translated(self, service: str, action: str) -> Iterator[None]:
        verbosity.call(service, action)
        try:
            with translated(service, action, self.region, self.session):
                yield
        except errors.Expired:
            raise
        except errors.BadCredentials as error:
            raise self._of_region(error) from error

    def _of_region(self, error: errors.BadCredentials) -> UserError:
        """Find out whether the region is not enabled: it says that the credentials are wrong."""
        if self.region in ALWAYS_ON:
            return error
        home = ASKED.get(self.session.get_partition_for_region(self.region))
        try:
            if home is None:
                raise error
            listed = self.elsewhere(home).call(
                "ec2", "describe_regions", RegionNames=[self.region], AllRegions=True
            )["Regions"]
        except ClusterousError:
            return errors.BadCredentials(
                f"{error} Or the region {self.region} is not enabled in this account."
            )
        if any(one.get("OptInStatus") == "not-opted-in" for one in listed):
            return errors.NoRegion(
                f"The region {self.region} is not enabled in your AWS account. Enable it (in the"
                " console: Account, AWS Regions; it takes some minutes), or take another region."
            )
        return error

    def elsewhere(self, region: str) -> "Aws":
        """Return the same account in another region."""
        return self if region == self.region else Aws(self.session, region)

    def hasty(self, region: str, seconds: float) -> "Aws":
        """Return the same account for questions whose answers are not worth a wait."""
        other = Aws(self.session, region, patience=seconds)
        other._lock = self._lock  # of one session, clients are made one after the other
        return other

    @property
    def account(self) -> str:
        """The account's number."""
        return self.identity["Account"]

    @property
    def identity(self) -> Mapping[str, str]:
        """Who we are, as STS says."""
        with self._lock:
            if self._identity is None:
                began = datetime.now(UTC)
                answer = self.call("sts", "get_caller_identity")
                headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
                date = str(headers.get("date", ""))
                # AWS wrote it in between, however long the answer was on its way.
                ahead, behind = skew(date, began), skew(date, datetime.now(UTC))
                self._identity, self._skew = answer, ahead if ahead > 0 else min(behind, 0.0)
            return self._identity

    @property
    def skew(self) -> float:
        """How many seconds this machine's clock is ahead of AWS's."""
        with self._lock:
            _ = self.identity
            return self._skew

    @property
    def keys(self) -> Keys:
        """What is known here of the keys that calls are signed with."""
        with translated("sts", "get_credentials", self.region, self.session):
            held = self.session.get_credentials()
            token = held.get_frozen_credentials().token
        # botocore tells nobody when they end, and looks at this itself.
        ends: datetime | None = getattr(held, "_expiry_time", None)
        return Keys(method=str(held.method), temporary=bool(token), ends=ends)


def _check_whole(response_dict: Mapping[str, Any], **_: Any) -> None:
    """Refuse an answer that is shorter than it says: what is left of JSON passes for an empty one.

    urllib3 does not look at the length of what comes in one piece, and botocore takes a body that
    is no JSON for an answer without anything in it (`botocore.parsers`).
    """
    said, body = response_dict["headers"].get("content-length"), response_dict["body"]
    if isinstance(body, bytes) and said is not None and 0 < len(body) < int(said):
        raise Cut(f"{len(body)} of {said} bytes came")


def _read(answer: Any) -> Any:
    """Read the object that an answer stands for, while its errors can be told as the call's."""
    if not hasattr(answer.get("Body"), "iter_chunks"):
        return answer
    content = answer["Body"].read(MOST_READ)
    if len(content) < min(answer["ContentLength"], MOST_READ):  # botocore looks only if all is read
        raise Cut(f"{len(content)} of {answer['ContentLength']} bytes came")
    return {**answer, "Body": io.BytesIO(content)}


def _again(ask: Callable[[], T], *, reads: bool) -> T:
    """Ask again, where that changes nothing, for an answer that was cut off."""
    for _ in range(CUT_TRIES - 1 if reads else 0):
        try:
            return ask()
        except CUT:
            continue
    return ask()


def connect(settings: Settings, region: str | None = None) -> Aws:
    """Open the session that the options and the environment describe.

    *region* is the one of the cluster file; the option --region goes before it. A configuration
    profile that counts gives its keys to all programs that we start, too.
    """
    ours = profiles.meant(settings.profile)
    if ours is not None:
        for name in profiles.WHOSE:
            os.environ.pop(name, None)
        os.environ.update(ours.environment())
        os.environ.setdefault("AWS_DEFAULT_REGION", ours.region)
    try:
        session = boto3.Session(profile_name=None if ours else settings.profile)
    except botocore_errors.ProfileNotFound as error:
        raise errors.BadSettings(
            f"{error}. `aws configure list-profiles` shows those there are."
        ) from error
    except botocore_errors.BotoCoreError as error:  # of the files themselves
        raise wrong_settings(error) from error
    # boto3 reads AWS_DEFAULT_REGION, but not AWS_REGION, which the other tools read first.
    usual = os.environ.get("AWS_REGION") or session.region_name
    chosen = settings.region or region or usual
    if not chosen:
        raise errors.NoRegion("No AWS region is set. Say --region, or set AWS_REGION.")
    check_region(session, chosen)
    with translated("sts", "get_credentials", chosen, session):
        if session.get_credentials() is None:
            raise no_credentials()
    return Aws(session, chosen)


def no_credentials() -> errors.BadCredentials:
    """Say that there are no credentials, and what gives some."""
    return errors.BadCredentials(
        "There are no AWS credentials. Run `aws configure` or `aws sso login`, or name a profile"
        " with --profile."
    )


def check_region(session: Any, region: str) -> None:
    """Refuse a region that does not exist."""
    known = [
        name
        for partition in session.get_available_partitions()
        for name in session.get_available_regions("ec2", partition_name=partition)
    ]
    if region in known:
        return
    near = get_close_matches(region, known, n=1)
    more = f"; did you mean {near[0]}?" if near else "."
    raise errors.NoRegion(f"There is no AWS region {region!r}{more}")


@contextmanager
def translated(service: str, action: str, region: str, session: Any = None) -> Iterator[None]:
    """Turn botocore's errors into ours, at this one place."""
    try:
        yield
    except botocore_errors.ClientError as error:
        raise _answered(error, service, action) from error
    except Boto3Error as error:  # of a whole upload; what AWS answered to a part is behind it
        if isinstance(error.__context__, botocore_errors.ClientError):
            raise _answered(error.__context__, service, action) from error
        raise errors.Unclear(f"{_name(service, action)}: {error}") from error
    except (
        ResponseParserError,
        botocore_errors.HTTPClientError,
        botocore_errors.ConnectionError,
        botocore_errors.IncompleteReadError,
    ) as error:
        raise _lost(error, service, action, region) from error
    except (
        botocore_errors.NoCredentialsError,
        botocore_errors.PartialCredentialsError,
    ) as error:
        raise no_credentials() from error
    except botocore_errors.BotoCoreError as error:
        if isinstance(error, LOGIN) or not _has_keys(session):
            raise login_ended(str(error)) from error
        raise errors.AwsFailed(f"{_name(service, action)}: {error}") from error
    except RuntimeError as error:  # botocore's, of keys from the environment that have ended
        if "still expired" not in str(error):
            raise
        raise login_ended(str(error)) from error
    except ValueError as error:  # an endpoint that is none, a helper's answer that is no JSON
        raise wrong_settings(error) from error


def wrong_settings(error: Exception) -> errors.BadSettings:
    """Say that what AWS's own tools are set to cannot be used."""
    return errors.BadSettings(
        f"AWS's own settings cannot be used: {str(error).rstrip('.')}. Look at ~/.aws/config, what"
        " credential_process there answers, and the variables that begin with AWS_."
    )


def _has_keys(session: Any) -> bool:
    """Whether there are keys to sign with; without them, that is why a call was never made."""
    if session is None:
        return True
    try:
        credentials = session.get_credentials()
        return credentials is not None and bool(credentials.get_frozen_credentials().access_key)
    except (botocore_errors.BotoCoreError, botocore_errors.ClientError, ValueError):
        return False


def login_ended(why: str) -> errors.Expired:
    """Say that there are no keys (any more), and what gives new ones."""
    return errors.Expired(
        f"AWS credentials could not be had: {why.rstrip('.')}. Nothing is lost: log in again"
        " (`aws sso login`, `aws login`, or as you did before) and repeat the command."
    )


def _lost(error: Exception, service: str, action: str, region: str) -> ClusterousError:
    if isinstance(error, botocore_errors.SSLError):  # may also come in the midst of an answer
        return errors.Unclear(f"No safe connection to AWS: {error}")
    if isinstance(error, botocore_errors.ConnectionError):  # it never came to a connection
        return errors.Unreachable(
            f"AWS cannot be reached: {str(error).rstrip('.')}. Check the network, a proxy"
            f" (HTTPS_PROXY), and the region ({region})."
        )
    return errors.Unclear(f"The answer to {_name(service, action)} was lost: {error}")


def _name(service: str, action: str) -> str:
    return f"{service}:{''.join(part.capitalize() for part in action.split('_'))}"


def _answered(error: botocore_errors.ClientError, service: str, action: str) -> ClusterousError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    text = str(error.response.get("Error", {}).get("Message", "")) or str(error)
    metadata = error.response.get("ResponseMetadata", {})
    status = int(metadata.get("HTTPStatusCode", 400))
    asked = _name(service, action).partition(":")[2]
    if error.operation_name != asked and error.operation_name in ("AssumeRole", *GIVE_KEYS):
        return login_ended(f"{error.operation_name}: {text} ({code})")
    date = str(metadata.get("HTTPHeaders", {}).get("date", ""))
    return classify(code, text, status, service, action, skew=skew(date, datetime.now(UTC)))


def skew(date: str, now: datetime) -> float:
    """How many seconds this machine's clock is ahead of AWS's, by the Date of an answer."""
    try:
        return (now - parsedate_to_datetime(date)).total_seconds()
    except (ValueError, TypeError):
        return 0.0


def clock_is_wrong(skew: float) -> errors.WrongClock:
    """Say by how much the clock is off, where that is known, and what to do."""
    by = f"{spell.duration(abs(skew))} {'ahead of' if skew > 0 else 'behind'}"
    off = f"is {by} AWS's" if abs(skew) > MOST_SKEW else "is not AWS's"
    return errors.WrongClock(
        f"This machine's clock {off}, so AWS refuses what it signs. The credentials are not to"
        " blame. Set the clock (Linux: timedatectl set-ntp true) and repeat the command."
    )


def zones_named(text: str) -> tuple[str, ...]:
    """Return the zones that AWS recommends in words, where the one that was asked has no room."""
    return tuple(dict.fromkeys(ZONE.findall(text.partition(" choosing ")[2])))


def classify(
    code: str, text: str, status: int, service: str, action: str, *, skew: float = 0.0
) -> ClusterousError:
    """Choose our error for AWS's *code*: what can be done about it.

    *skew* is how many seconds our clock is ahead of AWS's.
    """
    name = _name(service, action)
    message = f"{name}: {text} ({code})"
    later = code in LATER or _not_seen_yet(code, text, action)
    if code in THROTTLES:
        return errors.Throttled(message)
    if code in CAPACITY:
        words = f"AWS has no such machine free just now. {text}"
        return errors.NoCapacity(words, elsewhere=zones_named(text))
    if later:
        return errors.NotYet(message, code=code)
    if code in EXISTING:
        return errors.AlreadyExists(message, code=code)
    if code == "RequestTimeTooSkewed" or (code in BY_THE_CLOCK and abs(skew) > MOST_SKEW):
        return clock_is_wrong(skew)
    if code in EXPIRED:
        return errors.Expired(
            "Your AWS credentials have expired. Nothing is lost: log in again (`aws sso login`)"
            " and repeat the command."
        )
    # EC2 says AuthFailure also of things: an image that is not shared, an address of another.
    of_things = code == "AuthFailure" and "credentials" not in text
    if code in UNKNOWN_KEY and not of_things:
        return errors.BadCredentials(f"AWS does not accept the credentials. {text} ({code})")
    if code in NOT_READY:
        return UserError(
            f"Your AWS account may not do {name} yet: {text} ({code}). New accounts are checked for"
            " some hours; the AWS console (Billing, Account) says what is missing."
        )
    if code in DENIED or of_things:
        permission = PERMISSIONS.get(name, name.replace("efs:", "elasticfilesystem:"))
        why = f"{text.rstrip('.')}. {SHARED_NAMES}" if service == "s3" else _readable(text)
        return errors.Denied(f"You may not do {permission}. {why}", call=permission)
    if QUOTAS.search(code):
        return errors.QuotaReached(
            f"A limit of your AWS account is reached: {text} ({code}). Ask for more under Service"
            " Quotas in the AWS console, or use less.",
            code=code,
        )
    if MISSING.search(code):
        return errors.NotFound(message, code=code)
    if code in UNCLEAR or status >= 500:
        return errors.Unclear(message)
    return errors.AwsFailed(message, code=code)


def _readable(text: str) -> str:
    """Cut off AWS's cipher, hundreds of letters which say nothing to people."""
    words, cipher, _ = text.partition("Encoded authorization failure message:")
    if not cipher:
        return text
    return f"{words.strip()} (`aws sts decode-authorization-message` reads AWS's full answer.)"


def _not_seen_yet(code: str, text: str, action: str) -> bool:
    """Whether AWS will accept this once it has heard everywhere of what was made just now."""
    if code == "InvalidParameterValue":
        return "Instance Profile" in text or "in use" in text
    if action == "release_address":
        return code in ("AuthFailure", "InvalidIPAddress.InUse")
    if action == "create_mount_target" and code == "SubnetNotFound":
        return True
    created = action.startswith(("create_", "run_", "authorize_", "attach_", "associate_", "put_"))
    return (
        created
        and bool(re.match(r"Invalid\w+\.NotFound|InvalidGroup.NotFound", code))
        and ("ImageId" not in text and not code.startswith(("InvalidAMI", "InvalidKeyPair")))
    )
