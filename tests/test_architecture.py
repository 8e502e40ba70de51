from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import patchwire

SOURCE = Path(patchwire.__file__).parent
ROOT = SOURCE.parents[1]
PURE = ("errors", "http", "auth", "settings", "delivery", "loopback")
IMPURE = (
    "socket",
    "ssl",
    "trio",
    "OpenSSL",
    "asyncio",
    "sqlite3",
    "select",
    "selectors",
    "secrets",
    "random",
    "tempfile",
)
in_a_checkout = pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="not in a checkout")


def modules_of(package: str) -> list[str]:
    files = [SOURCE / f"{package}.py"] if package == "errors" else sorted((SOURCE / package).rglob("*.py"))
    return [
        ".".join(file.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__") for file in files
    ]


@pytest.mark.parametrize("package", PURE)
def test_a_pure_package_loads_nothing_that_does_io(package: str) -> None:
    # jsonpatch reads files for its own command line; what it loads is not ours, and none of it is a socket.
    allowed = {"tempfile", "random"} if package == "loopback" else set()
    imports = "; ".join(f"import {module}" for module in modules_of(package))
    report = f"import sys; print([name for name in {sorted(set(IMPURE) - allowed)} if name in sys.modules])"
    program = f"{imports}; {report}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@in_a_checkout
def test_imports_run_in_one_direction_and_the_contracts_hold() -> None:
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@in_a_checkout
def test_the_top_level_holds_what_the_layout_names() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    top = {name.split("/")[0] for name in listed.stdout.splitlines()}
    named = {"pyproject.toml", "src", "tests", "benchmarks", "fuzz", "README.md"}
    assert {name for name in top if not name.startswith(".")} <= named


@in_a_checkout
def test_unit_tests_mirror_the_source() -> None:
    tests = {path.relative_to(ROOT / "tests").as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    elsewhere = {
        "test_architecture.py",
        "test_quality.py",
        "test_canary.py",
        "test_readme.py",
        "test_resumption.py",
        "test_key_log.py",
        "test_bad_certificates.py",
        "test_certificate_kinds.py",
        "test_interrupted_tokens.py",
        "test_oauth2_canary.py",
        "test_signed_batches.py",
        "test_tls_calls.py",
    }
    for test in tests - elsewhere:
        folder, _, name = test.rpartition("/")
        if folder in ("peers", "benchmarks", "faults"):
            continue
        assert (SOURCE / folder / name.removeprefix("test_")).exists(), f"tests/{test} mirrors no module"
