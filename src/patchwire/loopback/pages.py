"""Pages for people: HTML without scripts, which no cache keeps and no frame shows."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from html import escape
from typing import Final, Literal

from patchwire.http.message import Headers, Response
from patchwire.loopback.oauth_answers import NO_STORE

Tone = Literal["plain", "good", "bad"]
"""What the colour of a page says."""
_STYLE: Final = (
    "body{margin:0;min-height:100vh;display:grid;place-items:center;background:#f4f5f7;color:#1c2430;"
    "font:1.06rem/1.5 system-ui,sans-serif}"
    "main{box-sizing:border-box;width:min(34rem,calc(100vw - 2rem));margin:1rem;padding:2rem 2.5rem;background:#fff;"
    "border-radius:10px;border-top:6px solid #5b6b82;box-shadow:0 2px 12px rgba(20,30,50,.12)}"
    "main.good{border-color:#1a7f4b}main.bad{border-color:#b3261e}"
    "h1{margin:0 0 .8rem;font-size:1.4rem}p,dd{overflow-wrap:anywhere}p{margin:.5rem 0 0}"
    "dt{opacity:.7}dd{margin:0 0 1rem;font-weight:600}"
    "button,input{font:inherit;padding:.5rem 1.2rem;margin:.3rem .5rem .3rem 0}"
    "@media(prefers-color-scheme:dark){body{background:#14181f;color:#e6e9ee}main{background:#1f2630}}"
)
_STYLE_HASH: Final = b64encode(sha256(_STYLE.encode("ascii")).digest()).decode("ascii")


def page(
    title: str,
    content: str,
    status: int = 200,
    *,
    tone: Tone = "plain",
    scheme: str = "",
    refresh: bool = False,
    headers: Headers = (),
) -> Response:
    """A page with this content, which is HTML. `scheme` is that of a URI to which the answer to its form may lead;
    `refresh`: whether it asks for itself again after a second.
    """
    again = '<meta http-equiv="refresh" content="1">' if refresh else ""
    body = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width">{again}'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f'<body><main class="{tone}"><h1>{escape(title)}</h1>{content}</main></body></html>\n'
    )
    own = (
        (b"Content-Type", b"text/html; charset=utf-8"),
        (b"Content-Security-Policy", _policy(scheme).encode("ascii")),
        (b"Referrer-Policy", b"no-referrer"),
        (b"X-Content-Type-Options", b"nosniff"),
        NO_STORE,
    )
    return Response(status, (*headers, *own), body.encode("utf-8"))


def message_page(title: str, text: str, status: int = 200, *, tone: Tone = "plain", headers: Headers = ()) -> Response:
    """Says something, and asks nothing."""
    return page(title, f"<p>{escape(text)}</p>", status, tone=tone, headers=headers)


def _policy(scheme: str) -> str:
    """Browsers hold the redirection that answers a form against form-action too: its scheme must be allowed."""
    whither = f" {scheme}:" if scheme else ""
    return (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'{whither}; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
