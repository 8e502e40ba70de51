from __future__ import annotations

import re

import pytest

from patchwire.auth.aws_catalog import (
    MAX_COMPARED,
    Region,
    Service,
    region_hint,
    region_named,
    service_hint,
    service_named,
)
from patchwire.auth.aws_catalog_data import GLOBAL_HOSTS, PARTITIONS, REGIONS, SERVICES

TABLES = {"services": SERVICES, "regions": REGIONS, "partitions": PARTITIONS, "global hosts": GLOBAL_HOSTS}


@pytest.mark.parametrize(
    ("name", "service"),
    [
        ("apigateway", Service("apigateway", "apigateway", "apigateway", "Amazon API Gateway")),
        (
            "mobileanalytics",
            Service("mobileanalytics", "mobileanalytics", "mobileanalytics", "Amazon Mobile Analytics"),
        ),
        ("s3", Service("s3", "s3", "s3", "Amazon S3")),
        ("glacier", Service("glacier", "glacier", "glacier", "Amazon Glacier")),
        ("codepipeline", Service("codepipeline", "codepipeline", "codepipeline", "AWS CodePipeline")),
        ("ses", Service("ses", "ses", "email", "Amazon Simple Email Service")),
        ("cloudwatch", Service("cloudwatch", "monitoring", "monitoring", "Amazon CloudWatch")),
        ("execute-api", Service("execute-api", "execute-api", "execute-api", "Amazon API Gateway Deployed APIs")),
        ("S3", None),
        ("email", None),
        ("", None),
    ],
)
def test_a_service_is_found_by_its_name(name: str, service: Service | None) -> None:
    assert service_named(name) == service


@pytest.mark.parametrize(
    ("name", "region"),
    [
        ("us-east-1", Region("us-east-1", "US East (N. Virginia)", "aws")),
        ("ap-south-1", Region("ap-south-1", "Asia Pacific (Mumbai)", "aws")),
        ("cn-north-1", Region("cn-north-1", "China (Beijing)", "aws-cn")),
        ("us-gov-west-1", Region("us-gov-west-1", "AWS GovCloud (US-West)", "aws-us-gov")),
        ("US-EAST-1", None),
        ("aws-global", None),
        ("", None),
    ],
)
def test_a_region_is_found_by_its_name(name: str, region: Region | None) -> None:
    assert region_named(name) == region


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("us-west-1a", ["us-west-1"]),
        ("eu-wset-1", ["eu-west-1"]),
        ("us-est-1", ["us-east-1", "us-west-1"]),
        ("US-EAST-1", ["us-east-1"]),
        ("us_east_1", ["us-east-1"]),
        ("US East 1", ["us-east-1"]),
        ("AP South 1", ["ap-south-1"]),
        ("us east (n. virginia)", ["us-east-1"]),
        ("Frankfurt", ["eu-central-1"]),
        ("central", ["ca-central-1", "mx-central-1"]),
        ("us-east", ["us-east-1", "us-east-2"]),
        ("moon", []),
        ("***", []),
        ("", []),
    ],
)
def test_a_hint_names_the_regions_that_are_near(name: str, meant: list[str]) -> None:
    assert named_in(region_hint(name), REGIONS) == meant


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("S3", ["s3"]),
        ("Amazon S3", ["s3"]),
        ("API Gateway", ["apigateway", "execute-api"]),
        ("amazon api gateway", ["apigateway", "execute-api"]),
        ("Amazon Mobile Analytics", ["mobileanalytics"]),
        ("AWS CodePipeline", ["codepipeline"]),
        ("Simple Notification Service", ["sns"]),
        ("apigatway", ["apigateway", "execute-api"]),
        ("execute_api", ["execute-api"]),
        ("email", ["ses", "sesv2", "pinpoint-email"]),
        ("monitoring", ["cloudwatch"]),
        ("timestream", ["timestream-query", "timestream-write"]),
        ("mobiletargeting", ["pinpoint"]),
        ("xyzzy", []),
        ("---", []),
        ("", []),
    ],
)
def test_a_hint_names_the_services_that_are_near(name: str, meant: list[str]) -> None:
    assert named_in(service_hint(name), SERVICES) == meant


def named_in(hint: str, table: tuple[tuple[str, ...], ...]) -> list[str]:
    """The names that a hint has, in its order."""
    labels = {f"{each[0]} ({each[1] if table is REGIONS else each[3]})": each[0] for each in table}
    return [labels[each] for each in re.split(", | or ", hint.removeprefix("did you mean ").removesuffix("?")) if each]


def test_a_hint_is_a_question() -> None:
    assert region_hint("us-west-1a") == "did you mean us-west-1 (US West (N. California))?"
    assert service_hint("timestream") == (
        "did you mean timestream-query (Amazon Timestream Query) or timestream-write (Amazon Timestream Write)?"
    )
    assert service_hint("email") == (
        "did you mean ses (Amazon Simple Email Service), sesv2 (Amazon Simple Email Service V2) "
        "or pinpoint-email (Amazon Pinpoint Email Service)?"
    )


def test_of_a_long_name_only_the_beginning_is_compared() -> None:
    for hint in (service_hint, region_hint):
        for name in ("x" * 100_000, "amazon simple " * 10_000, "us-east-1" * 10_000):
            assert hint(name) == hint(name[:MAX_COMPARED])


def test_every_name_and_every_label_is_short_enough_to_be_compared_whole() -> None:
    assert max(len(text) for table in TABLES.values() for entry in table for text in entry) <= MAX_COMPARED


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_the_data_is_sorted_unique_and_printable(table: tuple[tuple[str, ...], ...]) -> None:
    names = [entry[0] for entry in table]
    assert names == sorted(set(names))
    assert all(re.fullmatch("[!-~]+( [!-~]+)*", text) for entry in table for text in entry)


def test_labels_are_those_of_one_service_or_region() -> None:
    for labels in ([each[3] for each in SERVICES], [each[1] for each in REGIONS]):
        assert len(labels) == len(set(labels))


def test_names_are_such_as_a_credential_scope_takes() -> None:
    for name, signing_name, prefix, _ in SERVICES:
        assert re.fullmatch("[a-z0-9-]+", name)
        assert re.fullmatch("[A-Za-z0-9-]+", signing_name)
        assert re.fullmatch("[a-z0-9-]+([.][a-z0-9-]+)*", prefix)
    partitions = {each[0] for each in PARTITIONS}
    for region, _, partition in REGIONS:
        assert re.fullmatch("[a-z]+(-[a-z]+)+-[0-9]+", region)
        assert partition in partitions


def test_nothing_is_missing() -> None:
    assert len(SERVICES) > 400
    assert len(REGIONS) > 40
    for host, prefix, region in GLOBAL_HOSTS:
        assert host.startswith((f"{prefix}.", f"global.{prefix}."))
        assert region_named(region)
