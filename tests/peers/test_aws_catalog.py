"""The catalogue against botocore: its data is what botocore has now, and no endpoint of botocore raises an alarm."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib.metadata import version
from itertools import product
from urllib.parse import urlsplit

import pytest

from patchwire.auth.aws_catalog_data import REGIONS, SERVICES
from patchwire.auth.aws_hosts import contradiction
from tests.support.aws_catalog_maker import TARGET, botocore_data, document, module, needs_botocore, newest

pytestmark = [needs_botocore, pytest.mark.peer]

MADE = re.compile(r"from botocore (\S+) on (\d{4}-\d\d-\d\d)\.")

Signed = tuple[str, str, str]
"""A host, and the service and the region to sign for there."""

ONE_OF_EACH_PARTITION = {partition: name for name, _, partition in REGIONS}.values()


def test_the_data_is_what_the_recorded_botocore_gives() -> None:
    source = TARGET.read_text("ascii")
    recorded = MADE.search(source)
    assert recorded is not None
    if version("botocore") != recorded[1]:
        pytest.skip(f"made from botocore {recorded[1]}, installed is {version('botocore')}")
    assert module(recorded[2]) == source


def from_the_rules() -> Iterator[Signed]:
    """Each service in each region, and in one of each partition with FIPS and dual stack."""
    from botocore.endpoint_provider import EndpointProvider
    from botocore.exceptions import EndpointProviderError

    partitions = document(botocore_data() / "partitions.json")
    clients = {path.parts[-3] for path in botocore_data().glob("*/*/endpoint-rule-set-1.json*")}
    variants = [(region, False, False) for region, _, _ in REGIONS]
    variants += product(ONE_OF_EACH_PARTITION, (False, True), (False, True))
    for name, signing_name, _, _ in SERVICES:
        if name not in clients:
            continue
        rules = EndpointProvider(newest(name, "endpoint-rule-set-1.json"), partitions)
        for region, fips, dual in variants:
            try:
                found = rules.resolve_endpoint(Region=region, UseFIPS=fips, UseDualStack=dual)
            except EndpointProviderError:  # the service has none of this kind, or it is that of a resource
                continue
            scheme = found.properties.get("authSchemes", [{}])[0]
            yield (
                urlsplit(found.url).hostname or "",
                scheme.get("signingName", signing_name),
                scheme.get("signingRegion") or ",".join(scheme.get("signingRegionSet", [region])),
            )


def from_the_endpoints() -> Iterator[Signed]:
    """Each service of endpoints.json in each region, with FIPS and dual stack where it has them."""
    from botocore.exceptions import EndpointVariantError
    from botocore.regions import EndpointResolver

    data = document(botocore_data() / "endpoints.json")
    resolver = EndpointResolver(data)
    signing_names = {prefix: signing_name for _, signing_name, prefix, _ in SERVICES}
    for each in data["partitions"]:
        for prefix, *variant in product(each["services"], each["regions"], (False, True), (False, True)):
            try:
                found = resolver.construct_endpoint(prefix, variant[0], each["partition"], *variant[1:])
            except EndpointVariantError:  # the partition has no dual stack
                continue
            scope = (found or {}).get("credentialScope", {})
            signing_name = scope.get("service") or signing_names.get(prefix)
            if found and signing_name:
                yield found["hostname"], signing_name, scope.get("region", variant[0])


@pytest.mark.parametrize("endpoints", [from_the_rules, from_the_endpoints])
def test_no_endpoint_contradicts_what_it_is_signed_for_and_nearly_all_another_region(
    endpoints: Callable[[], Iterator[Signed]],
) -> None:
    signed = list(endpoints())
    alarms = {contradiction(*each) for each in signed} - {None}
    assert not alarms
    told = [contradiction(host, service, "mars-north-1") for host, service, _ in signed]
    assert sum(each is not None for each in told) > 0.9 * len(told) > 10_000
