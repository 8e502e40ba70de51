"""botocore itself, without a network: what it finds in files and processes, and what it says when it finds nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.errors import CredentialsError
from patchwire.files import aws_chain
from patchwire.files.aws_chain import chain_credentials

pytest.importorskip("botocore", reason="botocore is not installed: pip install 'patchwire[aws]'")

ID, SECRET, TOKEN = "AKIDEXAMPLE", "canary/secret+key=", "canary-token=="
KEYS = f"aws_access_key_id = {ID}\naws_secret_access_key = {SECRET}\n"
PROGRAM = """
import json, pathlib, sys
here = pathlib.Path(__file__).parent
with (here / "runs").open("a") as runs:
    runs.write("x")
print("canary", file=sys.stderr)
answer = (here / "answer").read_text()
print(answer)
sys.exit(answer == "fail")
"""


class Home:
    """A home directory with AWS's files, and a process that gives credentials."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / ".aws").mkdir()
        (directory / "process.py").write_text(PROGRAM, "utf-8")
        self.process = f"credential_process = {sys.executable} {directory / 'process.py'}\n"

    def config(self, text: str) -> None:
        (self.directory / ".aws" / "config").write_text(text, "utf-8")

    def credentials(self, text: str) -> None:
        (self.directory / ".aws" / "credentials").write_text(text, "utf-8")

    def answer(self, lasts: float | None = None, key: str = ID, **values: Any) -> None:
        """What the process will give: credentials that are good for so many seconds."""
        answer = {"Version": 1, "AccessKeyId": key, "SecretAccessKey": SECRET, "SessionToken": TOKEN} | values
        if lasts is not None:
            answer["Expiration"] = datetime.fromtimestamp(time.time() + lasts, UTC).isoformat()
        self.say(json.dumps(answer))

    def say(self, text: str) -> None:
        (self.directory / "answer").write_text(text, "utf-8")

    @property
    def runs(self) -> int:
        """How often the process has run."""
        path = self.directory / "runs"
        return len(path.read_text("utf-8")) if path.exists() else 0


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    aws_chain._chain.cache_clear()
    return Home(tmp_path)


def failure(profile: str | None = None) -> str:
    """The error's text, which is one line without a secret."""
    with pytest.raises(CredentialsError) as caught:
        chain_credentials(profile)
    text = str(caught.value)
    assert text.isprintable()
    assert "canary" not in text
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return text


def test_keys_in_a_file_or_the_environment_have_no_end_and_are_looked_for_anew(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.credentials(f"[svc]\n{KEYS}")
    assert chain_credentials("svc") == AwsCredentials(ID, SECRET)
    home.credentials(f"[svc]\n{KEYS}aws_session_token = {TOKEN}\n")
    assert chain_credentials("svc") == AwsCredentials(ID, SECRET, TOKEN)
    monkeypatch.setenv("AWS_PROFILE", "svc")
    assert chain_credentials(None) == AwsCredentials(ID, SECRET, TOKEN)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    assert chain_credentials(None) == AwsCredentials("ENVIRONMENT", "s")


def test_a_process_without_an_end_is_asked_each_time(home: Home) -> None:
    home.config(f"[profile svc]\n{home.process}")
    home.answer()
    assert chain_credentials("svc") == chain_credentials("svc") == AwsCredentials(ID, SECRET, TOKEN)
    assert home.runs == 2


def test_what_renews_itself_is_kept_until_it_does(home: Home) -> None:
    home.config(f"[profile svc]\n{home.process}")
    home.answer(lasts=3600)
    before = time.time()
    first, second = chain_credentials("svc"), chain_credentials("svc")
    assert home.runs == 1
    for each in (first, second):
        assert (each.access_key, each.secret_key, each.session_token) == (ID, SECRET, TOKEN)
        assert each.expires_at is not None
        assert before + 600 <= each.expires_at <= time.time() + 600


def test_each_profile_has_its_own(home: Home) -> None:
    home.config(f"[profile svc]\n{home.process}[default]\n{home.process}")
    home.answer(lasts=3600)
    assert chain_credentials("svc").access_key == ID
    home.answer(lasts=3600, key="ANOTHER")
    assert chain_credentials(None).access_key == "ANOTHER"
    assert chain_credentials("svc").access_key == ID


@pytest.mark.parametrize("lasts", [840, 400, 60])
def test_what_is_near_its_end_is_renewed_and_never_said_to_last_longer_than_it_does(home: Home, lasts: int) -> None:
    home.config(f"[profile svc]\n{home.process}")
    home.answer(lasts=lasts)
    end = time.time() + lasts
    expires_at = chain_credentials("svc").expires_at
    assert expires_at is not None
    assert end - max(lasts - 600, 0) - 20 < expires_at <= end + 1
    home.answer(lasts=3600, key="RENEWED")
    assert chain_credentials("svc").access_key == "RENEWED"


def test_a_renewal_that_fails_early_leaves_what_still_serves(home: Home, capfd: pytest.CaptureFixture[str]) -> None:
    home.config(f"[profile svc]\n{home.process}")
    home.answer(lasts=840)
    before = time.time()
    chain_credentials("svc")
    home.say("fail")
    late = chain_credentials("svc")
    assert late.access_key == ID
    assert late.expires_at is not None
    assert before + 600 <= late.expires_at <= before + 841
    assert capfd.readouterr() == ("", "")


def test_a_renewal_that_fails_late_is_an_error_after_which_the_search_starts_again(
    home: Home, capfd: pytest.CaptureFixture[str]
) -> None:
    home.config(f"[profile svc]\n{home.process}")
    home.answer(lasts=3600)
    chain_credentials("svc")
    kept = aws_chain._chain("svc")._kept
    kept._expiry_time = datetime.fromtimestamp(time.time() + 300, UTC)
    home.say("fail")
    assert failure("svc").startswith("aws.credentials: the profile's credential_process has failed")
    home.config(f"[profile svc]\n{KEYS}")
    assert chain_credentials("svc") == AwsCredentials(ID, SECRET)
    assert capfd.readouterr() == ("", "")


def test_threads_share_one_search(home: Home) -> None:
    home.config(f"[profile svc]\n{home.process}")
    home.answer(lasts=3600)
    chain = aws_chain._chain("svc")
    found: list[AwsCredentials] = []
    threads = [threading.Thread(target=lambda: found.append(chain.load())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(found), home.runs) == (8, 1)


def test_without_botocore_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    assert failure() == (
        "aws.credentials: \"chain\" needs botocore, which is not installed: pip install 'patchwire[aws]'"
    )


def test_where_nothing_is_found_the_error_says_what_was_looked_for(home: Home) -> None:
    assert failure().startswith("aws.credentials: there are none; botocore has looked for the environment, the profil")
    home.config("[profile svc]\nregion = eu-central-1\n")
    assert failure("svc").startswith("aws.credentials: there are none; botocore has looked for profile 'svc' of")


def test_a_profile_that_is_not_there_is_named_with_those_nearby(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.config(f"[profile svc]\n{home.process}")
    place = "aws.profile: neither ~/.aws/config nor ~/.aws/credentials holds"
    assert failure("scv") == f"{place} 'scv': did you mean 'svc'?"
    monkeypatch.setenv("AWS_PROFILE", "ops")
    assert failure() == f"{place} 'ops' (of AWS_PROFILE): there are 'svc'"


SSO = "sso_start_url = https://canary\nsso_region = eu-central-1\nsso_account_id = 1\nsso_role_name = canary\n"


@pytest.mark.parametrize(
    ("config", "answer", "problem"),
    [
        (
            "{process}",
            "fail",
            "the profile's credential_process has failed, or given no credentials: run it to see why",
        ),
        ("{process}", '{"Version": 2, "SecretAccessKey": "canary"}', "the profile's credential_process has failed"),
        ("{process}", '{"Version": 1, "SecretAccessKey": "canary"}', "the profile's credential_process has failed"),
        ("{process}", "canary", "what a credential_process or a service gave cannot be read (JSONDecodeError)"),
        ("{process}", '["canary"]', "botocore could not get them (AttributeError): see what  aws sts get-caller-iden"),
        ("credential_process = no-such-program canary", "", "no-such-program: no such file or directory: see what"),
        (f"aws_access_key_id = {ID}", "", "aws_secret_access_key is missing (config-file): add it"),
        (SSO, "", "the SSO session has ended, or was not begun: aws sso login --profile svc"),
        ("role_arn = arn:aws:iam::1:role/canary", "", "source_profile or credential_source is missing (assume-role)"),
        ("role_arn = a\nsource_profile = canary", "", "the profile is contradictory: see what  aws sts get-caller-id"),
        ("canary", "", "{home}/.aws/config: not a file of profiles: mend it"),
    ],
)
def test_what_botocore_stumbles_over_is_one_line_without_a_word_of_a_process(
    home: Home, capfd: pytest.CaptureFixture[str], config: str, answer: str, problem: str
) -> None:
    home.config("[profile svc]\n" + config.replace("{process}", home.process))
    home.say(answer)
    assert failure("svc").startswith("aws.credentials: " + problem.replace("{home}", str(home.directory)))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("value", [5, None, "canary canary", "canary\n"])
def test_a_value_that_no_request_could_carry_is_named_without_itself(home: Home, value: Any) -> None:
    home.config(f"[profile svc]\n{home.process}")
    home.answer(SecretAccessKey=value)
    text = failure("svc")
    expected = (
        "what botocore has found: the secret key is" if isinstance(value, str) else "botocore could not get them"
    )
    assert text.startswith(f"aws.credentials: {expected}")


def test_what_has_ended_when_it_is_renewed_is_said_to_have(home: Home) -> None:
    home.config(f"[profile svc]\n{home.process}")
    home.answer(lasts=-60)
    assert failure("svc") == (
        "aws.credentials: what botocore has found has ended already: renew it where it comes from"
    )


def test_nothing_of_botocores_log_is_printed_where_nobody_has_set_up_logging(home: Home) -> None:
    home.config(f"[profile svc]\n{home.process}")
    home.answer(lasts=840)
    answer = home.directory / "answer"
    program = (
        "from pathlib import Path; from patchwire.files.aws_chain import chain_credentials as load;"
        f" load('svc'); Path({str(answer)!r}).write_text('fail'); print(load('svc').access_key)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert home.runs == 3
    assert (done.stdout, done.stderr) == (f"{ID}\n", "")
