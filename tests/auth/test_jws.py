from __future__ import annotations

import hmac
import json
import subprocess
import sys

import pytest
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from patchwire.auth.jws import ALGORITHMS, base64url, check_key, sign, signature
from patchwire.errors import LocalProtocolError
from tests.support.jws_keys import ED25519, P256, P521, RSA, ec_key, json_of, octets_of, pem_of, rsa_key
from tests.support.vectors import load, needs_vectors

PAYLOAD = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
"""That of RFC 7515 appendix A."""
SHA2 = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
KEYS = {
    "HS": "secret",
    "RS": json_of(RSA),
    "PS": json_of(RSA),
    "Ed": json_of(ED25519),
}


def key_for(algorithm: str) -> str:
    return pem_of(ec_key(CURVES[algorithm])) if algorithm in CURVES else KEYS[algorithm[:2]]


def parts_of(token: str) -> tuple[dict[str, object], dict[str, object], bytes]:
    header, claims, proof = token.split(".")
    return json.loads(octets_of(header)), json.loads(octets_of(claims)), octets_of(proof)


def der_of(raw: bytes) -> bytes:
    half = len(raw) // 2
    return encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))


# --- the form


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_is_header_claims_and_signature_of_both(algorithm: str) -> None:
    key = key_for(algorithm)
    token = sign({"iss": "joe", "exp": 1300819380, "é": [True, None]}, key, algorithm)
    header, claims, proof = parts_of(token)
    assert header == {"alg": algorithm, "typ": "JWT"}
    assert claims == {"iss": "joe", "exp": 1300819380, "é": [True, None]}
    assert len(proof) == len(signature(b"", key, algorithm))
    if algorithm[0] != "P":  # whose salt is random
        assert proof == signature(token.rpartition(".")[0].encode(), key, algorithm)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_o37_a_token_is_base64url_without_padding(algorithm: str) -> None:
    for number in range(3):
        token = sign({"a": "~" * number}, key_for(algorithm), algorithm)
        assert not set(token) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


def test_o37_base64url_has_its_own_alphabet() -> None:
    assert base64url(b"\xfb\xff") == "-_8"
    assert base64url(b"") == ""


def test_the_key_is_named_where_it_has_a_name() -> None:
    assert parts_of(sign({}, "secret", "HS256", "one"))[0] == {"alg": "HS256", "typ": "JWT", "kid": "one"}
    assert parts_of(sign({}, json_of(P256, kid="two"), "ES256"))[0] == {"alg": "ES256", "typ": "JWT", "kid": "two"}
    assert parts_of(sign({}, json_of(P256, kid="two"), "ES256", "one"))[0]["kid"] == "one"
    assert "kid" not in parts_of(sign({}, pem_of(ec_key("P-256")), "ES256"))[0]
    assert "kid" not in parts_of(sign({}, json_of(P256, kid=["two"]), "ES256", ""))[0]


def test_a_secret_that_looks_like_a_jwk_is_a_text_all_the_same() -> None:
    assert parts_of(sign({}, '{"kid":"two"}', "HS256"))[0] == {"alg": "HS256", "typ": "JWT"}
    assert sign({}, "{", "HS256")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"octets", {1, 2}, object()])
def test_claims_that_are_no_json_are_refused(value: object) -> None:
    with pytest.raises(LocalProtocolError, match="must be JSON"):
        sign({"a": value}, "secret", "HS256")


def test_claims_without_end_are_refused() -> None:
    claims: dict[str, object] = {}
    claims["a"] = claims
    with pytest.raises(LocalProtocolError, match="must be JSON"):
        sign(claims, "secret", "HS256")


@pytest.mark.parametrize("algorithm", ["", "none", "hs256", "HS1", "ES256K", "x" * 1000])
def test_another_algorithm_is_refused_and_those_that_there_are_are_named(algorithm: str) -> None:
    with pytest.raises(
        LocalProtocolError, match="is no algorithm to sign with; there are HS256, .*, EdDSA$"
    ) as caught:
        check_key("canary", algorithm)
    assert "canary" not in str(caught.value)
    assert len(str(caught.value)) < 250


# --- shared secrets


@pytest.mark.parametrize("size", ["256", "384", "512"])
@pytest.mark.parametrize("secret", ["s", "pässword", "long" * 100])
def test_a_secret_of_any_length_signs(size: str, secret: str) -> None:
    check_key(secret, f"HS{size}")
    assert signature(b"text", secret, f"HS{size}") == hmac.digest(secret.encode(), b"text", f"sha{size}")


def test_an_empty_secret_or_one_that_is_no_text_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="is empty"):
        check_key("", "HS256")
    with pytest.raises(LocalProtocolError, match="no text that UTF-8 can hold") as caught:
        check_key("canary\ud800", "HS256")
    assert "canary" not in str(caught.value)


def test_example_a_1_of_rfc_7515_is_met() -> None:
    octets = octets_of("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
    text = f"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{PAYLOAD}".encode()
    found = signature(text, octets.decode("utf-8", "surrogateescape"), "HS256")
    assert base64url(found) == "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"


# --- RSA


def test_example_a_2_of_rfc_7515_is_met() -> None:
    assert base64url(signature(f"eyJhbGciOiJSUzI1NiJ9.{PAYLOAD}".encode(), json_of(RSA), "RS256")) == (
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CU"
        "Ar7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_d"
        "O--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0ig"
        "cN_IoypGlUPQGe77Rw"
    )


@pytest.mark.parametrize("size", ["256", "384", "512"])
def test_pkcs1_signatures_verify_under_their_hash_alone(size: str) -> None:
    found = signature(b"text", pem_of(rsa_key()), f"RS{size}")
    for other, digest in SHA2.items():
        if other == size:
            rsa_key().public_key().verify(found, b"text", padding.PKCS1v15(), digest)
        else:
            with pytest.raises(InvalidSignature):
                rsa_key().public_key().verify(found, b"text", padding.PKCS1v15(), digest)


@pytest.mark.parametrize("size", ["256", "384", "512"])
def test_the_salt_of_a_pss_signature_is_as_long_as_its_hash(size: str) -> None:
    found, digest = signature(b"text", pem_of(rsa_key()), f"PS{size}"), SHA2[size]
    rsa_key().public_key().verify(found, b"text", padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    assert found != signature(b"text", pem_of(rsa_key()), f"PS{size}")


# --- elliptic curves

RFC_6979 = {
    "ES256": "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
    "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
    "ES384": "94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd1e80fabe46"
    "99ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a38628ac8",
    "ES512": "00c328fafcbd79dd77850370c46325d987cb525569fb63c5d3bc53950e6d4c5f174e25a1ee9017b5d450606add152b534931d7d4"
    "e8455cc91f9b15bf05ec36e377fa"
    "00617cce7cf5064806c467f678d3b4080d6f1cc50af26ca209417308281b68af282623eaa63e5b5c0723d8b8c37ff0777b1a20f8c"
    "cb1dccc43997f1ee0e44da4a67a",
}
"""Of the text "sample", r and s, each as long as the order of its curve (appendices A.2.5 to A.2.7)."""


@pytest.mark.parametrize("algorithm", CURVES)
def test_o37_an_ecdsa_signature_is_raw_r_and_s_and_deterministic(algorithm: str) -> None:
    assert signature(b"sample", key_for(algorithm), algorithm).hex() == RFC_6979[algorithm]


@pytest.mark.parametrize("jwk", [P256, P521], ids=["A.3", "A.4"])
def test_the_elliptic_keys_of_rfc_7515_sign(jwk: dict[str, object]) -> None:
    algorithm = {"P-256": "ES256", "P-521": "ES512"}[str(jwk["crv"])]
    found = signature(b"text", json_of(jwk), algorithm)
    x, y = (int.from_bytes(octets_of(str(jwk[name])), "big") for name in "xy")
    curve = ec.SECP256R1() if algorithm == "ES256" else ec.SECP521R1()
    public = ec.EllipticCurvePublicNumbers(x, y, curve).public_key()
    public.verify(der_of(found), b"text", ec.ECDSA(SHA2[algorithm[2:]]))


@pytest.mark.parametrize("algorithm", CURVES)
def test_o37_every_signature_has_the_length_of_its_curve(algorithm: str) -> None:
    # One r in 256 begins with a zero octet, which a shorter form would leave out.
    lengths = {len(signature(str(number).encode(), key_for(algorithm), algorithm)) for number in range(600)}
    assert lengths == {{"ES256": 64, "ES384": 96, "ES512": 132}[algorithm]}


def test_an_openssl_that_cannot_sign_without_chance_signs_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = ec.ECDSA
    signature(b"sample", key_for("ES256"), "ES256")  # cryptography keeps the class it finds at its first signature

    def ecdsa(algorithm: hashes.HashAlgorithm, deterministic_signing: bool = False) -> ec.ECDSA:
        if deterministic_signing:
            raise UnsupportedAlgorithm("not here")
        return real(algorithm)

    monkeypatch.setattr(ec, "ECDSA", ecdsa)
    found = signature(b"sample", key_for("ES256"), "ES256")
    assert (len(found), found.hex() == RFC_6979["ES256"]) == (64, False)
    ec_key("P-256").public_key().verify(der_of(found), b"sample", real(hashes.SHA256()))


def test_the_example_of_rfc_8037_appendix_a_4_is_met() -> None:
    text = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
    assert base64url(signature(text, json_of(ED25519), "EdDSA")) == (
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    )


# --- the vectors, and what is loaded


@needs_vectors
def test_the_hmac_of_the_vectors_is_met_and_their_ecdsa_verifies_in_our_form() -> None:
    shared, elliptic = load("oauth2/vectors.json")["jws"]
    secret = octets_of(shared["k"]).decode("utf-8", "surrogateescape")
    assert base64url(signature(shared["signing_input"].encode(), secret, shared["alg"])) == shared["signature"]
    text, own = elliptic["signing_input"].encode(), json_of(P256)
    assert (elliptic["x"], elliptic["y"]) == (P256["x"], P256["y"])
    x, y = (int.from_bytes(octets_of(elliptic[name]), "big") for name in "xy")
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    for each in (octets_of(elliptic["signature"]), signature(text, own, elliptic["alg"])):
        public.verify(der_of(each), text, ec.ECDSA(hashes.SHA256()))


def test_nothing_of_cryptography_is_loaded_until_a_key_is_read() -> None:
    program = (
        "import sys; from patchwire.auth import jws; jws.check_key('secret', 'HS256'); "
        "print([name for name in ('cryptography', 'socket') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
