"""A node that cannot start: `create` ends with that node's own words, and nothing is left then."""

from pathlib import Path

import pytest

from tests.region import story
from tests.region.story import clusterous, until

pytestmark = pytest.mark.region

CLUSTER = """\
name: bare
region: eu-west-1
controller: {type: t3.medium}
master: none
workers: {type: t3.medium, count: 1}
volume: efs
"""


def test_a_node_whose_boot_fails_ends_create_with_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "bare.yaml").write_text(CLUSTER)
    with story.up("crbare") as region, (tmp_path / "words.log").open("w") as words:
        argv = ("clusterous", "create", "bare.yaml", "--yes")
        process = region.laptop_popen(argv, cwd=tmp_path, stdout=words, stderr=words)

        def workers() -> list[str]:
            return [
                each["id"]
                for each in region.instances()
                if each["tags"].get("clusterous.io/pool") == "worker" and each["pid"]
            ]

        until(workers, "a worker boots")
        # Something lies where the program should go, as on an image that somebody prepared.
        region.exec(workers()[0], ["mkdir", "-p", "/usr/local/bin/k3s"], check=True)
        code = process.wait(timeout=180)

        said = (tmp_path / "words.log").read_text()
        assert code == 1, said
        assert "Is a directory" in said or "EXEC" in said or "Permission denied" in said, said
        clusterous(region, tmp_path, "destroy", "--cluster", "bare", "--yes")
        assert region.leftovers() == []
