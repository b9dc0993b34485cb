"""`python -m tests.region.parts [NAMES]`: build what is missing of the parts, print the paths."""

import sys
import time
from collections.abc import Sequence

from tests.region.parts import cache, host, parts


def main(arguments: Sequence[str]) -> int:
    unknown = [name for name in arguments if name not in parts.NAMES]
    if unknown:
        known = ", ".join(parts.NAMES)
        _tell(f"There is no part named {', '.join(unknown)}; there are {known}.")
        return 2
    begun = time.monotonic()
    try:
        if not arguments:
            # Even if no part is missing: the cache may come from another machine, without programs.
            host.ensure(_tell, {**host.TOOLS, **host.FOR_TESTS})
            parts.paths([*(entry for entry, _ in parts.PLACES.values()), *parts.FOR_TESTS], _tell)
        found = parts.ensure(arguments or None, _tell)
    except (cache.BuildError, host.MissingToolsError) as error:
        _tell(f"Error: {error}")
        return 1
    for name in arguments or parts.NAMES:
        sys.stdout.write(f"{name}\t{getattr(found, name)}\n")
    _tell(f"All parts are there ({time.monotonic() - begun:.1f} s).")
    return 0


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
