"""What the site of `django_oauth_site` answers: things that are changed by PATCH with a bearer token, and its counts.

Loaded by Django, as its URL configuration; everything but the tokens is kept in memory.
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from threading import Lock
from typing import Any

from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.urls import include, path
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from oauth2_provider import urls as oauth2_urls
from oauth2_provider.decorators import rw_protected_resource
from oauth2_provider.models import AccessToken

TOKEN_PATH = "/o/token/"


class Counts:
    """What was asked of the site since it started."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._tokens: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self._clients: Counter[str] = Counter()
        self._patches: Counter[int] = Counter()
        self._applied: Counter[str] = Counter()
        self._given_at: list[float] = []

    def answered(self, request: HttpRequest, status: int) -> None:
        """Count the request and the status that it gets."""
        with self._lock:
            if request.method == "POST" and request.path == TOKEN_PATH:
                self._tokens[request.POST.get("grant_type", "")][status] += 1
                self._clients[_client_authentication(request)] += 1
                self._given_at += [time.time()] if status == 200 else []
            elif request.method == "PATCH":
                self._patches[status] += 1

    def applied(self, path: str) -> None:
        """Count a change that is made."""
        with self._lock:
            self._applied[path] += 1

    def members(self) -> dict[str, Any]:
        """The counts as JSON has them."""
        with self._lock:
            tokens = {grant: dict(statuses) for grant, statuses in self._tokens.items()}
            return {
                "tokens": tokens,
                "clients": dict(self._clients),
                "patches": dict(self._patches),
                "applied": dict(self._applied),
                "given_at": self._given_at[:],
            }


def _client_authentication(request: HttpRequest) -> str:
    """How the client of a token request says who it is."""
    if request.headers.get("Authorization", "").startswith("Basic "):
        return "basic"
    return "body" if "client_secret" in request.POST else "none"


counts = Counts()
_things: defaultdict[int, dict[str, Any]] = defaultdict(dict)
_things_lock = Lock()


def counting(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """The middleware that counts each answer, errors of the site too."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        counts.answered(request, response.status_code)
        return response

    return middleware


def _thing(request: HttpRequest, number: int) -> HttpResponse:
    """Tell the thing, once it is changed where this is a PATCH; any number is one. Null removes a member."""
    if request.method not in ("GET", "PATCH"):
        return HttpResponseNotAllowed(["GET", "PATCH"])
    with _things_lock:
        thing = _things[number]
        if request.method == "PATCH":
            change = _object_in(request)
            if change is None:
                return JsonResponse({"error": "not an object"}, status=400)
            thing = {name: value for name, value in (thing | change).items() if value is not None}
            _things[number] = thing
            counts.applied(request.path)
        return JsonResponse({"id": number, **thing})


def _object_in(request: HttpRequest) -> dict[str, Any] | None:
    """The JSON object that is the request's body; None where it is none."""
    try:
        found = json.loads(request.body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _stats(request: HttpRequest) -> HttpResponse:
    return JsonResponse(counts.members())


def _expire(request: HttpRequest) -> HttpResponse:
    """Let every access token end now; refresh tokens live on."""
    return JsonResponse({"expired": AccessToken.objects.update(expires=timezone.now())})


_oauth2 = [
    path("o/", include(oauth2_urls.base_urlpatterns)),
    *oauth2_urls.metadata_urlpatterns,  # clients look for it at the root
]
urlpatterns = [
    # advertise_metadata: without it the decorator answers a bare 403.
    path("api/things/<int:number>", csrf_exempt(rw_protected_resource(advertise_metadata=True)(_thing))),
    path("stats", _stats),
    path("expire", csrf_exempt(_expire)),
    path("login/", LoginView.as_view()),
    path("", include((_oauth2, "oauth2_provider"))),
]
