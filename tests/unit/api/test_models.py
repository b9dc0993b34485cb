"""An app is read as meant, and refused in words where a schema cannot say what is wrong."""

from typing import Any

import pytest

from clusterous_api import models
from clusterous_api.errors import UserError
from clusterous_api.models import (
    ClusterVolume,
    EfsFileSystem,
    ExistingClaim,
    NewClaim,
    NfsExport,
    VolumeSource,
)


def parse(**spec: Any) -> models.App:
    body = {"metadata": {"namespace": "lab", "name": "sim", "uid": "u", "generation": 3}}
    return models.parse({**body, "spec": {"image": "i", "master": {}, **spec}})


def test_reads_names_and_generation() -> None:
    app = parse()

    assert (app.namespace, app.name, app.uid, app.generation) == ("lab", "sim", "u", 3)


def test_master_comes_first_then_workers() -> None:
    app = parse(components=[{"name": "db"}], workers={})

    assert [one.name for one in app.components] == ["master", "workers", "db"]


def test_workers_without_replicas_fill_the_cluster() -> None:
    workers = parse(workers={"min": 2, "max": 9}).workers

    assert workers is not None
    assert (workers.replicas, workers.min, workers.max) == (None, 2, 9)


def test_an_image_of_ones_own_wins() -> None:
    app = parse(components=[{"name": "db", "image": "d"}])

    assert [one.image for one in app.components] == ["i", "d"]


def test_a_newer_crd_does_not_break_an_older_reader() -> None:
    assert parse(fancy={"new": 1}, master={"newer": True}).name == "sim"


@pytest.mark.parametrize(
    ("volume", "source"),
    [
        pytest.param({}, ClusterVolume(), id="the cluster's own"),
        pytest.param({"subPath": "x"}, ClusterVolume(), id="a folder of it"),
        pytest.param({"claimName": "c"}, ExistingClaim(name="c"), id="claim"),
        pytest.param({"size": "5Gi"}, NewClaim(size="5Gi"), id="size"),
        pytest.param({"storageClassName": "s"}, NewClaim(storage_class="s"), id="class"),
        pytest.param(
            {"existing": {"nfs": {"server": "h", "path": "/p"}}},
            NfsExport(server="h", path="/p"),
            id="nfs",
        ),
        pytest.param(
            {"existing": {"efs": {"fileSystemId": "fs-1"}}},
            EfsFileSystem(file_system_id="fs-1"),
            id="efs",
        ),
    ],
)
def test_reads_the_volume(volume: dict[str, Any], source: VolumeSource) -> None:
    assert parse(sharedVolume=volume).volume.source == source


@pytest.mark.parametrize("port", ["http", 80])
def test_expose_finds_a_port_by_name_and_number(port: str | int) -> None:
    app = parse(
        master={"ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
        expose=[{"name": "page", "component": "master", "port": port}],
    )

    assert app.expose[0].port == 80


def needs(name: str, *others: str) -> dict[str, Any]:
    return {"name": name, "dependsOn": [{"name": other} for other in others]}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        pytest.param({"master": None}, "no component", id="nothing to run"),
        pytest.param({"image": ""}, "master has no image", id="no image"),
        pytest.param({"components": [needs("a", "b")]}, "depends on b", id="unknown dependency"),
        pytest.param(
            {"components": [needs("a", "b"), needs("b", "c"), needs("c", "a")]},
            "circle: a → b → c",
            id="circle",
        ),
        pytest.param(
            {"expose": [{"name": "p", "component": "db", "port": 1}]}, "names db", id="component"
        ),
        pytest.param(
            {"expose": [{"name": "p", "component": "master", "port": 1}]}, "names port 1", id="port"
        ),
    ],
)
def test_refuses(spec: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        parse(**spec)


def test_a_batch_master_and_what_must_complete_are_jobs() -> None:
    waits = [{"name": "prepare", "until": "Complete"}]
    app = parse(run="Batch", workers={"dependsOn": waits}, components=[{"name": "prepare"}])

    assert [app.is_job(one) for one in app.components] == [True, False, True]
