"""What central logging's light stack is made of: VictoriaLogs, and OpenTelemetry's collector.

Each is its publisher's own source, unchanged, as one static file; of the collector those parts of
its contrib distribution that the chart uses, as go-logging/collector lists them.
"""

from pathlib import Path
from typing import Final

from tests.region.parts import addons
from tests.region.parts.cache import Found, Tell

HERE: Final = Path(__file__).parent / "go-logging"
STORE: Final = HERE / "store"
COLLECTOR: Final = HERE / "collector"
STORE_PROGRAM: Final = "victoria-logs"
COLLECTOR_PROGRAM: Final = "otelcol-contrib"
STORE_PACKAGE: Final = "github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs"
SOURCES: Final = (
    *addons.sources(STORE),
    *addons.sources(COLLECTOR),
    COLLECTOR / "main.go",
    Path(__file__),
)


def build(target: Path, found: Found, tell: Tell) -> None:
    """Write TARGET/victoria-logs and TARGET/otelcol-contrib."""
    tell(STORE_PROGRAM)
    addons.compile_go(STORE, STORE_PACKAGE, "", target / STORE_PROGRAM)
    tell(COLLECTOR_PROGRAM)
    addons.compile_go(COLLECTOR, ".", "", target / COLLECTOR_PROGRAM)
