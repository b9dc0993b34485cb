"""A container of a pod as runc takes it: what kubelet and containerd make of a manifest, by hand.

Only what the volume server's pod asks for is understood. Pure.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

_NAMESPACES: Final = ("pid", "ipc", "uts", "mount")  # and the machine's network
_PROPAGATION: Final = {
    "None": "rprivate",
    "HostToContainer": "rslave",
    "Bidirectional": "rshared",
}
# What no container without privileges sees, as containerd has it.
_MASKED: Final = (
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/scsi",
)
_READ_ONLY: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_DEVICES: Final = (("c", 1, 3), ("c", 1, 5), ("c", 1, 7), ("c", 1, 8), ("c", 1, 9), ("c", 5, 0))
_ALL: Final = (
    *("AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE"),
    *("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER"),
    *("KILL", "LEASE", "LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN"),
    *("NET_BIND_SERVICE", "NET_BROADCAST", "NET_RAW", "PERFMON", "SETFCAP", "SETGID", "SETPCAP"),
    *("SETUID", "SYSLOG", "SYS_ADMIN", "SYS_BOOT", "SYS_CHROOT", "SYS_MODULE", "SYS_NICE"),
    *("SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG"),
    "WAKE_ALARM",
)


def bundle(
    pod: Mapping[str, Any], name: str, image: Mapping[str, Any], root: str
) -> dict[str, Any]:
    """Return runc's configuration of the container *name*, whose files lie in *root*."""
    (container,) = (one for one in pod["spec"]["containers"] if one["name"] == name)
    places = {one["name"]: one for one in pod["spec"]["volumes"]}
    rights = container["securityContext"]
    is_privileged = bool(rights.get("privileged"))
    capabilities = [f"CAP_{one}" for one in _ALL if is_privileged or one in _added(rights)]
    binds = [_bind(one, places[one["name"]]) for one in container["volumeMounts"]]
    taken = [one["destination"] for one in binds]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": [*image["Entrypoint"], *container["args"]],
            "env": list(image["Env"]),
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
            "noNewPrivileges": rights.get("allowPrivilegeEscalation") is False,
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1048576, "soft": 1048576}],
        },
        "root": {"path": root, "readonly": rights["readOnlyRootFilesystem"]},
        # As containerd sorts them.
        "mounts": sorted(
            [*_usual(is_privileged, taken), *binds, _ended(name, container)],
            key=lambda one: len(one["destination"].split("/")),
        ),
        "linux": {
            "namespaces": [{"type": one} for one in _NAMESPACES],
            "rootfsPropagation": "rshared" if is_privileged else "rslave",
            "resources": {"devices": _devices(is_privileged)},
            **({} if is_privileged else {"maskedPaths": _MASKED, "readonlyPaths": _READ_ONLY}),
        },
    }


def _added(rights: Mapping[str, Any]) -> Sequence[str]:
    added: Sequence[str] = rights.get("capabilities", {}).get("add", ())
    return added


def _bind(mount: Mapping[str, Any], volume: Mapping[str, Any]) -> dict[str, Any]:
    if "emptyDir" in volume:
        return {"destination": mount["mountPath"], "type": "tmpfs", "source": "tmpfs"}
    how = _PROPAGATION[mount.get("mountPropagation", "None")]
    mode = "ro" if mount.get("readOnly") else "rw"
    return {
        "destination": mount["mountPath"],
        "type": "bind",
        "source": volume["hostPath"]["path"],
        "options": ["rbind", how, mode],
    }


def _ended(name: str, container: Mapping[str, Any]) -> dict[str, Any]:
    """Return the file for a container's last words, which kubelet mounts into each."""
    path = container.get("terminationMessagePath", "/dev/termination-log")
    source = f"/run/ended-{name}"
    return {"destination": path, "type": "bind", "source": source, "options": ["rbind", "rw"]}


def _usual(is_privileged: bool, taken: Sequence[str]) -> list[dict[str, Any]]:
    mode = "rw" if is_privileged else "ro"
    usual = (
        ("/proc", "proc", ["nosuid", "noexec", "nodev"]),
        ("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        ("/dev/pts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
        ("/dev/shm", "tmpfs", ["nosuid", "noexec", "nodev", "mode=1777"]),
        ("/dev/mqueue", "mqueue", ["nosuid", "noexec", "nodev"]),
        ("/sys", "sysfs", ["nosuid", "noexec", "nodev", mode]),
        ("/sys/fs/cgroup", "cgroup", ["nosuid", "noexec", "nodev", "relatime", mode]),
    )
    return [
        {"destination": place, "type": kind, "source": kind, "options": options}
        for place, kind, options in usual
        if place not in taken
    ]


def _devices(is_privileged: bool) -> list[dict[str, Any]]:
    if is_privileged:
        return [{"allow": True, "access": "rwm"}]
    some = [
        {"allow": True, "type": kind, "major": major, "minor": minor, "access": "rwm"}
        for kind, major, minor in _DEVICES
    ]
    return [{"allow": False, "access": "rwm"}, *some]
