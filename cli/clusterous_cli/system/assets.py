"""The files that come with the package: templates of the boot scripts, and the operator's chart."""

import gzip
import io
import re
import tarfile
from importlib import resources as package_files
from importlib.metadata import version as installed
from pathlib import Path
from typing import Final

PACKAGE: Final = "clusterous_cli"
MARK: Final = re.compile(r"@([A-Z][A-Z0-9_]*)@")


def version() -> str:
    """Return our version."""
    return installed("clusterous")


def template(name: str) -> str:
    """Return the text of a template."""
    return (package_files.files(PACKAGE) / "boot" / "templates" / name).read_text(encoding="utf-8")


def render(text: str, **values: str) -> str:
    """Fill in every @MARK@; one without a value is a mistake of ours and raises KeyError."""
    return MARK.sub(lambda found: values[found[1]], text)


def chart_folder() -> Path:
    """Return where the operator's chart is: in the wheel, or in the checkout."""
    here = Path(__file__).parents[1]
    packaged = here / "_charts" / "clusterous"
    return packaged if packaged.is_dir() else here.parents[1] / "charts" / "clusterous"


def chart_archive(folder: Path) -> bytes:
    """Pack a chart as `helm package` does; the same files always give the same bytes."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted(folder.rglob("*")):
            if not path.is_file() or any(part.startswith(".") for part in path.parts[-1:]):
                continue
            content = path.read_bytes()
            entry = tarfile.TarInfo(f"clusterous/{path.relative_to(folder).as_posix()}")
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(inner.getvalue(), mtime=0)
