"""The way of nodes to S3: this machine's sh and curl, against signatures that are checked."""

import hashlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from clusterous_cli.cluster import config
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.system import assets
from tests.functional import cloud

WHO = Identity(name="reef", account="123456789012", region="eu-west-1")
REEF = config.parse("name: reef\nworkers: 1\n")
# The role's credentials come from a variable instead of the machine's metadata service.
STAND_IN = """
imds() { case $1 in */) echo role;; *) printf '%s' "$CREDENTIALS";; esac; }
curl() { command curl --connect-to "::127.0.0.1:$PORT" --cacert "$CA" "$@"; }
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cloud.World]:
    with cloud.running(tmp_path_factory.mktemp("aws")) as world:
        outcome = world.converge(REEF).execute()
        assert not outcome.failed
        yield world


def shell(
    world: cloud.World, role: str, command: str, folder: Path, token: str | None = None
) -> subprocess.CompletedProcess[str]:
    keys = world.server.credentials(WHO.role(role), "i-0123456789abcdef0")
    credentials = (
        f'{{\n  "Code" : "Success",\n  "AccessKeyId" : "{keys.access_key_id}",\n'
        f'  "SecretAccessKey" : "{keys.secret_access_key}",\n'
        f'  "Token" : "{token or keys.token}"\n}}'
    )
    (folder / "s3.sh").write_text(assets.template("s3.sh") + STAND_IN)
    environment = {
        "PATH": "/usr/bin:/bin", "REGION": "eu-west-1", "BUCKET": WHO.bucket,
        "DOMAIN": "amazonaws.com", "PORT": str(world.port), "CREDENTIALS": credentials,
        "CA": str(world.folder / "ca.pem"), "FETCH_TRIES": "2", "FETCH_PAUSE": "0",
    }  # fmt: skip
    return subprocess.run(
        ["sh", "-c", f". ./s3.sh; {command}"],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def put(instance: str) -> str:
    """The command of the boot script that writes an instance's report."""
    line = re.search(r'^ +(s3 PUT .*) "\$\(digest', assets.template("boot.sh"), re.MULTILINE)
    assert line is not None
    command = assets.render(line[1], REPORTS=quote(WHO.reports, safe="/"))
    return f'INSTANCE={instance}; {command} "$(digest <body)" --data-binary @body -o answer'


def key_of(world: cloud.World, ending: str) -> str:
    listed = world.cloud.pages(
        "s3", "list_objects_v2", "Contents", Bucket="clusterous-reef-0496e6074a"
    )
    return next(one["Key"] for one in listed if one["Key"].endswith(ending))


def test_a_worker_fetches_its_script_and_reports(world: cloud.World, tmp_path: Path) -> None:
    key = key_of(world, "/worker.sh")

    fetched = shell(world, "worker", f"fetch {key} {key.split('/')[1]} out", tmp_path)
    (tmp_path / "body").write_text('{"phase":"ready"}')
    command = put("i-0123456789abcdef0")
    reported = shell(world, "worker", command, tmp_path)

    assert (fetched.returncode, fetched.stderr) == (0, "")
    content = (tmp_path / "out").read_bytes()
    assert hashlib.sha256(content).hexdigest() == key.split("/")[1]
    assert (reported.returncode, reported.stderr) == (0, "")


@pytest.mark.parametrize("role", ["worker", "controller", "gateway"])
def test_no_machine_writes_the_report_of_another(
    world: cloud.World, tmp_path: Path, role: str
) -> None:
    (tmp_path / "body").write_text('{"phase":"ready","host_key":"planted"}')

    said = shell(world, role, put("i-0fedcba9876543210"), tmp_path)

    assert said.returncode == 22
    assert "403" in said.stderr


@pytest.mark.parametrize("role", ["worker", "gateway"])
@pytest.mark.parametrize(
    "secret", ["private/secrets.json", "server-ca.key", "agent-token", "server/addons"]
)
def test_only_the_controller_gets_at_the_servers_secrets(
    world: cloud.World, tmp_path: Path, role: str, secret: str
) -> None:
    said = shell(world, role, f's3 GET {key_of(world, secret)} "$NOTHING" -o out', tmp_path)

    assert said.returncode == 22
    assert "403" in said.stderr


def test_the_controller_reads_the_table_of_addons(world: cloud.World, tmp_path: Path) -> None:
    said = shell(world, "controller", 's3 GET server/addons "$NOTHING" -o out', tmp_path)

    assert (said.returncode, said.stderr) == (0, "")
    assert (tmp_path / "out").read_text().startswith("operator ")


@pytest.mark.parametrize("role", ["worker", "controller", "gateway"])
def test_no_machine_says_what_the_cluster_itself_runs(
    world: cloud.World, tmp_path: Path, role: str
) -> None:
    (tmp_path / "body").write_text("operator 12ab manifests addon-operator.yaml boot/x " + "1" * 64)
    put = 's3 PUT server/addons "$(digest <body)" --data-binary @body -o answer'

    said = shell(world, role, put, tmp_path)

    assert said.returncode == 22
    assert "403" in said.stderr


def test_a_wrong_token_is_refused(world: cloud.World, tmp_path: Path) -> None:
    key = key_of(world, "/worker.sh")

    said = shell(world, "worker", f's3 GET {key} "$NOTHING" -o out', tmp_path, token="wrong")

    assert said.returncode == 22


def test_another_checksum_is_an_error_with_words(world: cloud.World, tmp_path: Path) -> None:
    said = shell(world, "worker", f"fetch {key_of(world, '/worker.sh')} {'0' * 64} out", tmp_path)

    assert said.returncode == 1
    assert "could not be fetched" in said.stdout
    assert not (tmp_path / "out").exists()
