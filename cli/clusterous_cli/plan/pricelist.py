"""AWS's own price list, asked for what a cluster is made of; kept for a day, and never waited for.

https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/using-price-list-query-api.html
"""

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from clusterous_api.errors import ClusterousError, UserError
from clusterous_cli.aws import errors
from clusterous_cli.aws.client import Aws
from clusterous_cli.cluster import prices
from clusterous_cli.cluster.prices import Prices
from clusterous_cli.system import private

HOME: Final = "us-east-1"  # which answers about all regions
KEPT: Final = timedelta(days=1)
SILENT: Final = timedelta(hours=1)  # so long it is not asked again after it did not answer
SECONDS: Final = 3.0
MIB_IN_GIB: Final = 1024.0
PARTITION: Final = "aws"
SLOW: Final = "AWS's price list did not answer"
Kept = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to ask for one price: the *unit* and the *usage* tell it from others of the answer."""

    service: str = "AmazonEC2"
    filters: Mapping[str, str]
    unit: str
    usage: str = ""


FIXED: Final[Mapping[str, Question]] = {
    "nat": Question(
        filters={"productFamily": "NAT Gateway"}, unit="hrs", usage=r"(^|-)NatGateway-Hours$"
    ),
    "address": Question(
        service="AmazonVPC",
        filters={"group": "VPCPublicIPv4Address"},
        unit="hrs",
        usage="PublicIPv4:InUseAddress$",
    ),
    "gib": Question(filters={"productFamily": "Storage", "volumeApiName": "gp3"}, unit="gb-mo"),
    "iops": Question(
        filters={"productFamily": "System Operation", "volumeApiName": "gp3"}, unit="iops-mo"
    ),
    "mib": Question(
        filters={"productFamily": "Provisioned Throughput", "volumeApiName": "gp3"}, unit="ibps-mo"
    ),
}


def of_machine(type: str) -> Question:
    """Return what to ask for a machine: on demand, Linux, of no host of one's own."""
    filters = {
        "instanceType": type,
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
    }
    return Question(filters=filters, unit="hrs")


def beside(
    cloud: Aws,
    types: Iterable[str],
    now: datetime,
    clock: Callable[[], float] = time.monotonic,
) -> Callable[[], Prices]:
    """Ask while other things are done; what is returned answers within SECONDS of now.

    The thread ends with the process: nobody ever waits for a list that does not answer.
    """
    found: list[Prices] = []
    done = threading.Event()
    wanted, until = tuple(types), clock() + SECONDS

    def ask() -> None:
        try:
            found.append(known(cloud, wanted, now))
        finally:
            done.set()

    def answer() -> Prices:
        done.wait(max(0.0, until - clock()))
        return found[0] if found else prices.listed(cloud.region, SLOW)

    threading.Thread(target=ask, daemon=True).start()
    return answer


def known(cloud: Aws, types: Iterable[str], now: datetime) -> Prices:
    """Return the best prices that there are: kept for a day, else asked for, else the table's."""
    questions = {**FIXED, **{type: of_machine(type) for type in types}}
    path = private.home() / "prices" / f"{cloud.region}.json"
    kept = _read(path)
    fresh = {key: one for key, one in kept["prices"].items() if _is_young(one["asked"], now, KEPT)}
    missing = {key: one for key, one in questions.items() if key not in fresh}
    if not missing:
        return made(cloud.region, fresh)
    if kept["silent"] and _is_young(kept["silent"]["since"], now, SILENT):
        return prices.listed(cloud.region, kept["silent"]["why"])
    try:
        answers = _asked(cloud, missing)
    except ClusterousError as error:
        why = _why(error)
        _write(path, {**kept, "silent": {"since": now.isoformat(), "why": why}})
        return prices.listed(cloud.region, why)
    told = {key: {"asked": now.isoformat(), "price": one} for key, one in answers.items()}
    _write(path, {"prices": {**fresh, **told}, "silent": None})
    return made(cloud.region, {**fresh, **told})


def made(region: str, told: Mapping[str, Kept]) -> Prices:
    """Return what the list *told*, with the table's in the place of what it lacks."""
    table = prices.listed(region)
    said = {key: float(one["price"]) for key, one in told.items() if one["price"] is not None}
    lacking = sorted(
        key for key in told if key not in said and (key in FIXED or key in table.machines)
    )
    oldest = min(str(one["asked"]) for one in told.values())[:10]
    machines = {**table.machines, **{key: one for key, one in said.items() if key not in FIXED}}
    return replace(
        table,
        machines=machines,
        of=f"AWS's price list of {oldest}",
        why=f"which lacks {', '.join(lacking)}: as in {table.of}" if lacking else "",
        unsure=table.unsure if lacking else (),
        **{key: said[key] for key in FIXED if key in said},
    )


def _asked(cloud: Aws, questions: Mapping[str, Question]) -> dict[str, float | None]:
    if cloud.session.get_partition_for_region(cloud.region) != PARTITION:
        raise UserError("AWS's price list is not known for this partition")
    asked = cloud.hasty(HOME, SECONDS)

    def ask(question: Question) -> float | None:
        filters = {**question.filters, "regionCode": cloud.region}
        answer = asked.call(
            "pricing",
            "get_products",
            ServiceCode=question.service,
            Filters=[{"Type": "TERM_MATCH", "Field": k, "Value": v} for k, v in filters.items()],
            FormatVersion="aws_v1",
        )
        return price_of(question, answer.get("PriceList", ()))

    asked.client("pricing", reads=True)  # once, before threads ask for it
    with ThreadPoolExecutor(max_workers=8) as pool:
        return dict(zip(questions, pool.map(ask, questions.values()), strict=True))


def price_of(question: Question, listed: Iterable[str]) -> float | None:
    """Read the price out of an answer; None where it has none that fits. Pure."""
    for text in listed:
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
            if price := _of_product(question, json.loads(text)):
                return price
    return None


def _of_product(question: Question, product: Mapping[str, Any]) -> float | None:
    if not re.search(question.usage, product["product"]["attributes"].get("usagetype", "")):
        return None
    for term in product["terms"]["OnDemand"].values():
        for one in term["priceDimensions"].values():
            unit, dollars = str(one["unit"]).lower(), float(one["pricePerUnit"]["USD"])
            if unit.endswith(question.unit) and dollars > 0:
                return dollars / (MIB_IN_GIB if unit.startswith("gibps") else 1.0)
    return None


def _why(error: ClusterousError) -> str:
    if isinstance(error, errors.Denied):
        return "AWS's price list may not be asked: pricing:GetProducts is denied"
    if isinstance(error, errors.Unreachable | errors.Unclear):
        return SLOW
    return f"AWS's price list could not be asked: {str(error).splitlines()[0]}"


def _is_young(since: str, now: datetime, age: timedelta) -> bool:
    return timedelta(0) <= now - datetime.fromisoformat(since) < age


def _read(path: Path) -> dict[str, Any]:
    try:
        kept = json.loads(path.read_text())
        told, silent = kept["prices"], kept["silent"]
        times = [one["asked"] for one in told.values()] + ([silent["since"]] if silent else [])
        if any(datetime.fromisoformat(time).tzinfo is None for time in times):
            raise ValueError(path)
        return {"prices": told, "silent": silent}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {"prices": {}, "silent": None}  # as if nothing had been kept


def _write(path: Path, kept: Kept) -> None:
    with contextlib.suppress(OSError):  # then it is asked again
        private.write(path, json.dumps(kept, indent=1))
