"""The bucket of images of `registry: s3`: who reaches it, who shares it, and when it goes."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import pytest
from botocore.exceptions import ClientError

from clusterous_api import names
from clusterous_api.errors import UserError
from clusterous_cli.cluster import config
from clusterous_cli.cluster.file import registry
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.images import registry as ecr
from clusterous_cli.output import removal
from clusterous_cli.plan import inventory, sweep
from clusterous_cli.plan.kinds import images
from clusterous_cli.system import assets
from tests.functional import cloud
from tests.functional.test_boot_s3 import STAND_IN

REEF = config.parse("name: reef\nworkers: 1\nvolume: none\nregistry: s3\n")
ATOLL = config.parse("name: atoll\nworkers: 1\nvolume: none\nregistry: s3\n")


def who(world: cloud.World, name: str = "reef") -> Identity:
    return Identity(name=name, account=world.cloud.account, region="eu-west-1")


def keys(world: cloud.World, role: str, folder: Path) -> dict[str, Any] | None:
    """Return what the boot script of a machine leaves for the registry's pod."""
    of, me = world.server.credentials(who(world).role(role), "i-0123456789abcdef0"), who(world)
    arn = f"arn:aws:iam::{me.account}:role/{me.role(names.ROLE_REGISTRY)}"
    script = assets.render(
        assets.template("registry.sh"), ROLE_ARN=quote(arn, safe=""), FILE=f"{folder}/keys.json",
        USER=str(os.getuid()),
    )  # fmt: skip
    (folder / "all.sh").write_text(assets.template("s3.sh") + STAND_IN + script)
    credentials = {
        "AccessKeyId": of.access_key_id, "SecretAccessKey": of.secret_access_key, "Token": of.token
    }  # fmt: skip
    environment = {
        "PATH": "/usr/bin:/bin", "REGION": "eu-west-1", "BUCKET": me.bucket, "ROOT": "",
        "DOMAIN": "amazonaws.com", "PORT": str(world.port), "CA": str(world.folder / "ca.pem"),
        "CREDENTIALS": json.dumps(credentials, indent=1),
    }  # fmt: skip
    subprocess.run(
        ["sh", "-c", ". ./all.sh; registry_keys"],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    found = folder / "keys.json"
    if not found.exists():
        return None
    assert found.stat().st_mode & 0o077 == 0
    told: dict[str, Any] = json.loads(found.read_text())
    return told


def client(world: cloud.World, told: dict[str, Any]) -> Any:
    like = world.cloud.client("s3")
    session = boto3.Session(
        aws_access_key_id=told["AccessKeyId"],
        aws_secret_access_key=told["SecretAccessKey"],
        aws_session_token=told["SessionToken"],
    )
    return session.client("s3", region_name="eu-west-1", config=like.meta.config)


def refused(call: Any, **params: Any) -> bool:
    try:
        call(**params)
    except ClientError as error:
        return str(error.response["Error"]["Code"]) in ("AccessDenied", "403")
    return False


def objects(world: cloud.World, bucket: str) -> list[str]:
    listed = world.cloud.client("s3").list_objects_v2(Bucket=bucket)
    return [one["Key"] for one in listed.get("Contents", ())]


def buckets(world: cloud.World) -> list[str]:
    return [one["Name"] for one in world.cloud.client("s3").list_buckets()["Buckets"]]


def fill(world: cloud.World, bucket: str) -> None:
    world.cloud.client("s3").put_object(Bucket=bucket, Key=f"{registry.PREFIX}blob", Body=b"x")


def test_the_registry_reaches_its_own_part_of_the_bucket_and_nothing_else(
    world: cloud.World, tmp_path: Path
) -> None:
    world.laid(REEF)
    bucket = who(world).image_bucket

    told = keys(world, names.ROLE_CONTROLLER, tmp_path)

    assert told is not None
    s3 = client(world, told)
    s3.put_object(Bucket=bucket, Key=f"{registry.PREFIX}docker/x", Body=b"layer")
    assert s3.get_object(Bucket=bucket, Key=f"{registry.PREFIX}docker/x")["Body"].read() == b"layer"
    assert s3.list_objects_v2(Bucket=bucket, Prefix=registry.PREFIX)["KeyCount"] == 1
    # Who uses it, whose turn it is, and all of the cluster's own bucket are not its matter.
    for key in (images.mark(who(world)), f"{registry.TURNS}lock.json"):
        assert refused(s3.get_object, Bucket=bucket, Key=key)
        assert refused(s3.put_object, Bucket=bucket, Key=key, Body=b"")
    for key in ("record.json", "private/secrets.json", "server/addons", "boot/x", "agent/x"):
        assert refused(s3.get_object, Bucket=who(world).bucket, Key=key)
    assert refused(s3.list_objects_v2, Bucket=who(world).bucket)


@pytest.mark.parametrize("role", [names.ROLE_WORKER, names.ROLE_GATEWAY])
def test_no_other_machine_takes_the_registrys_role(
    world: cloud.World, tmp_path: Path, role: str
) -> None:
    world.laid(REEF)

    assert keys(world, role, tmp_path) is None


def test_no_machine_reads_the_images_by_its_own_role(world: cloud.World, tmp_path: Path) -> None:
    world.laid(REEF)
    bucket = who(world).image_bucket
    fill(world, bucket)

    for role in (names.ROLE_CONTROLLER, names.ROLE_WORKER):
        of = world.server.credentials(who(world).role(role), "i-0123456789abcdef0")
        told = {"AccessKeyId": of.access_key_id, "SecretAccessKey": of.secret_access_key,
                "SessionToken": of.token}  # fmt: skip
        s3 = client(world, told)
        assert refused(s3.get_object, Bucket=bucket, Key=f"{registry.PREFIX}blob")
        assert refused(s3.put_object, Bucket=bucket, Key=f"{registry.PREFIX}blob", Body=b"")


def test_images_stay_while_another_cluster_uses_the_bucket(world: cloud.World) -> None:
    world.laid(REEF)
    world.converge(ATOLL).execute()
    bucket = who(world).image_bucket
    fill(world, bucket)

    world.destroy("reef")

    assert objects(world, bucket) == [images.mark(who(world, "atoll")), f"{registry.PREFIX}blob"]
    world.destroy("atoll")
    assert bucket not in buckets(world)


def test_images_outlast_the_last_cluster_that_is_told_to_keep_them(world: cloud.World) -> None:
    world.laid(REEF)
    bucket = who(world).image_bucket
    fill(world, bucket)

    world.destroy("reef", keep_images=True)

    assert objects(world, bucket) == [f"{registry.PREFIX}blob"]
    world.renew()
    assert not world.converge(REEF).execute().failed
    assert objects(world, bucket) == [images.mark(who(world)), f"{registry.PREFIX}blob"]


def test_a_bucket_of_ones_own_stays_with_what_is_not_ours(world: cloud.World) -> None:
    world.cloud.client("s3").create_bucket(
        Bucket="our-images", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    world.cloud.client("s3").put_object(Bucket="our-images", Key="thesis.tex", Body=b"x")
    own = config.parse(
        "name: reef\nworkers: 1\nvolume: none\nregistry: {type: s3, bucket: our-images}\n"
    )
    assert not world.converge(own).execute().failed
    fill(world, "our-images")

    world.destroy("reef")

    assert objects(world, "our-images") == ["thesis.tex"]


def test_another_place_for_images_is_refused_while_machines_live(world: cloud.World) -> None:
    world.laid(REEF)

    with pytest.raises(UserError, match="registry is s3, not ecr"):
        world.design(config.parse("name: reef\nworkers: 1\nvolume: none\n"))


def test_repositories_outlast_a_cluster_that_is_told_to_keep_them_and_are_taken_again(
    world: cloud.World,
) -> None:
    me, repository = who(world), "clusterous/reef/tool"
    reef = config.parse("name: reef\nworkers: 1\nvolume: none\n")
    world.laid(reef)
    ecr.ensure_repository(world.cloud, me, repository, {})

    world.destroy("reef", keep_images=True)

    listed = world.cloud.client("ecr").describe_repositories()["repositories"]
    assert [one["repositoryName"] for one in listed] == [repository]
    assert images.ours(world.cloud, me) == []
    seen = sweep.look(world.cloud, me, ())
    assert [(one.id, one.kept) for one in seen.kept] == [(repository, True)]
    assert seen.left == ()
    ecr.ensure_repository(world.cloud, me, repository, {})
    assert images.ours(world.cloud, me) == [repository]
    world.destroy("reef")
    assert world.cloud.client("ecr").describe_repositories()["repositories"] == []


def test_destroy_says_what_becomes_of_images(world: cloud.World) -> None:
    world.laid(REEF)
    alone = inventory.take(world.cloud, who(world), deep=True)
    world.converge(ATOLL).execute()
    shared = inventory.take(world.cloud, who(world), deep=True)
    bucket = who(world).image_bucket

    assert f"the images in the bucket {bucket}" in removal.removal_words(who(world), alone)
    assert "Its images stay." in removal.removal_words(who(world), alone, keep_images=True)
    words = removal.removal_words(who(world), shared)
    assert f"The images in the bucket {bucket} stay: atoll uses them, too." in words
    assert removal.has_images(alone)
    assert not removal.has_images(shared)
