"""Elastic Load Balancing, classic and of the second edition, on moto: it has interfaces here.

By these it holds its subnets, security groups and the way to the internet, as on AWS, and for a
while yet when it is gone: https://docs.aws.amazon.com/vpc/latest/userguide/delete-vpc.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tests.region.aws import store
from tests.region.aws.errors import Refusal
from tests.region.aws.policies import Access
from tests.region.aws.request import Answer, Request, form, members
from tests.region.aws.service import Service, ask_moto
from tests.region.aws.world import World, current

# Both have one host, and tell themselves apart by the version that is asked.
_SECOND: Final = "2015-12-01"


def _read(request: Request) -> None:
    request.params = form(request)
    request.action = request.params.get("Action", "")
    named = ("LoadBalancerArn", "LoadBalancerName", "ListenerArn", "TargetGroupArn", "Name")
    request.resource = next((request.params[key] for key in named if key in request.params), None)


def _needs(_: World, request: Request) -> Sequence[Access]:
    action = f"elasticloadbalancing:{request.action}"
    arn = request.resource or ""
    return (Access(action=action, resource=arn if arn.startswith("arn:") else "*"),)


def _act(world: World, request: Request) -> Answer:
    with world.lock:
        world.timers.run_due()
        action = request.action
        going = _described(request) if action == "DeleteLoadBalancer" else ""
        if action == "DescribeTags" and request.params.get("Version") == _SECOND:
            _look_up(request)
        answer = ask_moto(world, request)
        if answer.status < 400 and action == "CreateLoadBalancer":
            _connect(request)
        if answer.status < 400 and going:
            ec2, region = store.ec2(request.region), request.region
            ids = [one.id for one in ec2.enis.values() if one.description == going]
            after = current().settings.balancer_deleting
            current().timers.after(after, lambda: _disconnect(region, ids))
    return answer


def _look_up(request: Request) -> None:
    """Refuse what is not there, which moto's answer leaves out."""
    backend = store.backend("elbv2", request.region)
    there = {*backend.load_balancers, *backend.target_groups}
    for arn in members(request.params, "ResourceArns.member"):
        if arn not in there:
            what = "LoadBalancer" if ":loadbalancer/" in arn else "TargetGroup"
            raise Refusal(f"{what}NotFound", f"{what} '{arn}' not found", 400)


def _described(request: Request) -> str:
    """Return how the interfaces of the load balancer that is asked for are described."""
    arn = request.params.get("LoadBalancerArn", "")
    name = arn.partition(":loadbalancer/")[2] or request.params.get("LoadBalancerName", "")
    return f"ELB {name}" if name else ""


def _connect(request: Request) -> None:
    ec2 = store.ec2(request.region)
    if request.params.get("Version") == _SECOND:
        made = list(store.backend("elbv2", request.region).load_balancers.values())[-1]
        name, subnets = made.arn.partition(":loadbalancer/")[2], [one.id for one in made.subnets]
    else:
        made = store.backend("elb", request.region).load_balancers[
            request.params["LoadBalancerName"]
        ]
        name, subnets = made.name, list(made.subnets)
    for subnet in subnets:
        eni = ec2.create_network_interface(
            ec2.get_subnet(subnet), [], group_ids=list(made.security_groups or []),
            description=f"ELB {name}",
        )  # fmt: skip
        eni.status = "in-use"
        eni.requester_managed = True


def _disconnect(region: str, ids: Sequence[str]) -> None:
    for id in ids:
        store.ec2(region).enis.pop(id, None)


def left() -> Iterator[str]:
    """Tell what there is."""
    for backend in store.everywhere("elbv2"):
        yield from (f"load balancer {one.name}" for one in backend.load_balancers.values())
        yield from (f"target group {one.name}" for one in backend.target_groups.values())
    for backend in store.everywhere("elb"):
        yield from (f"load balancer {name}" for name in backend.load_balancers)


SERVICE: Final = Service(read=_read, needs=_needs, act=_act)
