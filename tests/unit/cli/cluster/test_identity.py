"""Names in AWS that follow from where a cluster is."""

import boto3
import pytest

from clusterous_api.errors import UserError
from clusterous_cli.cluster import config
from clusterous_cli.cluster.identity import Identity

SESSION = boto3.Session()
REGIONS = [
    region
    for partition in SESSION.get_available_partitions()
    for region in SESSION.get_available_regions("ec2", partition_name=partition)
]


def test_partition_and_domain_of_every_region_are_botocores() -> None:
    tables = {one["partition"]: one for one in SESSION._session.get_data("endpoints")["partitions"]}

    for region in (*REGIONS, "eusc-de-east-1"):
        who = Identity(name="reef", account="1", region=region)
        partition = SESSION.get_partition_for_region(region)
        assert who.partition == partition
        assert who.dns_suffix == tables[partition]["dnsSuffix"]


def test_every_region_may_stand_in_a_cluster_file() -> None:
    for region in (*REGIONS, "eusc-de-east-1"):
        read = config.parse(f"name: reef\nregion: {region}\nnetwork: {{zone: {region}a}}\n")
        assert (read.region, read.zone) == (region, f"{region}a")


def test_what_is_no_region_is_told() -> None:
    with pytest.raises(UserError, match="is not a region"):
        config.parse("name: reef\nregion: europe\n")


def test_the_registry_is_in_the_partition() -> None:
    who = Identity(name="reef", account="1", region="eusc-de-east-1")

    assert who.registry == "1.dkr.ecr.eusc-de-east-1.amazonaws.eu"
    assert who.reports.startswith("nodes/arn:aws-eusc:ec2:")
