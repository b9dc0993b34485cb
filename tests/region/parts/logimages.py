"""The images of central logging's light stack, at the region's Docker Hub under upstream's names.

As their publishers' own: one static program, and no other.
"""

import tempfile
from pathlib import Path
from typing import Final

import yaml

from tests.region.parts import images, logs
from tests.region.parts.cache import Found, Tell
from tests.region.parts.images import Entry, Image

NAME: Final = "log_images"
VALUES: Final = Path(__file__).parents[3] / "charts/clusterous-logging/values.yaml"
# Which of the chart's images has which program, where, and run by whom if nobody says.
PROGRAMS: Final = {
    "victoriaLogs": (logs.STORE_PROGRAM, "victoria-logs-prod", ""),
    "collector": (logs.COLLECTOR_PROGRAM, "otelcol-contrib", "10001"),
}


def build(target: Path, found: Found, tell: Tell) -> None:
    """Write the registry storage with both images."""
    named = yaml.safe_load(VALUES.read_text())["images"]
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        for key, (program, path, user) in PROGRAMS.items():
            repository, _, tag = str(named[key]).partition(":")
            entries = {path: Entry(source=found["logs"] / program)}
            layer = images.layer_from_entries(entries, Path(scratch) / f"{program}.tar")
            image = Image(
                name=f"docker.io/{repository}:{tag}",
                layers=(layer,),
                entrypoint=(f"/{path}",),
                user=user,
            )
            images.store(image, repository, tag, target)
