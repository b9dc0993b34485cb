"""A "Docker Hub" on loopback with its token service, and one wheel, for who makes images."""

import hashlib
import socket
import ssl
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from clusterous_cli.images.assembly import pull, references
from tests import programs
from tests.region.parts import buildkit, images, registry_image
from tests.region.registry import hub
from tests.region.registry.readonly import ReadOnly

BASE = "docker.io/library/python:3.11-slim"


@dataclass
class Site:
    """Where its images are, and by which address it is reached."""

    storage: Path
    hosts: Mapping[str, str]


@contextmanager
def serving(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Serve it, with one small base image; the product reaches it by the name of the real one."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLUSTEROUS_CACHE_HOME", str(folder / "cache"))
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(secure)
    listening = socket.create_server(("127.0.0.1", 0))
    host = f"localhost:{listening.getsockname()[1]}"
    monkeypatch.setitem(pull.API, references.HUB, host)
    storage, program = folder / "hub", programs.path("docker-registry")
    assert program
    gate = hub.Gate(storage=storage, realm=f"https://{host}/token")
    server = ReadOnly(gate, "hub", listening, secure, Path(program), storage)
    store(storage, folder / "base.tar")
    try:
        yield Site(storage=storage, hosts={})
    finally:
        server.close()


def store(storage: Path, tar: Path) -> None:
    """Put a small base image there: whoever makes an image on it runs nothing of it."""
    entry = images.Entry(content=b"not run", mode=0o755)
    layer = images.layer_from_entries({"usr/local/bin/python": entry}, tar)
    environment = {"PATH": "/usr/local/bin", "LANG": "C.UTF-8"}
    image = images.Image(name=BASE, layers=(layer,), command=("python3",), environment=environment)
    for tag in ("3.11-slim", "3.11-slim-bookworm"):
        images.store(image, "library/python", tag, storage)
    for one in (buildkit, registry_image):
        images.store(image, one.REPOSITORY, one.TAG, storage)


def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str = "tool") -> Path:
    """Write the folder of another image than the operator's: one wheel, one package of ours."""
    wheel = make_wheel(tmp_path / "index")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    place = tmp_path / "images" / name
    place.mkdir(parents=True)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (place / "requirements.lock").write_text(f"shout==1.0 --hash=sha256:{digest}\n")
    (place / "image.toml").write_text(
        f'name = "example.org/{name}"\nbase = "{BASE}"\npython = "3.11"\n'
        'packages = ["clusterous_api"]\nlock = "requirements.lock"\nfolder = "/opt/tool"\n'
        'user = "1000"\nentrypoint = ["python", "-m", "shout"]\n'
        '[environment]\nLANG = "C"\nPYTHONPATH = "/opt/tool"\n'
    )
    return place


def make_wheel(folder: Path) -> Path:
    """Write a wheel with a module, data of its platform, and a script that is left out."""
    folder.mkdir()
    path = folder / "shout-1.0-cp311-cp311-manylinux_2_17_x86_64.whl"
    card = "Metadata-Version: 2.1\nName: shout\nVersion: 1.0\n"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("shout/__init__.py", "WORDS = {'a', 'b', 'c'} & {'a'}\n")
        packed.writestr("shout/__main__.py", "print('HELLO')\n")
        packed.writestr("shout/broken.py", "this is no Python\n")
        packed.writestr("shout-1.0.data/platlib/shout/fast.so", b"\x7fELF")
        packed.writestr("shout-1.0.data/scripts/shout", "#!python\n")
        packed.writestr("shout-1.0.dist-info/METADATA", card)
        packed.writestr(
            "shout-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nTag: cp311-cp311-manylinux_2_17_x86_64\n",
        )
        packed.writestr("shout-1.0.dist-info/RECORD", "")
    return path
