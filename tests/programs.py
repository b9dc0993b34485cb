"""Programs that tests run: where they are, and who may do without them.

`make test` installs or builds them all, so in CI a test without its program fails; it never skips.
"""

import os
import shutil
from pathlib import Path

import pytest

from tests.region.parts import cache, host

WITHIN_PARTS = {
    "busybox": "busybox-*/bin",
    "docker-registry": "debian-*/usr/bin",
    "helm": "kubectl-*",
    "kubectl": "kubectl-*",
}


def path(name: str) -> str | None:
    """Return where the program is: on the PATH, or newest in the cache of parts."""
    if found := shutil.which(name, path=host.SEARCH):
        return found
    place = WITHIN_PARTS.get(name)
    built = cache.default_root().glob(f"{place}/{name}") if place else ()
    return max(map(str, built), key=lambda one: Path(one).stat().st_mtime, default=None)


def needs(*names: str) -> pytest.MarkDecorator:
    """Skip the tests without these programs, where that is allowed."""
    missing = [name for name in names if not path(name)]
    reason = f"not here: {', '.join(missing)}; `make test` gets them"
    return pytest.mark.skipif(bool(missing) and not os.environ.get("CI"), reason=reason)
