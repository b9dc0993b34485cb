"""Names and addresses: dnsmasq answers DHCP and DNS in each VPC, and DNS for the outside world.

`config` and the two tables are text, decided by values; `Resolver` is one running dnsmasq.
"""

import ipaddress
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.region.net import addresses, netns
from tests.region.net.wanted import Subnet, Zone

# Where the services of the world are; a name stands for everything below it too, and the longest
# match wins. BUCKET.s3.eu-west-1.amazonaws.com is below s3.eu-west-1.amazonaws.com.
_WEB_NAMES: Final = (
    "github.com",
    "githubusercontent.com",
    "artifacts.k8s.io",
    "checkip.amazonaws.com",
    "deb.debian.org",
    "snapshot.debian.org",
    "pypi.org",
    "files.pythonhosted.org",
)
_HUB_NAMES: Final = ("docker.io", "docker.com")
_LEASE: Final = "1h"
_START_SECONDS: Final = 120


def services(region: str) -> dict[str, str]:
    """Answer the address of every service name of *region* (an AWS region's name)."""
    return {
        "amazonaws.com": addresses.AWS_API,
        f"s3.{region}.amazonaws.com": addresses.S3,
        "s3.amazonaws.com": addresses.S3,
        f"dkr.ecr.{region}.amazonaws.com": addresses.ECR,
        **dict.fromkeys(_WEB_NAMES, addresses.WEB),
        **dict.fromkeys(_HUB_NAMES, addresses.DOCKER_HUB),
        "registry.k8s.io": addresses.KUBERNETES,
    }


def config(zone: Zone, region: str, folder: Path) -> str:
    """Write the configuration of the dnsmasq that serves *zone*, with its tables in *folder*."""
    return "\n".join(_lines(zone, region, folder)) + "\n"


def _lines(zone: Zone, region: str, folder: Path) -> Iterator[str]:
    yield from ("keep-in-foreground", "user=root", "no-hosts", "no-resolv", "no-ping")
    yield from ("local-ttl=5", "neg-ttl=1", "cache-size=0", "log-facility=" + str(folder / "log"))
    yield f"addn-hosts={folder / 'names'}"
    yield f"pid-file={folder / 'pid'}"
    # What nobody here knows does not exist: there is no other internet to ask.
    yield "address=/#/"
    for name, address in sorted(services(region).items()):
        yield f"address=/{name}/{address}"
    # Of a machine's or a file system's name only what the table says.
    yield f"address=/{region}.compute.internal/"
    yield f"address=/efs.{region}.amazonaws.com/"
    yield f"address=/elasticfilesystem.{region}.amazonaws.com/{addresses.AWS_API}"
    if zone.subnets:
        yield from _dhcp(zone, region, folder)


def _dhcp(zone: Zone, region: str, folder: Path) -> Iterator[str]:
    yield from ("dhcp-authoritative", "leasefile-ro", f"dhcp-hostsfile={folder / 'machines'}")
    yield f"domain={region}.compute.internal"
    yield f"dhcp-option=option:dns-server,{zone.resolver}"
    for subnet in zone.subnets:
        yield from _range(subnet)


def _range(subnet: Subnet) -> Iterator[str]:
    network = ipaddress.IPv4Network(subnet.cidr)
    base, mask = network.network_address, network.netmask
    tag = "net-" + str(base).replace(".", "-")
    yield f"dhcp-range=set:{tag},{base},static,{mask},{_LEASE}"
    yield f"dhcp-option=tag:{tag},option:router,{subnet.gateway}"


def names(zone: Zone) -> str:
    return "".join(f"{host.address} {host.name}\n" for host in zone.hosts)


def machines(zone: Zone) -> str:
    return "".join(
        f"{host.mac},{host.address},{host.name.partition('.')[0]},{_LEASE}\n"
        for host in zone.hosts
        if host.mac
    )


@dataclass(slots=True, kw_only=True)
class Resolver:
    """One dnsmasq, in the namespace of its zone."""

    region: str
    folder: Path
    zone: Zone | None = None
    process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def serve(self, zone: Zone) -> None:
        """Answer for *zone* from now on."""
        alive = self.process is not None and self.process.poll() is None
        if alive and zone == self.zone:
            return
        restart = not alive or _needs_restart(self.zone, zone)
        self._write(zone)
        if restart:
            self.close()
            self.process = self._start(zone)
        elif self.process:
            self.process.send_signal(signal.SIGHUP)
        self.zone = zone

    def _write(self, zone: Zone) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "names").write_text(names(zone))
        (self.folder / "machines").write_text(machines(zone))
        (self.folder / "conf").write_text(config(zone, self.region, self.folder))

    def _start(self, zone: Zone) -> "subprocess.Popen[bytes]":
        argv = ["dnsmasq", f"--conf-file={self.folder / 'conf'}"]
        ready = self.folder / "pid"
        ready.unlink(missing_ok=True)
        with (self.folder / "log").open("ab") as log:
            started: subprocess.Popen[bytes] = netns.popen(
                zone.namespace, argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        _wait_for(ready, started)
        return started

    def close(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None


def _wait_for(ready: Path, started: "subprocess.Popen[bytes]") -> None:
    """Wait until dnsmasq has its sockets: it writes its process id after that."""
    for _ in range(_START_SECONDS * 100):
        if ready.exists():
            return
        if started.poll() is not None:
            break
        time.sleep(0.01)
    raise OSError(f"dnsmasq does not serve; see {ready.parent / 'log'}")


def _needs_restart(before: Zone | None, after: Zone) -> bool:
    """A signal makes dnsmasq read its tables again, but it never forgets a lease.

    So it starts anew when somebody has left, lest the address stay taken for the next one.
    """
    if before is None or before.subnets != after.subnets:
        return True
    return bool({host for host in before.hosts if host.mac} - set(after.hosts))
