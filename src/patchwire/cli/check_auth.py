"""What patchwire check says of AWS and of OAuth 2.0, and of where a setting comes from."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from patchwire.auth.aws_signing import timestamp
from patchwire.auth.token_keeping import Kept, fingerprint, kept_in
from patchwire.errors import StorageError
from patchwire.files.aws_credentials import load_aws_credentials
from patchwire.net.authentication import open_store
from patchwire.net.sources import now
from patchwire.net.wire_log import time_of
from patchwire.settings.aws import AwsSettings
from patchwire.settings.oauth2 import OAuth2Settings
from patchwire.settings.oauth2_file import OAuth2File
from patchwire.settings.overrides import Overridden, is_known
from patchwire.settings.secret import parse_reference
from patchwire.settings.written import ConnectionFile


class Sources:
    """Where settings come from: the connection file, the extension file, or nowhere."""

    def __init__(self, overridden: Overridden, oauth2: OAuth2Settings | None) -> None:
        self._overridden = overridden
        self._waits_for = None if oauth2 is None else _in_force(oauth2)

    def shown(self, key: str, value: str) -> str:
        """The value with its source, where `key` is one of a connection file."""
        return f"{value}  [{self.of(key)}]" if is_known(key) else value

    def unshown(self, shown: Collection[str]) -> Iterator[tuple[str, str]]:
        """The overrides that are none of those that were `shown`, with what is in force in their place."""
        for key in self._overridden.when:
            if key not in shown:
                value = self._overridden.value(key)
                yield key, "none" if value is None else shown_value(value)

    def of(self, key: str) -> str:
        """Where the value of `key` comes from, and whether it is in force."""
        overridden = self._overridden
        written = "default" if overridden.value(key) is None else overridden.place
        match overridden.when.get(key):
            case None:
                return written
            case "never":
                reason = 'under client_credentials it needs "oauth2.access_token" to be extensible'
                return f"{written}; the override of {overridden.extension_place} is not in force: {reason}"
            case "after the token" if self._waits_for is not None:
                return f"{overridden.extension_place}; waits until {self._waits_for} has ended"
        return f"{overridden.extension_place}, in force"


def aws_lines(aws: AwsSettings, written: ConnectionFile, *, connect: bool) -> Iterator[tuple[str, str]]:
    """What is signed with what; `connect`: whether to ask where that takes a while, and may go over the network."""
    yield "aws.credentials", aws.credentials
    if aws.credentials == "keys":
        yield "aws.access_key", aws.access_key
        yield "aws.secret_key", shown_secret(written.aws.secret_key)
        yield "aws.session_token", "none" if aws.session_token is None else shown_secret(written.aws.session_token)
    elif aws.credentials != "chain" or connect:  # to ask the chain takes a while, and may go over the network
        found = load_aws_credentials(aws)
        yield "aws.access_key", found.access_key
        yield "aws.session_token", "none" if found.session_token is None else "***"
        if found.expires_at is not None:
            yield "aws.credentials end", time_of(found.expires_at)
    if aws.credentials in ("profile", "chain"):
        yield "aws.profile", aws.profile or "the default"
    if aws.credentials_file is not None:
        yield "aws.credentials_file", aws.credentials_file
    signing_name = aws.scope.service
    label = "custom" if aws.service is None else f"{aws.service.name}, {aws.service.label}"
    yield "aws.service", f"{signing_name} ({label})"
    yield "aws.region", f"{aws.scope.region} ({'custom' if aws.region is None else aws.region.label})"
    yield "aws.algorithm", aws.algorithm
    yield "aws.credential_scope", aws.credential_scope(timestamp(int(now()))[:8])
    yield "aws.payload", "signed" if aws.terms.signs_payload else "unsigned"
    yield "aws.sign_session_token", word(aws.terms.signs_token)
    fields = written.aws.signed_fields
    yield "aws.signed_fields", "all that may be" if fields is None else ", ".join(("host", "x-amz-*", *fields))
    if written.aws.signing_host is not None:
        yield "aws.signing_host", written.aws.signing_host


def oauth2_lines(oauth2: OAuth2Settings, written: OAuth2File) -> Iterator[tuple[str, str]]:
    """The terms on which tokens are asked for, and what is known of the token that is kept."""
    terms = oauth2.terms
    yield "oauth2.grant_type", terms.grant_type
    yield "oauth2.client_id", terms.client_id or "none"
    yield "oauth2.client_authentication", terms.client_authentication
    for key in ("authorization_url", "access_token_url", "device_authorization_url", "metadata_url", "issuer"):
        if getattr(terms, key) is not None:
            yield f"oauth2.{key}", getattr(terms, key)
    yield "oauth2.scope", terms.scope or "none"
    for key in ("client_secret", "access_token", "refresh_token", "password"):
        if getattr(written, key) is not None:
            yield f"oauth2.{key}", shown_secret(getattr(written, key))
    for key in ("username", "redirect_uri"):
        if getattr(written, key) is not None:
            yield f"oauth2.{key}", getattr(written, key)
    if written.jwt is not None and terms.jwt is not None:
        yield "oauth2.jwt.key", "the client's secret" if written.jwt.key is None else shown_secret(written.jwt.key)
        for key in ("algorithm", "key_id", "issuer", "subject", "audience", "lifetime"):
            if getattr(terms.jwt, key) is not None:
                yield f"oauth2.jwt.{key}", str(getattr(terms.jwt, key))
        for name, value in terms.jwt.claims:
            yield f"oauth2.jwt.claims.{name}", value
    for name, value in written.authorization_parameters.items():
        yield f"oauth2.authorization_parameters.{name}", value
    for name, value in written.access_token_parameters.items():
        yield f"oauth2.access_token_parameters.{name}", shown_value(value)
    yield "the kept token", _kept_line(oauth2)


def shown_secret(text: str | None) -> str:
    """Where a secret is kept, and nothing of it."""
    reference = parse_reference(text or "")
    if reference is None or reference.kind == "literal":
        return "*** (literal)"
    return f"*** ({reference.kind}:{reference.name})"


def shown_value(value: object) -> str:
    """What stands in a connection file: where it is kept, if it is a secret, else the text."""
    return shown_secret(value) if isinstance(value, str) and parse_reference(value) else str(value)


def word(truth: bool) -> str:
    """As TOML has it."""
    return "true" if truth else "false"


def _kept(oauth2: OAuth2Settings) -> Kept | None:
    content = open_store(oauth2.entry).read()
    return None if content is None else kept_in(content)


def _kept_line(oauth2: OAuth2Settings) -> str:
    try:
        kept = _kept(oauth2)
    except StorageError as error:
        return f"cannot be read: {error}"
    if kept is None:
        return "none"
    renewed = ", with a refresh token" if kept.token.refresh_token is not None else ""
    if kept.token.expires_at is None:
        return f"there is one, which does not say when it ends{renewed}"
    ends = "ends" if kept.token.serves(now()) else "has ended"
    return f"{ends} {time_of(kept.token.expires_at)}{renewed}"


def _in_force(oauth2: OAuth2Settings) -> str | None:
    """The token behind which overrides wait, for a person; None where there is none."""
    before, terms = oauth2.before, oauth2.terms
    try:
        kept = _kept(oauth2)
    except StorageError:
        kept = None
    if kept is not None and kept.source not in (before.source, terms.source):
        kept = None
    rejected = () if kept is None else kept.rejected
    if before.access_token is not None and fingerprint(before.access_token.reveal()) not in rejected:
        return "the access token of the settings"
    if kept is None or not kept.token.serves(now()) or not (kept.is_for(before.scope) or kept.is_for(terms.scope)):
        return None
    ends = kept.token.expires_at
    return "the kept token" if ends is None else f"the kept token, on {time_of(ends)},"
