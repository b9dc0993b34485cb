"""The programs that come from elsewhere are of the versions that are told."""

import re
from pathlib import Path

import pytest

from tests.region.parts import addons, buildkit

LINE = re.compile(
    r"^\t(?P<name>[^\s]+)(?: => (?P<other>[^\s]+))? (?P<version>v[^\s]+)", re.MULTILINE
)


def versions(module: Path) -> dict[tuple[str, str], str]:
    """Return the version of each module that is required, and of each that replaces one."""
    found = LINE.finditer((module / "go.mod").read_text())
    return {(each["name"], each["other"] or ""): each["version"] for each in found}


@pytest.mark.parametrize(
    ("module", "name", "version"),
    [
        (addons.METRICS, "sigs.k8s.io/metrics-server", addons.METRICS_VERSION),
        (addons.CLOUD, "k8s.io/cloud-provider-aws", addons.CLOUD_VERSION),
        (buildkit.MODULE, "github.com/moby/buildkit", buildkit.VERSION),
    ],
)
def test_the_version_that_is_told_is_the_one_that_is_compiled(
    module: Path, name: str, version: str
) -> None:
    assert versions(module)[name, ""] == version
