"""What a program needs that is not there is found before it starts."""

from pathlib import Path

from clusterous_cli.program.envfile import Component, Environment, Group
from clusterous_cli.program.former import absent


def environment(cmd: str | None = None, *groups: str) -> Environment:
    web = Component(name="web", machine="master", image="i", cpu="auto", cmd=cmd)
    return Environment(
        name="x", components=(web,), groups=tuple(Group(name=name) for name in groups)
    )


def test_what_needs_nothing_of_that_is_told_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("print('Mesos')")

    assert absent.told(environment("run", "master"), [tmp_path]) == ()


def test_machines_that_no_component_names_are_told() -> None:
    (told,) = absent.told(environment(None, "master", "spark"), [])

    assert told.startswith("cluster.spark: no component runs on these machines")


def test_files_and_commands_that_ask_mesos_are_told_once(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/go.py").write_text("mesos://controller:5050")
    (folder / "more.py").write_bytes(b"\xff mesos://x")
    (folder / "link").symlink_to(folder / "more.py")

    by_file = absent.told(environment(), [folder])
    by_command = absent.told(environment("spark --master mesos://controller:5050"), [folder])

    assert [one.partition(" asks")[0] for one in by_file] == ["files/more.py (and 1 more)"]
    assert [one.partition(" asks")[0] for one in by_command] == ["web.cmd (and 2 more)"]


def test_who_sends_to_central_logging_is_told() -> None:
    (told,) = absent.told(environment("echo '*.* @@central-logging:5514' >> /etc/rsyslog.conf"), [])

    assert told.startswith("web.cmd sends to central-logging, which listens only while")


def test_a_folder_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}").write_text("mesos://")
    absent_files = list(absent.found(tmp_path))

    assert len(absent_files) == 5
    assert absent.MOST_FILES * absent.MOST_BYTES <= 1 << 31
