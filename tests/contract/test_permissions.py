"""The permissions that doctor asks about are those of the calls that create and destroy make."""

from pathlib import Path

import pytest
import yaml

from clusterous_cli.checks.account import permissions, things
from clusterous_cli.cluster.identity import Identity

GOLDEN = Path(__file__).parents[1] / "functional/golden"
REEF = Identity(name="reef", account="123456789012", region="eu-west-1")
# What IAM calls otherwise than the call itself is called.
IN_IAM = {
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "s3:DeleteObjects": "s3:DeleteObject",
}


def called(*files: str) -> set[str]:
    calls = [one for name in files for one in yaml.safe_load((GOLDEN / name).read_text())]
    names = {str(one["call"]).replace("efs:", "elasticfilesystem:") for one in calls}
    return {IN_IAM.get(name, name) for name in names}


def asked(*, makes: bool) -> set[str]:
    questions = permissions.questions(REEF, on_efs=True)
    return {action for one in questions if one.makes is makes for action in one.actions}


def test_each_call_of_create_is_asked_about() -> None:
    assert called("create-calls.yaml", "create-calls-ebs.yaml") <= asked(makes=True)


def test_each_call_of_destroy_is_asked_about() -> None:
    everything = asked(makes=True) | asked(makes=False)

    assert called("destroy-calls.yaml", "destroy-calls-ebs.yaml") <= everything


@pytest.mark.parametrize("service", ["ec2", "elasticfilesystem", "iam", "s3"])
def test_nothing_is_asked_about_that_no_command_does(service: str) -> None:
    """IAM asks for some beside the calls: for tags, for the role of a machine, and for looking."""
    beside = {"ec2:CreateTags", "elasticfilesystem:TagResource", "iam:PassRole", "iam:TagRole"}
    beside |= {"iam:TagInstanceProfile", "s3:ListBucket", "s3:GetObject"}
    made = called(*(path.name for path in GOLDEN.glob("*-calls*.yaml")))

    extra = (asked(makes=True) | asked(makes=False)) - made - beside - set(permissions.LOOK)

    assert {one for one in extra if one.startswith(f"{service}:")} == set()


def test_a_shared_bucket_and_its_role_are_asked_about() -> None:
    asked = permissions.questions(REEF, on_efs=False, shared="our-images")

    resources = {resource for one in asked for resource in one.resources}
    assert "arn:aws:s3:::our-images" in resources
    assert f"arn:aws:iam::{REEF.account}:role/{REEF.role('registry')}" in resources


def test_of_each_call_about_things_their_kinds_are_known() -> None:
    """A policy that names them would be said to deny what is in no table."""
    everywhere = {"elasticfilesystem:CreateFileSystem"}  # IAM knows no thing that it is about

    asked = {
        action
        for one in permissions.questions(REEF, on_efs=True)
        if one.resources == ("*",)
        for action in one.actions
    }

    assert set(things.ABOUT) == asked - set(permissions.LOOK) - everywhere
    assert {kind for kinds in things.ABOUT.values() for kind in kinds} == set(things.IDS)
