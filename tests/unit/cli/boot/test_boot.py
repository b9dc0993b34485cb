"""What machines boot from: small user data without secrets, scripts that every sh takes."""

import hashlib
import hmac
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from clusterous_api import names
from clusterous_cli.boot import bootstrap, pki
from clusterous_cli.cluster import config
from clusterous_cli.cluster.addresses import node_name
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import Blob
from clusterous_cli.cluster.records import report
from clusterous_cli.commands import snapshot
from clusterous_cli.output import show
from clusterous_cli.system import assets
from tests import programs

WHO = Identity(name="reef", account="123456789012", region="eu-west-1")
NAMES = ("k3s", "images", "ecr-credential-provider", "operator")


@pytest.fixture(scope="module")
def secrets() -> pki.Secrets:
    return pki.create("reef", datetime.now(UTC))


@pytest.fixture(scope="module")
def bundle(secrets: pki.Secrets) -> bootstrap.Bundle:
    return make_bundle(secrets)


def make_bundle(secrets: pki.Secrets, cluster: str = "name: reef\n") -> bootstrap.Bundle:
    return bootstrap.bundle(
        config.parse(cluster),
        WHO,
        secrets,
        released={name: Blob(key=f"boot/1/{name}", sha256="1" * 64) for name in NAMES},
        version="2",
    )


def script(bundle: bootstrap.Bundle, role: str) -> str:
    found = [blob for blob in bundle.blobs if blob.key.endswith(f"/{role}.sh")]
    assert found[0].content is not None
    return found[0].content.decode()


def test_what_is_asked_for_a_snapshot_is_where_the_boot_puts_it(bundle: bootstrap.Bundle) -> None:
    program = snapshot.SAVE.split()[2]
    rows = [row.split() for row in script(bundle, "controller").splitlines() if program in row]

    assert any(row[0].endswith("/snapshot.sh") and row[-1] == program for row in rows)


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


@pytest.mark.parametrize(("took", "rests"), [(0, "3"), (1, "3"), (2, "3"), (9, "16"), (90, "30")])
@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_looking_again_and_again_takes_a_third_of_the_time_at_most(
    shell: str, took: int, rests: str
) -> None:
    fakes = 'date() { echo 1000; }\nsleep() { echo "$1"; }'
    argv = [shell, "-uc", f"{assets.template('s3.sh')}\n{fakes}\nrest 3 {1000 - took}"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True)

    assert said.stdout == f"{rests}\n"


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


# What every test of a script's functions begins with that start k3s' tools.
TOOL = 'tool() { k3s "$@"; }'
KUBECTL = r"""#!/bin/sh
case "$*" in
*'get nodes,pods,'*)
    echo 'node ip-10-40-16-10 Ready'
    echo 'waiting clusterous-system/operator-1: "CrashLoopBackOff"'
    printf 'container clusterous-system operator-1 operator@12ab operator 4 '
    echo 'CrashLoopBackOff "back-off 40s"'
    printf 'container clusterous-system operator-2 operator@12ab operator 0 '
    echo 'ImagePullBackOff "Back-off pulling image \"x\""'
    echo 'container kube-system helm-install-clusterous-1 - helm 2 Error '
    echo 'container kube-system helm-install-clusterous-2 - helm 0 Completed '
    echo 'container default program-1 - main 9 CrashLoopBackOff '
    echo 'rollout operator@12ab clusterous-operator 2 2 1 1 0 2'
    printf '%s\n' 'chart InstallFailed: "no matches for \"Clusterous\"\nline 2"' ;;
*'logs helm'*) ;;
*'logs operator-1'*' -p '*) echo 'ValueError: "quotes" \ and more' ;;
*) exit 1 ;;
esac
"""


def test_the_controller_tells_why_the_operator_is_not_ready(
    bundle: bootstrap.Bundle, tmp_path: Path
) -> None:
    text = script(bundle, "controller")
    quoted = text[text.index("quoted()") : text.index("# report PHASE")]
    view = text[text.index("OURS=") : text.index("watch_cluster()")]
    (tmp_path / "k3s").write_text(KUBECTL)
    (tmp_path / "k3s").chmod(0o755)

    (tmp_path / "addons.placed").write_text("operator 12ab images\noperator 12ab manifests\n")
    (tmp_path / "addons.trouble").write_text("curl: (22) 403\n")
    (tmp_path / "snapshot.trouble").write_text('the datastore is "damaged"\n')
    places = f"ROOT={tmp_path} KEPT=/ STATE={tmp_path} ADDONS={tmp_path}/addons"

    said = subprocess.run(
        ["sh", "-uc", f"{TOOL}\n{places}\n{quoted}\n{view}\nview"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert said.stderr == ""
    seen = json.loads(said.stdout)
    assert seen["chart"] == 'InstallFailed: no matches for "Clusterous" line 2\n'
    assert seen["waiting"] == "clusterous-system/operator-1: CrashLoopBackOff\n"
    first, second, installer = seen["containers"]
    assert first == {
        "pod": "operator-1", "mark": "operator@12ab", "container": "operator", "restarts": 4,
        "reason": "CrashLoopBackOff",
        "said": 'ValueError: "quotes" \\ and more\n',
    }  # fmt: skip
    assert second["said"].startswith('"Back-off pulling image')
    assert (installer["pod"], installer["mark"]) == ("helm-install-clusterous-1", "")
    assert seen["nodes"] == {"ip-10-40-16-10": "Ready"}
    assert seen["addons"] == {"operator": "12ab"}
    assert seen["rollouts"] == "operator@12ab clusterous-operator 2 2 1 1 0 2\n"
    assert seen["stuck"] == "curl: (22) 403\n"
    assert seen["unsaved"] == 'the datastore is "damaged"\n'
    (words,) = show.unsaved_words(report.read(f'{{"cluster":{said.stdout}}}'.encode())["cluster"])
    assert 'not saved any more, which is tried every 15 min: the datastore is "damaged".' in words
    assert show.unsaved_words({"unsaved": ""}) == []


def node_config(bundle: bootstrap.Bundle, role: str) -> dict[str, Any]:
    """Return the configuration of k3s that a machine of *role* writes."""
    text = script(bundle, role)
    function = text[text.index("config() {") : text.index("unit() {")]
    facts = "NAME=ip-10-0-0-7-89abcdef ADDRESS=10.0.0.7 ZONE=eu-west-1a INSTANCE=i-0123456789abcdef"
    said = subprocess.run(
        ["sh", "-euc", f"{facts}\n{function}\nconfig"], capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = yaml.safe_load(said.stdout)
    return found


@pytest.mark.parametrize("role", ["controller", "worker"])
def test_slowness_alone_ends_nothing_on_a_node(bundle: bootstrap.Bundle, role: str) -> None:
    found = node_config(bundle, role)

    arguments = dict(one.split("=", 1) for one in found["kubelet-arg"])
    assert set(arguments) == {"provider-id", "kube-reserved", "system-reserved"}
    assert "kube-controller-manager-arg" not in found
    assert "kube-apiserver-arg" not in found
    assert "metrics-server" not in found.get("disable", ())


@pytest.mark.parametrize("role", ["controller", "worker"])
def test_no_node_says_of_itself_what_others_select_it_by(
    bundle: bootstrap.Bundle, role: str
) -> None:
    assert "node-label" not in node_config(bundle, role)


def test_the_name_of_a_node_is_of_its_address_and_its_instance(
    bundle: bootstrap.Bundle,
) -> None:
    text = script(bundle, "worker")
    line = next(line for line in text.splitlines() if line.startswith("NAME="))
    imds = "imds() { echo ip-10-0-0-7.eu-west-1.compute.internal; }"
    instance = "i-0123456789abcdef0"
    argv = ["sh", "-euc", f"{imds}\nINSTANCE={instance}\n{line}\nprintf %s $NAME"]

    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    assert said == node_name("ip-10-0-0-7.eu-west-1.compute.internal", instance)
    assert said == "ip-10-0-0-7-9abcdef0"
    assert said != node_name("ip-10-0-0-7.eu-west-1.compute.internal", "i-0123456789abcdef1")


def test_the_datastore_is_on_its_volume_and_syncs_what_it_acknowledges(
    bundle: bootstrap.Bundle,
) -> None:
    scheme, _, place = node_config(bundle, "controller")["datastore-endpoint"].partition("://")
    path, _, options = place.partition("?")

    assert scheme == "sqlite"
    assert path == f"{bootstrap.KEPT}/db/state.db"
    assert "_synchronous=FULL" in options.split("&")
    assert "datastore-endpoint" not in node_config(bundle, "worker")
    unit = script(bundle, "controller")
    assert f"ConditionPathIsMountPoint={bootstrap.KEPT}\n" in unit


def carry_out(
    bundle: bootstrap.Bundle, role: str, root: Path, *, log: str = "", client: bool = True
) -> list[str]:
    """Carry out a node's steps, all but fetching and starting; return the lines that it says."""
    text = script(bundle, role)
    steps = text[text.index("# /etc/rancher/k3s/config.yaml") : text.index("# In a shell of its")]
    for folder in ("sbin", "var/lib/rancher/k3s/agent/images"):
        (root / folder).mkdir(parents=True)
    if client:
        (root / "sbin/mount.nfs4").touch(0o755)
    fakes = f"""{TOOL}
first_addons() {{ :; }}; keep_state() {{ :; }}; tell_begun() {{ :; }}
files() {{ :; }}; fetch_all() {{ cat; }}; start() {{ :; }}; phase() {{ echo "phase: $1"; }}
k3s() {{ [ "$2" != version ]; }}; iptables() {{ [ "$4" = -I ] && echo "$*" >>{root}/rules; }}
chattr() {{ echo "chattr $1 ${{2#$ROOT}}"; }}
journalctl() {{ echo '{log}'; }}; imds() {{ echo "of-$1" | tr / -; }}
ROOT={root} NAME=n ADDRESS=a ZONE=z INSTANCE=i REGION=r
"""
    argv = ["sh", "-uc", f"{steps}\n{fakes}\n(set -e; steps); echo code $?"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert said.stderr == ""
    return said.stdout.splitlines()


@pytest.mark.parametrize("role", ["controller", "worker"])
def test_a_node_begins_when_its_images_are_in_and_imports_them_once(
    bundle: bootstrap.Bundle, tmp_path: Path, role: str
) -> None:
    said = carry_out(bundle, role, tmp_path)

    # Where the volume is not mounted, on a worker, nothing shall fill the root disk in its stead.
    held = ["chattr +i /home/data"] if role == "worker" else []
    assert said == ["phase: fetching", *held, "phase: starting", "phase: ready", "code 0"]
    folder = tmp_path / "var/lib/rancher/k3s/agent/images"
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        ".cache.json": "",
        "zz-last.txt": "",
    }
    archives = [
        line.split()[3].rsplit("/", 1)[1]
        for line in script(bundle, role).split("TABLE")[1].splitlines()
        if "/agent/images/" in line
    ]
    assert archives
    assert max([*archives, "zz-last.txt"]) == "zz-last.txt"


@pytest.mark.parametrize("role", ["controller", "worker"])
def test_for_one_process_that_has_too_much_no_container_is_ended(
    bundle: bootstrap.Bundle, tmp_path: Path, role: str
) -> None:
    assert carry_out(bundle, role, tmp_path)[-1] == "code 0"

    # k3s's kubelet reads what ends in .conf there; its own begins with 00.
    (file,) = (tmp_path / "var/lib/rancher/k3s/agent/etc/kubelet.conf.d").iterdir()
    assert file.name > "00-k3s-defaults.conf"
    assert file.suffix == ".conf"
    assert yaml.safe_load(file.read_text()) == {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "singleProcessOOMKill": True,
    }


def test_pods_are_kept_from_the_volume_itself_and_from_the_network_of_pods(
    secrets: pki.Secrets, tmp_path: Path
) -> None:
    for volume in ("efs", "none", "ebs"):
        made = make_bundle(secrets, f"name: reef\nvolume: {volume}\n")
        assert carry_out(made, "worker", tmp_path / volume)[-1] == "code 0"
    assert carry_out(made, "controller", tmp_path / "server")[-1] == "code 0"

    start = "-w -t mangle -I FORWARD -i cni0 -d"
    rule = f"{start} 10.40.16.11 -p tcp --dport 2049 -j DROP\n"
    forged = f"{start} 10.40.0.0/16 -p udp --dport 8472 -j DROP\n"
    assert (tmp_path / "efs/rules").read_text() == rule + forged
    assert (tmp_path / "none/rules").read_text() == forged
    served = f"{start} 10.40.16.10 -p tcp --dport 2049 -j DROP\n"
    assert (tmp_path / "ebs/rules").read_text() == served + forged
    # On the controller itself it is reached without being forwarded, by its own pods and others'.
    inside = [
        f"-w -t mangle -I INPUT -i {card} -p tcp --dport 2049 -j DROP\n"
        for card in ("cni0", "flannel.1")
    ]
    assert (tmp_path / "server/rules").read_text() == "".join(inside) + forged


def opened(bundle: bootstrap.Bundle, folder: Path, tries: int = 0) -> tuple[int, list[str]]:
    """Let the controller open the volume, there after *tries*; return its mode and the calls."""
    text = script(bundle, "controller")
    function = text[text.index("open_volume() {") : text.index("open_volume >/dev/null")]
    (folder / "volume").mkdir(mode=0o755)
    fakes = f"""
STATE={folder} left={tries}
mount() {{ echo "mount $*"; left=$((left - 1)); [ $left -lt 0 ]; }}
umount() {{ echo "umount $*"; }}; sleep() {{ echo "sleep $*"; }}
"""
    argv = ["sh", "-uc", f"{function}\n{fakes}\nopen_volume"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert said.stderr == ""
    mode = (folder / "volume").stat().st_mode & 0o7777
    return mode, [line.replace(str(folder), "") for line in said.stdout.splitlines()]


def test_the_volume_is_opened_for_programs_of_any_user(
    secrets: pki.Secrets, tmp_path: Path
) -> None:
    for name in ("efs", "none"):
        (tmp_path / name).mkdir()

    on_efs = make_bundle(secrets, "name: reef\nvolume: efs\n")
    mode, said = opened(on_efs, tmp_path / "efs", tries=1)

    assert oct(mode) == "0o1777"
    mount, *rest = said
    assert mount.endswith(" 10.40.16.11:/ /volume")
    options = mount.split()[4].split(",")
    assert {"nfsvers=4.1", "soft", "timeo=100", "nosuid", "nodev"} <= set(options)
    assert rest == ["sleep 5", mount, "umount /volume"]
    without = make_bundle(secrets, "name: reef\nvolume: none\n")
    assert opened(without, tmp_path / "none") == (0o755, [])


def test_an_image_that_cannot_mount_the_volume_says_so_at_once(
    bundle: bootstrap.Bundle, tmp_path: Path
) -> None:
    said = carry_out(bundle, "worker", tmp_path, client=False)

    assert "no /sbin/mount.nfs4" in said[1]
    assert said[-1] == "code 1"
    assert "phase: starting" not in said


def test_without_a_volume_nothing_is_to_be_mounted(secrets: pki.Secrets, tmp_path: Path) -> None:
    without = make_bundle(secrets, "name: reef\nvolume: none\n")

    assert carry_out(without, "worker", tmp_path, client=False)[-1] == "code 0"


def on_ebs(secrets: pki.Secrets) -> bootstrap.Bundle:
    return make_bundle(secrets, "name: reef\nvolume: ebs\n")


def test_only_machines_that_mount_over_nfs_need_its_client(
    secrets: pki.Secrets, tmp_path: Path
) -> None:
    served = on_ebs(secrets)

    assert carry_out(served, "worker", tmp_path / "worker", client=False)[-1] == "code 1"
    assert carry_out(served, "controller", tmp_path / "server", client=False)[-1] == "code 0"


def test_nobody_writes_where_the_volume_will_be(secrets: pki.Secrets, tmp_path: Path) -> None:
    said = carry_out(on_ebs(secrets), "worker", tmp_path)

    assert said[1] == "chattr +i /home/data"
    assert (tmp_path / "home/data").is_dir()


def test_a_worker_mounts_the_volume_when_it_is_served_and_then_shows_it_to_pods(
    secrets: pki.Secrets, tmp_path: Path
) -> None:
    text = script(on_ebs(secrets), "worker")
    functions = text[text.index("mount_unit() {") :]
    for folder in ("etc/systemd/system", "run/clusterous"):
        (tmp_path / folder).mkdir(parents=True)
    gate = tmp_path / "run/clusterous/data"
    fakes = f"""
ROOT={tmp_path} left=2
rest() {{ :; }}
systemctl() {{
    echo "$*"
    [ "$1" != start ] || {{ [ ! -L {gate} ] && left=$((left - 1)) && [ $left -lt 0 ]; }}
}}
"""
    argv = ["sh", "-uc", f"{fakes}\n{functions}"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()

    assert said == ["daemon-reload", *["start home-data.mount"] * 3]
    assert gate.readlink() == Path("/home/data")
    unit = (tmp_path / "etc/systemd/system/home-data.mount").read_text()
    options = next(line for line in unit.splitlines() if line.startswith("Options="))
    assert "What=10.40.16.10:/\nWhere=/home/data\nType=nfs4\n" in unit
    assert {"nfsvers=4.1", "hard", "timeo=600", "nosuid", "nodev"} <= set(options[8:].split(","))
    # A machine that is turned off ends in time, also where the server is gone already.
    assert "TimeoutSec=90\nLazyUnmount=yes\nForceUnmount=yes\n" in unit


@pytest.mark.parametrize(
    ("told", "is_taken"),
    [
        ("id=vol-1\ngiven=no\nmarked=no\n", True),
        ("id=vol-1\ngiven=no\n", False),
        ("id=vol-1\ngiven=no\nmarked=perhaps\n", False),
        ("<html>", False),
        ("", False),
    ],
)
def test_the_controller_hands_only_a_whole_order_to_the_volume_server(
    secrets: pki.Secrets, tmp_path: Path, told: str, is_taken: bool
) -> None:
    text = script(on_ebs(secrets), "controller")
    functions = text[text.index("ORDER=$ROOT") : text.index("follow_volume() {")]
    (tmp_path / "etc/clusterous").mkdir(parents=True)
    order = tmp_path / "etc/clusterous/volume"
    order.write_text("before\n")
    (tmp_path / "told").write_text(told)
    fakes = f's3() {{ [ "$2" = server/volume ] && cp {tmp_path}/told "$5"; }}'

    argv = [
        "sh",
        "-uc",
        f"ROOT={tmp_path} STATE={tmp_path} NOTHING=e3\n{functions}{fakes}\nread_volume",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert done.stderr == ""
    assert (done.returncode == 0) is is_taken
    assert order.read_text() == (told if is_taken else "before\n")


def test_pods_find_the_way_to_the_volume_only_while_it_is_mounted(
    secrets: pki.Secrets, tmp_path: Path
) -> None:
    text = script(on_ebs(secrets), "controller")
    gate = tmp_path / "data"
    function = text[text.index("open_gate() {") : text.index("follow_volume() {")]
    function = function.replace(names.VOLUME_GATE, str(gate))
    seen = []
    for answer in (1, 0, 0, 1):
        fake = f'mountpoint() {{ [ "$2" = /home/data ] && return {answer}; }}'
        argv = ["sh", "-uc", f"{function}\n{fake}\nopen_gate"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        seen.append((done.returncode, gate.is_symlink(), done.stderr))

    assert seen == [(1, False, ""), (0, True, ""), (0, True, ""), (1, False, "")]


@pytest.mark.parametrize("role", ["controller", "worker"])
def test_a_key_that_k3s_does_not_know_fails_the_boot(
    bundle: bootstrap.Bundle, tmp_path: Path, role: str
) -> None:
    words = 'level=warning msg="Unknown flag --node-nam found in config.yaml, skipping\\n"'

    said = carry_out(bundle, role, tmp_path, log=words)

    assert any("Unknown flag --node-nam" in line for line in said)
    assert said[-1] == "code 1"
    assert "phase: ready" not in said


def test_the_cloud_controller_is_told_where_it_is(bundle: bootstrap.Bundle, tmp_path: Path) -> None:
    carry_out(bundle, "controller", tmp_path)

    told = (tmp_path / "etc/clusterous/cloud.conf").read_text()
    card = "of-meta-data-network-interfaces-macs-of-meta-data-mac"
    assert told.splitlines() == [
        "[Global]",
        'Region = "r"',
        'Zone = "z"',
        f'VPC = "{card}-vpc-id"',
        f'SubnetID = "{card}-subnet-id"',
        'KubernetesClusterID = "reef"',
    ]
    assert (tmp_path / "etc/clusterous/ca.pem").exists()


PODS = """\
ip-1 default stays
ip-2 default orphan
ip-3 kube-system silent"""


HOMES = """\
ip-3 i-0123456789abcdef3 cpu
ip-30 i-0123456789abcdef0 big"""


def follow(
    bundle: bootstrap.Bundle,
    folder: Path,
    steps: str,
    *,
    late: bool = False,
    homes: str = HOMES,
    controllers: str = "ip-1",
    workers: str = "",
) -> list[str]:
    """Carry out *steps* with what the controller does when nodes come and go; return its calls.

    There are the nodes ip-1 and ip-3; of ip-4 nobody can be asked. The controller is ip-1, and its
    node is there from the second time on that it is labelled, if *late*. The laptop's table is told
    by *homes*, and no node has a pool yet.
    """
    text = script(bundle, "controller")
    functions = text[text.index("follow_nodes() {") : text.index("view() {")]
    fake = f"""k3s() {{
    echo "$*" >>{folder}/said
    case "$*" in
    *'control-plane,{names.LABEL_POOL}!=master --no-headers'*) printf '%s\\n' "$WORKERS" ;;
    *'get nodes -l clusterous'*) printf '%s\\n' $CONTROLLERS ;;
    *'get pods'*) printf '%s\\n' "$PODS" ;;
    *'get nodes -l !'*) printf 'node/ip-3\\n' ;;
    *'get node ip-2'*) ;;
    *'get node ip-4'*) return 1 ;;
    *'get node '*) echo node/found ;;
    *'label node '*) [ -z "$late" ] || {{ late=''; return 1; }} ;;
    esac
}}"""
    fetch = 's3() { [ -n "$TABLE" ] && printf "%s\\n" "$TABLE" >"$5"; }'
    begin = f"followed='' NAME=ip-1 NOTHING=e3 STATE={folder} late={'yes' if late else ''}"
    said = {"PODS": PODS, "TABLE": homes, "CONTROLLERS": controllers, "WORKERS": workers}
    subprocess.run(
        ["sh", "-uc", f"{TOOL}\n{functions}\n{fake}\n{fetch}\n{begin}\n{steps}"],
        env=said,
        check=True,
    )
    return (folder / "said").read_text().splitlines()


def test_pools_are_told_by_the_controller_once_for_each_set_of_nodes(
    bundle: bootstrap.Bundle, tmp_path: Path
) -> None:
    said = follow(bundle, tmp_path, "nodes=a; follow_nodes; follow_nodes; nodes=b; follow_nodes")

    pool = "clusterous.io.node-restriction.kubernetes.io/pool"
    once = [
        f"kubectl label node ip-1 {pool}=controller --overwrite",
        f"kubectl label node/ip-3 {pool}=cpu",
    ]
    assert [line for line in said if " label " in line] == [*once, *once]


@pytest.mark.parametrize("homes", ["", "ip-30 i-0123456789abcdef0 big"])
def test_a_node_that_the_laptop_has_not_told_of_yet_is_in_no_pool(
    bundle: bootstrap.Bundle, tmp_path: Path, homes: str
) -> None:
    said = follow(bundle, tmp_path, "nodes=a; follow_nodes || follow_nodes || :", homes=homes)

    labelled = [line.rpartition("=")[2] for line in said if " label " in line]
    assert labelled == ["controller --overwrite"] * 2  # and it is asked for again
    assert "kubectl get pods -A" in "\n".join(said)  # which keeps nothing else from being done


def test_nodes_register_with_the_labels_and_taints_of_their_pool(secrets: pki.Secrets) -> None:
    made = make_bundle(
        secrets,
        "name: reef\nmaster: none\npools:\n  plain: 1\n"
        "  big: {labels: {a: 'yes', b: ''}, taints: ['g:NoSchedule']}\n",
    )

    texts = [
        blob.content.decode()
        for blob in made.blobs
        if blob.content and blob.key.endswith("/worker.sh")
    ]
    configs = [text.split("<<CONFIG\n")[1].split("\nCONFIG")[0] for text in texts]
    plain, big = (yaml.safe_load(one) for one in configs)
    assert "node-label" not in plain
    assert "node-taint" not in plain
    assert big["node-label"] == ["a=yes", "b="]
    assert big["node-taint"] == ["g:NoSchedule"]
    assert len({one.user_data for one in made.machines}) == 4


def test_no_node_is_a_worker_before_the_controllers_own_is_known(
    bundle: bootstrap.Bundle, tmp_path: Path
) -> None:
    said = follow(bundle, tmp_path, "nodes=a; follow_nodes || :; follow_nodes", late=True)

    labelled = [line.rpartition("=")[2] for line in said if " label " in line]
    assert labelled == ["controller --overwrite", "controller --overwrite", "cpu"]


@pytest.mark.parametrize(
    ("workers", "many"),
    [
        ("ip-3   NotReady   <none>   1m   v1.35.4", None),
        ("ip-3   Ready   <none>   1m   v1.35.4", 1),
        ("ip-3   Ready   <none>   1m   v1\nip-4   Ready   <none>   1m   v1\nip-5   Ready  a", 2),
    ],
)
def test_names_are_answered_on_workers_once_there_are_some(
    bundle: bootstrap.Bundle, tmp_path: Path, workers: str, many: int | None
) -> None:
    said = follow(bundle, tmp_path, "PODS=''; nodes=a; follow_nodes", workers=workers)

    patched = [json.loads(line.partition(" -p ")[2]) for line in said if " patch " in line]
    assert [one["spec"]["replicas"] for one in patched] == ([] if many is None else [many])
    for one in patched:
        (where,) = one["spec"]["template"]["spec"]["affinity"]["nodeAffinity"][
            "preferredDuringSchedulingIgnoredDuringExecution"
        ]
        (wanted,) = where["preference"]["matchExpressions"]
        assert wanted == {
            "key": "node-role.kubernetes.io/control-plane",
            "operator": "DoesNotExist",
        }


def test_the_node_of_the_controller_before_goes_and_no_other(
    bundle: bootstrap.Bundle, tmp_path: Path
) -> None:
    steps = "PODS=''; nodes=a; follow_nodes"

    said = follow(bundle, tmp_path, steps, controllers="ip-0 ip-1")

    assert [line for line in said if " delete " in line] == [
        "kubectl delete node ip-0 --wait=false"
    ]


def test_pods_of_nodes_that_are_gone_are_removed_and_no_others(
    bundle: bootstrap.Bundle, tmp_path: Path
) -> None:
    there = """'"ip-1":"Ready",'"""  # of ip-3 the list did not tell, though it is there

    said = follow(bundle, tmp_path, f"nodes={there}; follow_nodes")

    assert [line for line in said if " delete " in line] == [
        "kubectl -n default delete pod orphan --grace-period=0 --force --wait=false"
    ]


def test_where_kubernetes_does_not_answer_nothing_is_removed(
    bundle: bootstrap.Bundle, tmp_path: Path
) -> None:
    said = follow(bundle, tmp_path, "PODS='ip-4 default asked'; nodes=x; ! follow_nodes")

    assert not [line for line in said if " delete " in line]
