"""Load balancers in the cluster's network: AWS's, made by a controller for Services and Ingresses.

Their interfaces tell of them, so that who has none needs no leave to ask for any. They go when the
machines have: a controller that lives would make them anew.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from clusterous_api.errors import FailedError, UserError
from clusterous_cli.cluster.tags import tags_of
from clusterous_cli.plan.kinds.cloud import Cloud, Site
from clusterous_cli.plan.kinds.kind import Found, Item, Kind, Scope, Value
from clusterous_cli.plan.kinds.kubernetes import marks

# How AWS describes an interface of one: `ELB app/NAME/ID`, and `ELB NAME` of a classic one.
OF_ONE: Final = re.compile(r"ELB ((?:app|net|gwy)/[^/]+/[0-9a-f]+|[^/ ]+)")
# https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_LoadBalancerAttribute.html
PROTECTED: Final = "deletion_protection.enabled"
# So many things' tags are told by one call.
TAGGED: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Balancer(Value):
    """One load balancer: *arn* (a classic one has none), or *gone*, and only its interfaces stay.

    *says* is for which cluster it was made, where that is not ours.
    """

    arn: str = ""
    gone: bool = False
    says: str = ""


def of(at: Scope, interfaces: Iterable[Item]) -> list[Found]:
    """Return the load balancers whose interfaces these are."""
    named = {(name, str(one["VpcId"])) for one in interfaces if (name := name_of(one))}
    return [_found(at, name, vpc) for name, vpc in sorted(named)]


def name_of(interface: Item) -> str:
    """Return what AWS calls the load balancer of an interface; nothing if it is of none."""
    said = OF_ONE.fullmatch(str(interface.get("Description", "")))
    return said[1] if said and interface.get("RequesterManaged") else ""


def _found(at: Scope, name: str, vpc: str) -> Found:
    who = at.who
    arn = f"arn:{who.partition}:elasticloadbalancing:{who.region}:{who.account}:loadbalancer/{name}"
    arn = arn if "/" in name else ""
    try:
        tags = _tags(at.cloud, name, arn)
    except UserError as error:  # the look at all else goes on
        value = Balancer(arn=arn, says=f"whose it is could not be asked: {error}")
        return Found(kind=BALANCER, key="", id=name, value=value, ours=False, vpc=vpc)
    value = Balancer(arn=arn, gone=tags is None, says=marks.says(tags or {}))
    ours = tags is None or marks.names(tags, who)
    return Found(kind=BALANCER, key="", id=name, value=value, ours=ours, vpc=vpc)


def _tags(cloud: Cloud, name: str, arn: str) -> dict[str, str] | None:
    if arn:
        answer = cloud.find("elbv2", "describe_tags", ResourceArns=[arn])
    else:
        answer = cloud.find("elb", "describe_tags", LoadBalancerNames=[name])
    told = (answer or {}).get("TagDescriptions", ())
    return None if answer is None else next((tags_of(one) for one in told), {})


def _remove(to: Site, found: Found) -> None:
    there: Balancer = found.value
    if there.arn and not there.gone:
        _refuse_protected(to, there.arn)
        _let_go(to, found, there.arn)
        to.cloud.call("elbv2", "delete_load_balancer", LoadBalancerArn=there.arn)
    elif not there.gone:
        to.cloud.call("elb", "delete_load_balancer", LoadBalancerName=found.id)
    to.gone(lambda: _interface(to, found), f"Deleting the load balancer {found.id}")


def _refuse_protected(to: Site, arn: str) -> None:
    """Take nothing from one that is kept from being deleted: it would stay, and serve nobody.

    A classic one cannot be kept so. Who may not ask hears it of AWS when it is to go.
    """
    try:
        answer = to.cloud.find("elbv2", "describe_load_balancer_attributes", LoadBalancerArn=arn)
    except UserError:
        return
    said = {one["Key"]: one["Value"] for one in (answer or {}).get("Attributes", ())}
    if said.get(PROTECTED) == "true":
        raise FailedError(
            "somebody protects it from being deleted. Nothing was taken from it, nor from what it"
            " holds in the network. `aws elbv2 modify-load-balancer-attributes --load-balancer-arn"
            f" {arn} --attributes Key={PROTECTED},Value=false` lifts that; then destroy again"
        )


def _let_go(to: Site, found: Found, arn: str) -> None:
    """Remove its target groups while it is there: they are found by it, and without it by nobody.

    Listeners hold them.
    """
    listeners = to.cloud.pages("elbv2", "describe_listeners", "Listeners", LoadBalancerArn=arn)
    for one in listeners:
        to.cloud.find("elbv2", "delete_listener", ListenerArn=one["ListenerArn"])
    listed = to.cloud.pages("elbv2", "describe_target_groups", "TargetGroups")
    groups = [
        one["TargetGroupArn"]
        for one in listed
        if one.get("VpcId") == found.vpc and set(one.get("LoadBalancerArns", ())) <= {arn}
    ]
    for group, tags in _tags_of_groups(to.cloud, groups):
        if marks.names(tags, to.who):
            to.cloud.call("elbv2", "delete_target_group", TargetGroupArn=group)


def _tags_of_groups(cloud: Cloud, groups: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    for start in range(0, len(groups), TAGGED):
        some = groups[start : start + TAGGED]
        answer: Any = cloud.call("elbv2", "describe_tags", ResourceArns=some)
        for one in answer["TagDescriptions"]:
            yield str(one["ResourceArn"]), tags_of(one)


def _interface(to: Site, found: Found) -> str | None:
    within = [
        {"Name": "vpc-id", "Values": [found.vpc]},
        {"Name": "description", "Values": [f"ELB {found.id}"]},
    ]
    listed = to.cloud.pages(
        "ec2", "describe_network_interfaces", "NetworkInterfaces", Filters=within
    )
    ids = (str(one["NetworkInterfaceId"]) for one in listed if name_of(one) == found.id)
    return next(ids, None)


BALANCER: Final = Kind(name="load-balancer", part="network", remove=_remove, after=("machines",))
