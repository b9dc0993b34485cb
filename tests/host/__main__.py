"""`python3 -m tests.host COMMAND [vm]`: look what this machine has, before anything is built.

COMMAND is what a person typed, for the words; "vm" asks for what the virtual machine needs. The
exit code is 1 when something is missing.
"""

from __future__ import annotations

import sys

from tests.host import facts, needs


def main(arguments: list[str]) -> int:
    command, where = arguments[0], arguments[1:]
    if where not in ([], ["vm"]):
        sys.stderr.write(f"There is no IN={where[0]}; there is IN=vm, a virtual machine.\n")
        return 2
    seen = facts.gather()
    for_vm = needs.lacking_for_vm(seen)
    found = for_vm if where == ["vm"] else needs.lacking(seen)
    if not found:
        return 0
    offers_vm = where != ["vm"] and needs.is_offered(found, for_vm)
    sys.stderr.write(f"{needs.screen(command, found, offers_vm=offers_vm)}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
