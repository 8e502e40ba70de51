from __future__ import annotations

import pytest

from patchwire.settings.leftovers import leftovers


@pytest.mark.parametrize(
    ("key", "value", "useless"),
    [
        ("base_url", "https://h", []),
        ("base_url", "HTTP://h", ["tls"]),
        ("base_url", 1, []),
        ("authentication", "basic", ["digest", "oauth2", "aws"]),
        ("authentication", "oauth2", ["user", "password", "digest", "aws"]),
        ("authentication", ["none"], ["digest", "oauth2", "aws"]),
        ("oauth2.grant_type", "password", ["authorization_url", "redirect_uri", "device_authorization_url",
                                           "authorization_parameters"]),
        ("oauth2.grant_type", "device_code", ["authorization_url", "redirect_uri", "username", "password"]),
        ("oauth2.client_authentication", "none", ["client_secret"]),
        ("oauth2.client_authentication", "private_key_jwt", ["client_secret"]),
        ("oauth2.client_authentication", "body", []),
        ("aws.service", "s3", ["custom_service"]),
        ("aws.service", "custom", []),
        ("aws.region", "us-east-1", ["custom_region"]),
        ("aws.credentials", "keys", ["profile", "credentials_file"]),
        ("aws.credentials", "chain", ["access_key", "secret_key", "session_token", "credentials_file"]),
        ("aws.credentials", "profile", ["access_key", "secret_key", "session_token"]),
        ("user", "x", []),
    ],
)  # fmt: skip
def test_what_has_lost_its_use_is_named(key: str, value: object, useless: list[str]) -> None:
    table, dot, _ = key.rpartition(".")
    assert list(leftovers({key: value})) == [f"{table}{dot}{name}" for name in useless]
