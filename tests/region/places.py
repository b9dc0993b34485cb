"""Where a region keeps what: its state is one folder, which goes away with it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

STATE_ROOT: Final = Path("/var/tmp/clusterous-region")
DEFAULT_NAME: Final = "cr"
LONGEST_NAME: Final = 8

CHECKOUT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The files of the region called *name*."""

    name: str

    @property
    def state(self) -> Path:
        return STATE_ROOT / self.name

    @property
    def control(self) -> Path:
        """The daemon's socket; a path of more than 107 characters would not do."""
        return self.state / "control.sock"

    @property
    def facts(self) -> Path:
        """What the daemon tells those who use the region: JSON, for root only."""
        return self.state / "region.json"

    @property
    def pid(self) -> Path:
        return self.state / "region.pid"

    @property
    def log(self) -> Path:
        return self.state / "logs/region.log"

    @property
    def tls(self) -> Path:
        return self.state / "tls"

    @property
    def efs(self) -> Path:
        return self.state / "efs"

    @property
    def ebs(self) -> Path:
        return self.state / "ebs"

    @property
    def registry(self) -> Path:
        return self.state / "registry"

    @property
    def hub(self) -> Path:
        return self.state / "hub"

    @property
    def temporary(self) -> Path:
        """What the daemon and its children take for /tmp, so that nothing of theirs stays there."""
        return self.state / "tmp"

    @property
    def laptop(self) -> Path:
        """The home folder of the person at the laptop."""
        return self.state / "laptop"

    @property
    def runtime(self) -> Path:
        return self.state / "run"

    @property
    def group(self) -> str:
        """The control group of the daemon and of all that it starts, machines apart."""
        return f"clusterous-daemon/{self.name}"

    @property
    def prefix(self) -> str:
        """How the names of the region's namespaces start."""
        return f"{self.name}-"
