"""Fluent Bit's files, which no test can run here: their keys, and what they do to recorded lines.

The keys are those of its sources at 5.1 (the `config_map` of each plugin); what its engine does
with the rules of a multiline parser is done again below. The script is run by the very LuaJIT.
"""

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from lupa.luajit21 import LuaRuntime

from tests.contract.test_logging_chart import EFK, KLOG, OPEN, SPACE, YOURS, render

Object = dict[str, Any]

LINES: Final = Path(__file__).parent / "lines"

# -- keys -----------------------------------------------------------------------------------

SERVICE: Final = {
    *("flush", "grace", "log_level", "http_server", "http_port", "health_check"),
    *("scheduler.base", "scheduler.cap"),
    *("storage.path", "storage.sync", "storage.checksum", "storage.max_chunks_up"),
    "storage.backlog.mem_limit",
}
ANY_INPUT: Final = {
    *("name", "tag", "mem_buf_limit", "storage.type", "storage.pause_on_chunks_overlimit"),
}
ANY_FILTER: Final = {"name", "match"}
ANY_OUTPUT: Final = {
    *("name", "match", "host", "port", "retry_limit", "workers", "storage.total_limit_size"),
    *("tls", "tls.verify", "tls.ca_file"),
}
PLUGINS: Final[dict[str, set[str]]] = {
    "tail": {
        *("path", "exclude_path", "key", "read_from_head", "refresh_interval", "watcher_interval"),
        *("rotate_wait", "path_key", "offset_key", "ignore_older", "buffer_chunk_size"),
        *("buffer_max_size", "static_batch_size", "event_batch_size", "skip_long_lines"),
        *("skip_empty_lines", "inotify_watcher", "parser", "tag_regex", "db", "db.sync"),
        *("db.locking", "db.journal_mode", "db.compare_filename", "multiline.parser"),
    },
    "systemd": {
        *("path", "max_fields", "max_entries", "systemd_filter_type", "systemd_filter"),
        *("read_from_tail", "lowercase", "strip_underscores", "db", "db.sync"),
    },
    "multiline": {
        *("debug_flush", "buffer", "mode", "flush_ms", "multiline.parser"),
        *("multiline.key_content", "multiline.max_lines", "emitter_name", "emitter_storage.type"),
        "emitter_mem_buf_limit",
    },
    "kubernetes": {
        *("buffer_size", "merge_log", "merge_log_key", "merge_log_trim", "keep_log", "kube_url"),
        *("kube_ca_file", "kube_tag_prefix", "kube_token_file", "labels", "annotations"),
        *("namespace_labels", "namespace_annotations", "k8s-logging.parser"),
        *("k8s-logging.exclude", "use_journal", "use_kubelet", "kube_meta_cache_ttl"),
    },
    "lua": {
        *("script", "code", "call", "type_int_key", "type_array_key", "protected_mode"),
        *("time_as_table", "enable_flb_null"),
    },
    "es": {
        *("index", "type", "suppress_type_name", "http_user", "http_passwd", "http_api_key"),
        *("compress", "logstash_format", "time_key", "time_key_format", "time_key_nanos"),
        *("include_tag_key", "tag_key", "buffer_size", "path", "pipeline", "generate_id"),
        *("write_operation", "id_key", "replace_dots", "current_time_index", "trace_output"),
        "trace_error",
    },
}
OF_ANY: Final = {"inputs": ANY_INPUT, "filters": ANY_FILTER, "outputs": ANY_OUTPUT}
BUILT_IN: Final = {"docker", "cri", "go", "python", "java", "ruby"}
MULTILINE: Final = {
    *("name", "type", "parser", "key_content", "key_group", "key_pattern", "flush_timeout"),
    *("match_string", "negate", "rules"),
}


@functools.cache
def files(*values: str) -> Object:
    """Return the files that Fluent Bit gets: its configuration, every value as it is spelled."""
    (data,) = [
        each["data"]
        for each in render(*values)
        if each["kind"] == "ConfigMap" and "fluent-bit.yaml" in each["data"]
    ]
    return {**data, "read": yaml.load(data["fluent-bit.yaml"], Loader=yaml.BaseLoader)}


VALUES: Final = [
    pytest.param(EFK, id="efk"),
    pytest.param((*EFK, "level=2"), id="efk, system"),
    pytest.param(YOURS, id="an Elasticsearch of yours"),
    pytest.param(OPEN, id="an OpenSearch of yours"),
]


@pytest.mark.parametrize("values", VALUES)
def test_every_section_and_key_is_one_that_fluent_bit_knows(values: tuple[str, ...]) -> None:
    read = files(*values)["read"]

    assert set(read) == {"service", "multiline_parsers", "pipeline"}
    assert set(read["service"]) <= SERVICE
    assert set(read["pipeline"]) == set(OF_ANY)
    for kind, plugins in read["pipeline"].items():
        for plugin in plugins:
            assert set(plugin) <= OF_ANY[kind] | PLUGINS[plugin["name"]], plugin["name"]
            assert "" not in plugin.values()


@pytest.mark.parametrize("values", VALUES)
def test_every_parser_that_is_named_exists(values: tuple[str, ...]) -> None:
    read = files(*values)["read"]

    own = {one["name"] for one in read["multiline_parsers"]}
    named = [
        name
        for kind in ("inputs", "filters")
        for plugin in read["pipeline"][kind]
        for name in plugin.get("multiline.parser", "").split(",")
        if name
    ]
    assert own.isdisjoint(BUILT_IN)
    assert set(named) <= own | BUILT_IN
    assert "python" not in named, "the built-in one breaks on the carets of 3.11"


@pytest.mark.parametrize("values", VALUES)
def test_every_state_that_a_rule_names_has_a_rule(values: tuple[str, ...]) -> None:
    for parser in files(*values)["read"]["multiline_parsers"]:
        assert set(parser) <= MULTILINE
        states = {rule["state"] for rule in parser["rules"]}
        assert "start_state" in states
        assert {rule["next_state"] for rule in parser["rules"]} <= states
        for rule in parser["rules"]:
            assert set(rule) == {"state", "regex", "next_state"}
            assert rule["regex"][0] == rule["regex"][-1] == "/"
            assert not re.search(r"(?<!\\)/", rule["regex"][1:-1]), "a bare / ends it"


@pytest.mark.parametrize("values", VALUES)
def test_what_the_tag_begins_with_is_what_the_filter_takes_off(values: tuple[str, ...]) -> None:
    pipeline = files(*values)["read"]["pipeline"]

    tail = pipeline["inputs"][0]
    # `*` becomes the path, with dots for its slashes.
    made = tail["tag"].replace("*", tail["path"].lstrip("/").replace("/", "."))
    (filter,) = [one for one in pipeline["filters"] if one["name"] == "kubernetes"]
    assert made.startswith(filter["kube_tag_prefix"])
    assert pipeline["filters"][0]["name"] == "multiline", "what it joins begins anew"


@pytest.mark.parametrize("values", VALUES)
def test_nothing_is_given_up_and_nothing_twice(values: tuple[str, ...]) -> None:
    pipeline = files(*values)["read"]["pipeline"]

    (es,) = pipeline["outputs"]
    assert es["retry_limit"] == "no_limits"
    assert (es["generate_id"], es["write_operation"]) == ("on", "create")
    assert es["suppress_type_name"] == "on"
    tail = pipeline["inputs"][0]
    assert int(tail["rotate_wait"]) >= 60
    assert tail["storage.type"] == "filesystem"
    # Where a line came from is in its record, of which the id is made.
    assert {tail["path_key"], tail["offset_key"]} == {"path", "offset"}


@pytest.mark.parametrize("values", VALUES)
def test_what_fluent_bit_would_do_otherwise_is_said(values: tuple[str, ...]) -> None:
    read = files(*values)["read"]
    by_name = {one["name"]: one for one in read["pipeline"]["filters"]}
    (es,) = read["pipeline"]["outputs"]
    kubernetes, lua = by_name["kubernetes"], by_name["lua"]

    # An answer that is longer than its buffer counts as a failure, and the chunk goes out again.
    assert es["buffer_size"] == "false"
    assert kubernetes["buffer_size"] == "0"
    # A time cut to milliseconds makes one of two equal lines.
    assert (es["time_key"], es["time_key_nanos"]) == ("@timestamp", "on")
    assert lua["time_as_table"] == "true"
    assert "offset" in lua["type_int_key"].split()
    # The line stays beside what was read of it, under the one field of the mapping.
    assert (kubernetes["merge_log"], kubernetes["merge_log_key"]) == ("on", "fields")
    assert kubernetes["keep_log"] == "on"
    # After an outage it tries soon, and what it holds meanwhile is on the disk, and bounded.
    assert int(read["service"]["scheduler.cap"]) <= 5
    assert read["service"]["storage.path"].startswith("/state/")
    assert re.fullmatch(r"[1-9]\d*M", es["storage.total_limit_size"])
    assert by_name["multiline"]["emitter_storage.type"] == "filesystem"


def test_a_store_is_asked_by_tls_and_by_the_authority_that_signed() -> None:
    (ours,) = files(*EFK)["read"]["pipeline"]["outputs"]
    (yours,) = files(*YOURS)["read"]["pipeline"]["outputs"]
    (open_,) = files(*OPEN)["read"]["pipeline"]["outputs"]

    assert (ours["host"], ours["port"]) == (f"clusterous-es-http.{SPACE}.svc", "9200")
    assert (yours["host"], yours["port"]) == ("logs.example.org", "9200")
    assert ours["tls"] == yours["tls"] == open_["tls"] == "on"
    assert ours["tls.ca_file"] == open_["tls.ca_file"] == "/authority/ca.crt"
    assert "tls.ca_file" not in yours


# -- lines that are one record --------------------------------------------------------------


def joined(lines: list[str]) -> list[str]:
    """Return the records of one stream's lines, as Fluent Bit's engine makes them."""
    (parser,) = files(*EFK)["read"]["multiline_parsers"]
    rules = [
        (rule["state"], re.compile(rule["regex"][1:-1].replace("\\/", "/")), rule["next_state"])
        for rule in parser["rules"]
    ]

    def following(state: str, line: str) -> str | None:
        return next((to for at, how, to in rules if at == state and how.search(line)), None)

    made: list[list[str]] = []
    state: str | None = None
    for line in lines:
        state = following(state, line) if state else None
        if state:
            made[-1].append(line)
            continue
        made.append([line])
        state = following("start_state", line)
    return ["\n".join(one) for one in made]


TRACES: Final = ("python-plain", "python-chain", "python-group", "go")


@pytest.mark.parametrize("name", TRACES)
def test_a_trace_is_one_record(name: str) -> None:
    lines = (LINES / f"{name}.txt").read_text().splitlines()

    assert joined(["before", *lines, "after"]) == ["before", "\n".join(lines), "after"]


def test_two_traces_are_two_records_unless_python_chains_them() -> None:
    one = (LINES / "python-plain.txt").read_text().splitlines()

    assert joined([*one, *one]) == ["\n".join(one)] * 2


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(["a table", "  indented", "    more", ""], id="indented"),
        pytest.param(["same"] * 10, id="equal"),
        pytest.param(["ValueError: said, not raised", "next"], id="an exception's name"),
        pytest.param(["main.main()", "\t/src/main.go:21"], id="a trace without its head"),
    ],
)
def test_what_is_no_trace_stays_single(lines: list[str]) -> None:
    assert joined(lines) == lines


def test_streams_are_not_glued() -> None:
    (parser,) = files(*EFK)["read"]["multiline_parsers"]

    assert parser["key_group"] == "stream"


# -- the script -----------------------------------------------------------------------------

AT: Final = {"sec": 1764500000, "nsec": 42}


@functools.cache
def script(*values: str) -> Any:
    lua = LuaRuntime(unpack_returned_tuples=True)
    lua.execute(files(*values)["record.lua"])
    return lua


def plain(value: Any) -> Any:
    """Return Lua's tables as dicts."""
    return {key: plain(one) for key, one in value.items()} if hasattr(value, "items") else value


def table(lua: Any, value: Any) -> Any:
    if isinstance(value, dict):
        return lua.table_from({key: table(lua, one) for key, one in value.items()})
    return value


def run(record: Object, tag: str = "kube.x", values: tuple[str, ...] = EFK) -> Object | None:
    """Return what becomes of a record; None: it is dropped."""
    lua = script(*values)
    code, _, made = lua.globals().record(tag, table(lua, AT), table(lua, record))
    assert code in (-1, 2)
    found: Object = plain(made)
    return found if code == 2 else None


def pod(**labels: str) -> Object:
    told = {f"clusterous.io/{key.replace('_', '-')}": value for key, value in labels.items()}
    return {
        "pod_name": "sim-workers-x",
        "namespace_name": "default",
        "container_name": "workers",
        "host": "worker-1",
        "labels": told,
    }


def said(log: str, fields: Object | None = None) -> Object:
    parsed = {} if fields is None else {"fields": fields}
    record = {"log": log, "stream": "stderr", "path": "/var/log/containers/x.log", "offset": 17}
    made = run({**record, **parsed, "kubernetes": pod(app="sim", component="workers")})
    assert made is not None
    return made


def test_a_record_tells_whose_it_is_under_short_names() -> None:
    assert said("WARNING: low\n") == {
        "message": "WARNING: low",
        "level": "warning",
        "app": "sim",
        "component": "workers",
        "namespace": "default",
        "pod": "sim-workers-x",
        "container": "workers",
        "node": "worker-1",
        "stream": "stderr",
        "path": "/var/log/containers/x.log",
        "offset": 17,
        "nanoseconds": "1764500000000000042",
    }


@pytest.mark.parametrize(
    ("labels", "values", "space", "is_kept"),
    [
        pytest.param({"app": "sim"}, EFK, "default", True, id="an app"),
        pytest.param({"app": "sim", "logging": "true"}, EFK, "default", True, id="it says yes"),
        pytest.param({"app": "sim", "logging": "false"}, EFK, "default", False, id="it says no"),
        pytest.param({}, EFK, "default", False, id="somebody else's"),
        pytest.param({}, EFK, "kube-system", False, id="the system's"),
        pytest.param({}, (*EFK, "level=2"), "kube-system", True, id="the system's, level 2"),
        pytest.param({}, (*EFK, "level=2"), "default", False, id="somebody else's, level 2"),
    ],
)
def test_the_pods_of_every_app_are_kept_unless_it_says_no(
    labels: dict[str, str], values: tuple[str, ...], space: str, is_kept: bool
) -> None:
    made = run(
        {"log": "x", "kubernetes": {**pod(**labels), "namespace_name": space}}, values=values
    )

    assert (made is not None) is is_kept


def test_of_nobody_known_nothing_is_kept() -> None:
    assert run({"log": "x"}) is None


def test_json_is_told_by_its_message_and_kept_under_one_field() -> None:
    made = said("{...}", {"msg": "ready", "level": "Info", "user": {"id": 1}})

    assert (made["message"], made["level"]) == ("ready", "info")
    assert made["fields"] == {"msg": "ready", "level": "Info", "user": {"id": 1}}


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        pytest.param({"": 1}, {"_": 1}, id="a key without a name"),
        pytest.param({"a\0b": "c\0d"}, {"ab": "cd"}, id="zero bytes"),
        pytest.param({"level": 30}, {"level": 30}, id="a level that is a number"),
        pytest.param({"user": "x"}, {"user": "x"}, id="text"),
    ],
)
def test_what_the_store_would_refuse_is_made_acceptable(fields: Object, kept: Object) -> None:
    made = said("x", fields)

    assert made["fields"] == kept
    assert isinstance(made.get("level", ""), str)


def test_an_object_is_kept_as_deep_as_the_mapping_allows() -> None:
    deep: Object = {"end": 1}
    for _ in range(40):
        deep = {"in": deep}

    def depth(value: Any) -> int:
        return 1 + max(map(depth, value.values())) if isinstance(value, dict) else 0

    assert depth(said("x", deep)["fields"]) <= 20


def levels() -> Iterator[Any]:
    for name in (*TRACES, "java"):
        yield pytest.param((LINES / f"{name}.txt").read_text(), "error", id=name)
    yield pytest.param("nothing of the kind", None, id="none")
    yield pytest.param("no errors, INFORMATION only", None, id="inside of a word")
    yield pytest.param("INFO no ERROR yet", "info", id="the first word")
    for line, level in KLOG.items():
        yield pytest.param(line, level, id=line[:5])


@pytest.mark.parametrize(("text", "level"), [*levels()])
def test_how_bad_it_is(text: str, level: str | None) -> None:
    assert said(text).get("level") == level


@pytest.mark.parametrize(("line", "level"), KLOG.items())
def test_the_journal_believes_what_kubernetes_says_of_a_line(line: str, level: str | None) -> None:
    entry = {"MESSAGE": line, "PRIORITY": "6", "_SYSTEMD_UNIT": "k3s.service"}

    made = run(entry, tag="journal", values=(*EFK, "level=2"))

    assert made is not None
    assert made["level"] == (level or "info")


def test_the_journal_is_of_its_unit() -> None:
    entry = {"MESSAGE": "started", "PRIORITY": "4", "_SYSTEMD_UNIT": "k3s.service"}

    made = run(entry, tag="journal", values=(*EFK, "level=2"))

    assert made is not None
    assert (made["message"], made["level"], made["unit"]) == ("started", "warn", "k3s.service")
