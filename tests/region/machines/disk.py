"""What is written to a machine's disk before it starts: who it is and whom it may trust."""

import ipaddress
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

BUNDLE: Final = "etc/ssl/certs/ca-certificates.crt"
HARDWARE: Final = "etc/region/hardware"


def trust(authority: str, bundle: str) -> Mapping[str, str]:
    """Let the machine trust the region's *authority* beside those of *bundle*.

    This is what `update-ca-certificates` would do for the programs that read the bundle, and
    nearly all do; that takes seconds at each boot, this takes none.
    """
    return {
        "usr/local/share/ca-certificates/region.crt": authority,
        BUNDLE: f"{bundle.rstrip()}\n{authority}",
    }


def identity(*, instance_id: str, vpc_id: str) -> Mapping[str, str]:
    """What the stand-ins in the machine know; everything else it asks the metadata service."""
    return {"etc/region/instance": f"{instance_id}\n", "etc/region/vpc": f"{vpc_id}\n"}


def resolver(*, vpc_cidr: str, region: str) -> Mapping[str, str]:
    """On EC2, DHCP tells this; the VPC's resolver is at its base address plus two."""
    server = ipaddress.ip_network(vpc_cidr).network_address + 2
    text = f"nameserver {server}\nsearch {region}.compute.internal\n"
    return {"etc/resolv.conf": text, "etc/hostname": "localhost\n"}


def write(upper: Path, lower: Path, files: Mapping[str, str]) -> None:
    """Write *files* to the disk *upper* of a machine that is not running.

    A folder that the disk does not have yet gets the attributes of the one in *lower*.
    """
    for name, text in files.items():
        target = upper / name
        _make_folder(upper, lower, Path(name).parent)
        target.write_text(text)


def _make_folder(upper: Path, lower: Path, folder: Path) -> None:
    if (upper / folder).is_dir():
        return
    _make_folder(upper, lower, folder.parent)
    (upper / folder).mkdir()
    if (lower / folder).is_dir():
        shutil.copystat(lower / folder, upper / folder)


def remove_tree(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
