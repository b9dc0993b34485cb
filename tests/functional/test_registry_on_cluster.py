"""The registry on the cluster, as its add-on sets it: a real one, twice, on the simulated S3.

Who may pull and push, what the bucket is read to have, and whose turn it is there.
"""

import http.client
import json
import os
import shutil
import ssl
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest

from clusterous_cli.addons import registry as addon
from clusterous_cli.addons.addon import Setting
from clusterous_cli.aws.client import Aws
from clusterous_cli.boot import pki
from clusterous_cli.cluster import config
from clusterous_cli.cluster.file import registry
from clusterous_cli.images.assembly import pull, references
from clusterous_cli.images.sending import bearer, push
from clusterous_cli.images.sending.push import Refused
from clusterous_cli.images.stock import shelf, turns
from clusterous_cli.images.stock.shared import Shared
from tests import ports, programs
from tests.functional.test_registry_s3 import image, until_listening
from tests.region.aws import loopback

pytestmark = programs.needs("docker-registry")

BUCKET = "images-of-everybody"
MIB = 1 << 20
KEYS = pki.create("reef", datetime.now(UTC)).registry
TAG = "src-1"
PROGRAM = str(programs.path("docker-registry"))


@dataclass
class Site:
    """Both registries, where each listens, and how one is called."""

    aws: Aws
    folder: Path
    ports: dict[str, int]
    environment: dict[str, str]

    @property
    def shared(self) -> Shared:
        return Shared(cloud=self.aws, bucket=BUCKET)

    def repository(self, name: str = "tool", said: str | None = None) -> push.Repository:
        return push.Repository(
            registry=registry.HOST, name=name, user="",
            password=lambda: said or bearer.signed(KEYS, ["tool"], time.time()),
            address=f"https://127.0.0.1:{self.ports[addon.WRITER]}",
            authority=KEYS[pki.REGISTRY_CA],
        )  # fmt: skip

    def ask(self, path: str, *, node: bool) -> tuple[int, Message, bytes]:
        """Ask the one that nodes pull from, as a node or as anybody in the cluster."""
        context = ssl.create_default_context(cadata=KEYS[pki.REGISTRY_CA])
        if node:
            context.load_cert_chain(*(self.folder / name for name in pki.NODE))
        address = f"127.0.0.1:{self.ports['read']}"
        with closing(
            http.client.HTTPSConnection(address, context=context, timeout=60)
        ) as connection:
            connection.request("GET", path, headers={"Accept": pull.ACCEPT})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    def collect(self) -> None:
        argv = [PROGRAM, "garbage-collect", "--delete-untagged"]
        settings = self.folder / f"{addon.WRITER}.json"
        subprocess.run([*argv, settings], env=self.environment, check=True, capture_output=True)


@contextmanager
def with_bucket() -> Iterator[loopback.Account]:
    """An account with the bucket, which is asked from now on."""
    with loopback.account() as running, pytest.MonkeyPatch.context() as patch:
        running.client("s3").create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        for name, value in running.environment().items():
            patch.setenv(name, value)
        yield running


@pytest.fixture(scope="module")
def account() -> Iterator[loopback.Account]:
    with with_bucket() as running:
        yield running


@pytest.fixture(scope="module")
def site(account: loopback.Account, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with sited(account, tmp_path_factory.mktemp("registry")) as place:
        yield place


@contextmanager
def sited(account: loopback.Account, folder: Path) -> Iterator[Site]:
    """Both registries on the bucket, as the add-on sets them."""
    for name, text in KEYS.items():
        (folder / name).write_text(text)
    environment = {**account.environment(), "OTEL_TRACES_EXPORTER": "none"}
    del environment["AWS_CA_BUNDLE"]  # which its library takes with no transport but its own
    user = account.server.user_credentials()
    keys = {"accesskey": user.access_key_id, "secretkey": user.secret_access_key}
    setting = Setting(
        config=config.parse("name: reef\nregistry: s3\n"), region="eu-west-1", operator="x:1",
        archives={}, bucket=BUCKET, registry=KEYS,
    )  # fmt: skip
    aws = Aws(boto3.Session(), "eu-west-1")
    place = Site(aws, folder, {name: ports.free() for name in addon.PORTS}, environment)
    processes = []
    for name, port in place.ports.items():
        wanted = addon.settings(setting, name)
        wanted["storage"]["s3"] |= keys
        wanted["http"]["addr"] = f"127.0.0.1:{port}"
        text = json.dumps(wanted).replace(addon.FOLDER, str(folder))
        (folder / f"{name}.json").write_text(text)
        argv = [PROGRAM, "serve", str(folder / f"{name}.json")]
        with (folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(argv, env=environment, stdout=log, stderr=log)
        processes.append(process)
        until_listening(port, process)
    try:
        yield place
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTEROUS_CACHE_HOME", str(tmp_path / "cache"))


def pushed(site: Site, content: bytes, tag: str = TAG, said: str | None = None) -> str:
    with image(content) as what, tempfile.TemporaryDirectory() as scratch:
        return push.push(what, site.repository(said=said), tag, Path(scratch), lambda *told: None)


def test_what_is_pushed_a_node_pulls_from_s3_itself(site: Site) -> None:
    digest = pushed(site, os.urandom(MIB))

    found, _, manifest = site.ask(f"/v2/tool/manifests/{digest}", node=True)
    layer = json.loads(manifest)["layers"][0]["digest"]
    status, headers, _ = site.ask(f"/v2/tool/blobs/{layer}", node=True)

    assert found == 200
    assert status == 307
    assert urlsplit(headers["Location"]).hostname == f"{BUCKET}.s3.eu-west-1.amazonaws.com"


def test_who_has_no_nodes_certificate_pulls_nothing(site: Site) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
        site.ask("/v2/", node=False)


def test_a_node_pushes_nothing(site: Site) -> None:
    """Neither where it pulls, nor by a token that its own key has signed."""
    forged = bearer.signed(
        {pki.PUSH[0]: KEYS[pki.NODE[0]], pki.PUSH[1]: KEYS[pki.NODE[1]]}, ["tool"], time.time()
    )

    for said in (forged, "none", "x.y.z"):
        with pytest.raises(Refused) as refused:
            pushed(site, b"planted", "src-9", said)
        assert refused.value.status == 401
    assert site.shared.find("tool", "src-9") is None


def test_a_token_is_for_its_repositories_and_for_hours(site: Site) -> None:
    old = bearer.signed(KEYS, ["tool"], time.time() - 2 * bearer.LASTS)

    for repository in (site.repository("other"), site.repository(said=old)):
        with pytest.raises(Refused) as refused:
            repository.digest(TAG)
        assert refused.value.status == 401


def test_the_bucket_tells_what_there_is(site: Site) -> None:
    digest = pushed(site, b"coral", "src-2")
    site.repository().point("latest", digest)

    found = site.shared.find("tool", "src-2", "latest", "v1")
    item = shelf.find(site.shared.listed(), "tool")

    assert found is not None
    assert (found.digest, found.tags) == (digest, ("src-2", "latest"))
    assert site.shared.find("tool", "src-3") is None
    newest = site.shared.newest("tool", "src-2")
    assert newest is not None
    assert newest.digest == digest
    assert (item.digest, item.tags) == (digest, ("latest", "src-2"))
    assert len(item.layers) == 1
    assert item.size > 0
    assert site.shared.config(item)["architecture"] == "amd64"


def test_what_is_removed_and_collected_is_gone_and_sent_again(site: Site, tmp_path: Path) -> None:
    content = os.urandom(MIB)
    digest = pushed(site, content, "src-4")
    blobs = stored(site)
    (item,) = [one for one in site.shared.listed() if one.digest == digest]

    site.shared.remove([item])
    assert site.shared.find("tool", "src-4") is None
    site.collect()

    assert len(stored(site)) == len(blobs) - 3  # its layer, its manifest, what it says of itself
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    assert pushed(site, content, "src-4") == digest
    assert pulled(site, tmp_path / "blobs", "src-4") == content


def stored(site: Site) -> list[str]:
    prefix = f"{registry.PREFIX}docker/registry/v2/blobs/"
    listed = site.aws.pages("s3", "list_objects_v2", "Contents", Bucket=BUCKET, Prefix=prefix)
    return [one["Key"] for one in listed]


def pulled(site: Site, folder: Path, tag: str) -> bytes:
    to = site.repository()
    private = {"Authorization": to.authorization()}
    wanted = references.parse(f"{registry.HOST}/tool:{tag}")
    there = pull.Registry(wanted, {registry.HOST: to.address}, private, to.authority)
    layer = there.image(folder, lambda *told: None).layers[0]
    with tarfile.open(layer.path) as tar:
        file = tar.extractfile("file")
        assert file
        return file.read()


# -- whose turn it is -------------------------------------------------------------------------


def locked(aws: Aws) -> dict[str, str]:
    return {"Bucket": BUCKET, "Key": turns.LOCK}


def test_nobody_pushes_while_somebody_collects(site: Site) -> None:
    aws = site.aws
    aws.call("s3", "put_object", Body=b'{"by": "a collection by ada"}', **locked(aws))

    with pytest.raises(turns.Collected, match="by ada collects"), turns.pushing(aws, BUCKET):
        raise AssertionError

    aws.call("s3", "delete_object", **locked(aws))
    with turns.pushing(aws, BUCKET):
        pass
    assert turns.pushers(aws, {"Bucket": BUCKET}) == []


def test_a_collection_waits_for_those_who_push(site: Site) -> None:
    aws, waited = site.aws, []
    push_goes_on = turns.pushing(aws, BUCKET)
    push_goes_on.__enter__()

    def pause(seconds: float) -> None:
        waited.append(turns.pushers(aws, {"Bucket": BUCKET}))
        push_goes_on.__exit__(None, None, None)

    turns.wait_for_pushes(aws, BUCKET, pause, lambda words: None)

    assert [len(one) for one in waited] == [1]
