"""The pages on which a user types the code that a device shows, and accepts (RFC 8628 section 3.3)."""

from __future__ import annotations

from patchwire.http.message import Request, Response
from patchwire.loopback.authorize_endpoint import TICKET_LIFETIME
from patchwire.loopback.consent import code_page, consent_page
from patchwire.loopback.device_codes import DeviceCodes, Pending
from patchwire.loopback.expiring import Expiring
from patchwire.loopback.forms import Form, FormError, form_in
from patchwire.loopback.grants import Entropy, new_token
from patchwire.loopback.pages import message_page


class DevicePages:
    """GET asks for the code; POST takes the code, and then the decision. `owner` is the user who decides."""

    methods = ("GET", "HEAD", "POST")

    def __init__(self, path: str, devices: DeviceCodes, entropy: Entropy, *, owner: str, most: int) -> None:
        self._path = path
        self._devices = devices
        self._entropy = entropy
        self._owner = owner
        self._tickets: Expiring[Pending] = Expiring(TICKET_LIFETIME, most)

    def answer(self, request: Request, now: float) -> Response:
        """The next page."""
        if request.method != "POST":
            return code_page(self._path)
        try:
            form = form_in(request)
        except FormError as error:
            return code_page(self._path, str(error))
        return self._typed(form, now) if form.get("ticket") is None else self._decided(form, now)

    def _typed(self, form: Form, now: float) -> Response:
        pending = self._devices.find(form.get("user_code") or "", now)
        if pending is None:
            return code_page(self._path, "No device waits for this code; it may have expired.")
        ticket = new_token(self._entropy)
        self._tickets.put(ticket, pending, now)
        scope = " ".join(pending.scope)
        return consent_page(self._path, ticket, [("Client", pending.client_id), ("Scope", scope or "none named")])

    def _decided(self, form: Form, now: float) -> Response:
        decision = form.get("decision")
        if decision not in ("accept", "deny"):
            return code_page(self._path, "decision must be accept or deny.")
        pending = self._tickets.take(form.get("ticket") or "", now)
        if pending is None or not pending.is_open(now):
            return code_page(self._path, "This page has been answered before, or has expired.")
        if decision == "deny":
            pending.denied = True
            return message_page("Denied", "The device gets no access. You may close this page.")
        pending.user = self._owner
        return message_page("Accepted", "The device will go on by itself. You may close this page.")
