from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.support.batches import BatchFiles, people
from tests.support.commands import environment, patchwire, serving, without_traceback

CURL = shutil.which("curl")
needs_curl = pytest.mark.skipif(CURL is None, reason="curl is not installed: apt-get install curl")
MERGE = {"Content-Type": "application/merge-patch+json"}
USER = ("--user", "svc", "--password", "literal:p:\u00e4", "--create-missing")


def curl(url: str, *options: str) -> tuple[list[int], str]:
    """The statuses that curl met, and the last Authorization field that it sent."""
    done = subprocess.run(
        [str(CURL), "-q", "-s", "-v", "--max-time", "20", "--noproxy", "*", "-X", "PATCH", *options, url,
         "-H", "Content-Type: application/merge-patch+json", "--data", '{"n": 1}'],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    statuses = [int(status) for status in re.findall(r"^< HTTP/1\.1 (\d+)", done.stderr, re.MULTILINE)]
    return statuses, (re.findall(r"^> Authorization: (.*?)\r?$", done.stderr, re.MULTILINE) or [""])[-1]


@needs_curl
@pytest.mark.parametrize(
    ("options", "said"),
    [(["--algorithm", "MD5"], "algorithm=MD5"), (["--algorithm", "SHA-256"], "algorithm=SHA-256"),
     (["--algorithm", "SHA-256", "--userhash"], "userhash=true"), (["--algorithm", "MD5-sess"], "algorithm=MD5-sess"),
     (["--algorithm", "MD5", "--qop", "none"], "algorithm=MD5"), ([], "qop=auth")],
    ids=str,
)  # fmt: skip
def test_curl_is_let_in_with_digest_and_turned_away_with_another_password(options: list[str], said: str) -> None:
    with serving("--auth", "digest", *USER, *options) as url:
        statuses, sent = curl(f"{url}/a", "--digest", "--user", "svc:p:\u00e4")
        assert statuses == [401, 201]
        assert said in sent
        assert ('username="svc"' in sent) is ("--userhash" not in options)
        assert curl(f"{url}/a", "--digest", "--user", "svc:wrong")[0] == [401, 401]


@needs_curl
def test_curl_is_let_in_with_a_token() -> None:
    with serving("--auth", "bearer", "--token", "canary-token", "--create-missing") as url:
        assert curl(f"{url}/a", "--oauth2-bearer", "canary-token")[0] == [201]
        assert curl(f"{url}/a", "--oauth2-bearer", "wrong")[0] == [401]
        assert curl(f"{url}/a")[0] == [401]


def test_httpx_is_let_in_with_digest() -> None:
    with serving("--auth", "digest", *USER) as url, httpx.Client(auth=httpx.DigestAuth("svc", "p:\u00e4")) as client:
        assert [client.patch(f"{url}/a", headers=MERGE, content=b"{}").status_code for _ in range(3)] == [
            201,
            200,
            200,
        ]
        info = client.patch(f"{url}/a", headers=MERGE, content=b"{}").headers["authentication-info"]
        assert re.match(r'qop=auth, rspauth="[0-9a-f]{64}", cnonce="[^"]+", nc=0000000\d$', info), info


@pytest.mark.parametrize("uses", ["parallel", "ordered", "once"])
@pytest.mark.parametrize("options", [[], ["--qop", "auth-int"], ["--algorithm", "SHA-512-256-sess", "--userhash"]])
def test_a_batch_of_ours_is_let_in_however_nonces_may_be_used(tmp_path: Path, uses: str, options: list[str]) -> None:
    settings = 'authentication = "digest"\nuser = "svc"\npassword = "env:P"\n'
    with serving("--auth", "digest", *USER, "--nonce-uses", uses, *options) as url:
        files = BatchFiles(tmp_path, url, settings)
        files.write(people(300))
        done = patchwire("batch", files.connection, files.records, "-v", env=environment(P="p:\u00e4"))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("< 401") <= (1 if uses == "parallel" else 40)


def test_nonces_that_end_soon_are_renewed(tmp_path: Path) -> None:
    settings = 'authentication = "digest"\nuser = "svc"\npassword = "env:P"\n'
    with serving("--auth", "digest", *USER, "--nonce-lifetime", "0.2") as url:
        files = BatchFiles(tmp_path, url, settings)
        files.write(people(200))
        done = patchwire(
            "batch", files.connection, files.records, "-v", "--rate", "200", env=environment(P="p:\u00e4")
        )
    assert done.returncode == 0, done.stderr
    assert "nextnonce=" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [(["--auth", "digest"], "--auth digest needs --user and --password"),
     (["--auth", "bearer"], "--auth bearer needs --token"), (["--token", "x"], "--token needs --auth bearer"),
     (["--auth", "bearer", "--token", "a b"], "--token: the bearer token holds a character that no token may"),
     (["--auth", "digest", *USER, "--algorithm", "SHA-1"], "--algorithm: 'SHA-1' is no Digest algorithm"),
     (["--auth", "digest", *USER, "--algorithm", "MD5-sess", "--qop", "none"], "needs a qop"),
     (["--auth", "digest", *USER, "--qop", "none", "--qop", "auth"], "--qop none stands alone"),
     (["--auth", "basic", *USER, "--userhash"], "--nonce-lifetime and --nonce-uses need --auth digest"),
     (["--auth", "basic", *USER, "--nonce-lifetime", "0"], "--nonce-lifetime and --nonce-uses need --auth digest"),
     (["--nonce-uses", "once"], "--nonce-lifetime and --nonce-uses need --auth digest"),
     (["--auth", "digest", *USER, "--nonce-lifetime", "0"], "--nonce-lifetime must be above 0"),
     (["--auth", "digest", *USER, "--nonce-lifetime", "nan"], "--nonce-lifetime must be above 0"),
     (["--auth", "digest", *USER, "--realm", "a\nb"], "--realm: holds a character that cannot be sent"),
     (["--auth", "digest", "--user", "a:b", "--password", "literal:x"], "a user name must not hold a colon")],
    ids=str,
)  # fmt: skip
def test_what_is_wrong_is_one_line(arguments: list[str], complaint: str) -> None:
    done = patchwire("serve", *arguments)
    assert done.returncode == 2
    assert complaint in without_traceback(done)[-1]
