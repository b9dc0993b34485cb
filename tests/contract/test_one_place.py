"""What CLI and operator must understand alike stands in the API package, once."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("crds/clusterous_api", "operator/clusterous_operator", "cli/clusterous_cli")


@pytest.mark.parametrize(
    ("sign", "place"),
    [
        pytest.param("nfsvers=", "mounts.py", id="mount options"),
        pytest.param("KMGTPE", "quantity.py", id="quantities"),
        pytest.param('"restartPolicy") == "Always"', "quantity.py", id="requests of a pod"),
    ],
)
def test_one_place_says_it(sign: str, place: str) -> None:
    files = (file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))

    found = [str(file.relative_to(ROOT)) for file in files if sign in file.read_text()]

    assert found == [f"crds/clusterous_api/{place}"]
