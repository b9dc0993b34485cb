"""How the controller follows the table of add-ons: the real script, with folders for a bucket."""

import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from clusterous_cli.addons import addon, table, volumeserver
from clusterous_cli.addons.addon import Setting
from clusterous_cli.boot.bootstrap import PIN
from clusterous_cli.cluster import config
from clusterous_cli.cluster.payload import ADDONS, Blob
from clusterous_cli.system import assets
from tests import programs

pytestmark = programs.needs("dash", "bash")

# The script's way to S3 and to containerd; what is asked of them is written down.
STAND_IN = """
s3() { echo "s3 $2" >>"$TOP/said"; [ -f "$TOP/bucket/$2" ] && cp "$TOP/bucket/$2" "$5"; }
k3s() { echo "k3s $* of $(cat "$4")" >>"$TOP/said"; [ ! -e "$TOP/broken" ]; }
"""


class Controller:
    """A controller's disk, and the bucket beside it."""

    def __init__(self, top: Path, shell: str) -> None:
        self.top, self.shell = top, shell
        self.k3s = top / "root/var/lib/rancher/k3s"
        (top / "run").mkdir()

    def put(self, key: str, text: str) -> str:
        """Put an object; return its key and sum as the table has them."""
        path = self.top / "bucket" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return f"{key} {hashlib.sha256(text.encode()).hexdigest()}"

    def table(self, *lines: str) -> None:
        self.put(ADDONS, "".join(f"{line}\n" for line in lines))

    def run(self, steps: str) -> subprocess.CompletedProcess[str]:
        script = assets.render(assets.template("addons.sh"), TABLE=ADDONS, PIN=PIN)
        whole = f"{assets.template('s3.sh')}\n{STAND_IN}\n{script}\n(set -e; {steps})"
        return subprocess.run(
            [self.shell, "-uc", whole],
            env={"PATH": "/usr/bin:/bin", "ROOT": str(self.top / "root"), "TOP": str(self.top),
                 "STATE": str(self.top / "run"), "BUCKET": "the-bucket",
                 "FETCH_TRIES": "4", "FETCH_PAUSE": "0"},
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    @property
    def files(self) -> Mapping[str, str]:
        """What lies where k3s looks, by its path."""
        found = (path for path in self.k3s.rglob("*") if path.is_file())
        return {path.relative_to(self.k3s).as_posix(): path.read_text() for path in found}

    @property
    def said(self) -> list[str]:
        return (self.top / "said").read_text().splitlines()

    @property
    def trouble(self) -> str:
        return (self.top / "run/addons.trouble").read_text()


@pytest.fixture(params=["dash", "bash"])
def controller(tmp_path: Path, request: pytest.FixtureRequest) -> Controller:
    return Controller(tmp_path, request.param)


def operator(controller: Controller, objects: str, image: str) -> tuple[str, str]:
    """Put an operator into the bucket; return its two lines."""
    archive = controller.put(f"boot/{image}/operator-2.tar", image)
    manifest = controller.put(f"server/{objects}/operator.yaml", objects)
    return (
        f"operator 12ab images addon-operator.tar {archive}",
        f"operator 12ab manifests addon-operator.yaml {manifest}",
    )


def test_at_its_first_start_all_is_there_before_k3s(controller: Controller) -> None:
    controller.table(*operator(controller, "objects", "image"))

    done = controller.run("first_addons")

    assert (done.returncode, done.stderr) == (0, "")
    assert controller.files == {
        "agent/images/addon-operator.tar": "image",
        "server/manifests/addon-operator.yaml": "objects",
    }
    assert not any(line.startswith("k3s") for line in controller.said)
    manifest = controller.k3s / "server/manifests/addon-operator.yaml"
    assert manifest.stat().st_mode & 0o077 == 0


def test_the_table_of_every_addon_is_in_the_form_that_is_followed(controller: Controller) -> None:
    image = Blob(key="boot/1/clusterous-operator-2.0.0.dev0_x-amd64.tar", sha256="1" * 64)
    setting = Setting(
        config=config.parse("name: reef\nvolume: ebs\n"),
        region="eu-west-1",
        operator="ghcr.io/x/y:2",
        archives={"operator": image, "volume": image},
    )
    controller.put(ADDONS, table.made(setting).text)

    done = controller.run("read_addons")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def pod_of(image: str) -> str:
    return addon.spelled([volumeserver.pod(image, {})]).decode()


def volume_server(controller: Controller, pod: str) -> tuple[str, str]:
    archive = controller.put("boot/image/volume-2.tar", "image")
    manifest = controller.put("server/1/volume-server.yaml", pod_of(pod))
    return (
        f"volume-server 12ab images addon-volume.tar {archive}",
        f"volume-server 12ab pods addon-volume-server.yaml {manifest}",
    )


def test_a_pod_of_the_node_itself_comes_where_its_kubelet_reads_and_goes_with_its_line(
    controller: Controller,
) -> None:
    controller.table(*volume_server(controller, "volume:2"))
    controller.run("first_addons")
    place = "agent/pod-manifests/addon-volume-server.yaml"
    assert controller.files[place] == pod_of("volume:2")

    controller.table(*operator(controller, "objects", "image"))
    controller.run("look_at_addons")
    assert place not in controller.files


def test_its_image_is_pinned_and_taken_in_again_where_it_was_removed(
    controller: Controller,
) -> None:
    controller.table(*volume_server(controller, "volume:2"))
    controller.run("first_addons")
    (controller.top / "said").unlink()

    controller.run("pin_images")
    assert [line.partition(" of ")[0] for line in controller.said] == [
        f"k3s ctr images label volume:2 {PIN}"
    ]

    (controller.top / "broken").touch()
    controller.run("pin_images")
    assert "images/addon-volume.tar of image" in controller.said[-1]


def test_without_a_table_the_first_start_fails_in_words(controller: Controller) -> None:
    done = controller.run("first_addons")

    assert done.returncode == 1
    assert "server/addons could not be fetched from the bucket the-bucket" in done.stdout


def test_a_later_start_goes_on_with_what_is_there(controller: Controller) -> None:
    controller.table(*operator(controller, "objects", "image"))
    assert controller.run("first_addons").returncode == 0
    (controller.top / "bucket" / ADDONS).unlink()

    assert controller.run("first_addons").returncode == 0


def test_a_new_table_brings_what_changed_and_images_before_objects(
    controller: Controller,
) -> None:
    controller.table(*operator(controller, "objects", "image"))
    controller.run("first_addons")
    (controller.top / "said").unlink()
    controller.table(*operator(controller, "objects-2", "image-2"))

    done = controller.run("look_at_addons; look_at_addons")

    assert (done.returncode, done.stderr) == (0, "")
    assert controller.files["agent/images/addon-operator.tar"] == "image-2"
    assert controller.files["server/manifests/addon-operator.yaml"] == "objects-2"
    assert controller.said == [
        "s3 server/addons",
        "s3 boot/image-2/operator-2.tar",
        f"k3s ctr images import {controller.top}/root/var/lib/clusterous/addons.file of image-2",
        "s3 server/objects-2/operator.yaml",
        "s3 server/addons",  # and the second look finds nothing to do
    ]


def test_objects_wait_for_their_image_and_nothing_else_does(controller: Controller) -> None:
    other = controller.put("server/2/other.yaml", "other")
    line = f"other 34cd manifests addon-other.yaml {other}"
    controller.table(*operator(controller, "objects", "image"), line)
    (controller.top / "broken").touch()

    controller.run("look_at_addons")

    assert controller.files == {"server/manifests/addon-other.yaml": "other"}
    assert not (controller.top / "root/var/lib/clusterous/addons.placed").exists()

    (controller.top / "broken").unlink()
    controller.run("look_at_addons")

    assert len(controller.files) == 3
    assert controller.trouble == ""


def test_what_is_not_wanted_any_more_is_emptied_and_not_removed(controller: Controller) -> None:
    lines = operator(controller, "objects", "image")
    other = controller.put("server/2/other.yaml", "other")
    theirs = controller.k3s / "server/manifests/coredns.yaml"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("theirs")
    controller.table(*lines, f"other 34cd manifests addon-other.yaml {other}")
    controller.run("look_at_addons")

    controller.table(f"other 34cd manifests addon-other.yaml {other}")
    controller.run("look_at_addons")

    assert controller.files == {
        "server/manifests/addon-operator.yaml": "# not wanted any more\n",
        "server/manifests/addon-other.yaml": "other",
        "server/manifests/coredns.yaml": "theirs",
    }


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("operator 12ab images ../../etc/passwd boot/1/x {sum}", id="elsewhere"),
        pytest.param("operator 12ab images addon-../x.tar boot/1/x {sum}", id="elsewhere too"),
        pytest.param("operator 12ab images operator.tar boot/1/x {sum}", id="not an add-on's"),
        pytest.param("operator 12ab bin addon-operator.tar boot/1/x {sum}", id="another folder"),
        pytest.param("operator 12ab images addon-operator.tar boot/1/x 12", id="no sum"),
        pytest.param("", id="an empty line"),
    ],
)
def test_a_table_of_another_form_is_not_followed_at_all(controller: Controller, line: str) -> None:
    good = operator(controller, "objects", "image")
    controller.table(*good, line.format(sum="1" * 64))

    controller.run("look_at_addons")

    assert controller.files == {}
    assert "not in the form that clusterous writes" in controller.trouble


def test_another_content_than_the_table_says_is_told_and_not_taken(controller: Controller) -> None:
    controller.table(*operator(controller, "objects", "image"))
    controller.put("boot/image/operator-2.tar", "another image")

    controller.run("look_at_addons")

    assert controller.files == {}
    assert "boot/image/operator-2.tar has another checksum" in controller.trouble
