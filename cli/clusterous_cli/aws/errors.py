"""What AWS can answer, by what is to be done about it."""

from typing import Final

from clusterous_api.errors import FailedError, TransientError, UserError


class AwsFailed(FailedError):
    """AWS refused a call for a reason that we have no better word for."""

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class NotFound(AwsFailed):
    """What the call named does not exist (or not any more)."""


class AlreadyExists(AwsFailed):
    """What the call should make is there already."""


class NotYet(TransientError):
    """AWS will accept the call later: something else must be seen, be ready or go away first."""

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class Throttled(TransientError):
    """Too many calls just now."""


class Unclear(TransientError):
    """The answer was lost: the call may have been carried out. Look before you ask again."""


class Unreachable(TransientError):
    """The service cannot be reached at all; nothing was carried out."""


class NoCapacity(TransientError):
    """AWS has no machine of that type there just now; *elsewhere* are the zones that it names."""

    def __init__(self, message: str, *, elsewhere: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.elsewhere = elsewhere


class Denied(UserError):
    """The caller may not do this; *call* is what IAM calls it."""

    def __init__(self, message: str, *, call: str = "") -> None:
        super().__init__(message)
        self.call = call


class BadCredentials(UserError):
    """No credentials, wrong ones, or expired ones."""


class Expired(BadCredentials):
    """The credentials were good and are no more: after a new login the same command goes on."""

    exit_code = 75


class BadSettings(UserError):
    """What AWS's own tools are set to cannot be used."""


class WrongClock(UserError):
    """This machine's clock is not AWS's."""


class NoRegion(UserError):
    """There is no such region, none is named, or the account has not enabled it."""


class QuotaReached(UserError):
    """The account's limit; more must be asked for."""

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class NoCluster(UserError):
    """There is no such cluster."""


# What bears AWS's own code.
ANSWERED: Final = (AwsFailed, NotYet, QuotaReached)
