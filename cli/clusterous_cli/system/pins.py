"""The sums and digests that come with this version: each was fetched from its publisher.

`make pins` fetches them. Where there is none the publisher's own word counts.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from clusterous_cli.system import assets

FILE: Final = "pins.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """SHA-256 of files by their addresses, digests of images by their names."""

    files: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)

    def pinned(self, image: str) -> str:
        """Return the name of an image, with its digest where there is one."""
        digest = self.images.get(image)
        return f"{image}@{digest}" if digest and "@" not in image else image


def read() -> Pins:
    """Read the pins that come with the package."""
    said = json.loads((assets.images_folder() / FILE).read_text(encoding="utf-8"))
    return Pins(files=said["files"], images=said["images"])
