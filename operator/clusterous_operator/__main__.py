"""`python -m clusterous_operator`."""

import sys
from types import ModuleType
from typing import cast

# kopf imports `kubernetes` wherever that is installed, for log-ins that we do without: 17 MB, and
# most of a second at each start. None makes Python say that there is no such module.
sys.modules.setdefault("kubernetes", cast(ModuleType, None))

from clusterous_operator.controller import process  # noqa: E402  # not before the line above

if __name__ == "__main__":
    sys.exit(process.main())
