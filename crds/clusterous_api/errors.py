"""Errors by who can mend them: the user, time, or (everything else) the programmer."""


class ClusterousError(Exception):
    """Base of the errors that are told to people without a traceback."""

    exit_code = 1


class UserError(ClusterousError):
    """What the user asked for cannot be done as asked: bad input, a missing tool, no permission.

    Never retried. The message says what happened, why, and what to do next.
    """

    exit_code = 2


class FailedError(ClusterousError):
    """The work was begun and did not succeed: a node that failed, a build that broke."""

    exit_code = 1


class LeftBehindError(ClusterousError):
    """`destroy` could not remove everything; the message lists what is left."""

    exit_code = 3


class TransientError(ClusterousError):
    """Nothing is wrong that time would not mend; trying again may succeed."""

    exit_code = 75


class NotBeforeError(TransientError):
    """Time mends it, but more of it than a command waits: it ends at once, and says from when."""
