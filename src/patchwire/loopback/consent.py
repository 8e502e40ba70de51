"""The pages on which a user of the authorization server decides: HTML without scripts, each value escaped."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from html import escape
from typing import Final

from patchwire.http.message import Response
from patchwire.loopback.oauth_answers import NO_STORE

_STYLE: Final = (
    "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem}"
    "dt{color:#555}dd{margin:0 0 1rem;font-weight:600;overflow-wrap:anywhere}"
    "button,input{font:inherit;padding:.5rem 1.2rem;margin:0 .5rem .5rem 0}"
)
_STYLE_HASH: Final = b64encode(sha256(_STYLE.encode("ascii")).digest()).decode("ascii")


def consent_page(action: str, ticket: str, facts: Sequence[tuple[str, str]], scheme: str = "") -> Response:
    """Asks whether a client may act. `facts` are shown as pairs; `ticket` comes back with the decision, which is
    posted to `action`. `scheme` is that of the URI to which the answer may then lead.
    """
    shown = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    return _page(
        "Allow access?",
        f'<dl>{shown}</dl><form method="post" action="{escape(action)}">'
        f'<input type="hidden" name="ticket" value="{escape(ticket)}">'
        '<button name="decision" value="accept">Accept</button>'
        '<button name="decision" value="deny">Deny</button></form>',
        scheme=scheme,
    )


def code_page(action: str, complaint: str = "") -> Response:
    """Asks for the code that a device shows; `complaint` says what was wrong with the last one."""
    said = f"<p>{escape(complaint)}</p>" if complaint else ""
    return _page(
        "Connect a device",
        f'{said}<form method="post" action="{escape(action)}"><p><label>Code that the device shows<br>'
        '<input name="user_code" autocomplete="off" autocapitalize="characters" spellcheck="false" autofocus '
        'placeholder="XXXX-XXXX"></label></p><button>Continue</button></form>',
        400 if complaint else 200,
    )


def message_page(title: str, text: str, status: int = 200) -> Response:
    """Says something, and asks nothing."""
    return _page(title, f"<p>{escape(text)}</p>", status)


def _page(title: str, content: str, status: int = 200, *, scheme: str = "") -> Response:
    body = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{escape(title)}</h1>{content}</body></html>\n"
    )
    headers = (
        (b"Content-Type", b"text/html; charset=utf-8"),
        (b"Content-Security-Policy", _policy(scheme).encode("ascii")),
        (b"Referrer-Policy", b"no-referrer"),
        (b"X-Content-Type-Options", b"nosniff"),
        NO_STORE,
    )
    return Response(status, headers, body.encode("utf-8"))


def _policy(scheme: str) -> str:
    """Browsers hold the redirection that answers a form against form-action too: its scheme must be allowed."""
    whither = f" {scheme}:" if scheme else ""
    return (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'{whither}; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
