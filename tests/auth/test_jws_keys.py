from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ed448
from cryptography.hazmat.primitives.serialization import PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from patchwire.auth.jws import base64url, check_key, signature
from patchwire.auth.jws_keys import stated_key_id
from patchwire.errors import LocalProtocolError
from tests.support.jws_keys import (
    ED25519,
    P256,
    P521,
    RSA,
    Jwk,
    ec_key,
    ed25519_key,
    json_of,
    number_of,
    pem_of,
    public_pem_of,
    rsa_key,
    small_rsa_key,
)

TRADITIONAL = PrivateFormat.TraditionalOpenSSL
NEITHER = "is neither PEM (-----BEGIN PRIVATE KEY-----) nor a JWK in JSON"
FORGED = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
PARAMETERS = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"


def refusal(key: str, algorithm: str) -> str:
    with pytest.raises(LocalProtocolError) as caught:
        check_key(key, algorithm)
    text = str(caught.value)
    assert text.isprintable()
    return text


# --- PEM


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, TRADITIONAL], ids=["PKCS#8", "PKCS#1"])
def test_an_rsa_key_is_read_in_both_forms(form: PrivateFormat) -> None:
    assert signature(b"text", pem_of(rsa_key(), form), "RS256") == signature(b"text", json_of(RSA), "RS256")


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, TRADITIONAL], ids=["PKCS#8", "SEC1"])
def test_an_ec_key_is_read_in_both_forms_with_its_parameters_before_it(form: PrivateFormat) -> None:
    pem = pem_of(ec_key("P-256"), form)
    assert len({signature(b"text", text, "ES256") for text in (pem, PARAMETERS + pem, pem.replace("\n", "\r\n"))}) == 1


def test_an_ed25519_key_is_read() -> None:
    assert signature(b"text", pem_of(ed25519_key()), "EdDSA") == signature(b"text", json_of(ED25519), "EdDSA")


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, TRADITIONAL])
def test_an_encrypted_key_is_refused(form: PrivateFormat) -> None:
    text = refusal(pem_of(rsa_key(), form, b"password"), "RS256")
    assert text == "the key to sign with is encrypted; give it without a password"


def test_a_public_key_is_refused() -> None:
    assert "the private key is needed" in refusal(public_pem_of(rsa_key().public_key()), "RS256")


@pytest.mark.parametrize("key", ["", "canary", "canary\ud800", "-----BEGIN", "[]"])
def test_a_text_that_is_no_key_is_refused_and_not_shown(key: str) -> None:
    assert refusal(key, "ES256") == f"the key to sign with {NEITHER}"


@pytest.mark.parametrize("key", [FORGED, FORGED[:40], FORGED.replace("PRIVATE", "OPENSSH PRIVATE"), f"{FORGED}\ud800"])
def test_a_damaged_key_is_refused(key: str) -> None:
    assert "cannot be read: expected PEM of PKCS#8, PKCS#1 or SEC1" in refusal(key, "ES256")


# --- the algorithm's kind of key


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
def test_an_rsa_key_of_fewer_than_2048_bits_is_refused(algorithm: str) -> None:
    text = refusal(pem_of(small_rsa_key()), algorithm)
    assert text == f"{algorithm} needs an RSA key of 2048 bits or more, and the key is an RSA key of 1024 bits"


@pytest.mark.parametrize(("algorithm", "curve"), [("ES256", "P-256"), ("ES384", "P-384"), ("ES512", "P-521")])
@pytest.mark.parametrize("other", ["P-256", "P-384", "P-521", "secp256k1"])
def test_an_ec_key_must_be_on_the_curve_of_its_algorithm(algorithm: str, curve: str, other: str) -> None:
    if other == curve:
        check_key(pem_of(ec_key(other)), algorithm)
    else:
        text = refusal(pem_of(ec_key(other)), algorithm)
        assert text == f"{algorithm} needs an EC key on {curve}, and the key is an EC key on {other}"


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_key_of_another_kind_is_refused(algorithm: str) -> None:
    keys = {"RS256": json_of(RSA), "ES256": json_of(P256), "EdDSA": json_of(ED25519)}
    for other, key in keys.items():
        if other != algorithm:
            assert refusal(key, algorithm).startswith(f"{algorithm} needs an ")
    assert refusal(pem_of(ed448.Ed448PrivateKey.generate()), algorithm).endswith("the key is of another kind")


# --- JWK


@pytest.mark.parametrize(("jwk", "algorithm"), [(RSA, "PS384"), (P256, "ES256"), (P521, "ES512"), (ED25519, "EdDSA")])
def test_a_jwk_is_read_with_what_it_says_of_its_use(jwk: Jwk, algorithm: str) -> None:
    check_key(f" \n{json_of(jwk)}", algorithm)
    check_key(json_of(jwk, alg=algorithm, use="sig", key_ops=["verify", "sign"], other=[]), algorithm)


def test_eddsa_may_be_called_by_its_newer_name() -> None:
    check_key(json_of(ED25519, alg="Ed25519"), "EdDSA")


@pytest.mark.parametrize(
    "members",
    [{"alg": "ES384"}, {"alg": "ECDH-ES"}, {"alg": []}, {"use": "enc"}, {"key_ops": ["verify"]}, {"key_ops": "sign"}],
)
def test_a_jwk_that_is_meant_for_something_else_is_refused(members: Jwk) -> None:
    assert (
        refusal(json_of(P256, **members), "ES256") == "the JWK is not meant for ES256 (see its alg, use and key_ops)"
    )


def test_an_rsa_jwk_may_lack_its_primes() -> None:
    assert signature(b"text", json_of(RSA, p=None, q=None), "RS256") == signature(b"text", json_of(RSA), "RS256")


@pytest.mark.parametrize(("jwk", "algorithm"), [(RSA, "RS256"), (P256, "ES256"), (ED25519, "EdDSA")])
def test_a_jwk_without_its_private_part_is_refused(jwk: Jwk, algorithm: str) -> None:
    assert refusal(json_of(jwk, d=None), algorithm).endswith("is a public key; the private key is needed")


@pytest.mark.parametrize("kind", [None, "oct", "ec", 1, ["EC"]])
def test_a_jwk_of_another_kind_is_refused(kind: object) -> None:
    assert refusal(json_of(P256, kty=kind), "ES256") == "the JWK to sign with must have a kty of RSA, EC or OKP"


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("{", "no JSON from line 1, column 2 on"),
        ('{"d":"canary","d":"canary"}', "a name is given twice in one object"),
        ('{"d":"canary\ud800"}', "octet 13 is not UTF-8"),
    ],
)
def test_a_jwk_that_is_no_json_is_refused_and_not_shown(key: str, reason: str) -> None:
    assert refusal(key, "ES256") == f"the JWK to sign with cannot be read: {reason}"
    with pytest.raises(LocalProtocolError):
        stated_key_id(key)


@pytest.mark.parametrize(
    ("jwk", "members"),
    [
        (RSA, {"n": None}),
        (RSA, {"n": "AA"}),
        (RSA, {"n": "AA", "p": None}),
        (RSA, {"d": "AQ", "e": "AQ", "p": None}),
        (RSA, {"d": "canary"}),
        (RSA, {"d": "canary", "p": None}),
        (RSA, {"p": "AQ"}),
        (RSA, {"q": None}),
        (RSA, {"q": RSA["p"]}),
        (RSA, {"e": "AQAB=="}),
        (RSA, {"e": 65537}),
        (P256, {"crv": None}),
        (P256, {"crv": "P-384"}),
        (P256, {"crv": "secp256k1"}),
        (P256, {"crv": ["P-256"]}),
        (P256, {"x": P256["y"]}),
        (P256, {"y": None}),
        (P256, {"d": ""}),
        (P256, {"d": "AA"}),
        (P256, {"d": "AQ"}),
        (P256, {"d": "canary+/"}),
        (P256, {"d": "canary" * 100}),
        (ED25519, {"crv": "Ed448"}),
        (ED25519, {"crv": "X25519"}),
        (ED25519, {"d": "canary"}),
        (ED25519, {"x": None}),
        (ED25519, {"x": ED25519["d"]}),
    ],
)
def test_a_jwk_whose_members_make_no_key_is_refused_and_not_shown(jwk: Jwk, members: Jwk) -> None:
    kind = jwk["kty"]
    algorithm = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}[str(kind)]
    text = refusal(json_of(jwk, **members), algorithm)
    assert text == f"the members of the JWK to sign with make no {kind} key"


def test_a_jwk_of_1024_bits_is_refused_as_well() -> None:
    numbers = small_rsa_key().private_numbers()
    texts = {"n": numbers.public_numbers.n, "d": numbers.d, "p": numbers.p, "q": numbers.q}
    jwk = RSA | {name: base64url(number.to_bytes(128, "big")) for name, number in texts.items()}
    assert number_of(jwk, "n") == numbers.public_numbers.n
    assert refusal(json_of(jwk), "RS256").endswith("an RSA key of 1024 bits")


@given(
    st.sampled_from([RSA, P256, ED25519]),
    st.dictionaries(
        st.sampled_from(["kty", "n", "e", "d", "p", "q", "crv", "x", "y"]), st.none() | st.text("Aa_-=", max_size=9)
    ),
)
def test_no_jwk_raises_anything_else(jwk: Jwk, members: Jwk) -> None:
    for algorithm in ("RS256", "ES256", "EdDSA"):
        try:
            check_key(json.dumps(jwk | members), algorithm)
        except LocalProtocolError as error:
            assert str(error).isprintable()


def test_only_a_jwk_states_its_name() -> None:
    assert stated_key_id('{"kid":"one"}') == "one"
    assert stated_key_id('{"kid":1}') is None
    assert stated_key_id("{}") is None
    assert stated_key_id(FORGED) is None
