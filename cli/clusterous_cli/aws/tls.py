"""TLS contexts that botocore's threads share, told each thing once."""

import ssl
import threading
from typing import Any, Final

from botocore import httpsession

_ALONE: Final = threading.Lock()


class Settled(ssl.SSLContext):
    """A context that is not told again what it was told: while one thread tells it, others wait.

    urllib3 has the one context of a client read its certificates, and take the protocols, anew for
    each connection. OpenSSL allows neither while another thread shakes hands by it, and such a
    process is killed by SIGSEGV, seldom: https://github.com/urllib3/urllib3/issues/3155,
    https://github.com/urllib3/urllib3/issues/3623, https://github.com/boto/botocore/issues/3164.
    """

    def __init__(self, *_: Any) -> None:
        self._told: set[tuple[Any, ...]] = set()

    def load_verify_locations(self, *of: Any, **named: Any) -> None:
        """Trust what a file, a folder or text has; raises `OSError` as `ssl` does."""
        with _ALONE:
            if (key := ("trust", of, *sorted(named.items()))) not in self._told:
                super().load_verify_locations(*of, **named)
                self._told.add(key)

    def set_alpn_protocols(self, alpn_protocols: Any) -> None:
        """Offer *alpn_protocols*, the most wanted first."""
        with _ALONE:
            if (key := ("protocols", *alpn_protocols)) not in self._told:
                super().set_alpn_protocols(alpn_protocols)
                self._told.add(key)


def settle() -> None:
    """Let the clients that botocore makes from now on have such contexts."""
    httpsession.SSLContext = Settled
