from __future__ import annotations

from typing import Any

import pytest

from patchwire.auth.aws_canonical import GENERIC, S3
from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.auth.aws_signing import Scope, Terms
from patchwire.auth.secret import Secret
from patchwire.errors import LocalProtocolError, SettingsError
from patchwire.http.message import Origin
from patchwire.settings.aws import AwsSettings
from patchwire.settings.connection import parse_connection, resolve, secret_references

KEYS = {"access_key": "AKID", "secret_key": "env:SECRET"}
WHERE = {"service": "apigateway", "region": "us-east-1"}
CUSTOM = {"service": "custom", "region": "custom"}
SECRETS = {"aws.secret_key": Secret("canary"), "aws.session_token": Secret("canary-token")}


def settings(base_url: str = "https://h", **aws: Any) -> AwsSettings:
    data = {"base_url": base_url, "authentication": "aws", "aws": {**KEYS, **WHERE, **aws}}
    kept = {key: value for key, value in data["aws"].items() if value is not None}  # type: ignore[attr-defined]
    file = parse_connection("c", {**data, "aws": kept})
    secrets = {key: SECRETS[key] for key in secret_references("c", file)}
    found = resolve("c", file, secrets).aws
    assert found is not None
    return found


def fault(**aws: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        settings(**aws)
    return str(caught.value).removeprefix("c: ")


def test_service_and_region_of_the_catalogue_are_signed_for_by_their_signing_names() -> None:
    found = settings(service="cloudwatch", region="ap-south-1", session_token="env:TOKEN")
    assert found.scope == Scope("ap-south-1", "monitoring")
    assert found.service is not None
    assert found.region is not None
    assert (found.service.label, found.region.label) == ("Amazon CloudWatch", "Asia Pacific (Mumbai)")
    assert found.keys() == AwsCredentials("AKID", "canary", "canary-token")
    assert found.credential_scope("20150830") == "20150830/ap-south-1/monitoring/aws4_request"
    assert "canary" not in repr(found)


def test_the_access_key_may_stand_where_secrets_do() -> None:
    data = {"base_url": "https://h", "authentication": "aws", "aws": {**WHERE, **KEYS, "access_key": "env:KEY"}}
    file = parse_connection("c", data)
    assert set(secret_references("c", file)) == {"aws.access_key", "aws.secret_key"}
    found = resolve("c", file, {"aws.access_key": Secret("AKIDEXAMPLE"), "aws.secret_key": Secret("s")}).aws
    assert found is not None
    assert found.access_key == "AKIDEXAMPLE"


def test_a_file_does_not_show_a_literal_secret() -> None:
    data = {"base_url": "https://h", "authentication": "aws", "aws": {**WHERE, **KEYS, "secret_key": "literal:canary"}}
    file = parse_connection("c", data)
    assert (repr(file.aws), "canary" in repr(file)) == ("<AwsFile apigateway us-east-1>", False)


def test_custom_entries_win_where_custom_is_chosen() -> None:
    found = settings(**CUSTOM, custom_service="codepipeline", custom_region="ap-south-2")
    assert (found.scope, found.service, found.region) == (Scope("ap-south-2", "codepipeline"), None, None)


@pytest.mark.parametrize(
    ("aws", "said"),
    [
        ({"service": None}, 'aws.service: missing; authentication = "aws" needs it'),
        ({"region": None}, 'aws.region: missing; authentication = "aws" needs it'),
        ({"custom_service": "x"}, 'aws.custom_service: applies only with service = "custom"'),
        ({"custom_region": "x"}, 'aws.custom_region: applies only with region = "custom"'),
        ({"service": "custom"}, 'aws.custom_service: missing; service = "custom" needs it'),
        ({"region": "custom"}, 'aws.custom_region: missing; region = "custom" needs it'),
        (
            {"region": "us-est-1"},
            "aws.region: 'us-est-1' is no region of the catalogue; did you mean us-east-1 (US East (N. Virginia))"
            " or us-west-1 (US West (N. California))?",
        ),
        (
            {"service": "API Gateway"},
            "aws.service: 'API Gateway' is no service of the catalogue; did you mean apigateway (Amazon API Gateway)"
            " or execute-api (Amazon API Gateway Deployed APIs)?",
        ),
        (
            {"service": "zzzzzzzzzzz"},
            "aws.service: 'zzzzzzzzzzz' is no service of the catalogue; give it as custom_service, with"
            ' service = "custom"',
        ),
        ({"service": "custom", "custom_service": "a b"}, "aws.custom_service: 'a b' is no service"),
        ({"region": "custom", "custom_region": "a/b"}, "aws.custom_region: 'a/b' is no region"),
        (
            {"region": "custom", "custom_region": "us-east-1,eu-west-1"},
            'aws.custom_region: a set of regions needs algorithm = "sigv4a"',
        ),
        (
            {"access_key": None},
            'aws.access_key: missing; give it, or credentials = "environment", "profile" or "chain"',
        ),
        (
            {"secret_key": None},
            'aws.secret_key: missing; give it, or credentials = "environment", "profile" or "chain"',
        ),
        ({"credentials": "environment"}, 'aws.access_key: has no use with credentials = "environment"'),
        ({"profile": "x"}, 'aws.profile: needs credentials = "profile" or "chain"'),
        ({"credentials_file": "x"}, 'aws.credentials_file: needs credentials = "profile"'),
        ({"credentials": "sso"}, "aws.credentials: expected one of keys, environment, profile, chain, got 'sso'"),
        (
            {"algorithm": "sigv4a", "region": "us-east-1,eu-*"},
            "aws.region: 'us-east-1,eu-*' is no region of the catalogue; give it as custom_region, with region ="
            ' "custom"',
        ),
        ({"algorithm": "sigv2"}, "aws.algorithm: expected one of sigv4, sigv4a, got 'sigv2'"),
        ({"payload": "none"}, "aws.payload: expected one of signed, unsigned, got 'none'"),
        (
            {"base_url": "http://h", "payload": "unsigned"},
            'aws.payload: "unsigned" needs a base_url of https://, lest the body be changed',
        ),
        (
            {"signed_fields": ["Content-Type", "User-Agent"]},
            "aws.signed_fields: User-Agent cannot be signed, since it may change on the way",
        ),
        ({"signed_fields": ["X-Amz-Date"]}, "aws.signed_fields: X-Amz-Date always is"),
        ({"signing_host": "a b"}, "aws.signing_host: expected a host, with :PORT where it has one, got 'a b'"),
        ({"signing_host": "a:b"}, "aws.signing_host: expected a host, with :PORT where it has one, got 'a:b'"),
        ({"signed_fields": ["a b"]}, "aws.signed_fields: expected names of fields, got 'a b'"),
        ({"service": None, "custom_service": "x"}, 'aws.service: missing; custom_service needs service = "custom"'),
        (
            {"base_url": "https://h/?x-amz%2ddate=1"},
            "base_url: query: x-amz%2ddate is the signature's own: leave it out",
        ),
        ({"signing_host": ""}, "aws.signing_host: expected a host, with :PORT where it has one, got ''"),
        ({"secret_key": "canary"}, "aws.secret_key: a secret must not stand here as bare text; write it as"),
        ({"secretkey": "env:X"}, "aws.secretkey: unknown key; remove it, or correct its spelling"),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(aws: dict[str, Any], said: str) -> None:
    found = fault(**aws)
    assert found.startswith(said)
    assert "canary" not in found


@pytest.mark.parametrize("credentials", ["environment", "profile", "chain"])
def test_credentials_that_stand_elsewhere_are_not_in_the_settings(credentials: str) -> None:
    found = settings(access_key=None, secret_key=None, credentials=credentials)
    assert (found.credentials, found.keys()) == (credentials, None)


def test_keys_that_cannot_be_sent_are_refused_unseen() -> None:
    with pytest.raises(LocalProtocolError, match="the access key is no AWS access key"):
        settings(access_key="a/b").keys()


def test_terms_are_those_of_the_service_but_for_what_is_said() -> None:
    assert settings().terms == Terms()
    assert settings(service="s3").terms == Terms(path=S3, sends_payload_hash=True, takes_unsigned=True)
    assert settings(service="opensearchserverless", payload=None).terms == Terms(sends_payload_hash=True)
    lattice = {"service": "custom", "custom_service": "vpc-lattice-svcs"}
    assert settings("http://h", **lattice).terms == Terms(signs_payload=False)
    assert settings(**lattice, payload="signed").terms == Terms()
    found = settings(
        payload="unsigned", sign_session_token=False, signed_fields=["If-Match"], signing_host="x.execute-api:444"
    )
    assert found.terms == Terms(
        path=GENERIC,
        signs_payload=False,
        signs_token=False,
        signed_fields=frozenset({b"if-match"}),
        host=b"x.execute-api:444",
    )


def test_a_set_of_regions_is_for_sigv4a() -> None:
    found = settings(algorithm="sigv4a", region="custom", custom_region="us-east-1,eu-*")
    assert found.scope.region == "us-east-1,eu-*"
    assert found.credential_scope("20150830") == "20150830/apigateway/aws4_request"


@pytest.mark.parametrize(
    ("host", "aws", "said"),
    [
        ("apigateway.us-east-1.amazonaws.com", {}, None),
        ("api.example.com", {}, None),
        (
            "apigateway.eu-west-1.amazonaws.com",
            {},
            "host apigateway.eu-west-1.amazonaws.com is in eu-west-1, but region us-east-1 is signed for",
        ),
        (
            "tunnel",
            {"signing_host": "sqs.us-east-1.amazonaws.com:8443"},
            "host sqs.us-east-1.amazonaws.com belongs to sqs, but service apigateway is signed for",
        ),
        (
            "tunnel",
            {"signing_host": "apigateway.us-east-2.amazonaws.com"},
            "host apigateway.us-east-2.amazonaws.com is in us-east-2, but region us-east-1 is signed for",
        ),
    ],
)
def test_a_host_that_contradicts_what_is_signed_for_is_doubted(
    host: str, aws: dict[str, Any], said: str | None
) -> None:
    assert settings(**aws).doubt(Origin("https", host, 443)) == said


def connection_fault(**more: Any) -> str:
    data: dict[str, Any] = {"base_url": "https://h", "authentication": "aws", "aws": {**KEYS, **WHERE}}
    with pytest.raises(SettingsError) as caught:
        parse_connection("c", {**data, **more})
    return str(caught.value).removeprefix("c: ")


def test_what_is_of_another_scheme_is_refused_beside_aws_and_aws_beside_another() -> None:
    assert connection_fault(user="u") == (
        'user: has no use with authentication = "aws"; give aws.access_key and aws.secret_key'
    )
    assert connection_fault(digest={"qop": ["auth"]}) == 'digest: has no use with authentication = "aws"'
    assert connection_fault(authentication="none") == 'aws: has no use with authentication = "none"'


@pytest.mark.parametrize("name", ["Authorization", "X-Amz-Date", "x-amz-content-sha256", "X-Amz-Security-Token"])
def test_fields_of_the_signature_are_refused_among_the_headers(name: str) -> None:
    found = connection_fault(headers={name: "env:X"})
    assert found == f"headers.{name}: is the signature's own: leave it out"
