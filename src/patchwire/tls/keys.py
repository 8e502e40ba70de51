"""Private keys, encrypted or not."""

from __future__ import annotations

from collections.abc import Callable

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from patchwire.errors import SettingsError

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
Loader = Callable[[bytes, bytes | None], PrivateKeyTypes]


def load_key(
    place: str, load: Loader, content: bytes, password: bytes | None, password_name: str
) -> PrivateKey | None:
    """The key, or None where the content is none. SettingsError where its password is missing or wrong, or TLS has no
    use for such a key; `password_name` is what the message calls the password.
    """
    try:
        return check_kind(place, load(content, password))
    except TypeError:  # encrypted and no password, or a password and not encrypted
        if password is None:
            raise SettingsError(place, f"its private key is encrypted; give its password as {password_name}") from None
        return load_key(place, load, content, None, password_name)
    except ValueError:
        # A wrong password is seldom seen for what it is: now and then what it decrypts to looks like a damaged key.
        if password is not None and _is_encrypted(load, content):
            raise SettingsError(place, f"{password_name} does not open its private key") from None
        return None
    except UnsupportedAlgorithm as error:
        raise SettingsError(place, f"its private key is of a kind that is not supported ({error})") from None


def check_kind(place: str, key: PrivateKeyTypes) -> PrivateKey:
    """The key, if TLS uses such. SettingsError otherwise."""
    if not isinstance(key, PrivateKey):
        raise SettingsError(place, "its private key is of no kind that TLS uses: expected RSA, EC or EdDSA")
    return key


def public_octets(key: PrivateKey) -> bytes:
    """The public key that belongs to it, as certificates hold it."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _is_encrypted(load: Loader, content: bytes) -> bool:
    try:
        load(content, None)
    except TypeError:
        return True
    except (ValueError, UnsupportedAlgorithm):
        pass
    return False
