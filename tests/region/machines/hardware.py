"""What a machine sees of its instance type: processors and memory, as files of /proc and /sys.

The kernel shows the host's. Kubelet (cAdvisor) reads /proc/meminfo, /proc/cpuinfo,
/sys/devices/system/cpu and /sys/devices/system/node, so these four are put in their place.
"""

from collections.abc import Mapping


def files(*, vcpus: int, memory_mib: int, cpuinfo: str) -> Mapping[str, str]:
    """Answer content by path below the root; *cpuinfo* is the host's own."""
    return {
        "proc/meminfo": meminfo(memory_mib),
        "proc/cpuinfo": _cpuinfo(vcpus, cpuinfo),
        **_cpus(vcpus),
        **_node(vcpus, memory_mib),
    }


def usable_kib(memory_mib: int) -> int:
    """What Linux reports as MemTotal: the type's memory without kernel and firmware (3 %)."""
    return memory_mib * 1024 * 97 // 100


def meminfo(memory_mib: int) -> str:
    total = usable_kib(memory_mib)
    lines = {
        "MemTotal": total,
        "MemFree": total * 8 // 10,
        "MemAvailable": total * 9 // 10,
        "Buffers": total // 100,
        "Cached": total // 10,
        "SwapCached": 0,
        "Active": total // 10,
        "Inactive": total // 20,
        "SwapTotal": 0,
        "SwapFree": 0,
        "Dirty": 0,
        "Slab": total // 50,
    }
    sizes = "".join(f"{name + ':':<15} {kib:>8} kB\n" for name, kib in lines.items())
    return (
        f"{sizes}HugePages_Total:       0\nHugePages_Free:        0\nHugepagesize:       2048 kB\n"
    )


def _cpuinfo(vcpus: int, host: str) -> str:
    """Repeat the host's first processor, numbered: two threads to a core."""
    block = host.strip().split("\n\n")[0].splitlines()
    return "".join(f"{_renumbered(block, number, vcpus)}\n\n" for number in range(vcpus))


def _renumbered(block: list[str], number: int, vcpus: int) -> str:
    values = {
        "processor": number,
        "apicid": number,
        "initial apicid": number,
        "core id": number // 2,
        "physical id": 0,
        "siblings": vcpus,
        "cpu cores": (vcpus + 1) // 2,
    }
    return "\n".join(_with_value(line, values) for line in block)


def _with_value(line: str, values: Mapping[str, int]) -> str:
    name, colon, _ = line.partition(":")
    known = values.get(name.strip())
    return line if known is None else f"{name}{colon} {known}"


def _span(vcpus: int) -> str:
    return f"0-{vcpus - 1}" if vcpus > 1 else "0"


def _cpus(vcpus: int) -> Mapping[str, str]:
    base = "sys/devices/system/cpu"
    whole = {f"{base}/{name}": f"{_span(vcpus)}\n" for name in ("online", "possible", "present")}
    return {
        **whole,
        f"{base}/offline": "\n",
        f"{base}/kernel_max": "8191\n",
        **{
            f"{base}/cpu{number}/topology/{name}": text
            for number in range(vcpus)
            for name, text in _topology(number, vcpus).items()
        },
    }


def _topology(number: int, vcpus: int) -> Mapping[str, str]:
    first = number // 2 * 2
    siblings = f"{first}-{first + 1}" if first + 1 < vcpus else f"{first}"
    return {
        "core_id": f"{number // 2}\n",
        "physical_package_id": "0\n",
        "die_id": "0\n",
        "thread_siblings_list": f"{siblings}\n",
        "core_siblings_list": f"{_span(vcpus)}\n",
        "package_cpus_list": f"{_span(vcpus)}\n",
    }


def _node(vcpus: int, memory_mib: int) -> Mapping[str, str]:
    base = "sys/devices/system/node"
    memory = "".join(f"Node 0 {line}\n" for line in meminfo(memory_mib).splitlines()[:2])
    topology = {
        f"{base}/node0/cpu{number}/topology/{name}": text
        for number in range(vcpus)
        for name, text in _topology(number, vcpus).items()
    }
    return {
        **{f"{base}/{name}": "0\n" for name in ("online", "possible", "has_cpu", "has_memory")},
        f"{base}/node0/cpulist": f"{_span(vcpus)}\n",
        f"{base}/node0/meminfo": memory,
        f"{base}/node0/distance": "10\n",
        f"{base}/node0/hugepages/hugepages-2048kB/nr_hugepages": "0\n",
        **topology,
    }
