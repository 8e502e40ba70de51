"""HTTP as values: messages, field grammar, and one exchange as bytes in and bytes out. Pure."""

from patchwire.http.exchange import Exchange, Limits
from patchwire.http.message import Origin, Request, Response, request_to

__all__ = ["Exchange", "Limits", "Origin", "Request", "Response", "request_to"]
