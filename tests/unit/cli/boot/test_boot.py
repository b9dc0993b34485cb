"""What machines boot from: small user data without secrets, scripts that every sh takes."""

import hashlib
import hmac
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from clusterous_cli.boot import bootstrap, manifests, pki
from clusterous_cli.cluster import config
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import Blob
from clusterous_cli.system import assets
from tests import programs

WHO = Identity(name="reef", account="123456789012", region="eu-west-1")
NAMES = ("k3s", "images", "ecr-credential-provider", "operator")


@pytest.fixture(scope="module")
def secrets() -> pki.Secrets:
    return pki.create("reef", datetime.now(UTC))


@pytest.fixture(scope="module")
def bundle(secrets: pki.Secrets) -> bootstrap.Bundle:
    return bootstrap.bundle(
        config.parse("name: reef\n"),
        WHO,
        secrets,
        released={name: Blob(key=f"boot/1/{name}", sha256="1" * 64) for name in NAMES},
        manifests=b"",
        version="2",
    )


def script(bundle: bootstrap.Bundle, role: str) -> str:
    found = [blob for blob in bundle.blobs if blob.key.endswith(f"/{role}.sh")]
    assert found[0].content is not None
    return found[0].content.decode()


def test_user_data_is_small_and_holds_no_secret(
    bundle: bootstrap.Bundle, secrets: pki.Secrets
) -> None:
    for machine in bundle.machines:
        parsed = yaml.safe_load(machine.user_data)
        assert len(machine.user_data) < 4096
        assert parsed["users"][0]["name"] == "clusterous"
        assert secrets.agent_secret not in machine.user_data
        assert "PRIVATE" not in machine.user_data


def test_scripts_hold_no_secret_and_workers_fetch_none_of_the_servers(
    bundle: bootstrap.Bundle, secrets: pki.Secrets
) -> None:
    for role in ("gateway", "controller", "worker"):
        assert secrets.server_secret not in script(bundle, role)
    assert "server/" not in script(bundle, "worker").split("TABLE")[1]
    assert "server/tls/server-ca.key" in script(bundle, "controller")


@pytest.mark.parametrize("role", ["gateway", "controller", "worker"])
@pytest.mark.parametrize("shell", ["dash", "bash"])
@programs.needs("dash", "bash")
def test_every_sh_takes_the_scripts(bundle: bootstrap.Bundle, role: str, shell: str) -> None:
    said = subprocess.run([shell, "-n"], input=script(bundle, role), text=True, capture_output=True)

    assert (said.returncode, said.stderr) == (0, "")


@pytest.mark.parametrize("key", ["4b6579", "00ff80" * 10, "61" * 64])
@pytest.mark.parametrize("text", ["", "What do ya want", "a%s\\n'\"$x\nend"])
def test_the_shell_computes_hmac_as_python_does(key: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "s3.sh").write_text(assets.template("s3.sh"))
    argv = ["sh", "-c", '. "$1"; hmac "$2" "$3"', "sh", str(tmp_path / "s3.sh"), key, text]
    said = subprocess.run(argv, capture_output=True, text=True, check=True)

    assert (
        said.stdout.strip()
        == hmac.new(bytes.fromhex(key), text.encode(), hashlib.sha256).hexdigest()
    )


def test_words_of_failure_become_json(bundle: bootstrap.Bundle, tmp_path: Path) -> None:
    text = script(bundle, "gateway")
    function = text[text.index("quoted()") : text.index("# report PHASE")]
    words = 'ctr: "no space"\t\\ left\n\x1b[31mred\x07\nend'
    said = subprocess.run(["sh", "-c", f"{function}\nquoted"], input=words, capture_output=True,
                          text=True, check=True)  # fmt: skip

    assert yaml.safe_load(said.stdout) == 'ctr: "no space" \\ left\n[31mred\nend\n'


def test_the_chart_is_packed_the_same_way_each_time() -> None:
    assert manifests.chart() == manifests.chart()
    documents = list(
        yaml.safe_load_all(
            manifests.documents(cluster="reef", volume_address="10.1.2.3", version="2", chart=b"x")
        )
    )
    assert [one["kind"] for one in documents] == ["Namespace", "ConfigMap", "HelmChart"]
    volume = yaml.safe_load(documents[1]["data"]["volume.yaml"])
    assert volume["nfs"]["server"] == "10.1.2.3"


KUBECTL = r"""#!/bin/sh
case "$*" in
*'get nodes'*) echo 'ip-10-40-16-10   Ready    control-plane' ;;
*'get deployments'*) echo 'clusterous-operator   0/1   1   0' ;;
*'get pods'*--no-headers*) echo 'clusterous-system   operator-1   0/1   CrashLoopBackOff   4' ;;
*'get pods'*)
    echo 'clusterous-system operator-1 operator 4 CrashLoopBackOff "back-off 40s"'
    echo 'clusterous-system operator-2 operator 0 ImagePullBackOff "Back-off pulling image \"x\""'
    echo 'kube-system helm-install-clusterous-1 helm 0 Completed '
    echo 'default program-1 main 9 CrashLoopBackOff ' ;;
*'get helmcharts'*) printf 'InstallFailed: no matches for "Clusterous"\nline 2' ;;
*'logs operator-1'*' -p '*) echo 'ValueError: "quotes" \ and more' ;;
*) exit 1 ;;
esac
"""


def test_the_controller_tells_why_the_operator_is_not_ready(
    bundle: bootstrap.Bundle, tmp_path: Path
) -> None:
    text = script(bundle, "controller")
    quoted = text[text.index("quoted()") : text.index("# report PHASE")]
    view = text[text.index("CHART=") : text.index("watch_cluster()")]
    (tmp_path / "k3s").write_text(KUBECTL)
    (tmp_path / "k3s").chmod(0o755)

    said = subprocess.run(
        ["sh", "-c", f"set -u\n{quoted}\n{view}\nview"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert said.stderr == ""
    seen = json.loads(said.stdout)
    assert seen["chart"] == 'InstallFailed: no matches for "Clusterous"\nline 2\n'
    first, second = seen["containers"]
    assert first == {
        "pod": "operator-1", "container": "operator", "restarts": 4, "reason": "CrashLoopBackOff",
        "said": 'ValueError: "quotes" \\ and more\n',
    }  # fmt: skip
    assert second["said"].startswith('"Back-off pulling image')
    assert seen["nodes"] == {"ip-10-40-16-10": "Ready"}
