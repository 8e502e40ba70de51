"""Why a service has rejected a signature, for a person: in a sentence, and line by line; without secrets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from difflib import SequenceMatcher
from typing import Final

from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.auth.aws_errors import AwsError, Meaning
from patchwire.auth.aws_frame import Signed
from patchwire.auth.aws_session import ENDED
from patchwire.auth.aws_signing import Scope

MOST_LINES: Final = 200
LONGEST_LINE: Final = 300
LONGEST_MESSAGE: Final = 160


def reason(
    meaning: Meaning,
    error: AwsError,
    credentials: AwsCredentials,
    scope: Scope,
    signed: Signed,
    ahead: float | None,
    hide: Callable[[str], str],
) -> str:
    """What is wrong, and the remedy. `ahead` are the seconds by which the service's clock is ahead of ours; `hide`
    takes secrets out of what the service says.
    """
    key, code = credentials.access_key, f" ({error.code})" if error.code else ""
    if meaning is Meaning.EXPIRED:
        return f"{ENDED}{code}"
    if meaning is Meaning.UNKNOWN_KEY:
        token = "" if credentials.session_token is None else " or its session token"
        return f"access key {key}{token} is not accepted{code}: check it{_said(error, hide)}"
    if meaning is Meaning.ANOTHER_BODY:
        return f"the body that came is not the one that was signed{code}: it was changed meanwhile, or on its way"
    if meaning is Meaning.SKEWED:
        apart = "" if ahead is None else f", {apart_from(ahead)} this machine's"
        return f"the service finds the time of the signature wrong{code}: set this machine's clock by its own{apart}"
    if error.is_about_scope:
        return (
            f"the signature was rejected{code}: it was made for service {scope.service} in region {scope.region}"
            f"{_said(error, hide)}"
        )
    if error.canonical_request is None:
        remedy = f"check the secret key, service {scope.service} and region {scope.region}"
        return f"the signature with access key {key} was rejected{code}: {remedy}{_said(error, hide)}"
    if error.canonical_request != signed.canonical.decode("latin-1"):
        return f"the signature was rejected{code}: the service has read the request otherwise, -v shows how"
    if error.string_to_sign not in (None, signed.text.decode("latin-1")):
        return f"the signature was rejected{code}: it is for another time, region or service, -v shows which"
    return f"the signature was rejected{code}: the secret key of access key {key} is wrong"


def apart_from(ahead: float) -> str:
    """For example "300 seconds behind"."""
    return f"{abs(ahead):,.0f} seconds {'ahead of' if ahead > 0 else 'behind'}"


def differences(
    ours: str, theirs: str | None, secret_fields: Collection[str], hide: Callable[[str], str]
) -> list[str]:
    """The lines of two canonical requests, or strings to sign, that differ: "- " ours, "+ " theirs; none where the
    service has not said its own.

    The values of `secret_fields` (lower case) are hidden, that they differ is not; `hide` takes secrets out wherever
    they stand.
    """

    def shown(line: str) -> str:
        name, colon, _ = line.partition(":")
        if colon and name.strip().lower() in secret_fields:
            return f"{name}:***"
        return hide(line)[:LONGEST_LINE]

    if theirs is None:
        return []
    return list(_differing(ours.split("\n")[:MOST_LINES], theirs.split("\n")[:MOST_LINES], shown))


def _differing(mine: list[str], other: list[str], shown: Callable[[str], str]) -> Iterator[str]:
    for kind, start, end, other_start, other_end in SequenceMatcher(None, mine, other, autojunk=False).get_opcodes():
        if kind != "equal":
            yield from (f"- {shown(line)}" for line in mine[start:end])
            yield from (f"+ {shown(line)}" for line in other[other_start:other_end])


def _said(error: AwsError, hide: Callable[[str], str]) -> str:
    """The first line of what the service has said."""
    line = hide(error.message.partition("\n")[0].strip())
    shown = "".join(character for character in line if character.isprintable())[:LONGEST_MESSAGE]
    return f"; it says: {shown}" if shown else ""
