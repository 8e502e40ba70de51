"""What a connection says of AWS: whose keys, and what the signatures are good for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from patchwire.auth import sigv4
from patchwire.auth.aws_canonical import NEVER_SIGNED
from patchwire.auth.aws_catalog import Region, Service, region_hint, region_named, service_hint, service_named
from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.auth.aws_flow import Algorithm
from patchwire.auth.aws_hosts import contradiction
from patchwire.auth.aws_signing import OWN_FIELDS, Scope, Terms, terms_of
from patchwire.auth.secret import Secret
from patchwire.errors import LocalProtocolError, SettingsError
from patchwire.http.message import Origin

CUSTOM: Final = "custom"
CredentialsFrom = Literal["keys", "environment", "profile", "chain"]
AWS_WORDS: Final = {
    "aws.credentials": ("keys", "environment", "profile", "chain"),
    "aws.algorithm": ("sigv4", "sigv4a"),
    "aws.payload": ("signed", "unsigned"),
}
_token = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_host_and_port = re.compile(r"(?:[A-Za-z0-9\-._~]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?").fullmatch
_KEYS: Final = ("access_key", "secret_key", "session_token")


class AwsFile(Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in [aws]; secrets are still references."""

    service: str | None = None
    custom_service: str | None = None
    region: str | None = None
    custom_region: str | None = None
    algorithm: Algorithm = "sigv4"
    credentials: CredentialsFrom = "keys"
    access_key: str | None = None
    secret_key: str | None = None
    session_token: str | None = None
    profile: str | None = None
    credentials_file: str | None = None
    payload: Literal["signed", "unsigned"] | None = None
    sign_session_token: bool = True
    signed_fields: tuple[str, ...] | None = None
    signing_host: str | None = None

    def __repr__(self) -> str:
        """A literal secret is a secret."""
        return f"<AwsFile {self.service} {self.region}>"


class AwsSettings(Struct, frozen=True):
    """AWS signatures, ready for use. `service` and `region` are of the catalogue, None where they are custom."""

    scope: Scope
    terms: Terms
    algorithm: Algorithm = "sigv4"
    service: Service | None = None
    region: Region | None = None
    credentials: CredentialsFrom = "keys"
    access_key: str = ""
    """No secret: it stands in every request, and in the log."""
    secret_key: Secret = Secret("")
    session_token: Secret | None = None
    profile: str | None = None
    credentials_file: str | None = None
    """As it was written, and whole once it was loaded from a connection file."""

    def credential_scope(self, date: str) -> str:
        """What stands behind the access key on that day (YYYYMMDD)."""
        if self.algorithm == "sigv4":
            return sigv4.credential_scope(self.scope, date)
        from patchwire.auth import sigv4a  # cryptography takes a while to load

        return sigv4a.credential_scope(self.scope, date)

    def doubt(self, origin: Origin) -> str | None:
        """A warning where the host contradicts the service or the region that is signed for."""
        host = self.terms.host
        named = origin.host if host is None else host.decode("ascii").rpartition(":")[0] or host.decode("ascii")
        return contradiction(named, self.scope.service, self.scope.region)

    def keys(self) -> AwsCredentials | None:
        """The credentials that stand in the connection file; None where they are to be loaded. LocalProtocolError
        where they cannot be sent.
        """
        if self.credentials != "keys":
            return None
        token = None if self.session_token is None else self.session_token.reveal()
        return AwsCredentials(self.access_key, self.secret_key.reveal(), token)


def check_aws(place: str, aws: AwsFile, scheme: str) -> None:
    """SettingsError where the keys of [aws] do not go together."""
    _check_credentials(place, aws)
    if aws.payload == "unsigned" and scheme != "https":
        raise SettingsError(place, 'aws.payload: "unsigned" needs a base_url of https://, lest the body be changed')
    for name in aws.signed_fields or ():
        lower = name.lower().encode("utf-8")
        if not _token(name):
            raise SettingsError(place, f"aws.signed_fields: expected names of fields, got {name!r}")
        if lower in NEVER_SIGNED or lower in OWN_FIELDS:
            problem = f"aws.signed_fields: {name} cannot be signed, since it may change on the way"
            raise SettingsError(place, problem if lower in NEVER_SIGNED else f"aws.signed_fields: {name} always is")
    host = aws.signing_host
    if host is not None and not _host_and_port(host):
        raise SettingsError(place, f"aws.signing_host: expected a host, with :PORT where it has one, got {host!r}")
    scope_of(place, aws)


def aws_settings(place: str, aws: AwsFile, secrets: Mapping[str, Secret]) -> AwsSettings:
    """The settings, with the texts of the secrets by their keys."""
    access_key = secrets.get("aws.access_key")
    scope, service, region = scope_of(place, aws)
    known = terms_of(scope.service)
    fields = (
        None if aws.signed_fields is None else frozenset(name.lower().encode("utf-8") for name in aws.signed_fields)
    )
    return AwsSettings(
        scope=scope,
        terms=replace(
            known,
            signs_payload=known.signs_payload if aws.payload is None else aws.payload == "signed",
            signs_token=aws.sign_session_token,
            signed_fields=fields,
            host=None if aws.signing_host is None else aws.signing_host.encode("ascii"),
        ),
        algorithm=aws.algorithm,
        service=service,
        region=region,
        credentials=aws.credentials,
        access_key=aws.access_key or "" if access_key is None else access_key.reveal(),
        secret_key=secrets.get("aws.secret_key", Secret("")),
        session_token=secrets.get("aws.session_token"),
        profile=aws.profile,
        credentials_file=aws.credentials_file,
    )


def scope_of(place: str, aws: AwsFile) -> tuple[Scope, Service | None, Region | None]:
    """What is signed for, with service and region of the catalogue. SettingsError names the key at fault."""
    service_name = _chosen(place, "service", aws.service, aws.custom_service)
    region_name = _chosen(place, "region", aws.region, aws.custom_region)
    service = region = None
    if aws.service != CUSTOM:
        service = service_named(service_name)
        if service is None:
            raise SettingsError(place, _unknown("service", service_name, service_hint(service_name)))
        service_name = service.signing_name
    if aws.region != CUSTOM:
        region = region_named(region_name)
        if region is None:
            hint = "" if "," in region_name or "*" in region_name else region_hint(region_name)
            raise SettingsError(place, _unknown("region", region_name, hint))
    elif aws.algorithm == "sigv4" and ("," in region_name or "*" in region_name):
        raise SettingsError(place, 'aws.custom_region: a set of regions needs algorithm = "sigv4a"')
    for key, region_part, service_part in (("service", "r", service_name), ("region", region_name, "s")):
        try:
            Scope(region_part, service_part)
        except LocalProtocolError as error:
            raise SettingsError(place, f"aws.custom_{key}: {error}") from None
    return Scope(region_name, service_name), service, region


def _chosen(place: str, key: str, name: str | None, custom: str | None) -> str:
    if name is None:
        needs = 'authentication = "aws" needs it' if custom is None else f'custom_{key} needs {key} = "custom"'
        raise SettingsError(place, f"aws.{key}: missing; {needs}")
    if name != CUSTOM:
        if custom is not None:
            raise SettingsError(place, f'aws.custom_{key}: applies only with {key} = "custom"')
        return name
    if custom is None:
        raise SettingsError(place, f'aws.custom_{key}: missing; {key} = "custom" needs it')
    return custom


def _unknown(kind: str, name: str, hint: str) -> str:
    remedy = hint or f'give it as custom_{kind}, with {kind} = "custom"'
    return f"aws.{kind}: {name[:80]!r} is no {kind} of the catalogue; {remedy}"


def _check_credentials(place: str, aws: AwsFile) -> None:
    if aws.credentials == "keys":
        for key in ("access_key", "secret_key"):
            if getattr(aws, key) is None:
                remedy = 'give it, or credentials = "environment", "profile" or "chain"'
                raise SettingsError(place, f"aws.{key}: missing; {remedy}")
    for key in _KEYS:
        if aws.credentials != "keys" and getattr(aws, key) is not None:
            raise SettingsError(place, f'aws.{key}: has no use with credentials = "{aws.credentials}"')
    if aws.profile is not None and aws.credentials not in ("profile", "chain"):
        raise SettingsError(place, 'aws.profile: needs credentials = "profile" or "chain"')
    if aws.credentials_file is not None and aws.credentials != "profile":
        raise SettingsError(place, 'aws.credentials_file: needs credentials = "profile"')
