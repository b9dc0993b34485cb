"""A configuration written out in full is a cluster file that says the same."""

import pytest
import yaml
from hypothesis import given, settings

from clusterous_api.errors import UserError
from clusterous_cli.cluster import config
from clusterous_cli.cluster.file import fields, written
from tests.contract import clusterfiles


@pytest.mark.parametrize(
    "text",
    [
        "name: reef\n",
        "name: 'no'\nregion: us-gov-east-1\nnetwork: {zone: b}\nworkers: 0\n",
        "name: a\npools: {cpu: 4, 'on': {labels: {x: 'true', y: ''}, taints: ['a:NoSchedule']}}\n",
        "name: a\npools: {cpu: 1, worker: 2}\n",
        "name: a\nworkers: 3\npools: {cpu: 1}\n",
        "name: a\nvolume: none\n",
        "name: a\nvolume: efs\n",
        "name: a\nvolume: {id: fs-01234567}\n",
        "name: a\nvolume: {id: vol-0123456789abcdef0, iops: 4000}\n",
        "name: a\nvolume: {size: 100, iops: 6000, throughput: 500}\n",
        "name: a\ntags: {cost: '4711', when: '2026-01-01', 'a b': 'x: y', e: ''}\n",
        "name: a\ngateway: {allow: [203.0.113.7, 10.0.0.0/8]}\n",
    ],
)
def test_it_is_read_as_what_it_was_written_from(text: str) -> None:
    wanted = config.parse(text)

    assert config.parse(written.written(wanted)) == wanted


@settings(max_examples=60)
@given(clusterfiles.RIGHT)
def test_so_are_all_files_that_are_right(content: dict[str, object]) -> None:
    try:
        wanted = config.parse(yaml.safe_dump(content))
    except UserError:
        return
    assert config.parse(written.written(wanted)) == wanted


def test_every_key_is_in_it_with_a_word_on_it() -> None:
    text = written.written(config.parse("name: reef\n"))

    for one in fields.FIELDS.values():
        assert text.count(f"# {one.what}\n") >= 1, one.what
    shown = config.parse(text.replace("# id:", "id:").replace("# zone:", "zone:"))
    assert shown.zone == "a"  # what stands behind a comment is right, too


def test_nothing_but_the_name_need_be_known() -> None:
    assert "\nworkers:\n  type: t3.large " in written.written(config.parse("name: reef\n"))
