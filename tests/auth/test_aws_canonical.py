from __future__ import annotations

import pytest

from patchwire.auth.aws_canonical import (
    GENERIC,
    NEVER_SIGNED,
    S3,
    UNSIGNED_PAYLOAD,
    PathRules,
    canonical_fields,
    canonical_path,
    canonical_query,
    canonical_request,
    strictly_encoded,
)
from patchwire.auth.aws_signing import payload_hash_of
from tests.support.sigv4_vectors import EMPTY_HASH, OlderCase, SigningCase, older_cases, signing_cases
from tests.support.vectors import needs_vectors

RESERVED_IN_PATH = b"!$&'()*+,;=:@"
ENCODED_RESERVED = b"%21%24%26%27%28%29%2A%2B%2C%3B%3D%3A%40"
UNRESERVED = b"-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
UNNORMALIZED = PathRules(normalize=False)


# --- the path


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        (b"/a%20b", b"/a%2520b"),
        (b"/a%2Fb", b"/a%252Fb"),
        (b"/a%2fb", b"/a%252fb"),
        (b"/%7euser", b"/%257euser"),
        (b"/%41", b"/%2541"),
        (b"/%25", b"/%2525"),
        (b"/%E1%88%B4", b"/%25E1%2588%25B4"),
        (b"/foo%3Abar", b"/foo%253Abar"),
        (b"/$delete", b"/%24delete"),
        (b"/a;b+c=d", b"/a%3Bb%2Bc%3Dd"),
        (b"/" + RESERVED_IN_PATH, b"/" + ENCODED_RESERVED),
    ],
)
def test_every_octet_of_a_path_on_the_wire_is_encoded_once_more(path: bytes, canonical: bytes) -> None:
    assert canonical_path(path) == canonical


@pytest.mark.parametrize("rules", [GENERIC, UNNORMALIZED, S3])
def test_unreserved_characters_stay_as_they_are_by_all_rules(rules: PathRules) -> None:
    assert canonical_path(b"/" + UNRESERVED, rules) == b"/" + UNRESERVED


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        (b"", b"/"),
        (b"/", b"/"),
        (b"//", b"/"),
        (b"/a", b"/a"),
        (b"/a/", b"/a/"),
        (b"/a/b/", b"/a/b/"),
        (b"//a//", b"/a/"),
        (b"/a//b", b"/a/b"),
        (b"/.", b"/"),
        (b"/./", b"/"),
        (b"/./a", b"/a"),
        (b"/a/.", b"/a"),
        (b"/a/./", b"/a/"),
        (b"/a/./b", b"/a/b"),
        (b"/..", b"/"),
        (b"/../", b"/"),
        (b"/../..", b"/"),
        (b"/../a", b"/a"),
        (b"/a/..", b"/"),
        (b"/a/../", b"/"),
        (b"/a/b/..", b"/a"),
        (b"/a/b/../", b"/a/"),
        (b"/a/b/../..", b"/"),
        (b"/a/b/../../../c", b"/c"),
        (b"/a/../b/./c//d/", b"/b/c/d/"),
        (b"/...", b"/..."),
        (b"/.a/b.", b"/.a/b."),
        (b"/a..b/..c", b"/a..b/..c"),
    ],
)
def test_dot_segments_and_empty_ones_are_resolved(path: bytes, canonical: bytes) -> None:
    assert canonical_path(path) == canonical


@pytest.mark.parametrize(
    "path", [b"/.", b"/..", b"/a/.", b"/a/..", b"/a/../b", b"//", b"//a//", b"/a/b/../..", b"/a/", b"/.a"]
)
@pytest.mark.parametrize("rules", [UNNORMALIZED, S3])
def test_they_stay_where_the_path_is_not_to_be_normalised(path: bytes, rules: PathRules) -> None:
    assert canonical_path(path, rules) == path


@pytest.mark.parametrize("rules", [GENERIC, UNNORMALIZED, S3])
def test_an_empty_path_is_a_slash_by_all_rules(rules: PathRules) -> None:
    assert canonical_path(b"", rules) == b"/"


def test_encoded_dots_and_slashes_are_no_segments_to_resolve() -> None:
    assert canonical_path(b"/a/%2E%2E/b%2F..") == b"/a/%252E%252E/b%252F.."


def test_a_path_that_is_not_normalised_is_encoded_once_more_all_the_same() -> None:
    assert canonical_path(b"/a//b%20c/../;", UNNORMALIZED) == b"/a//b%2520c/../%3B"


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        (b"/a%20b", b"/a%20b"),
        (b"/a=b", b"/a%3Db"),
        (b"/a%3Db", b"/a%3Db"),
        (b"/a%3db", b"/a%3Db"),
        (b"/%7euser", b"/~user"),
        (b"/%7Euser", b"/~user"),
        (b"/~user", b"/~user"),
        (b"/%41%2d", b"/A-"),
        (b"/a%2Fb", b"/a%2Fb"),
        (b"/a%2fb/c", b"/a%2Fb/c"),
        (b"/a+b", b"/a%2Bb"),
        (b"/%e1%88%b4", b"/%E1%88%B4"),
        (b"/%25", b"/%25"),
        (b"/%2541", b"/%2541"),
        (b"/photos//a/../b%20c/", b"/photos//a/../b%20c/"),
        (b"/" + RESERVED_IN_PATH, b"/" + ENCODED_RESERVED),
    ],
)
def test_s3_has_each_octet_encoded_once_and_strictly(path: bytes, canonical: bytes) -> None:
    assert canonical_path(path, S3) == canonical


@pytest.mark.parametrize("path", [b"/a=b", b"/%7e", b"/a%2fb", b"/%41!", b"/a b", b"/\xe1\x88\xb4"])
def test_what_s3_has_encoded_is_canonical_already(path: bytes) -> None:
    once = canonical_path(path, S3)
    assert canonical_path(once, S3) == once


def test_a_path_may_be_normalised_and_encoded_once() -> None:
    assert canonical_path(b"//a/../b%20c=/", PathRules(normalize=True, encode_again=False)) == b"/b%20c%3D/"


def test_raw_octets_of_a_path_are_encoded() -> None:
    assert canonical_path(b"/a b/\xe1\x88\xb4") == b"/a%20b/%E1%88%B4"


# --- the query


@pytest.mark.parametrize(
    ("query", "canonical"),
    [
        (b"", b""),
        (b"&", b""),
        (b"&&", b""),
        (b"a", b"a="),
        (b"a=", b"a="),
        (b"=", b"="),
        (b"=b", b"=b"),
        (b"a=b&&c=d&", b"a=b&c=d"),
        (b"a=b=c", b"a=b%3Dc"),
        (b"a==", b"a=%3D"),
        (b"b&a", b"a=&b="),
        (b"?", b"%3F="),
        (b"a=/b?c", b"a=%2Fb%3Fc"),
        (b"a=:@!$'()*,;", b"a=%3A%40%21%24%27%28%29%2A%2C%3B"),
    ],
)
def test_a_parameter_without_equals_sign_gets_one_and_an_empty_one_is_none(query: bytes, canonical: bytes) -> None:
    assert canonical_query(query) == canonical


@pytest.mark.parametrize(
    ("query", "canonical"),
    [
        (b"a=%7e", b"a=~"),
        (b"a=~", b"a=~"),
        (b"%41=%2d", b"A=-"),
        (b"a=%2f", b"a=%2F"),
        (b"a=%20", b"a=%20"),
        (b"a=+", b"a=%2B"),
        (b"a=%2B", b"a=%2B"),
        (b"a=%3D%26", b"a=%3D%26"),
        (b"%3D=%25", b"%3D=%25"),
        (b"a=%252F", b"a=%252F"),
        (b"a=%E1%88%b4", b"a=%E1%88%B4"),
        (b"\xe1\x88\xb4=a b", b"%E1%88%B4=a%20b"),
        (UNRESERVED + b"=" + UNRESERVED, UNRESERVED + b"=" + UNRESERVED),
    ],
)
def test_names_and_values_are_decoded_and_strictly_encoded(query: bytes, canonical: bytes) -> None:
    assert canonical_query(query) == canonical


@pytest.mark.parametrize(
    ("query", "canonical"),
    [
        (b"b=1&a=2", b"a=2&b=1"),
        (b"a=2&a=1", b"a=1&a=2"),
        (b"a=1&a=1", b"a=1&a=1"),
        (b"a=b&a&a=a", b"a=&a=a&a=b"),
        (b"a=b&A=c", b"A=c&a=b"),
        (b"P=value2&P=Value1", b"P=Value1&P=value2"),
        (b"a=10&a=9", b"a=10&a=9"),
        (b"z=1&%E1%88%B4=2", b"%E1%88%B4=2&z=1"),
    ],
)
def test_parameters_are_sorted_by_code_point_and_repeated_ones_stay(query: bytes, canonical: bytes) -> None:
    assert canonical_query(query) == canonical


def test_parameters_are_sorted_as_pairs_of_name_and_value() -> None:
    # As texts "Param-3=3" and "Param2=1" would stand before "Param=2": "-" and "2" are less than "=".
    assert canonical_query(b"Param-3=3&Param=2&Param2=1") == b"Param=2&Param-3=3&Param2=1"


def test_parameters_are_sorted_by_what_they_are_when_encoded() -> None:
    assert canonical_query(b"a=~&a=%C3%A4&a=b&%61=%7E") == b"a=%C3%A4&a=b&a=~&a=~"


# --- the fields


@pytest.mark.parametrize(
    ("value", "canonical"),
    [
        (b"value", b"value"),
        (b"  value\t ", b"value"),
        (b"a  b \t c", b"a b c"),
        (b'"a   b   c"', b'"a b c"'),
        (b"value1\n  value2\r\n\tvalue3", b"value1 value2 value3"),
        (b"", b""),
        (b"Value", b"Value"),
        (b"caf\xc3\xa9", b"caf\xc3\xa9"),
    ],
)
def test_blanks_and_folds_of_a_value_become_one_blank_within_quotes_too(value: bytes, canonical: bytes) -> None:
    assert canonical_fields([(b"X", value)]) == (b"x:" + canonical + b"\n", b"x")


def test_names_are_in_lower_case_and_in_order() -> None:
    lines = [(b"X-Amz-Date", b"d"), (b"Host", b"h"), (b"CONTENT-TYPE", b"t"), (b"x-a", b"1"), (b"X_A", b"2")]
    assert canonical_fields(lines) == (
        b"content-type:t\nhost:h\nx-a:1\nx-amz-date:d\nx_a:2\n",
        b"content-type;host;x-a;x-amz-date;x_a",
    )


def test_values_of_one_name_are_joined_in_their_order() -> None:
    lines = [(b"My-Header1", b" value4 "), (b"my-header1", b"value1"), (b"MY-HEADER1", b""), (b"my-header1", b"a,  b")]
    assert canonical_fields(lines) == (b"my-header1:value4,value1,,a, b\n", b"my-header1")


def test_what_proxies_may_change_is_never_signed() -> None:
    for name in (
        b"connection", b"content-length", b"expect", b"keep-alive", b"te", b"trailer", b"transfer-encoding",
        b"upgrade", b"user-agent", b"x-amzn-trace-id", b"authorization", b"proxy-authorization",
        b"baggage", b"traceparent", b"tracestate",
    ):  # fmt: skip
        assert name in NEVER_SIGNED
    assert not {b"host", b"content-type", b"if-match", b"x-amz-date"} & NEVER_SIGNED


# --- the whole


def test_a_canonical_request_is_six_parts_of_which_the_fields_end_in_an_empty_line() -> None:
    found = canonical_request(
        "PATCH", b"/a%20b/?z&a=1", [(b"Host", b"h"), (b"Content-Type", b"application/json")], "ab" * 32
    )
    assert found.text == (
        b"PATCH\n/a%2520b/\na=1&z=\ncontent-type:application/json\nhost:h\n\ncontent-type;host\n" + b"ab" * 32
    )
    assert found.signed_headers == b"content-type;host"


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/a", b"/a", b""),
        (b"/a?", b"/a", b""),
        (b"/a?b?c", b"/a", b"b%3Fc="),
        (b"?a=b", b"/", b"a=b"),
        (b"", b"/", b""),
        (b"/a%3Fb", b"/a%253Fb", b""),
    ],
)
def test_the_query_begins_behind_the_first_question_mark(target: bytes, path: bytes, query: bytes) -> None:
    lines = canonical_request("GET", target, [(b"Host", b"h")], EMPTY_HASH).text.split(b"\n")
    assert (lines[1], lines[2]) == (path, query)


def test_the_rules_of_the_path_are_those_given() -> None:
    found = canonical_request("PUT", b"/a//b=c", [(b"Host", b"h")], UNSIGNED_PAYLOAD, S3)
    assert found.text == b"PUT\n/a//b%3Dc\n\nhost:h\n\nhost\nUNSIGNED-PAYLOAD"


def test_the_hash_of_nothing_is_that_of_no_body() -> None:
    assert payload_hash_of(b"") == EMPTY_HASH


def test_strict_encoding_takes_the_octets_as_they_are() -> None:
    assert strictly_encoded(b"a/b%20c;d ~\xff") == b"a%2Fb%2520c%3Bd%20~%FF"


# --- AWS's own cases

CASES = signing_cases("v4") + signing_cases("v4a")
OLDER = older_cases()


def fields_to_sign(case: SigningCase, *, query: bool) -> list[tuple[bytes, bytes]]:
    """Those of the request and, where the signature stands in a field, those that are signed with it."""
    added = []
    token = case.credentials.session_token
    if not query:
        added.append((b"X-Amz-Date", b"20150830T123600Z"))
        if case.folder.parent.name == "v4a":
            added.append((b"X-Amz-Region-Set", case.scope.region.encode()))
        if case.terms.sends_payload_hash:
            added.append((b"X-Amz-Content-Sha256", payload_hash_of(case.raw.body).encode()))
        if token is not None and case.terms.signs_token:
            added.append((b"X-Amz-Security-Token", token.encode()))
    return [*case.raw.headers, *added]


def without(target: bytes, *names: bytes) -> bytes:
    """A target whose query has none of these parameters."""
    path, _, query = target.partition(b"?")
    return path + b"?" + b"&".join([each for each in query.split(b"&") if each.partition(b"=")[0] not in names])


@needs_vectors
def test_there_are_as_many_cases_as_the_suites_have() -> None:
    assert [case.folder.parent.name for case in CASES] == ["v4"] * 38 + ["v4a"] * 38
    assert len(OLDER) == 34


@needs_vectors
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.folder.parent.name}-{case}")
def test_the_canonical_request_of_every_case_is_met(case: SigningCase) -> None:
    lines = fields_to_sign(case, query=False)
    found = canonical_request(case.raw.method, case.raw.target, lines, payload_hash_of(case.raw.body), case.terms.path)
    assert found.text == case.text("header-canonical-request.txt")


@needs_vectors
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.folder.parent.name}-{case}")
def test_the_canonical_request_of_every_presigned_case_is_met(case: SigningCase) -> None:
    unsigned = [b"X-Amz-Signature"] if case.terms.signs_token else [b"X-Amz-Signature", b"X-Amz-Security-Token"]
    target = without(case.signed("query").target, *unsigned)
    lines = fields_to_sign(case, query=True)
    found = canonical_request(case.raw.method, target, lines, payload_hash_of(case.raw.body), case.terms.path)
    assert found.text == case.text("query-canonical-request.txt")


@needs_vectors
@pytest.mark.parametrize("case", OLDER, ids=str)
def test_the_canonical_request_of_every_older_case_is_met(case: OlderCase) -> None:
    found = canonical_request(case.raw.method, case.raw.target, case.signed_fields, payload_hash_of(case.raw.body))
    assert found.text == case.text("creq")


def test_what_a_canonical_request_prints_holds_none_of_its_values() -> None:
    found = canonical_request("PATCH", b"/", [(b"Host", b"h"), (b"X-Amz-Security-Token", b"canary")], EMPTY_HASH)
    assert repr(found) == "<CanonicalRequest of host;x-amz-security-token>"
