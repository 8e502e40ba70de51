from __future__ import annotations

import pytest

from patchwire.auth.aws_hosts import contradiction

REGIONAL = [
    ("apigateway.eu-west-1.amazonaws.com", "apigateway"),
    ("APIGATEWAY.EU-WEST-1.AMAZONAWS.COM.", "apigateway"),
    ("glacier.eu-west-1.amazonaws.com", "glacier"),
    ("a1b2.execute-api.eu-west-1.amazonaws.com", "execute-api"),
    ("a1b2-vpce-0123.execute-api.eu-west-1.amazonaws.com", "execute-api"),
    ("vpce-0123-abcd.execute-api.eu-west-1.vpce.amazonaws.com", "execute-api"),
    ("vpce-0123-abcd-eu-west-1a.monitoring.eu-west-1.vpce.amazonaws.com", "monitoring"),
    ("bucket.vpce-0123-abcd.s3.eu-west-1.vpce.amazonaws.com", "s3"),
    ("s3.eu-west-1.amazonaws.com", "s3"),
    ("s3-eu-west-1.amazonaws.com", "s3"),
    ("s3-fips-eu-west-1.amazonaws.com", "s3"),
    ("s3.dualstack.eu-west-1.amazonaws.com", "s3"),
    ("s3-fips.dualstack.eu-west-1.amazonaws.com", "s3"),
    ("bucket.s3.eu-west-1.amazonaws.com", "s3"),
    ("bucket.s3-eu-west-1.amazonaws.com", "s3"),
    ("bucket.s3.dualstack.eu-west-1.amazonaws.com", "s3"),
    ("bucket.with.dots.s3.eu-west-1.amazonaws.com", "s3"),
    ("us-east-1.s3.eu-west-1.amazonaws.com", "s3"),
    ("point-123.s3-accesspoint.eu-west-1.amazonaws.com", "s3"),
    ("point-123.s3-accesspoint-fips.dualstack.eu-west-1.amazonaws.com", "s3"),
    ("123.s3-control.eu-west-1.amazonaws.com", "s3"),
    ("point-123.s3-object-lambda.eu-west-1.amazonaws.com", "s3-object-lambda"),
    ("point-123.op-1.s3-outposts.eu-west-1.amazonaws.com", "s3-outposts"),
    ("s3express-control.eu-west-1.amazonaws.com", "s3express"),
    ("bucket--euw1-az1--x-s3.s3express-euw1-az1.eu-west-1.amazonaws.com", "s3express"),
    ("bucket--euw1-az1--x-s3.s3express-fips-euw1-az1.dualstack.eu-west-1.amazonaws.com", "s3express"),
    ("dynamodb-fips.eu-west-1.amazonaws.com", "dynamodb"),
    ("fips.batch.eu-west-1.amazonaws.com", "batch"),
    ("123.ddb.eu-west-1.amazonaws.com", "dynamodb"),
    ("data-ats.iot.eu-west-1.amazonaws.com", "iotdata"),
    ("data-ats.iot.eu-west-1.amazonaws.com", "iotdevicegateway"),
    ("a1b2-ats.iot.eu-west-1.amazonaws.com", "iotdata"),
    ("a1b2-ats.iot.eu-west-1.amazonaws.com", "iotdevicegateway"),
    ("data.iot.eu-west-1.amazonaws.com", "iotdevicegateway"),
    ("search-domain-a1b2.eu-west-1.es.amazonaws.com", "es"),
    ("search-domain-a1b2.aos.eu-west-1.on.aws", "es"),
    ("a1b2.eu-west-1.aoss.amazonaws.com", "aoss"),
    ("a1b2.eu-west-1.aoss-fips.amazonaws.com", "aoss"),
    ("cluster.cluster-a1b2.eu-west-1.neptune.amazonaws.com", "neptune-db"),
    ("pipeline-a1b2.eu-west-1.osis.amazonaws.com", "osis"),
    ("eu-west-1.queue.amazonaws.com", "sqs"),
    ("eu-west-1.elasticmapreduce.amazonaws.com", "elasticmapreduce"),
    ("a1b2.lambda-url.eu-west-1.on.aws", "lambda"),
    ("service-01.7d67968.vpc-lattice-svcs.eu-west-1.on.aws", "vpc-lattice-svcs"),
    ("a1b2.appsync-api.eu-west-1.amazonaws.com", "appsync"),
    ("runtime.sagemaker.eu-west-1.amazonaws.com", "sagemaker"),
    ("api.ecr.eu-west-1.amazonaws.com", "ecr"),
    ("ecr.eu-west-1.api.aws", "ecr"),
    ("lambda.eu-west-1.api.aws", "lambda"),
    ("email.eu-west-1.amazonaws.com", "ses"),
    ("participant.connect.eu-west-1.amazonaws.com", "execute-api"),
    ("autoscaling.eu-west-1.amazonaws.com", "application-autoscaling"),
    ("aps-workspaces.eu-west-1.amazonaws.com", "aps"),
]

SILENT = [
    "example.com",
    "localhost",
    "127.0.0.1",
    "::1",
    "",
    ".",
    "amazonaws.com",
    ".amazonaws.com",
    "x.amazonaws.com.example.org",
    "s3.eu-west-1.amazonaws.com.evil.org",
    "s3.eu-west-1.notamazonaws.com",
    "unheard-of.eu-west-1.amazonaws.com",
    "eu-west-1.amazonaws.com",
    "vpce.amazonaws.com",
    "vpce-0123-abcd.vpce-svc-0123.eu-west-1.vpce.amazonaws.com",
    "balancer-123.eu-west-1.elb.amazonaws.com",
    "ec2-192-0-2-1.eu-west-1.compute.amazonaws.com",
    "database.a1b2.eu-west-1.rds.amazonaws.com",
    "bucket.s3-website-eu-west-1.amazonaws.com",
    "bucket.s3-website.eu-west-1.amazonaws.com",
    "s3-unheard-of.amazonaws.com",
    "point.accesspoint.s3-global.amazonaws.com",
    "a1b2.credentials.iot.eu-west-1.amazonaws.com",
    "resource.apigateway.eu-west-1.amazonaws.com",
    "execute-api.amazonaws.example",
    "d111.cloudfront.net",
    "environment.eu-west-1.elasticbeanstalk.com",
]


@pytest.mark.parametrize(("host", "service"), REGIONAL)
def test_a_host_in_another_region_contradicts(host: str, service: str) -> None:
    shown = host.lower().removesuffix(".")
    assert contradiction(host, service, "us-east-1") == (
        f"host {shown} is in eu-west-1, but region us-east-1 is signed for"
    )
    assert contradiction(host, service, "eu-wset-1") == (
        f"host {shown} is in eu-west-1, but region eu-wset-1 is signed for"
    )


@pytest.mark.parametrize(("host", "service"), REGIONAL)
def test_a_host_does_not_contradict_its_own_region_nor_a_set_with_it(host: str, service: str) -> None:
    for region in ("eu-west-1", "us-east-1,eu-west-1", "us-east-1, eu-west-1", "*", "eu-*", "us-east-1,*"):
        assert contradiction(host, service, region) is None
    assert contradiction(host, service, "us-east-1,us-west-2") is not None


@pytest.mark.parametrize(("host", "service"), REGIONAL)
def test_a_host_of_another_service_contradicts_but_not_one_of_a_custom_service(host: str, service: str) -> None:
    told = contradiction(host, "translate", "eu-west-1")
    assert told is not None
    assert service in told
    assert told.endswith("but service translate is signed for")
    assert contradiction(host, "custom", "eu-west-1") is None


def test_the_sentence_names_every_service_that_the_host_takes() -> None:
    assert contradiction("s3.eu-west-1.amazonaws.com", "apigateway", "us-east-1") == (
        "host s3.eu-west-1.amazonaws.com belongs to s3, but service apigateway is signed for"
    )
    assert contradiction("data.iot.us-east-1.amazonaws.com", "iot", "us-east-1") == (
        "host data.iot.us-east-1.amazonaws.com belongs to iotdata or iotdevicegateway, but service iot is signed for"
    )


@pytest.mark.parametrize("host", SILENT)
def test_a_host_that_is_not_known_says_nothing(host: str) -> None:
    assert contradiction(host, "translate", "us-east-1") is None


@pytest.mark.parametrize("host", ["s3.amazonaws.com", "bucket.s3.amazonaws.com", "b.s3-accelerate.amazonaws.com"])
def test_s3_without_a_region_says_only_that_it_is_s3(host: str) -> None:
    assert contradiction(host, "s3", "eu-west-1") is None
    assert contradiction(host, "apigateway", "eu-west-1") == (
        f"host {host} belongs to s3, but service apigateway is signed for"
    )


@pytest.mark.parametrize(
    ("host", "service", "region"),
    [
        ("iam.amazonaws.com", "iam", "us-east-1"),
        ("iam.us-gov.amazonaws.com", "iam", "us-gov-west-1"),
        ("route53.amazonaws.com", "route53", "us-east-1"),
        ("global.health.amazonaws.com", "health", "us-east-1"),
        ("route53.amazonaws.com.cn", "route53", "cn-northwest-1"),
    ],
)
def test_a_global_host_is_signed_for_in_one_region(host: str, service: str, region: str) -> None:
    assert contradiction(host, service, region) is None
    assert contradiction(host, service, "eu-west-1") == (
        f"host {host} is in {region}, but region eu-west-1 is signed for"
    )


@pytest.mark.parametrize("host", ["sts.amazonaws.com", "budgets.amazonaws.com", "cloudfront.amazonaws.com"])
def test_a_global_host_that_takes_signatures_for_other_regions_says_nothing_of_them(host: str) -> None:
    assert contradiction(host, host.partition(".")[0], "us-gov-west-1") is None


def test_a_region_counts_below_the_suffixes_of_its_partition() -> None:
    china = "lambda.cn-north-1.amazonaws.com.cn"
    assert contradiction(china, "lambda", "us-east-1") == (
        f"host {china} is in cn-north-1, but region us-east-1 is signed for"
    )
    assert contradiction("lambda.cn-north-1.api.amazonwebservices.com.cn", "lambda", "us-east-1") is not None
    assert contradiction("lambda.us-gov-west-1.amazonaws.com", "lambda", "us-east-1") is not None
    assert contradiction("lambda.cn-north-1.amazonaws.com", "lambda", "us-east-1") is None
    assert contradiction("lambda.us-east-1.amazonaws.com.cn", "lambda", "cn-north-1") is None
