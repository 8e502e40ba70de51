"""Django with django-oauth-toolkit on waitress: `python -m tests.support.django_oauth_site --directory DIR`.

The directory gets the database: the user, the clients, and the tokens.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path

import django
import waitress
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

from tests.support.django_oauth import CLIENTS, PASSWORD, REDIRECT_URI, USER

_LOGIN_PAGE = '<form method="post">{% csrf_token %}{{ form }}<input type="submit" value="Log in"></form>'


def configure(directory: Path, expires_in: int) -> None:
    """Give Django its settings."""
    settings.configure(
        SECRET_KEY="for tests",
        ALLOWED_HOSTS=["127.0.0.1"],
        ROOT_URLCONF="tests.support.django_oauth_views",
        LOGIN_URL="/login/",
        STATIC_URL="/static/",
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "django.contrib.sessions",
            "oauth2_provider",
        ],
        MIDDLEWARE=[
            "tests.support.django_oauth_views.counting",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",  # Content-Length: without it waitress closes the connection
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "OPTIONS": {
                    "loaders": [
                        ("django.template.loaders.locmem.Loader", {"registration/login.html": _LOGIN_PAGE}),
                        "django.template.loaders.app_directories.Loader",
                    ]
                },
            }
        ],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": directory / "oauth.sqlite3",
                "CONN_MAX_AGE": None,  # the threads are always the same
                "OPTIONS": {
                    # A transaction that reads first and then writes fails at once where another has written.
                    "transaction_mode": "IMMEDIATE",
                    "timeout": 60,
                    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF",
                },
            }
        },
        # The others take half a second for each password grant.
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        OAUTH2_PROVIDER={
            "SCOPES": {"read": "Reading", "write": "Writing"},
            "ACCESS_TOKEN_EXPIRE_SECONDS": expires_in,
            "ROTATE_REFRESH_TOKEN": True,
            "REFRESH_TOKEN_REUSE_PROTECTION": True,
            "REFRESH_TOKEN_GRACE_PERIOD_SECONDS": 0,
            "PKCE_REQUIRED": True,
        },
    )
    django.setup()


def fill() -> None:
    """Create the tables, the user and the clients."""
    from django.contrib.auth import get_user_model
    from oauth2_provider.models import Application

    call_command("migrate", verbosity=0)
    get_user_model().objects.create_user(USER, password=PASSWORD)
    for client in CLIENTS:
        Application.objects.create(
            name=client.client_id,
            client_id=client.client_id,
            client_secret=client.secret or "",
            client_type="confidential" if client.secret else "public",
            authorization_grant_type=client.grant,
            redirect_uris=REDIRECT_URI if client.grant == "authorization-code" else "",
        )


def main() -> None:
    """Run the server."""
    parser = ArgumentParser(prog="python -m tests.support.django_oauth_site", description=__doc__)
    parser.add_argument("--directory", type=Path, required=True, metavar="DIR", help="gets the database")
    parser.add_argument(
        "--expires-in", type=int, default=3600, metavar="SECONDS", help="how long an access token lives"
    )
    options = parser.parse_args()
    configure(options.directory, options.expires_in)
    fill()
    server = waitress.create_server(get_wsgi_application(), host="127.0.0.1", port=0, threads=8, connection_limit=1000)
    print(json.dumps({"listening": f"http://127.0.0.1:{server.effective_port}"}), flush=True)
    server.run()


if __name__ == "__main__":
    main()
