"""What a host of AWS says of the service and the region to sign for, and whether that contradicts what is signed for.

A host is read from its right end: a DNS suffix of a partition, the region, the endpoint prefix of a service, and for
some services the name of a resource. One that does not read in this way says nothing: this makes a warning, and a
false alarm is worse than a missed one.
"""

from __future__ import annotations

from typing import Final

from patchwire.auth.aws_catalog import region_named
from patchwire.auth.aws_catalog_data import GLOBAL_HOSTS, PARTITIONS, SERVICES

_SIGNING_NAMES: Final = {each[1] for each in SERVICES}

_ENDPOINTS: Final[dict[str, set[str]]] = {}
"""Which signing names the services of an endpoint prefix have."""
for _, _signing_name, _prefix, _ in (
    *SERVICES,
    # Older or second hosts of a service, and what shares a host with another.
    ("", "application-autoscaling", "autoscaling", ""),
    ("", "autoscaling-plans", "autoscaling", ""),
    ("", "ecr", "ecr", ""),
    ("", "iotdevicegateway", "data.iot", ""),
    ("", "sqs", "queue", ""),
):
    _ENDPOINTS.setdefault(_prefix, set()).add(_signing_name)

_BELOW: Final = {
    "aos": "es",
    "aoss": "aoss",
    "appsync-api": "appsync",
    "appsync-realtime-api": "appsync",
    "cloudsearch": "cloudsearch",
    "ddb": "dynamodb",
    "es": "es",
    "execute-api": "execute-api",
    "kinesisvideo": "kinesisvideo",
    "lambda-url": "lambda",
    "neptune": "neptune-db",
    "neptune-graph": "neptune-graph",
    "osis": "osis",
    "s3": "s3",
    "s3-accelerate": "s3",
    "s3-accesspoint": "s3",
    "s3-control": "s3",
    "s3-external-1": "s3",
    "s3-object-lambda": "s3-object-lambda",
    "s3-outposts": "s3-outposts",
    "vpc-lattice-svcs": "vpc-lattice-svcs",
}
"""The signing name of a service whose resources (buckets, APIs, domains) have hosts below its own."""

_AFTER_THE_REGION: Final = frozenset(
    {"aoss", "cloudsearch", "elasticmapreduce", "es", "neptune", "neptune-graph", "osis", "queue"}
)
"""What may stand between the region and the DNS suffix."""

_PARTITIONS_OF: Final = {
    suffix: {partition for partition, *suffixes in PARTITIONS if suffix in suffixes}
    for _, *every in PARTITIONS
    for suffix in every
}
_GLOBAL: Final = {host: (_ENDPOINTS[prefix], region) for host, prefix, region in GLOBAL_HOSTS}


def contradiction(host: str, service: str, region: str) -> str | None:
    """A sentence where the host contradicts what is signed for; None where it does not, or does not say.

    `service` is the signing name. `region` may be a region set (SigV4A): names with commas between, or a pattern
    with `*`, which is not judged.
    """
    host = host.lower().removesuffix(".")
    names, place = _read(host)
    if not names:
        return None
    if service in _SIGNING_NAMES and service not in names:
        return f"host {host} belongs to {' or '.join(sorted(names))}, but service {service} is signed for"
    if place and "*" not in region and place not in (each.strip() for each in region.split(",")):
        return f"host {host} is in {place}, but region {region} is signed for"
    return None


def _read(host: str) -> tuple[set[str], str]:
    """The signing names that the host takes and its region; empty where it does not say."""
    if host in _GLOBAL:
        return _GLOBAL[host]
    suffix = next((each for each in _PARTITIONS_OF if host.endswith("." + each)), None)
    if suffix is None:
        return set(), ""
    labels = host.removesuffix("." + suffix).replace("-fips", "").split(".")
    labels = [label for label in labels if label not in ("fips", "dualstack")]
    if labels[-1:] == ["vpce"]:
        labels = [label for label in labels[:-1] if not label.startswith("vpce-")]
    labels, region = _without_region(labels, _PARTITIONS_OF[suffix])
    return _signing_names(labels), region


def _without_region(labels: list[str], partitions: set[str]) -> tuple[list[str], str]:
    """The labels but the region, and the region, which is "" where it is none of these partitions."""

    def is_region(label: str) -> bool:
        region = region_named(label)
        return region is not None and region.partition in partitions

    *before, last = labels or [""]
    if is_region(last):
        return before, last
    if before and last in _AFTER_THE_REGION and is_region(before[-1]):
        return [*before[:-1], last], before[-1]
    if last.startswith("s3-") and is_region(last.removeprefix("s3-")):
        return [*before, "s3"], last.removeprefix("s3-")
    return labels, ""


def _signing_names(labels: list[str]) -> set[str]:
    """The signing names that hosts of these labels take; empty where that is not known."""
    *before, last = labels or [""]
    if before and before[0].endswith("-ats"):
        before[0] = "data-ats"
    whole = ".".join([*before, last])
    if whole in _ENDPOINTS:
        return _ENDPOINTS[whole]
    if last.startswith("s3express-"):
        return {"s3express"}
    return {_BELOW[last]} if before and last in _BELOW else set()
