from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.auth.challenge import Challenge, parameters, parse, parse_strictly
from patchwire.http.fields import FieldSyntaxError
from tests.support.vectors import VECTORS, load, needs_vectors

TCHAR = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
TOKENS = st.text(TCHAR, min_size=1, max_size=8)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=12)
PARAMETERS = st.lists(st.tuples(TOKENS.map(str.lower), VALUES), max_size=4, unique_by=lambda pair: pair[0]).map(tuple)
CHALLENGES = st.builds(Challenge, TOKENS.map(str.lower), PARAMETERS) | st.builds(
    Challenge, TOKENS.map(str.lower), token68=st.from_regex(r"[A-Za-z0-9\-._~+/]{1,9}={0,3}", fullmatch=True)
)
BLANKS = st.text(" \t", max_size=2)


def quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def rendered(challenge: Challenge, blank: str, quote_all: bool) -> str:
    if challenge.token68 is not None:
        return f"{challenge.scheme} {blank}{challenge.token68}"
    parts = []
    for name, value in challenge.parameters:
        bare = value and set(value) <= set(TCHAR) and not quote_all
        parts.append(f"{name}{blank}={blank}{value if bare else quoted(value)}")
    return f"{challenge.scheme} {blank}" + f"{blank},{blank}".join(parts) if parts else challenge.scheme


def cases() -> list[dict[str, Any]]:
    return load("wwwauth/challenge_parse_vectors.json")["cases"] if VECTORS else []


def octets(line: str) -> bytes:
    return re.sub(r"\r\n[ \t]+", " ", line).encode("latin-1")


@needs_vectors
@pytest.mark.parametrize("case", cases(), ids=lambda case: str(case["id"]))
def test_the_challenge_corpus_is_parsed_as_the_grammar_demands(case: dict[str, Any]) -> None:
    lines = [octets(line) for line in case["field_lines"]]
    if case["strict"] is None:
        with pytest.raises(FieldSyntaxError) as caught:
            for line in lines:
                parse_strictly(line)
        place = re.search(r"[0-9]+", case["strict_error"])
        assert place is None or caught.value.position == int(place[0])
        return
    expected = [
        Challenge(each["scheme"].lower(), tuple((n.lower(), v) for n, v in each["params"]), each["token68"])
        for each in case["strict"]
    ]
    assert [challenge for line in lines for challenge in parse_strictly(line)] == expected
    assert parse(lines) == expected


BASIC = Challenge("basic", (("realm", "simple"),))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'Newauth realm="apps", type=1, title="Login to \\"apps\\"", Basic realm="simple"', "newauth basic"),
        (b'Basic realm="simple" , Digest', "basic digest"),
        (b",, ,Basic realm=simple,,", "basic"),
        (b"Negotiate YII=, Basic realm=simple", "negotiate basic"),
        (b'Basic title="a, Digest nonce=1"', "basic"),
    ],
)
def test_several_challenges_in_one_line_are_told_apart(line: bytes, expected: str) -> None:
    assert [challenge.scheme for challenge in parse_strictly(line)] == expected.split()
    assert parse([line]) == parse_strictly(line)


@pytest.mark.parametrize(
    ("line", "parameters"),
    [
        (b'DPoP algs="ES256 PS256"', [("algs", "ES256 PS256")]),
        (b'Bearer error="invalid_token", error_description="it expired, log in"',
         [("error", "invalid_token"), ("error_description", "it expired, log in")]),
        (b'Digest uri="/a?b=c,d", stale=TRUE', [("uri", "/a?b=c,d"), ("stale", "TRUE")]),
        (b'Basic\trealm="a tab for a blank"', [("realm", "a tab for a blank")]),
        (b'Basic realm=""', [("realm", "")]),
        (b'Digest a=b, Basic =c', [("a", "b"), ("basic", "c")]),
    ],
)  # fmt: skip
def test_every_form_of_a_parameter_is_read(line: bytes, parameters: list[tuple[str, str]]) -> None:
    assert [list(challenge.parameters) for challenge in parse_strictly(line)] == [parameters]


@pytest.mark.parametrize("line", [b"NTLM YQ==\n", b"NTLM YQ== x", b"NTLM YQ==;", b"NTLM YQ==\xe4"])
def test_a_token68_fills_its_list_element(line: bytes) -> None:
    with pytest.raises(FieldSyntaxError):
        parse_strictly(line)
    assert parse([line]) == []


def test_a_parameter_is_found_by_its_name_in_lower_case() -> None:
    (challenge,) = parse([b'Digest Realm="r", NONCE=n'])
    assert (challenge.get("realm"), challenge.get("nonce"), challenge.get("opaque")) == ("r", "n", None)
    assert (challenge.realm, Challenge("basic").realm) == ("r", None)


@pytest.mark.parametrize(
    "bad",
    [
        b"Digest realm=\\f",
        b"Digest realm=a realm=b",
        b"Digest realm=a, realm=b",
        b"Digest @",
        b"@",
        b"Digest a=b c",
        b"=",
        b'Digest a="b" c="d"',
        b'Digest a="\x01"',
        b'Digest realm=a"b',
    ],
)
@pytest.mark.parametrize("same_line", [True, False])
def test_a_malformed_challenge_hides_no_good_one_beside_it(bad: bytes, same_line: bool) -> None:
    good = b'Basic realm="simple"'
    assert BASIC in parse([good + b", " + bad] if same_line else [good, bad])
    assert BASIC in parse([bad + b", " + good] if same_line else [bad, good])
    with pytest.raises(FieldSyntaxError, match=r"expected at [0-9]+"):
        parse_strictly(bad)


def test_an_open_quote_hides_no_challenge_on_another_line() -> None:
    assert parse([b'Digest realm="open', b'Basic realm="simple"']) == [BASIC]


@given(VALUES | st.just(", Basic realm=x, "), st.sampled_from(["", "\x00", "\x7f"]), BLANKS)
def test_the_text_of_a_quoted_value_never_becomes_a_challenge(text: str, dirt: str, blank: str) -> None:
    for bad in (f"Digest a=b c={blank}{quoted(text + dirt)}", f"Digest a=@, c={blank}{quoted(dirt + text)}"):
        assert parse([bad.encode("latin-1")]) == []
        assert parse([bad.encode("latin-1") + b", Basic realm=simple"]) == [BASIC]


@given(st.lists(CHALLENGES, min_size=1, max_size=4), BLANKS, st.booleans(), st.booleans())
def test_what_is_rendered_parses_back(challenges: list[Challenge], blank: str, quote_all: bool, lines: bool) -> None:
    texts = [rendered(challenge, blank, quote_all).encode("latin-1") for challenge in challenges]
    assert parse(texts if lines else [b" , ".join(texts)]) == challenges


@given(st.binary(max_size=80) | st.text('Basic =",\\ \t@x', max_size=60).map(str.encode))
def test_any_octets_are_parsed_without_a_crash_and_strictly_only_if_leniently_too(value: bytes) -> None:
    lenient = parse([value])
    try:
        strict = parse_strictly(value)
    except FieldSyntaxError as error:
        assert 0 <= error.position <= len(value)
    else:
        assert strict == lenient


def naive(text: str) -> list[Challenge] | None:
    """The grammar by brute force: split at commas outside of quotes, then look at each element by itself."""
    elements, current, quoted, escaped = [], "", False, False
    for character in text + ",":
        if character == "," and not quoted:
            elements.append(current)
            current = ""
            continue
        current += character
        if quoted and not escaped and character == "\\":
            escaped = True
            continue
        if character == '"' and not escaped:
            quoted = not quoted
        escaped = False
    if quoted:
        return None
    token, string = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", r'"(?:[^"\\]|\\.)*"'
    parameter = re.compile(rf"[ \t]*({token})[ \t]*=[ \t]*({token}|{string})[ \t]*")
    opening = re.compile(rf"[ \t]*({token})(?:([ \t]+)(.*?))?[ \t]*", re.DOTALL)
    found: list[list[Any]] = []
    takes_parameters = False
    for element in elements:
        if not element.strip(" \t"):
            continue
        if (match := parameter.fullmatch(element)) and takes_parameters:
            found[-1][1].append((match[1].lower(), unquoted(match[2])))
        elif match := opening.fullmatch(element):
            rest = match[3] or ""
            takes_parameters = match[2] is not None or element[-1:] in " \t"
            found.append([match[1].lower(), [], None])
            if rest and (inner := re.fullmatch(r"[A-Za-z0-9\-._~+/]+=*", rest)):
                found[-1][2], takes_parameters = inner[0], False
            elif rest and (inner := parameter.fullmatch(rest)):
                found[-1][1].append((inner[1].lower(), unquoted(inner[2])))
            elif rest:
                return None
        else:
            return None
    if any(len({name for name, _ in parameters}) < len(parameters) for _, parameters, _ in found):
        return None
    return [Challenge(scheme, tuple(parameters), blob) for scheme, parameters, blob in found]


def unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


PIECES = st.sampled_from(
    [
        "Basic",
        "Digest",
        " ",
        ",",
        ", ",
        "a=b",
        "c=d",
        'e="f"',
        'g="h,i"',
        'j="\\""',
        "k = l",
        "YQ==",
        "\t",
        "m",
        '"',
        "=",
    ]
)


@given(st.lists(PIECES, max_size=12).map("".join))
def test_the_parser_equals_a_naive_one(text: str) -> None:
    expected = naive(text)
    if expected is None:
        with pytest.raises(FieldSyntaxError):
            parse_strictly(text.encode())
    else:
        assert parse_strictly(text.encode()) == expected


HOSTILE = {
    "one long realm": b'Digest realm="' + b"a" * 65_000 + b'"',
    "ten thousand parameters": b"Digest " + b", ".join(b"p%d=1" % n for n in range(10_000)),
    "ten thousand parameters and one twice": b"Digest "
    + b", ".join(b"p%d=1" % n for n in range(10_000))
    + b",p9999=1",
    "commas": b"," * 65_000,
    "blanks": b"Digest" + b" " * 65_000 + b"@",
    "tokens": b"a" * 65_000,
    "schemes": b"a," * 30_000,
    "open quotes": b',a b="\\"' * 9_000,
    "unterminated": b'Digest a="' + b'\\"' * 30_000,
    "faults": b",a b=@" * 10_000,
    "equals": b"a b" + b"=" * 60_000 + b"@",
    "token blanks": b"a \t" * 20_000,
    "equals and blanks": b"@" + b"= " * 30_000,
    "open quotes behind faults": b'@,a b="\x01' * 6_000,
    "dirty values": b'@,a b="\x01",' * 6_000,
    "schemes that fail late": b"a b=c d" + b",a b=c d" * 8_000,
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_field_is_parsed_and_hides_no_good_challenge_on_the_next_line(value: bytes) -> None:
    assert parse([value, b'Basic realm="simple"'])[-1] == BASIC


# --- Authentication-Info


@pytest.mark.parametrize(
    ("lines", "expected"),
    [([b'nextnonce="n", RSPAUTH="a\\"b" ,, nc=00000001'], {"nextnonce": "n", "rspauth": 'a"b', "nc": "00000001"}),
     ([b"qop=auth", b"cnonce = x"], {"qop": "auth", "cnonce": "x"}), ([b""], {}), ([], {})],
)  # fmt: skip
def test_the_parameters_of_authentication_info_are_read(lines: list[bytes], expected: dict[str, str]) -> None:
    assert parameters(lines) == expected


@pytest.mark.parametrize(
    ("lines", "position"),
    [([b"a=b, c"], 5), ([b'a="b'], 2), ([b"a=b a=c"], 4), ([b"a=b, A=c"], 8), ([b"a=b", b"a=b"], 3),
     ([b"Digest a=b"], 0)],
)  # fmt: skip
def test_what_is_malformed_there_is_told_with_its_position(lines: list[bytes], position: int) -> None:
    with pytest.raises(FieldSyntaxError) as caught:
        parameters(lines)
    assert caught.value.position == position
