"""Plain kubectl with our kubeconfig: its credential plugin opens the tunnel by itself."""

import http.server
import json
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from clusterous_api.errors import TransientError
from clusterous_cli.reach import kube, kubeconfig, session, ssh, tunnel
from clusterous_cli.reach.kubeconfig import Link
from tests import programs
from tests.functional import sshd
from tests.functional.sshd import Site

pytestmark = [
    sshd.NEEDED,
    programs.needs("kubectl"),
]


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as an API server that knows one thing: who asks; and what is sent, it sends back."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        names = dict(pair[0] for pair in self.connection.getpeercert()["subject"])
        self.answer(json.dumps({"path": self.path, "user": names["commonName"]}).encode())

    def do_PATCH(self) -> None:
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


class Quiet(http.server.ThreadingHTTPServer):
    """A server that does not speak of connections that only looked whether it lives."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with sshd.site(tmp_path) as made:
        yield made


def _pem(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


@pytest.fixture
def link(site: Site, tmp_path: Path) -> Iterator[Link]:
    """A cluster called reef, whose API server is a stand-in that wants client certificates."""
    server_ca, client_ca = trustme.CA(), trustme.CA()
    admin = client_ca.issue_cert("localhost", common_name="admin")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_ca.issue_cert("kubernetes").configure_cert(context)
    client_ca.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    server = Quiet(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    home = tmp_path / "home/clusters/reef"
    access = ssh.prepare(replace(site.access, home=home))
    made = Link(
        cluster="reef",
        port=tunnel.free_port(24000),
        access=access,
        certificate=admin.cert_chain_pems[0].bytes().decode(),
        key=admin.private_key_pem.bytes().decode(),
        server_ca=_pem(server_ca),
        api_port=server.server_address[1],
    )
    yield made
    ssh.close(home)
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def config(link: Link, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLUSTEROUS_HOME", str(tmp_path / "home"))
    path = link.access.home / "kubeconfig"
    kubeconfig.write(link, path)
    return path


def kubectl(config: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "CLUSTEROUS_HOME"}
    program = str(programs.path("kubectl"))
    argv = [program, "--kubeconfig", config, "--request-timeout=20s", "get", "--raw", "/hello"]
    return subprocess.run(argv, capture_output=True, text=True, env=environment, timeout=90)


def test_kubectl_opens_the_tunnel_by_itself(link: Link, config: Path) -> None:
    answer = kubectl(config)

    assert answer.stderr == ""
    assert json.loads(answer.stdout) == {"path": "/hello?timeout=20s", "user": "admin"}
    assert link.tunnel.is_open()


def test_kubectl_opens_again_what_broke(link: Link, config: Path, site: Site) -> None:
    kubectl(config)
    for name in ("gateway", "controller"):
        site.stop(name)
        site.start(name)

    assert json.loads(kubectl(config).stdout)["user"] == "admin"


def test_kubectl_is_told_of_a_port_that_is_taken(link: Link, config: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", link.port)):
        answer = kubectl(config)

    assert answer.returncode != 0
    assert f"Port {link.port} on this machine is taken by another program" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_kubectl_is_told_that_the_gateway_is_away(link: Link, config: Path, site: Site) -> None:
    site.stop("gateway")

    answer = kubectl(config)

    assert "The gateway cannot be reached" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_secrets_are_readable_by_their_owner_only(link: Link, config: Path) -> None:
    kept = kubeconfig.access_path(link.access.home)

    assert {oct(path.stat().st_mode & 0o777) for path in (config, kept)} == {"0o600"}
    assert "PRIVATE KEY" not in config.read_text()
    assert kubeconfig.read(link.access.home) == link


def test_the_own_client_speaks_through_the_tunnel(link: Link) -> None:
    api = session.api(link)

    assert api.find("/x") == {"path": "/x", "user": "admin"}


def test_the_own_client_sends_every_character(link: Link) -> None:
    body = '{"spec":"🚀 𠮷 ä"}'

    assert session.api(link).transport("PATCH", "/x", body, "application/json") == (200, body)


def test_the_own_client_believes_only_the_clusters_authority(link: Link) -> None:
    api = session.api(replace(link, server_ca=_pem(trustme.CA())))

    with pytest.raises(Exception, match="does not answer") as caught:
        api.find("/x")
    assert caught.value.exit_code == 75


def test_the_own_client_believes_only_the_api_servers_name(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    """k3s signs the kubelets' certificates with the same authority: a worker is no API server."""
    monkeypatch.setattr(kubeconfig, "TLS_SERVER_NAME", "worker-1")
    api = session.api(link)

    with pytest.raises(TransientError, match="certificate is not valid for 'worker-1'"):
        api.find("/x")


def test_chooses_another_port_when_the_first_is_taken(link: Link) -> None:
    import socket

    with socket.create_server(("127.0.0.1", link.port)):
        chosen = kubeconfig.choose_port("ab12", link)

    assert chosen > link.port


def test_keeps_the_port_of_a_tunnel_that_is_open(link: Link) -> None:
    link.tunnel.ensure()

    assert kubeconfig.choose_port("ab12", link) == link.port
    assert isinstance(kube.tls_context(link.server_ca, link.certificate, link.key), ssl.SSLContext)


def test_what_kubectl_keeps_of_a_cluster_goes_with_it(tmp_path: Path) -> None:
    home = tmp_path / "reef"

    told = kubeconfig.environment(home)

    assert Path(told["KUBECACHEDIR"]).is_relative_to(home)
    assert told["KUBECONFIG"] == str(home / "kubeconfig")
