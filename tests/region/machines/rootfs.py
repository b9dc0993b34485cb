"""Build the root file system of the region's instances: Debian 12 as its image for EC2 has it.

Every machine is an overlay on the folder that *build* makes. What is baked in is what an image
carries; what belongs to one region (its certificate authority) or to one machine (addresses,
keys, names) comes when the machine starts.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from release import locks

HERE = Path(__file__).parent
NFS = "usr/local/lib/region/nfs4"
IMAGE = HERE / "image"
# The AWS program is installed at the version in the lock; the key need not know all other lines.
SOURCES = (Path(__file__), IMAGE)

SUITE = "bookworm"
PACKAGES = (
    "systemd,systemd-sysv,dbus,udev,cloud-init,isc-dhcp-client,openssh-server,sudo,"
    "ca-certificates,openssl,curl,rsync,python3,"
    "iproute2,iptables,ipset,nftables,conntrack,ethtool,socat,iputils-ping,netbase,"
    "kmod,procps,psmisc,util-linux,less,libseccomp2"
)
UNWANTED = ("man", "locale", "doc", "info", "doc-base", "lintian")
MASKED = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "console-getty.service",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty@tty1.service",
    "systemd-pstore.service",
    "systemd-udevd.service",
)

Tell = Callable[[str], None]


def build(target: Path, nfs: Path, tell: Tell) -> None:
    """Make the root file system in *target*, which must not exist; about a minute.

    *nfs* is the client that its mount.nfs starts, for the kernel may have none.
    """
    tell("Debian packages")
    _bootstrap(target)
    tell("the AWS program")
    _install_aws(target)
    tell("configuration")
    _copy_image(target)
    shutil.copy(nfs, target / NFS)
    _identify_as_aws(target)
    _enable_units(target)
    _forget(target)


def _bootstrap(target: Path) -> None:
    excluded = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in UNWANTED]
    options = ["--quiet", "--variant=minbase", "--mode=root", "--dpkgopt=force-unsafe-io"]
    languages = '--aptopt=Acquire::Languages "none"'
    packages = f"--include={PACKAGES}"
    subprocess.run(
        ["mmdebstrap", *options, *excluded, languages, packages, SUITE, str(target)], check=True
    )


def _install_aws(target: Path) -> None:
    """Install the AWS program beside the system's Python, trusting what the system trusts."""
    lib = target / "opt/aws/lib"
    # The lock's own entries, not the lock as constraints: pip wants every name with its hashes.
    wanted = target / "opt/aws/requirements.txt"
    wanted.parent.mkdir(parents=True, exist_ok=True)
    wanted.write_text(locks.locked(locks.closure(["awscli"])))
    options = ["--quiet", "--no-compile", "--no-deps", "--require-hashes"]
    wheel = ["--only-binary=:all:", "--python-version=3.11", f"--requirement={wanted}"]
    pip = [sys.executable, "-m", "pip", "install"]
    subprocess.run([*pip, *options, *wheel, "--target", str(lib)], check=True)
    shutil.rmtree(lib / "awscli/examples", ignore_errors=True)
    for bundle in lib.rglob("cacert.pem"):
        bundle.unlink()
        bundle.symlink_to("/etc/ssl/certs/ca-certificates.crt")
    chroot = ["chroot", str(target), "/usr/bin/python3", "-m", "compileall", "-q", "/opt/aws/lib"]
    subprocess.run(chroot, check=True)


def _copy_image(target: Path) -> None:
    """Copy what we add; of the modes only what git keeps, whatever the checkout's umask was."""
    for source in sorted(IMAGE.rglob("*")):
        copy = target / source.relative_to(IMAGE)
        if source.is_symlink():
            copy.unlink(missing_ok=True)
            copy.symlink_to(source.readlink())
        elif source.is_dir():
            copy.mkdir(exist_ok=True)
            copy.chmod(0o755)
        else:
            copy.unlink(missing_ok=True)
            shutil.copyfile(source, copy)
            copy.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)


def _identify_as_aws(target: Path) -> None:
    """Let cloud-init know its platform: there is no DMI here, where it would read it on EC2."""
    module = target / "usr/lib/python3/dist-packages/cloudinit/sources/DataSourceEc2.py"
    before = module.read_text()
    head = "def identify_platform():\n"
    if before.count(head) != 1:
        raise ValueError(f"{module} is not the cloud-init that this was written for")
    module.write_text(before.replace(head, f"{head}    return CloudNames.AWS\n\n"))


def _enable_units(target: Path) -> None:
    units = ("region-machine.service", "systemd-networkd.service")
    systemctl = ["systemctl", f"--root={target}", "--quiet"]
    subprocess.run([*systemctl, "enable", *units], check=True)
    subprocess.run([*systemctl, "mask", *MASKED], check=True)


def _forget(target: Path) -> None:
    """Remove what each machine must make itself, and what is of no use to one."""
    for key in (target / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    # Empty, not "uninitialized": systemd makes one, but does not ask the first boot's questions.
    (target / "etc/machine-id").write_text("")
    for name in ("etc/hostname", "etc/resolv.conf"):
        (target / name).unlink(missing_ok=True)
    for folder in ("var/lib/apt/lists", "var/cache/apt", "var/log/apt"):
        shutil.rmtree(target / folder, ignore_errors=True)
