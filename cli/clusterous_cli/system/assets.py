"""The files that come with the package: templates, charts, recipes of images."""

import gzip
import io
import re
import tarfile
from importlib import resources as package_files
from importlib.metadata import version as installed
from importlib.util import find_spec
from pathlib import Path
from typing import Final

PACKAGE: Final = "clusterous_cli"
CRD: Final = "clusterousapps.yaml"
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


def chart_folder(name: str = "clusterous") -> Path:
    """Return where a chart is, the operator's or *name*: in the wheel, or in the checkout."""
    return _folder("_charts", "charts") / name


def images_folder() -> Path:
    """Return where the recipes of our images are: in the wheel, or in the checkout."""
    return _folder("_images", "images")


def _folder(packaged: str, checkout: str) -> Path:
    here = Path(__file__).parents[1]
    inside = here / packaged
    return inside if inside.is_dir() else here.parents[1] / checkout


def package(name: str) -> dict[str, bytes]:
    """Return the files of one of our import packages, which is not imported for that."""
    found = find_spec(name)
    assert found is not None
    assert found.submodule_search_locations is not None, name
    folder = Path(found.submodule_search_locations[0])
    files = {
        path: path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.parent.name != "__pycache__"
    }
    # In a checkout the CRD lies beside the package that takes it along.
    beside = {folder / one.name: one.read_bytes() for one in folder.parent.glob(CRD)}
    own = {**beside, **files} if name == "clusterous_api" else files
    return {f"{name}/{path.relative_to(folder).as_posix()}": text for path, text in own.items()}


def chart_archive(folder: Path) -> bytes:
    """Pack a chart as `helm package` does; the same files always give the same bytes."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted(folder.rglob("*")):
            if not path.is_file() or any(part.startswith(".") for part in path.parts[-1:]):
                continue
            content = path.read_bytes()
            entry = tarfile.TarInfo(f"{folder.name}/{path.relative_to(folder).as_posix()}")
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(inner.getvalue(), mtime=0)
