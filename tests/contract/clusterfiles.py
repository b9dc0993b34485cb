"""Cluster files as hypothesis draws them: right ones, and such as are wrong in some places."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from clusterous_cli.cluster import config

ODD = (None, True, -1, 1.5, "", "no", [], {}, [1], {"x": 1})
Drawn = st.SearchStrategy[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """Draws what is right, and where *wrong* now and then what is not."""

    wrong: bool

    def one(self, right: Sequence[Any], wrong: Sequence[Any] = ()) -> Drawn:
        good = st.sampled_from(right)
        return st.one_of(good, good, good, st.sampled_from([*wrong, *ODD])) if self.wrong else good

    def some(self, keys: dict[str, Drawn], unknown: str = "cuont") -> Drawn:
        odd = {unknown: st.just(1)} if self.wrong else {}
        return st.fixed_dictionaries({}, optional={**keys, **odd})

    def named(self, right: Sequence[str], wrong: Sequence[str], value: Drawn) -> Drawn:
        keys = st.sampled_from([*right, *(wrong if self.wrong else ())])
        return st.dictionaries(keys, value, max_size=3)

    def machine(self) -> dict[str, Drawn]:
        return {
            "type": self.one(["t3.nano", "m7i.4xlarge", "u-6tb1.metal"], ["t4g.nano", "t3.", "x"]),
            "disk": self.one([8, 20, 16384], [7, 16385]),
        }

    def pool(self) -> Drawn:
        count = self.one([0, 2, 60], [251])
        labels = self.named(
            ["tier", "example.org/x"], ["-x", "kubernetes.io/os", "x y"],
            self.one(["", "big"], ["a b", "-"]),
        )  # fmt: skip
        taint = self.one(["gpu=true:NoSchedule", "a:NoExecute"], ["gpu", "k8s.io/x:NoSchedule"])
        taints = st.lists(taint, max_size=2)
        keys = {**self.machine(), "count": count, "labels": labels, "taints": taints}
        return st.one_of(count, self.some(keys))

    def network(self) -> Drawn:
        right = ["10.50.0.0/16", "10.40.0.0/22", "10.0.0.0/255.255.0.0"]
        wrong = ["10.0.0.0/8", "10.40.1.0/16", "10.42.0.0/16", "8.8.0.0/16", "300.0.0.0/16",
                 "10.0.0.0", "10.0.0.0/33"]  # fmt: skip
        zone = self.one(["a", "eu-west-1b"], ["ab"])
        return self.some({"cidr": self.one(right, wrong), "zone": zone})

    def gateway(self) -> Drawn:
        right = ["203.0.113.7", "10.0.0.0/8", "203.0.113.0/024", "198.51.100.0/255.255.255.0"]
        allow = st.lists(self.one(right, ["0.0.0.0/0", "10.0.0.1/8", "10.0.0.0/33"]), max_size=2)
        return self.some({**self.machine(), "allow": allow})

    def volume(self) -> Drawn:
        figures = {
            "size": self.one([20, 16384], [0]),
            "iops": self.one([4000, 9000], [2999, 16001]),
            "throughput": self.one([125, 1000], [1001]),
        }
        id = self.one(["vol-0123456789abcdef0"], ["fs-01234567", "vol-1"])
        type = self.one(["ebs"], ["efs", "none", "nfs"])
        return st.one_of(
            self.one([str(one) for one in config.VOLUMES], ["nfs"]),
            self.some({**figures, "id": id, "type": type}),
            self.some({"id": st.just("fs-01234567"), "type": self.one(["efs"], ["ebs"])}),
        )

    def logging(self) -> Drawn:
        figures = {
            "level": self.one([1, 2], [0, 3]),
            "days": self.one([1, 30, 3650], [0, 3651]),
        }
        ours = {
            **figures,
            "size": self.one([1, 20], [0]),
            "store": self.one(["efk", "light"], ["x"]),
        }
        url = self.one(["https://logs.example.org:9200", "http://10.0.0.7"], ["logs", "ftp://x"])
        theirs = {"store": self.one(["yours", "opensearch"], ["efk"])}
        return st.one_of(
            self.one([1, 2, "none"], [0, 3, "all"]),
            self.some(ours),
            st.fixed_dictionaries({"url": url}, optional={**figures, **theirs}),
        )

    def file(self) -> Drawn:
        tags = self.named(
            ["x", "owner", "a b", "é"], ["Name", "aws:x", "clusterous.io/uid", "a\tb"],
            self.one(["", "ocean", "zwölf"], ["a\tb", 7]),
        )  # fmt: skip
        names = self.one(["reef", "a", "no"], ["Reef", "a-", "a" * 31])
        pools = self.named(["cpu", "big"], ["worker", "nat", "Big"], self.pool())
        keys = {
            "version": self.one([1], [2, "1"]),
            "region": self.one(["eu-west-1", "us-gov-east-1"], ["europe", "eu-west-1a"]),
            "image": self.one([*config.IMAGES, "ami-0123456789abcdef0"], ["ami-", "ubuntu"]),
            "k3s": self.one(["v1.35.4+k3s1"], ["v1.35.4"]),
            "network": self.network(),
            "gateway": self.gateway(),
            "controller": self.some(self.machine()),
            "master": st.one_of(self.one(["none"], ["ebs", 1]), self.some(self.machine())),
            "workers": self.pool(),
            "pools": pools,
            "volume": self.volume(),
            "tags": tags,
            "logging": self.logging(),
        }
        odd = {"key_file": st.just("x"), "name": names} if self.wrong else {}
        needed = {} if self.wrong else {"name": names}
        return st.fixed_dictionaries(needed, optional={**keys, **odd})


RIGHT = Draw(wrong=False).file()  # but for sums, and pools that are none
WRONG = Draw(wrong=True).file()
