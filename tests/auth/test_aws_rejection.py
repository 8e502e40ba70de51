from __future__ import annotations

import pytest

from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.auth.aws_errors import AwsError, Meaning
from patchwire.auth.aws_frame import Signed
from patchwire.auth.aws_rejection import LONGEST_LINE, MOST_LINES, apart_from, differences, reason
from patchwire.auth.aws_signing import Scope
from patchwire.auth.quoting import hiding

KEYS = AwsCredentials("AKID", "canary-secret", "canary-token")
HIDE = hiding(["canary-secret", "canary-token"])
SIGNED = Signed((), b"PATCH\n/", b"AWS4\nhash")


@pytest.mark.parametrize(
    ("meaning", "error", "said"),
    [
        (Meaning.EXPIRED, AwsError("ExpiredToken"), "the AWS session has ended: renew its credentials (ExpiredToken)"),
        (
            Meaning.UNKNOWN_KEY,
            AwsError("InvalidToken", "It is\n invalid."),
            "access key AKID or its session token is not accepted (InvalidToken): check it; it says: It is",
        ),
        (
            Meaning.SKEWED,
            AwsError("RequestExpired"),
            "the service finds the time of the signature wrong (RequestExpired): set this machine's clock by its own,"
            " 300 seconds ahead of this machine's",
        ),
        (
            Meaning.ANOTHER_BODY,
            AwsError("X"),
            "the body that came is not the one that was signed (X): it was changed meanwhile, or on its way",
        ),
        (
            Meaning.MISMATCH,
            AwsError("", "canary-token \x1b[31m is not canary-secret"),
            "the signature with access key AKID was rejected: check the secret key, service s and region r;"
            " it says: *** [31m is not ***",
        ),
        (
            Meaning.MISMATCH,
            AwsError("X", "", "GET\n/", "AWS4\nhash"),
            "the signature was rejected (X): the service has read the request otherwise, -v shows how",
        ),
        (
            Meaning.MISMATCH,
            AwsError("X", "", "PATCH\n/", "AWS4\nanother"),
            "the signature was rejected (X): it is for another time, region or service, -v shows which",
        ),
        (
            Meaning.MISMATCH,
            AwsError("X", "", "PATCH\n/"),
            "the signature was rejected (X): the secret key of access key AKID is wrong",
        ),
        (
            Meaning.MISMATCH,
            AwsError("X", "", "PATCH\n/", "AWS4\nhash"),
            "the signature was rejected (X): the secret key of access key AKID is wrong",
        ),
    ],
)
def test_a_rejection_says_what_is_wrong_and_what_to_do(meaning: Meaning, error: AwsError, said: str) -> None:
    assert reason(meaning, error, KEYS, Scope("r", "s"), SIGNED, 300.0, HIDE) == said


def test_keys_without_a_token_are_not_said_to_have_one() -> None:
    said = reason(Meaning.UNKNOWN_KEY, AwsError("X"), AwsCredentials("AKID", "s"), Scope("r", "s"), SIGNED, None, str)
    assert said == "access key AKID is not accepted (X): check it"
    said = reason(Meaning.SKEWED, AwsError("X"), KEYS, Scope("r", "s"), SIGNED, None, str)
    assert said.endswith("set this machine's clock by its own")


def test_a_clock_is_ahead_or_behind() -> None:
    assert (apart_from(90_000), apart_from(-59.6)) == ("90,000 seconds ahead of", "60 seconds behind")


def test_only_the_lines_that_differ_are_shown() -> None:
    ours, theirs = "PATCH\n/a\n\nhost:h\nx:1\n\nhost;x\nhash", "PATCH\n/b\n\nhost:h\n\nhost;x\nhash"
    assert differences(ours, theirs, (), str) == ["- /a", "+ /b", "- x:1"]
    assert differences(ours, ours, (), str) == []
    assert differences(ours, None, (), str) == []


def test_secrets_are_hidden_by_their_name_and_wherever_they_stand() -> None:
    ours, theirs = "x-amz-security-token:canary\nhost:h", "X-Amz-Security-Token :changed\nhost:canary-h"
    assert differences(ours, theirs, {"x-amz-security-token"}, hiding(["canary-h"])) == [
        "- x-amz-security-token:***",
        "- host:h",
        "+ X-Amz-Security-Token :***",
        "+ host:***",
    ]


def test_what_a_service_sends_is_cut() -> None:
    assert differences("", "x" * 1000, (), str)[1] == "+ " + "x" * LONGEST_LINE
    assert len(differences("", "\n".join(map(str, range(10_000))), (), str)) == MOST_LINES + 1
