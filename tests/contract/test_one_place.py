"""What several places must understand alike is spelled in one of them."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("crds/clusterous_api", "operator/clusterous_operator", "cli/clusterous_cli")
API = PACKAGES[0]
PRIVATE = "cli/clusterous_cli/system/private.py"
SSH = "cli/clusterous_cli/reach/ssh.py"
REFERENCES = "cli/clusterous_cli/images/assembly/references.py"


@pytest.mark.parametrize(
    ("sign", "place"),
    [
        pytest.param("nfsvers=", f"{API}/mounts.py", id="mount options"),
        pytest.param("field not declared", f"{API}/applying.py", id="what an answer 500 means"),
        pytest.param("KMGTPE", f"{API}/quantity.py", id="quantities"),
        pytest.param(
            '"restartPolicy") == "Always"', f"{API}/quantity.py", id="what a pod requests"
        ),
        pytest.param("Path.home()", PRIVATE, id="the person's own folder"),
        pytest.param("secrets.json", "cli/clusterous_cli/cluster/payload.py", id="where keys are"),
        pytest.param("[._]|__|-+", REFERENCES, id="names of images"),
        pytest.param('"--protect-args"', SSH, id="how rsync is asked"),
        pytest.param('uname=""', SSH, id="archives without owners"),
        pytest.param("0o600", PRIVATE, id="files that only we may read"),
    ],
)
def test_one_place_says_it(sign: str, place: str) -> None:
    files = (
        file
        for package in PACKAGES
        for kind in ("*.py", "*.sh")
        for file in (ROOT / package).rglob(kind)
    )

    found = [str(file.relative_to(ROOT)) for file in files if sign in file.read_text()]

    assert found == [place]
