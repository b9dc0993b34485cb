"""The tutorial from its first line to its last, as somebody types it in an empty account.

As in `test_run.py`: a strict AWS, a real registry, real SSH and rsync, a stand-in of Kubernetes.
What its pods would do, the program's own processes do here.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import pytest
import yaml

from clusterous_cli.cluster import config
from tests import guides, programs
from tests.functional import cloud, sshd
from tests.functional.test_run import Stage, page, stage  # noqa: F401  # fixtures
from tests.region.aws import settings

pytestmark = [sshd.NEEDED, programs.needs("docker-registry")]

PAGE = "tutorial.md"
PENDING = 4  # what `plan` ends with where there is something to do
TRIES = 1000
TOLD = "/apis/clusterous.io/v1/namespaces/default/clusterousapps/primes"


@pytest.fixture
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cloud.World]:
    """An administrator's account with nothing in it."""
    with cloud.running(tmp_path_factory.mktemp("aws")) as world:
        world.configure(user_policy=dict(settings.ADMINISTRATOR))
        with cloud.registry(world):
            yield world


def computed(stage: Stage) -> None:  # noqa: F811
    """Do what the pods do: what the app says, in the image's folder, on the shared volume."""
    spec = yaml.safe_load((stage.folder / "primes/app.yaml").read_text())["spec"]
    where = {"DATA": str(stage.volume), "CLUSTEROUS_MASTER_HOST": "localhost"}
    folder, env = stage.folder / "primes/image", {**os.environ, **where}
    master, worker = ([sys.executable, *spec[who]["command"][1:]] for who in ("master", "workers"))
    with subprocess.Popen(master, cwd=folder, env=env) as running:
        for _ in range(TRIES):  # it may not be there yet, and then ends; a pod is started again
            if running.poll() is not None:
                break
            subprocess.run(worker, cwd=folder, env=env, capture_output=True)
        running.kill()
    assert running.returncode == 0


def test_every_line_does_what_the_page_says(
    stage: Stage,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guides.write(PAGE, stage.folder, "8000")
    cloud.typing(monkeypatch, stage.world)
    stage.kubernetes.conditions = {"Completed": "True"}
    images = []

    with cloud.played(stage.world.cloud, config.parse(guides.files(PAGE)["reef.yaml"])):
        for one in [line for lines in guides.sections(PAGE).values() for line in lines]:
            if one.words is None:
                others(stage, one)
                continue
            words = shlex.split(one.words)
            asks = ["--yes"] if words[0] in ("create", "destroy") else []
            code, _, err = stage.type(*words, *asks)
            assert code == (PENDING if words[0] == "plan" else 0), f"{one.line}: {err}"
            if words[0] == "run":
                images.append(stage.kubernetes.objects[TOLD]["spec"]["image"])
                computed(stage)

    assert all(re.search(r"/clusterous/reef/primes@sha256:[0-9a-f]{64}$", one) for one in images)
    assert len(set(images)) == 2
    assert stage.world.server.leftovers() == []


def others(stage: Stage, one: guides.Typed) -> None:  # noqa: F811
    """Type a line of another program than ours, and see what the page shows."""
    if one.line.startswith("pip "):
        return  # ours is there: `test_packaging.py`
    argv = ["sh", "-euc", one.line]
    done = subprocess.run(argv, cwd=stage.folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{one.line}: {done.stderr}"
    assert done.stdout == one.shown
