"""A private Tomcat on loopback that asks for Digest authentication, with SHA-256 and with MD5.

A servlet answers each request that it lets through with 200, and keeps what came. What is below /open wants no
authentication. Of the servers here it is the strictest: it remembers the counts of each nonce.
"""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.sax.saxutils import escape, quoteattr

import pytest

from tests.support.processes import announced, stop, text_of, unescaped
from tests.support.scgi import Processed

_HOME = Path("/usr/share/tomcat10")  # where Debian puts it
_JAVA = shutil.which("java")
_JAVAC = shutil.which("javac")
needs_tomcat = pytest.mark.skipif(
    _JAVA is None or _JAVAC is None or not _HOME.exists(),
    reason="Tomcat is not installed: apt-get install tomcat10-common default-jdk-headless",
)

_START_SECONDS = 60.0
_STARTED = re.compile(
    r'Starting ProtocolHandler \["http-nio-127\.0\.0\.1-auto-1-(\d+)"\].*Server startup in', re.DOTALL
)
_SMALL = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m")  # halves the time to start


@dataclass(frozen=True)
class TomcatServer:
    """A running Tomcat: where it answers, its process id, its files, and whom it knows."""

    base_url: str
    port: int
    pid: int
    directory: Path
    realm: str
    user: str
    password: str

    @property
    def processed(self) -> list[Processed]:
        """What Tomcat has let through; whatever has been answered is there."""
        lines = [line.split(" ") for line in text_of(self.directory / "processed").splitlines()]
        decoded = base64.b64decode
        return [
            Processed(method, target, decoded(body), decoded(user).decode()) for method, target, user, body in lines
        ]

    def access_log(self) -> list[tuple[str, str, int]]:
        """Method, target and status of each request that Tomcat has answered; complete once it has stopped."""
        return [(method, target, int(status)) for method, target, _, status, _ in self._log_lines()]

    def authorizations(self) -> list[tuple[int, str]]:
        """Status and Authorization of the same requests; a dash where there was none."""
        return [(int(status), unescaped(field)) for *_, status, field in self._log_lines()]

    def error_log(self) -> str:
        """What Tomcat has to say."""
        return text_of(self.directory / "tomcat.log")

    def _log_lines(self) -> list[list[str]]:
        return [line.split(" ", 4) for line in text_of(self.directory / "logs" / "access.log").splitlines()]


@contextmanager
def tomcat_server(
    directory: Path,
    *,
    algorithms: Sequence[str] = ("SHA-256", "MD5"),
    nonce_validity: float = 300.0,
    count_window: int = 100,
    nonce_cache: int = 1000,
    realm: str = "patchwire tests",
    user: str = "svc",
    password: str = "correct horse",
) -> Iterator[TomcatServer]:
    """Yield a Tomcat that serves plain HTTP on a free port of 127.0.0.1; it is stopped by its pid on the way out.

    `algorithms` are those of its challenges, in this order: SHA-256, MD5, SHA-512-256. A nonce lives for
    `nonce_validity` seconds, and Tomcat remembers the last `nonce_cache` of them; of each it knows which counts it has
    seen, within a window of `count_window`. Raises RuntimeError with Tomcat's own words where it does not start.
    """
    classes = directory / "app" / "WEB-INF" / "classes"
    for needed in (classes, directory / "conf", directory / "logs", directory / "temp"):
        needed.mkdir(parents=True, exist_ok=True)
    (classes / "PatchServlet.class").write_bytes(_servlet())
    (directory / "app" / "WEB-INF" / "web.xml").write_text(_application(directory, realm), encoding="utf-8")
    authenticator = {
        "algorithms": ",".join(algorithms),
        "nonceValidity": str(round(nonce_validity * 1000)),
        "nonceCountWindowSize": str(count_window),
        "nonceCacheSize": str(nonce_cache),
    }
    (directory / "conf" / "server.xml").write_text(_config(directory, authenticator), encoding="utf-8")
    account = f"<user username={quoteattr(user)} password={quoteattr(password)} roles='writer'/>"
    (directory / "conf" / "users.xml").write_text(f"<tomcat-users>{account}</tomcat-users>", encoding="utf-8")
    process = _spawn(directory)
    try:
        port = int(announced(process, directory / "tomcat.log", _STARTED, _START_SECONDS))
        yield TomcatServer(f"http://127.0.0.1:{port}", port, process.pid, directory, realm, user, password)
    finally:
        stop(process)


@cache
def _servlet() -> bytes:
    """Return the servlet's class; the compiler runs once."""
    assert _JAVAC is not None, "javac is not installed: apt-get install default-jdk-headless"
    with TemporaryDirectory() as directory:
        library = _HOME / "lib" / "servlet-api.jar"
        source = Path(__file__).with_name("PatchServlet.java")
        command = [_JAVAC, "-J-XX:TieredStopAtLevel=1", "-proc:none", "-encoding", "utf-8", "-cp", str(library)]
        subprocess.run([*command, "-d", directory, str(source)], check=True, capture_output=True)
        return (Path(directory) / "PatchServlet.class").read_bytes()


def _application(directory: Path, realm: str) -> str:
    """Return the description of the one application."""
    return f"""<?xml version="1.0" encoding="utf-8"?>
<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="6.0" metadata-complete="true">
  <absolute-ordering/>
  <servlet>
    <servlet-name>patch</servlet-name>
    <servlet-class>PatchServlet</servlet-class>
    <init-param>
      <param-name>file</param-name><param-value>{escape(str(directory / "processed"))}</param-value>
    </init-param>
  </servlet>
  <servlet-mapping><servlet-name>patch</servlet-name><url-pattern>/*</url-pattern></servlet-mapping>
  <security-constraint>
    <web-resource-collection>
      <web-resource-name>all</web-resource-name><url-pattern>/*</url-pattern>
    </web-resource-collection>
    <auth-constraint><role-name>writer</role-name></auth-constraint>
  </security-constraint>
  <security-constraint>
    <web-resource-collection>
      <web-resource-name>open</web-resource-name><url-pattern>/open/*</url-pattern>
    </web-resource-collection>
  </security-constraint>
  <login-config><auth-method>DIGEST</auth-method><realm-name>{escape(realm)}</realm-name></login-config>
  <security-role><role-name>writer</role-name></security-role>
</web-app>
"""


def _config(directory: Path, authenticator: dict[str, str]) -> str:
    """Return the server's configuration; Tomcat chooses the port."""
    options = " ".join(f"{name}={quoteattr(value)}" for name, value in authenticator.items())
    return f"""<?xml version="1.0" encoding="utf-8"?>
<Server port="-1">
  <Service name="Catalina">
    <Connector port="0" address="127.0.0.1" maxKeepAliveRequests="-1"/>
    <Engine name="Catalina" defaultHost="localhost">
      <Realm className="org.apache.catalina.realm.MemoryRealm" pathname="conf/users.xml"/>
      <Host name="localhost" appBase="none" autoDeploy="false" deployOnStartup="false">
        <Valve className="org.apache.catalina.valves.AccessLogValve" prefix="access" suffix=".log" rotatable="false"
               buffered="false" pattern="%r %s %{{Authorization}}i"/>
        <Context path="" docBase={quoteattr(str(directory / "app"))}>
          <Valve className="org.apache.catalina.authenticator.DigestAuthenticator" {options}/>
          <JarScanner scanClassPath="false" scanManifest="false" scanBootstrapClassPath="false"/>
        </Context>
      </Host>
    </Engine>
  </Service>
</Server>
"""


def _spawn(directory: Path) -> subprocess.Popen[bytes]:
    """Return Tomcat, just started, the leader of its own process group."""
    assert _JAVA is not None, "java is not installed: apt-get install default-jdk-headless"
    options = [f"-Dcatalina.home={_HOME}", f"-Dcatalina.base={directory}", f"-Djava.io.tmpdir={directory / 'temp'}"]
    libraries = f"{_HOME / 'bin' / 'bootstrap.jar'}:{_HOME / 'bin' / 'tomcat-juli.jar'}"
    (directory / "processed").unlink(missing_ok=True)
    with (directory / "tomcat.log").open("wb") as log:
        return subprocess.Popen(
            [_JAVA, *_SMALL, *options, "-cp", libraries, "org.apache.catalina.startup.Bootstrap", "start"],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
