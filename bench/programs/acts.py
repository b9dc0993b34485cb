"""What somebody at a laptop does all day, timed, each beside the plain tool that does the same."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from clusterous_api import names
from clusterous_cli.addons import builder
from clusterous_cli.reach import ssh
from tests.examples.programs import Laptop
from tests.region import story

# Small files, as those that make a transfer slow, and one that is large.
FILES, FILE_BYTES, LARGE_BYTES = 2000, 4096, 64 << 20
TIMES: Final = 5
QUICK: Final = "quick"
# Is there at once and stays; says one line.
APP: Final = f"""\
apiVersion: clusterous.io/v1
kind: ClusterousApp
metadata:
  name: {QUICK}
  annotations: {{clusterous.io/build.{QUICK}: {QUICK}/}}
spec:
  image: {QUICK}
  master:
    command: [sh, -c, echo here; exec sleep infinity]
    resources: {{requests: {{cpu: 100m, memory: 32Mi}}}}
"""
RECIPE: Final = "FROM docker.io/library/python:3.11-slim\nCOPY word /word\n"
ON_CLUSTER: Final = ("--builder", "cluster")


@dataclass(slots=True)
class Desk:
    """A laptop whose cluster is ready; *taken* are the seconds of everything, by its name."""

    laptop: Laptop
    tell: Callable[[str], None]
    taken: dict[str, list[float]] = field(default_factory=dict)

    def measure(self) -> None:
        """Do everything once or several times, what is compared in turns."""
        self._programs()
        self._files()
        self._looks()
        self._images()

    # -- programs -------------------------------------------------------------------------------

    def _programs(self) -> None:
        folder = self.laptop.folder
        (folder / QUICK).mkdir()
        (folder / QUICK / "Containerfile").write_text(RECIPE)
        (folder / QUICK / "word").write_text("one")
        (folder / "app.yaml").write_text(APP)
        run = ("clusterous", "run", "app.yaml")
        self.laptop.type(*run)
        written = self.laptop.said(*run, "--dry-run", "-o", "yaml")
        (folder / "written.yaml").write_text(written)
        kubectl = f"kubectl --kubeconfig {self._kubeconfig()}"
        apply = f"{kubectl} apply --server-side --force-conflicts -f written.yaml"
        wait = f"{kubectl} wait --for=condition=Ready capp/{QUICK}"
        plain = ("sh", "-ec", f"{apply} && {wait}")
        for _ in range(TIMES):
            self._take("run", *run)
            self._take("apply", *plain)

    # -- the volume -----------------------------------------------------------------------------

    def _files(self) -> None:
        whole = self.laptop.folder / "whole"
        _fill(whole)
        rsync = self._rsync()
        for number in range(TIMES):
            there = f"put{number}/"
            self._take("put", "clusterous", "put", "whole", there)
            plain = (*rsync, f"{ssh.CONTROLLER}:{names.VOLUME_PATH}/plain{number}/")
            self._take("rsync", *plain)
            self._take("put_again", "clusterous", "put", "whole", there)
            self._take("rsync_again", *plain)

    def _rsync(self) -> Sequence[str]:
        """One rsync by the connection that is open, as somebody would type it, but for where to."""
        path = ("--rsync-path", "sudo rsync", "--no-owner", "--no-group")
        return ("rsync", "-a", *path, "-e", f"ssh -F {self._ssh_config()}", "whole")

    def _ssh_config(self) -> Path:
        return self._kubeconfig().with_name(ssh.CONFIG)

    def _kubeconfig(self) -> Path:
        return Path(self.laptop.said("clusterous", "kubectl", "--config").strip())

    # -- looks ----------------------------------------------------------------------------------

    def _looks(self) -> None:
        trip = ("ssh", "-F", str(self._ssh_config()), ssh.CONTROLLER, "true")
        for _ in range(TIMES):
            self._take("round_trip", *trip)
            self._take("ls", "clusterous", "ls")
            self._take("logs", "clusterous", "logs", QUICK)

    # -- images ---------------------------------------------------------------------------------

    def _images(self) -> None:
        """On the cluster; `build_inside` is not told apart from the whole, and stays unmeasured."""
        self.laptop.take("dask")
        dask = ("clusterous", "build-image", "dask/image", "dask:bench", *ON_CLUSTER)
        self._renew_builder()
        self._take("build_first", *dask)
        self.laptop.type("clusterous", "image", "rm", "dask:bench", "--yes")
        self._renew_builder()
        self._take("build_cached", *dask)
        kubectl = ("clusterous", "kubectl", "-n", builder.SPACE)
        pod = self.laptop.said(*kubectl, "get", "pods", "-o", "name").split()[0]
        for number in range(TIMES):
            self._take("exec", *kubectl, "exec", pod, "--", "true")
            self._take("build_again", *dask)
            tag = f"dask:bench{number}"
            self._take("build_tag", "clusterous", "build-image", "dask/image", tag, *ON_CLUSTER)

    def _renew_builder(self) -> None:
        """Have a builder that has built nothing: it is started by a build of no matter."""
        kubectl = ("clusterous", "kubectl", "-n", builder.SPACE)
        if self.laptop.succeeds(*kubectl, "get", "jobs", builder.NAME):
            self.laptop.type(*kubectl, "delete", "jobs", "--all", "--wait")
            pods = (*kubectl, "get", "pods", "-o", "name")
            story.until(lambda: not self.laptop.said(*pods), "the builder is gone")
        word = self.laptop.folder / QUICK / "word"
        word.write_text(str(time.monotonic()))
        self.laptop.type("clusterous", "build-image", QUICK, "starter", *ON_CLUSTER)

    # -- time -----------------------------------------------------------------------------------

    def _take(self, name: str, *argv: str) -> None:
        began = time.monotonic()
        self.laptop.type(*argv)
        seconds = time.monotonic() - began
        self.taken.setdefault(name, []).append(round(seconds, 3))
        self.tell(f"  {seconds:7.2f} s  {name}")


def _fill(folder: Path) -> None:
    made = random.Random(7)  # what cannot be compressed
    for number in range(FILES):
        place = folder / f"{number % 50}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.bin").write_bytes(made.randbytes(FILE_BYTES))
    (folder / "large.bin").write_bytes(made.randbytes(LARGE_BYTES))
