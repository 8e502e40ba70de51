"""httpbin on waitress, in a process of its own: `python -m tests.support.httpbin_launcher --log FILE`.

httpbin answers PATCH on its pages that ask for authentication with 405; here it takes PATCH there as it takes GET.
All else is httpbin's own doing. The log has its line before a byte of the answer leaves.
"""

from __future__ import annotations

import io
import json
from argparse import ArgumentParser
from collections.abc import Iterable
from http.cookies import SimpleCookie
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpbin
import waitress

from tests.support.answers import Answered

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LOGGED = ("REQUEST_METHOD", "REQUEST_URI", "HTTP_AUTHORIZATION")
PROTECTED = ("/digest-auth/", "/basic-auth/", "/bearer")


def patchable() -> WSGIApplication:
    """Return httpbin, whose pages behind an authentication take PATCH too."""
    application: Any = httpbin.app
    for rule in application.url_map.iter_rules():
        if rule.rule.startswith(PROTECTED):
            rule.methods.add("PATCH")
    wrapped: WSGIApplication = application
    return wrapped


class Recording:
    """The application with a log of what it has answered."""

    def __init__(self, application: WSGIApplication, log: Path) -> None:
        self._application = application
        self._log = log.open("a", encoding="ascii", buffering=1)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        statuses: list[int] = []

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            statuses.append(int(status.split()[0]))
            return start_response(status, headers, exc_info)

        content = b"".join(self._application(environ, start))
        method, target, authorization = (environ.get(name, "") for name in LOGGED)
        self._log.write(Answered(method, target, statuses[-1], body, authorization).line())
        return [content]


class CookieKeeping:
    """The application with the cookies that it sets kept for the client, a jar for each path.

    httpbin counts the uses of a nonce in cookies alone: a client that keeps none would never meet a stale nonce.
    """

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application
        self._jars: dict[str, dict[str, str]] = {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        jar = self._jars.setdefault(environ["PATH_INFO"], {})
        environ["HTTP_COOKIE"] = "; ".join(f"{name}={value}" for name, value in jar.items())

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            for name, value in headers:
                if name.lower() == "set-cookie":
                    jar.update((key, morsel.value) for key, morsel in SimpleCookie(value).items())
            return start_response(status, headers, exc_info)

        return self._application(environ, start)


def main() -> None:
    """Run the server."""
    parser = ArgumentParser(prog="python -m tests.support.httpbin_launcher", description=__doc__)
    parser.add_argument("--log", type=Path, required=True, metavar="FILE", help="is appended to")
    parser.add_argument("--keep-cookies", action="store_true", help="keep the cookies that the client will not")
    options = parser.parse_args()
    application = patchable()
    if options.keep_cookies:
        application = CookieKeeping(application)
    # One thread: the cookies of one request are set before the next is looked at.
    server = waitress.create_server(
        Recording(application, options.log), host="127.0.0.1", port=0, threads=1, connection_limit=1000
    )
    print(json.dumps({"listening": f"http://127.0.0.1:{server.effective_port}"}), flush=True)
    server.run()


if __name__ == "__main__":
    main()
