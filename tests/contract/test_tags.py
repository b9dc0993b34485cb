"""What costs or counts bears the cluster's tags, and the person's, from the call that makes it on.

An organisation may refuse what is made without its tags. Both come from one place (`Site.tags`), so
that where ours stand in the golden files, the person's do, too.
"""

from pathlib import Path
from typing import Any

import yaml

from clusterous_api import names
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.plan.kinds.cloud import Site
from clusterous_cli.system import wait

GOLDEN = Path(__file__).parents[1] / "functional/golden"
MAKES = ("Create", "Run", "Allocate", "Import")
# Calls that take no tags: of a route and a mount target, which have none, and of S3's older API,
# where they follow at once.
UNTAGGED = {"ec2:CreateRoute", "efs:CreateMountTarget", "s3:CreateBucket"}
# What adds to a thing that is there.
ADDS = {"ec2:CreateTags", "s3:CreateMultipartUpload"}


def calls() -> list[dict[str, Any]]:
    files = (GOLDEN / "create-calls.yaml", GOLDEN / "create-calls-ebs.yaml")
    every = [one for file in files for one in yaml.safe_load(file.read_text())]
    making = [one for one in every if one["call"].partition(":")[2].startswith(MAKES)]
    return [one for one in making if one["call"] not in ADDS]


def tagged(call: dict[str, Any]) -> list[dict[str, str]]:
    given = call.get("TagSpecifications") or [call]
    return [one.get("Tags") or {} for one in given]


def test_whatever_is_made_is_tagged_by_the_call_that_makes_it() -> None:
    bare = {one["call"] for one in calls() for tags in tagged(one) if names.TAG_UID not in tags}

    assert bare == UNTAGGED


def test_the_persons_tags_stand_beside_ours_and_never_in_their_place() -> None:
    who = Identity(name="reef", account="1", region="eu-west-1")
    cloud: Any = None
    more = {"owner": "ocean", names.TAG_UID: "theirs"}

    site = Site(cloud=cloud, who=who, pauses=wait.Pauses(), more=more)
    found = {one["Key"]: one["Value"] for one in site.tags("vpc")}

    assert found["owner"] == "ocean"
    assert found[names.TAG_UID] == who.uid
