"""The way of every request: who, may he, is a fault due, do it, note it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from moto.core.exceptions import ServiceException

from tests.region.aws import (
    authorization,
    ec2,
    ecr,
    efs,
    elb,
    errors,
    faults,
    iam,
    pricing,
    quotas,
    regions,
    s3,
    signatures,
    ssm,
    sts,
)
from tests.region.aws.errors import Refusal
from tests.region.aws.faults import Fault, Kind
from tests.region.aws.keys import Keys
from tests.region.aws.log import Call, is_mutating
from tests.region.aws.request import Answer, Request
from tests.region.aws.service import Service
from tests.region.aws.world import World

SERVICES: Final[Mapping[str, Service]] = {
    "ec2": ec2.SERVICE,
    "iam": iam.SERVICE,
    "sts": sts.SERVICE,
    "s3": s3.SERVICE,
    "efs": efs.SERVICE,
    "elb": elb.SERVICE,
    "ecr": ecr.SERVICE,
    "ssm": ssm.SERVICE,
    "servicequotas": quotas.SERVICE,
    "pricing": pricing.SERVICE,
}


def handle(world: World, request: Request) -> Answer:
    """Return AWS's answer to *request*, and log the call."""
    began = time.perf_counter()
    fault: Fault | None = None
    try:
        _identify(world, request)
        fault = world.faults.strike(request)
        answer = _with_fault(world, request, fault)
    except Refusal as refusal:
        answer = _refused(request, refusal)
    except ServiceException as error:
        # moto's store says no while one of our checks looks something up.
        answer = _refused(request, Refusal(error.code, error.message))
    except Exception as error:  # A client must be told of a bug here, and the log keep it.
        answer = _refused(request, errors.bug(error))
    _note(world, request, answer, fault, (time.perf_counter() - began) * 1000)
    return answer


def _identify(world: World, request: Request) -> None:
    service = SERVICES[request.target.service]
    service.read(request)
    region = expected_region(world, request)
    request.region = region
    # A region that the account is not enabled for knows none of its keys.
    known = world.keys if regions.is_enabled(world.settings, region) else Keys()
    verified = signatures.verify(request, known, world.clock(), world.settings.clock_skew, region)
    request.identity = verified.key.identity
    if request.target.service == "s3":
        s3.attach_body(request, verified)


def expected_region(world: World, request: Request) -> str:
    """Return the region that this address's signatures must be scoped to."""
    if request.target.service != "s3":
        return request.target.region or world.settings.region
    return request.target.region or s3.region_of(world, request) or "us-east-1"


def _with_fault(world: World, request: Request, fault: Fault | None) -> Answer:
    match fault.kind if fault else None:
        case None | Kind.LOST | Kind.TRUNCATE | Kind.DELAY:
            if fault and fault.kind is Kind.DELAY:
                time.sleep(fault.seconds)
            return _broken(_act(world, request), fault)
        case Kind.RESET:
            return Answer(ending="reset", status=0, error="reset")
        case Kind.KILL_BEFORE | Kind.KILL_AFTER:
            assert fault is not None
            if fault.kind is Kind.KILL_AFTER:
                _act(world, request)
            faults.kill(fault)
            return Answer(ending="reset", status=0, error="killed")
        case Kind.HANG:
            assert fault is not None
            time.sleep(fault.seconds)
            return Answer(ending="reset", status=0, error="hang")
        case Kind.HTTP:
            assert fault is not None
            page = f"<html><body><h1>{fault.status}</h1>{fault.message}</body></html>".encode()
            return Answer(
                status=fault.status, headers={"Content-Type": "text/html"}, body=page, error="http"
            )
        case _:
            assert fault is not None
            raise faults.refusal(fault, request.target.protocol)


def _broken(answer: Answer, fault: Fault | None) -> Answer:
    endings = {Kind.LOST: "reset", Kind.TRUNCATE: "truncate"}
    if fault is None or fault.kind not in endings:
        return answer
    return Answer(
        status=answer.status,
        headers=answer.headers,
        body=answer.body,
        error=answer.error,
        ending=endings[fault.kind],
    )


def _act(world: World, request: Request) -> Answer:
    service = SERVICES[request.target.service]
    assert request.identity is not None
    needs = service.needs(world, request)
    authorization.check(world, request.identity, needs, request.target.protocol)
    answer = service.act(world, request)
    if answer.status < 400 and is_mutating(request.action):
        world.changes.bump()
    return answer


def _refused(request: Request, refusal: Refusal) -> Answer:
    headers, body = errors.render(request.target.protocol, refusal, request.request_id)
    if request.method == "HEAD":
        body = b""
    extra = {k: v for k, v in refusal.details.items() if k.startswith("x-amz-")}
    return Answer(
        status=refusal.status, headers={**headers, **extra}, body=body, error=refusal.code
    )


def _note(world: World, request: Request, answer: Answer, fault: Fault | None, ms: float) -> None:
    world.log.add(
        Call(
            time=world.clock(),
            service=request.target.service,
            action=request.action,
            region=request.region,
            caller=request.identity.label if request.identity else "",
            agent=request.agent,
            status=answer.status,
            error=answer.error,
            ms=round(ms, 2),
            mutating=is_mutating(request.action),
            fault=fault.kind.value if fault else None,
            resource=request.resource,
            replay=request.replayed,
        )
    )
