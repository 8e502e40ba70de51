"""The pages on which a user of the authorization server decides."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from patchwire.http.message import Response
from patchwire.loopback.pages import page


def consent_page(action: str, ticket: str, facts: Sequence[tuple[str, str]], scheme: str = "") -> Response:
    """Asks whether a client may act. `facts` are shown as pairs; `ticket` comes back with the decision, which is
    posted to `action`. `scheme` is that of the URI to which the answer may then lead.
    """
    shown = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    return page(
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
    return page(
        "Connect a device",
        f'{said}<form method="post" action="{escape(action)}"><p><label>Code that the device shows<br>'
        '<input name="user_code" autocomplete="off" autocapitalize="characters" spellcheck="false" autofocus '
        'placeholder="XXXX-XXXX"></label></p><button>Continue</button></form>',
        400 if complaint else 200,
    )
