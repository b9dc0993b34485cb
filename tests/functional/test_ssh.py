"""SSH, tunnels and rsync with real programs against real servers on loopback."""

import contextlib
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clusterous_api import names
from clusterous_api.errors import ClusterousError, FailedError, UserError
from clusterous_cli.data import listing, rsync, transfer
from clusterous_cli.data.transfer import Volume
from clusterous_cli.reach import ssh, tunnel
from clusterous_cli.system import shell
from tests.functional import sshd
from tests.functional.echo import Echo, said_by
from tests.functional.sshd import Site

pytestmark = sshd.NEEDED

VOLUME = Volume(server="10.40.128.11")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with sshd.site(tmp_path) as made:
        ssh.prepare(made.access)
        yield made


@pytest.fixture
def volume(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of /home/data; `mount` notes how it is called."""
    root = tmp_path / "volume"
    monkeypatch.setattr(names, "VOLUME_PATH", str(root))
    mounted = tmp_path / "mounted"
    site.program("mountpoint", f"test -e {mounted}")
    site.program("mount", f'echo "$@" >>{mounted}')
    return root


def silent(text: str) -> None:
    """Nobody listens."""


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo("hello")
    yield server
    server.close()


def app_tunnel(site: Site, remote: int) -> tunnel.Tunnel:
    forward = tunnel.Forward(port=tunnel.free_port(23000), address="127.0.0.1", remote=remote)
    return tunnel.Tunnel(access=site.access, forward=forward, is_alive=lambda port: True)


# -- ssh ------------------------------------------------------------------------------------


def test_runs_a_command_through_the_gateway(site: Site) -> None:
    assert ssh.run(site.access, "controller", "echo $SSH_CONNECTION").split()[2] == "127.0.0.2"
    assert "Accepted publickey" in site.log("gateway")


def test_tells_the_remote_words_of_a_failed_command(site: Site) -> None:
    with pytest.raises(shell.CommandFailed, match="no such thing") as caught:
        ssh.run(site.access, "controller", "echo no such thing >&2; exit 7")

    assert caught.value.status == 7


@pytest.mark.parametrize("name", ["gateway", "controller"])
def test_refuses_a_wrong_host_key(site: Site, name: str) -> None:
    pinned = site.access.known_hosts
    lines = pinned.read_text().splitlines()
    wrong = {"gateway": [1, 1], "controller": [0, 0]}[name]
    keys = [lines[n].split(maxsplit=1)[1] for n in wrong]
    right = lines[1] if name == "gateway" else lines[0]
    address = "127.0.0.1" if name == "gateway" else "127.0.0.2"
    pinned.write_text(f"{right}\n{address} {keys[0]}\n")

    with pytest.raises(ssh.ConnectionRefused, match=f"The {name} does not show the host key"):
        ssh.run(site.access, "controller", "true")


def test_refuses_an_unknown_host(site: Site) -> None:
    site.access.known_hosts.write_text("")

    with pytest.raises(ssh.ConnectionRefused, match="nothing was sent to it"):
        ssh.run(site.access, "controller", "true")


def test_says_that_the_gateway_cannot_be_reached(site: Site) -> None:
    site.stop("gateway")

    with pytest.raises(ssh.ConnectionRefused, match="lets in only the address"):
        ssh.run(site.access, "controller", "true")


def test_says_that_the_key_is_not_accepted(site: Site) -> None:
    (site.home / "authorized").write_text("")

    with pytest.raises(ssh.ConnectionRefused, match="does not accept the cluster's SSH key"):
        ssh.run(site.access, "controller", "true")


def test_works_in_a_folder_with_strange_signs(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "VOLUME_PATH", str(tmp_path))
    home = tmp_path / "a b %h 'c'"
    home.mkdir()
    key, known = home / "id x", home / "known hosts"
    shutil.copy(site.access.key, key)
    shutil.copy(site.access.known_hosts, known)
    access = replace(site.access, home=home / "cluster", key=key, known_hosts=known)

    said = ssh.run(ssh.prepare(access), "controller", "echo hello")
    shell.run(rsync.argv(access, [str(known)], rsync.remote(f"{tmp_path}/copied")))
    ssh.close(access.home)

    assert said == "hello\n"
    assert (tmp_path / "copied").read_text() == known.read_text()


# -- tunnels --------------------------------------------------------------------------------


def test_opens_a_tunnel_and_uses_it_again(site: Site, echo: Echo) -> None:
    opened = app_tunnel(site, echo.port)

    opened.ensure()
    first = said_by(opened.forward.port)
    logins = site.log("controller").count("Accepted publickey")
    opened.ensure()

    assert (first, said_by(opened.forward.port)) == ("hello", "hello")
    assert site.log("controller").count("Accepted publickey") == logins
    opened.close()
    assert not opened.is_open()
    assert tunnel.is_free(opened.forward.port)


def test_opens_a_tunnel_again_whose_machine_died(site: Site, echo: Echo) -> None:
    opened = app_tunnel(site, echo.port)
    opened.ensure()
    for name in ("controller", "gateway"):
        site.stop(name)
        site.start(name)

    opened.ensure()

    assert said_by(opened.forward.port) == "hello"
    opened.close()


def test_opens_a_tunnel_again_behind_which_nobody_answers(site: Site, echo: Echo) -> None:
    answers = iter([True, False, True])
    opened = replace(app_tunnel(site, echo.port), is_alive=lambda port: next(answers))
    opened.ensure()
    logins = site.log("controller").count("Accepted publickey")

    opened.ensure()

    assert site.log("controller").count("Accepted publickey") == logins + 1
    opened.close()


def test_tells_that_a_port_is_taken(site: Site, echo: Echo) -> None:
    forward = tunnel.Forward(port=echo.port, address="127.0.0.1", remote=1)
    taken = tunnel.Tunnel(access=site.access, forward=forward)

    with pytest.raises(tunnel.PortTaken, match=f"Port {echo.port} on this machine is taken"):
        taken.ensure()


def test_tells_that_the_api_server_does_not_answer(site: Site, echo: Echo) -> None:
    opened = replace(app_tunnel(site, echo.port), is_alive=tunnel.answers_tls)

    with pytest.raises(Exception, match="its API server does not answer") as caught:
        opened.ensure()

    assert caught.value.exit_code == 75
    assert tunnel.is_free(opened.forward.port)


# -- files ----------------------------------------------------------------------------------


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    folder = tmp_path / "here" / "in puts"
    (folder / "deep").mkdir(parents=True)
    (folder / "a $(touch x).txt").write_text("one")
    (folder / "deep" / "run.sh").write_text("two")
    (folder / "deep" / "run.sh").chmod(0o755)
    return folder


def test_puts_a_folder_under_its_name(site: Site, volume: Path, inputs: Path) -> None:
    transfer.put(site.access, VOLUME, [str(inputs)], ".", silent)

    assert (volume / "in puts/a $(touch x).txt").read_text() == "one"
    assert os.access(volume / "in puts/deep/run.sh", os.X_OK)


def test_puts_the_contents_of_a_folder(site: Site, volume: Path, inputs: Path) -> None:
    transfer.put(site.access, VOLUME, [f"{inputs}/"], "new/place/", silent)

    assert (volume / "new/place/deep/run.sh").read_text() == "two"


def test_puts_a_file_under_a_new_name(site: Site, volume: Path, inputs: Path) -> None:
    transfer.put(site.access, VOLUME, [str(inputs / "deep/run.sh")], "bin/go.sh", silent)

    assert (volume / "bin/go.sh").read_text() == "two"


def test_copies_as_the_predecessor_did(site: Site, volume: Path, inputs: Path) -> None:
    items = ["here/in puts/", "here/in puts/deep"]

    transfer.copy(site.access, VOLUME, inputs.parents[1], items, silent)

    assert sorted(path.name for path in volume.iterdir()) == ["deep", "in puts"]
    assert (volume / "deep/run.sh").read_text() == "two"


def test_mounts_the_volume_once(site: Site, volume: Path, inputs: Path, tmp_path: Path) -> None:
    for _ in range(2):
        transfer.put(site.access, VOLUME, [str(inputs)], ".", silent)

    calls = (tmp_path / "mounted").read_text().splitlines()
    assert calls == [
        "-t nfs4 -o nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport,"
        f"nosuid,nodev 10.40.128.11:/ {volume}"
    ]


def test_says_why_the_volume_cannot_be_mounted(site: Site, volume: Path, inputs: Path) -> None:
    site.program("mount", "echo mount.nfs: Connection timed out >&2; exit 32")

    with pytest.raises(FailedError, match=r"could not be made ready: mount\.nfs: Connection timed"):
        transfer.put(site.access, VOLUME, [str(inputs)], ".", silent)

    assert list(volume.iterdir()) == []


def test_gets_folders_and_files(site: Site, volume: Path, tmp_path: Path) -> None:
    (volume / "results").mkdir(parents=True)
    (volume / "results/one.json").write_text("1")
    here = tmp_path / "got"

    transfer.get(site.access, VOLUME, ["results"], f"{here}/", silent)
    transfer.get(site.access, VOLUME, ["results/"], f"{here}/flat/", silent)
    transfer.get(site.access, VOLUME, ["results/one.json"], f"{here}/x/uno.json", silent)

    found = sorted(str(path.relative_to(here)) for path in here.rglob("*.json"))
    assert found == ["flat/one.json", "results/one.json", "x/uno.json"]


def test_says_what_is_not_on_the_volume(site: Site, volume: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no resutls on the shared volume"):
        transfer.get(site.access, VOLUME, ["resutls"], str(tmp_path), silent)


def test_says_what_is_not_here(site: Site, volume: Path) -> None:
    with pytest.raises(UserError, match="There is no nowhere here; nothing was copied"):
        transfer.put(site.access, VOLUME, ["nowhere"], ".", silent)

    assert not volume.exists()


def test_goes_on_where_it_was_cut(site: Site, volume: Path, tmp_path: Path) -> None:
    big = tmp_path / "big.bin"
    big.write_bytes(os.urandom(24 << 20))
    transfer.prepare(site.access, VOLUME, (), ())
    argv = rsync.argv(site.access, [str(big)], rsync.remote(f"{volume}/"))

    with pytest.raises(KeyboardInterrupt):
        shell.stream([argv[0], "--bwlimit=8m", *argv[1:]], stop_at_a_third)
    kept = partial(volume / ".rsync-partial/big.bin")
    assert not (volume / "big.bin").exists()
    said = shell.run([argv[0], "--stats", *argv[1:]])

    matched = next(line for line in said.splitlines() if line.startswith("Matched data"))
    assert kept >= 2 << 20
    assert int("".join(filter(str.isdigit, matched))) >= 2 << 20
    assert (volume / "big.bin").read_bytes() == big.read_bytes()


def stop_at_a_third(line: str) -> None:
    """Press Ctrl-C."""
    if has_a_third(line):
        raise KeyboardInterrupt


def has_a_third(line: str) -> bool:
    now = rsync.progress(line)
    return now is not None and now.percent >= 33


def partial(path: Path) -> int:
    """The size of what the far rsync keeps, once it has noticed that we are gone."""
    end = time.monotonic() + 10
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.05)
    return path.stat().st_size


def test_shows_progress(site: Site, volume: Path, tmp_path: Path) -> None:
    (tmp_path / "big.bin").write_bytes(bytes(1 << 20))
    told: list[str] = []

    transfer.put(site.access, VOLUME, [str(tmp_path / "big.bin")], ".", told.append)

    assert told[-1].startswith("100 %")


Meanwhile = Callable[[Callable[[], object]], None]


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Let a program do something between the look at the volume and what follows it."""
    look = transfer.prepare

    def does(act: Callable[[], object]) -> None:
        def prepare(*args: Any) -> transfer.Ready:
            ready = look(*args)
            act()
            return ready

        monkeypatch.setattr(transfer, "prepare", prepare)

    return does


@pytest.fixture
def bare(site: Site) -> Site:
    """A controller without rsync."""
    only = site.programs
    for name in ("sh", "bash", "mkdir", "test", "true", "chmod", "realpath", "unshare"):
        if (found := shutil.which(name)) and not (only / name).exists():
            (only / name).symlink_to(found)
    for name, path in site.configs.items():
        text = path.read_text().replace(
            f"{only}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", str(only)
        )
        path.write_text(text)
        site.stop(name)
        site.start(name)
    return site


@pytest.mark.parametrize("direction", ["put", "get"])
def test_uses_tar_where_there_is_no_rsync(
    bare: Site, volume: Path, inputs: Path, tmp_path: Path, direction: str
) -> None:
    told: list[str] = []

    transfer.put(bare.access, VOLUME, [str(inputs)], ".", told.append)
    transfer.put(bare.access, VOLUME, [f"{inputs}/"], "flat/", told.append)
    transfer.put(bare.access, VOLUME, [f"{inputs}/deep/run.sh"], "named.sh", told.append)
    if direction == "get":
        transfer.get(bare.access, VOLUME, ["in puts", "flat/"], f"{tmp_path}/got/", told.append)

    top = volume if direction == "put" else tmp_path / "got"
    assert "no rsync" in told[0]
    assert (top / "in puts/deep/run.sh").read_text() == "two"
    flat = top / "flat" if direction == "put" else top
    assert (flat / "deep/run.sh").read_text() == "two"
    assert (volume / "named.sh").read_text() == "two"


def test_says_why_tar_has_failed(
    bare: Site, volume: Path, inputs: Path, tmp_path: Path, meanwhile: Meanwhile
) -> None:
    (volume / "in puts/deep/run.sh/taken").mkdir(parents=True)

    with pytest.raises(shell.CommandFailed, match=r"tar: .*in puts/deep/run\.sh: Cannot open"):
        transfer.put(bare.access, VOLUME, [str(inputs)], ".", silent)
    meanwhile(lambda: shutil.rmtree(volume / "in puts", ignore_errors=True))
    with pytest.raises(shell.CommandFailed, match=r"tar: .*in puts: Cannot stat"):
        transfer.get(bare.access, VOLUME, ["in puts"], f"{tmp_path}/got/", silent)


@pytest.mark.parametrize("way", ["rsync", "tar"])
def test_what_is_on_the_volume_already_keeps_its_modes(
    request: pytest.FixtureRequest, site: Site, volume: Path, inputs: Path, way: str
) -> None:
    if way == "tar":
        request.getfixturevalue("bare")
    (volume / "database").mkdir(parents=True)
    (volume / "database/key").write_text("x")
    (volume / "database/key").chmod(0o600)
    (volume / "database").chmod(0o700)

    transfer.put(site.access, VOLUME, [str(inputs)], ".", silent)
    transfer.put(site.access, VOLUME, [f"{inputs}/"], ".", silent)

    assert modes(volume / "database") == {".": "700", "key": "600"}


# -- what travels is what was meant ---------------------------------------------------------


def modes(top: Path) -> dict[str, str]:
    found = [top, *top.rglob("*")]
    return {str(p.relative_to(top)): f"{stat.S_IMODE(p.lstat().st_mode):o}" for p in found}


@pytest.mark.parametrize("way", ["rsync", "tar"])
def test_what_arrives_can_be_read_by_every_program(
    request: pytest.FixtureRequest, site: Site, volume: Path, tmp_path: Path, way: str
) -> None:
    if way == "tar":
        request.getfixturevalue("bare")
    private = tmp_path / "private"
    (private / "deep").mkdir(parents=True)
    (private / "deep").chmod(0o700)
    (private / "in.csv").write_text("1")
    (private / "in.csv").chmod(0o600)
    (private / "run.sh").write_text("1")
    (private / "run.sh").chmod(0o4700)

    transfer.put(site.access, VOLUME, [str(private)], ".", silent)
    transfer.put(site.access, VOLUME, [str(private / "in.csv")], "new/place/", silent)

    assert modes(volume / "private") == {
        ".": "1777", "deep": "1777", "in.csv": "644", "run.sh": "755",
    }  # fmt: skip
    assert modes(volume)["."] == "1777"
    assert modes(volume / "new") == {".": "777", "place": "1777", "place/in.csv": "644"}


@pytest.mark.parametrize("way", ["rsync", "tar"])
def test_a_source_that_is_a_link_is_what_it_leads_to(
    request: pytest.FixtureRequest,
    site: Site,
    volume: Path,
    inputs: Path,
    tmp_path: Path,
    way: str,
) -> None:
    if way == "tar":
        request.getfixturevalue("bare")
    (tmp_path / "data").symlink_to(inputs)
    (tmp_path / "go.sh").symlink_to(inputs / "deep/run.sh")

    done = transfer.put(
        site.access, VOLUME, [f"{tmp_path}/data", f"{tmp_path}/go.sh"], "in/", silent
    )

    assert done.left == ()
    assert not (volume / "in/data").is_symlink()
    assert (volume / "in/data/deep/run.sh").read_text() == "two"
    assert not (volume / "in/go.sh").is_symlink()
    assert (volume / "in/go.sh").read_text() == "two"


@pytest.mark.parametrize("way", ["rsync", "tar"])
@pytest.mark.parametrize("alone", [True, False])
def test_what_is_wanted_and_is_a_link_arrives_as_what_it_leads_to(
    request: pytest.FixtureRequest, site: Site, volume: Path, tmp_path: Path, way: str, alone: bool
) -> None:
    if way == "tar":
        request.getfixturevalue("bare")
    (volume / "run-42/deep").mkdir(parents=True)
    (volume / "run-42/deep/x.csv").write_text("x")
    (volume / "plain").write_text("p")
    (volume / "latest").symlink_to("run-42")
    (volume / "last.csv").symlink_to("run-42/deep/x.csv")
    wanted = ["latest", "last.csv", "plain"]
    got = tmp_path / "got"

    for sources in [[one] for one in wanted] if alone else [wanted]:
        assert transfer.get(site.access, VOLUME, sources, f"{got}/", silent).left == ()

    assert not any(path.is_symlink() for path in got.rglob("*"))
    assert (got / "latest/deep/x.csv").read_text() == "x"
    assert (got / "last.csv").read_text() == "x"
    assert (got / "plain").read_text() == "p"


@pytest.mark.parametrize("follow", [False, True])
def test_links_that_lead_out_are_told_or_followed(
    site: Site, volume: Path, inputs: Path, follow: bool
) -> None:
    project = inputs.parent / "proj"
    project.mkdir()
    (project / "set").symlink_to(inputs)
    (project / "up").symlink_to("../in puts")
    (project / "own").symlink_to("set")

    done = transfer.put(site.access, VOLUME, [str(project)], ".", silent, follow=follow)

    told = [str(link) for link in done.left]
    outward = [f"proj/set → {inputs}", "proj/up → ../in puts"]
    assert sorted(told) == ([] if follow else sorted(outward))
    assert (volume / "proj/set").is_symlink() is not follow
    assert not follow or (volume / "proj/set/deep/run.sh").read_text() == "two"


@pytest.mark.parametrize(
    ("source", "target"),
    [
        pytest.param("x/", "inputs/", id="contents"),
        pytest.param("x", "inputs/deep/er", id="below"),
        pytest.param("x/f", "inputs", id="file"),
    ],
)
def test_no_link_on_the_volume_leads_put_out_of_it(
    site: Site, volume: Path, tmp_path: Path, source: str, target: str
) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x/f").write_text("mine")
    etc = tmp_path / "etc"
    etc.mkdir()
    volume.mkdir()
    (volume / "inputs").symlink_to(etc)

    with pytest.raises(UserError, match="leads out of the shared volume"):
        transfer.put(site.access, VOLUME, [f"{tmp_path}/{source}"], target, silent)

    assert list(etc.iterdir()) == []


def test_no_link_on_the_volume_leads_get_out_of_it(
    site: Site, volume: Path, tmp_path: Path
) -> None:
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls/ca.key").write_text("key")
    volume.mkdir()
    (volume / "results").symlink_to(tmp_path / "tls")

    for source in ("results/", "results/ca.key", "results"):
        with pytest.raises(UserError, match=r"results.* leads out of the shared volume"):
            transfer.get(site.access, VOLUME, [source], f"{tmp_path}/got/", silent)

    assert not (tmp_path / "got").exists()


@pytest.mark.parametrize("way", ["rsync", "tar"])
def test_a_link_that_is_made_meanwhile_leads_nowhere(
    request: pytest.FixtureRequest,
    site: Site,
    volume: Path,
    inputs: Path,
    tmp_path: Path,
    way: str,
    meanwhile: Meanwhile,
) -> None:
    if way == "tar":
        request.getfixturevalue("bare")
    secrets = tmp_path / "server"
    secrets.mkdir()
    (secrets / "ca.key").write_text("key")
    (volume / "results").mkdir(parents=True)
    (volume / "results/ca.key").write_text("no key")

    def leads_out() -> None:
        if not (volume / "results").is_symlink():
            (volume / "results").rename(volume / "before")
            (volume / "results").symlink_to(secrets)

    meanwhile(leads_out)
    ways: list[Callable[[], object]] = [
        lambda: transfer.put(site.access, VOLUME, [f"{inputs}/"], "results/", silent),
        lambda: transfer.get(site.access, VOLUME, ["results/"], f"{tmp_path}/got/", silent),
        lambda: listing.removed(site.access, VOLUME, f"{volume}/results/ca.key"),
        lambda: listing.there(site.access, VOLUME, f"{volume}/results/"),
        lambda: listing.measured(site.access, VOLUME, f"{volume}/results/", 1),
    ]
    for one in ways:
        with contextlib.suppress(shell.CommandFailed, ClusterousError):
            assert "ca.key" not in str(one())

    assert [path.name for path in secrets.iterdir()] == ["ca.key"]
    assert list(tmp_path.glob("got/*")) == []


@pytest.mark.parametrize("way", ["rsync", "tar"])
def test_what_comes_home_is_files_and_no_more(
    request: pytest.FixtureRequest, site: Site, volume: Path, tmp_path: Path, way: str
) -> None:
    if way == "tar":
        request.getfixturevalue("bare")
    (volume / "results").mkdir(parents=True)
    (volume / "results/tool").write_text("x")
    (volume / "results/tool").chmod(0o6777)
    (volume / "results/report.csv").symlink_to("/etc/passwd")
    (volume / "results/last").symlink_to("tool")

    done = transfer.get(site.access, VOLUME, ["results"], f"{tmp_path}/got/", silent)

    assert [str(link) for link in done.left] == ["results/report.csv → /etc/passwd"]
    assert not (tmp_path / "got/results/report.csv").is_symlink()
    assert modes(tmp_path / "got/results")["tool"] == "755"
    assert os.readlink(tmp_path / "got/results/last") == "tool"
