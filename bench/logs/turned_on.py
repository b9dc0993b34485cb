"""How long it takes on a cluster that runs from `logging on --light` to a first record found."""

import time
from pathlib import Path
from typing import Final

from tests.examples.programs import Laptop
from tests.region import story
from tests.region.parts import logimages, parts

CLUSTER: Final = """\
name: bench
region: eu-west-1
controller: {type: t3.medium}
master: none
workers: {type: t3.medium, count: 1}
volume: none
"""
APP: Final = """\
apiVersion: clusterous.io/v1
kind: ClusterousApp
metadata: {name: talks}
spec:
  image: rancher/mirrored-library-busybox:1.36.1
  workers:
    replicas: 1
    command: [sh, -c, "while echo here; do sleep 1; done"]
"""
MOST_SECONDS: Final = 600


def seconds(folder: Path) -> float:
    """Bring a region and a cluster up, and measure there."""
    parts.paths([logimages.NAME], print)
    with story.up("crlogs") as region:
        laptop = Laptop(region, folder)
        (folder / "cluster.yaml").write_text(CLUSTER)
        (folder / "app.yaml").write_text(APP)
        laptop.type("clusterous", "create", "cluster.yaml", "--yes")
        laptop.type("clusterous", "kubectl", "apply", "-f", "app.yaml")
        began = time.monotonic()
        laptop.type("clusterous", "logging", "on", "--light", "--yes")
        while "here" not in laptop.said("clusterous", "logs", "talks", "--stored"):
            assert time.monotonic() - began < MOST_SECONDS, "no record was found"
        took = time.monotonic() - began
        laptop.type("clusterous", "destroy", "--yes", "--discard-logs")
    return round(took, 1)
