from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from patchwire import Outcome, PatchwireError, Response, Sent, connection_from, outcome_of
from patchwire.errors import HandshakeError
from patchwire.net import PatchClient
from tests.support.certificate_kinds import KEYS, below, limited, rsa_authority, signed_with_sha1, with_key
from tests.support.certificates import Authority, Issued, self_signed
from tests.support.commands import patchwire, without_traceback
from tests.support.https import HttpsServer, https_server
from tests.support.reissued import reissued
from tests.support.tls_batches import settings, trust

PAST, FUTURE = datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC), datetime(2090, 2, 3, 4, 5, 6, tzinfo=UTC)
ROOT = Authority("root")
LOWER = Authority("lower", issuer=ROOT)
LOWEST = Authority("lowest", issuer=LOWER)
RSA_ROOT = rsa_authority()
SELF = self_signed("localhost", common_name="self")
EXPORT = "(patchwire check --export-certificate)"


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def of_depth(count: int) -> Issued:
    """A leaf with so many intermediates above it, below ROOT."""
    authority = ROOT
    for number in range(count):
        authority = Authority(f"intermediate {number}", issuer=authority)
    return authority.issue("localhost")


def too_deep() -> Issued:
    """Below LOWER, which allows no intermediate below itself, stands one."""
    limit = limited(LOWER, ROOT, x509.BasicConstraints(ca=True, path_length=0))
    leaf = LOWEST.issue("localhost")
    return Issued(leaf.certificate, leaf.key, (LOWEST.certificate, limit))


def constrained(permitted: list[x509.GeneralName] | None, excluded: list[x509.GeneralName] | None) -> Issued:
    return below(LOWER, limited(LOWER, ROOT, x509.NameConstraints(permitted, excluded)), "localhost", "127.0.0.1")


def alone(issued: Issued) -> Issued:
    """Without its intermediates."""
    return Issued(issued.certificate, issued.key)


NAME, ADDRESSES = x509.DNSName("localhost"), x509.IPAddress(ip_network("127.0.0.0/8"))
OTHER = x509.DNSName("example.com")
FORGED = ROOT.issue("localhost")


def of_kind(kind: str) -> tuple[Issued, bytes]:
    return with_key(ROOT.issue("localhost"), ROOT, KEYS[kind]()), ROOT.pem


# --- what is accepted: the certificate that is shown, and what is trusted

ACCEPTED: dict[str, Callable[[], tuple[Issued, bytes]]] = {
    **{kind: partial(of_kind, kind) for kind in KEYS},
    "of an RSA authority": lambda: (RSA_ROOT.issue("localhost"), RSA_ROOT.pem),
    "permitted names": lambda: (constrained([NAME, ADDRESSES], None), ROOT.pem),
    "other names excluded": lambda: (constrained(None, [OTHER]), ROOT.pem),
    "five intermediates": lambda: (of_depth(5), ROOT.pem),
    "an intermediate trusted alone": lambda: (LOWEST.issue("localhost"), LOWER.pem),
    "the missing intermediate trusted": lambda: (alone(LOWER.issue("localhost")), ROOT.pem + LOWER.pem),
    "signed by itself and trusted": lambda: (SELF, SELF.pem),
    "200 names, ours the last": lambda: (
        ROOT.issue(*(f"host-{n}.example" for n in range(199)), "localhost"), ROOT.pem,
    ),
}  # fmt: skip


async def patched(base_url: str, trusted: bytes) -> Response | PatchwireError:
    """What one PATCH ends with."""
    connection = connection_from(
        {"base_url": base_url, "tls": {"trust": ["ca.pem"], "system_roots": False}}, files={"ca.pem": trusted}
    )
    async with PatchClient(connection) as client:
        try:
            return await client.patch("/a", json={"n": 1})
        except PatchwireError as error:
            return error


@pytest.mark.parametrize("what", ACCEPTED)
def test_a_certificate_that_is_good_lets_a_patch_through(tmp_path: Path, what: str) -> None:
    shown, trusted = ACCEPTED[what]()
    with https_server(tmp_path / "server", shown) as server:
        result = trio.run(patched, server.base_url, trusted)
    assert isinstance(result, Response), result
    assert outcome_of(result) is Outcome.APPLIED
    assert server.served == ["/a"]


# --- what is refused, and in which words

MISSING = (
    "leads to no trusted root, and the server does not send the certificate of that issuer;"
    f" add it, or the server's own certificate, to tls.trust {EXPORT}"
)
MANY = ROOT.issue(*(f"host-{n}.example" for n in range(200)))
REFUSED: dict[str, Callable[[], tuple[Issued, bytes, str]]] = {
    "expired": lambda: (
        ROOT.issue("localhost", not_after=PAST), ROOT.pem, "its certificate ended on 2020-02-03 04:05:06 UTC",
    ),
    "not yet valid": lambda: (
        ROOT.issue("localhost", not_before=FUTURE), ROOT.pem,
        "its certificate is not valid before 2090-02-03 04:05:06 UTC; see to this machine's clock",
    ),
    "another host": lambda: (
        ROOT.issue("a.example", "*.xn--bcher-kva.example", "127.0.0.2"), ROOT.pem,
        "its certificate does not cover 'localhost'; it covers a.example,"
        " *.xn--bcher-kva.example (*.bücher.example), 127.0.0.2",
    ),
    "200 other hosts": lambda: (
        MANY, ROOT.pem,
        "its certificate does not cover 'localhost'; it covers "
        + ", ".join(f"host-{n}.example" for n in range(10)) + " ... and 190 more",
    ),
    "for clients": lambda: (
        ROOT.issue("localhost", client=True, server=False), ROOT.pem,
        "its certificate is not for servers: its extended key usage allows clients",
    ),
    "a name that is not permitted": lambda: (
        constrained([OTHER, ADDRESSES], None), ROOT.pem,
        "its certificate has a name beyond those that its CA may vouch for",
    ),
    "a name that is excluded": lambda: (
        constrained(None, [NAME]), ROOT.pem, "its certificate has a name that its CA must not vouch for",
    ),
    "an address that is excluded": lambda: (
        constrained(None, [ADDRESSES]), ROOT.pem, "its certificate has a name that its CA must not vouch for",
    ),
    "too deep": lambda: (
        too_deep(), ROOT.pem, "the certificate 'CN=lower' above its own has more CAs below it than it allows",
    ),
    "intermediate missing": lambda: (
        alone(LOWER.issue("localhost")), ROOT.pem, f"its certificate, issued by 'CN=lower', {MISSING}",
    ),
    "upper intermediate missing": lambda: (
        Issued((leaf := LOWEST.issue("localhost")).certificate, leaf.key, (LOWEST.certificate,)), ROOT.pem,
        f"the certificate 'CN=lowest' above its own, issued by 'CN=lower', {MISSING}",
    ),
    "of an unknown CA": lambda: (
        Authority("unknown").issue("localhost"), ROOT.pem, f"its certificate, issued by 'CN=unknown', {MISSING}",
    ),
    "signed by itself": lambda: (
        SELF, ROOT.pem,
        "its certificate, signed by itself, leads to no trusted root;"
        f" add its CA, or the server's own certificate, to tls.trust {EXPORT}",
    ),
    "signed by itself and trusted, for another host": lambda: (
        (own := self_signed("a.example")), own.pem, "its certificate does not cover 'localhost'; it covers a.example",
    ),
    "of the key of a trusted one": lambda: (
        Issued(reissued(FORGED.certificate, SELF), FORGED.key), SELF.pem,
        "the certificate 'CN=self' above its own is no CA, and yet has issued one",
    ),
    "a key of 1024 bits": lambda: (
        with_key(ROOT.issue("localhost"), ROOT, rsa.generate_private_key(65_537, 1024)), ROOT.pem,
        "its certificate has a key that is too weak",
    ),
    "signed with SHA-1": lambda: (
        signed_with_sha1(RSA_ROOT.issue("localhost"), RSA_ROOT), RSA_ROOT.pem,
        "its certificate was signed with a digest that is too weak",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_certificate_that_is_not_good_is_one_line_and_nothing_is_sent(tmp_path: Path, what: str) -> None:
    shown, trusted, words = REFUSED[what]()
    with https_server(tmp_path / "server", shown) as server:
        line = f"cannot connect to {server.base_url}: {words}"
        result = trio.run(patched, server.base_url, trusted)
        assert isinstance(result, HandshakeError), result
        assert (str(result), result.sent, outcome_of(result)) == (line, Sent.NO, Outcome.NOT_SENT)
        trust(tmp_path, trusted)
        connection = tmp_path / "connection.toml"
        connection.write_text(settings(above=f'base_url = "{server.base_url}"'), "utf-8")
        done = patchwire("send", connection, "/a", "--body", "{}")
        assert (done.returncode, done.stdout) == (1, "")
        assert without_traceback(done) == [f"patchwire: not_sent: {line}"]
    assert server.served == []


# --- hosts of other names: wildcards, addresses, names beyond ASCII


class Resolver(trio.abc.HostnameResolver):
    """Every name is this machine's."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    async def getaddrinfo(self, host: Any, port: Any, *args: Any, **options: Any) -> Any:
        self.asked.append(host)
        return await trio.socket.getaddrinfo("127.0.0.1", port, *args, **options)

    async def getnameinfo(self, *args: Any) -> Any:
        raise NotImplementedError


def patched_as(host: str, server: HttpsServer) -> tuple[Response | PatchwireError, list[object]]:
    """What a PATCH to the server, called so, ends with, and which names were resolved."""
    resolver = Resolver()

    async def run() -> Response | PatchwireError:
        trio.socket.set_custom_hostname_resolver(resolver)
        return await patched(f"https://{host}:{server.server_port}", ROOT.pem)

    return trio.run(run), resolver.asked


@pytest.mark.parametrize(
    ("names", "host"),
    [
        (["*.shop.example"], "a.shop.example"),
        (["*.shop.example"], "A.SHOP.example"),
        (["*.bücher.example"], "www.bücher.example"),
        (["*.shop.example"], "bücher.shop.example"),
        (["bücher.example"], "BÜCHER.example"),
        (["bücher.example"], "bücher.example."),
        (["127.0.0.1"], "127.0.0.1"),
        (["::ffff:127.0.0.1"], "[::ffff:127.0.0.1]"),
    ],
)
def test_a_host_of_any_form_is_reached_where_its_certificate_covers_it(
    tmp_path: Path, names: list[str], host: str
) -> None:
    encoded = [name.replace("bücher", "xn--bcher-kva") for name in names]
    asked: list[str] = []
    with https_server(tmp_path / "server", ROOT.issue(*encoded)) as server:
        server.context.sni_callback = lambda _, name, __: asked.append(name)
        result, resolved = patched_as(host, server)
    assert isinstance(result, Response), result
    assert outcome_of(result) is Outcome.APPLIED
    if "127" not in host:
        expected = host.lower().replace("bücher", "xn--bcher-kva")
        assert asked == [expected.removesuffix(".")]
        assert resolved[:1] == [expected.encode("ascii")]


@pytest.mark.parametrize(
    ("names", "host", "words"),
    [
        (["*.shop.example"], "shop.example", "'shop.example'; it covers *.shop.example"),
        (["*.shop.example"], "a.b.shop.example", "'a.b.shop.example'; it covers *.shop.example"),
        (["*.example"], "a.example", "'a.example'; it covers *.example"),
        (["localhost"], "127.0.0.1", "'127.0.0.1'; it covers localhost"),
        (["127.0.0.2", "::1"], "127.0.0.1", "'127.0.0.1'; it covers 127.0.0.2, ::1"),
        (
            ["xn--strae-oqa.example"], "bücher.example",
            "'xn--bcher-kva.example' (bücher.example); it covers xn--strae-oqa.example (straße.example)",
        ),
        (["xn--b\x1b[2J.example"], "a.example", "'a.example'; it covers xn--b\\x1b[2J.example"),
    ],
)  # fmt: skip
def test_a_host_that_its_certificate_does_not_cover_is_refused_with_what_it_covers(
    tmp_path: Path, names: list[str], host: str, words: str
) -> None:
    with https_server(tmp_path / "server", ROOT.issue(*names)) as server:
        result, _ = patched_as(host, server)
    assert isinstance(result, HandshakeError), result
    assert str(result).endswith(f": its certificate does not cover {words}")
    assert outcome_of(result) is Outcome.NOT_SENT
    assert server.served == []
