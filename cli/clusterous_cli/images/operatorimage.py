"""Our images of a cluster: the operator's, a file or a name that was given, or made here as the
volume server's is."""

from functools import partial
from pathlib import Path
from typing import Final

from clusterous_api.errors import UserError
from clusterous_cli.images import maker
from clusterous_cli.images.assembly import archives, pull, references
from clusterous_cli.images.assembly.references import Reference
from clusterous_cli.plan.design import OwnImage
from clusterous_cli.system import assets, download
from clusterous_cli.system.download import Progress, Tell

FOLDER: Final = "operator"
VOLUME: Final = "volume"


def made(folder: str = FOLDER) -> OwnImage:
    """Return the image that can be made of the code that runs here."""
    what = maker.plan(assets.images_folder() / folder)
    return OwnImage(
        reference=what.reference,
        filename=what.filename,
        origin=f"made here, on {what.base}",
        archive=partial(maker.archive, what),
    )


def given(text: str) -> OwnImage:
    """Return the image that --operator-image names: an archive, or one of a registry."""
    path = Path(text)
    if path.is_file():
        return _file(path)
    if text.endswith((".tar", ".tar.gz", ".tgz")) or text.startswith((".", "/", "~")):
        raise UserError(f"There is no file {text}.")
    return _named(references.parse(text))


def _file(path: Path) -> OwnImage:
    name = archives.name_in(path)
    sha256 = download.sha256(path)
    return OwnImage(
        reference=name,
        # Its own name may be anything; this one stands in a table of words for the machines.
        filename=f"operator-image-{sha256[:12]}.tar",
        origin=f"the file {path}",
        sha256=sha256,
        archive=lambda tell, progress: path,
    )


def _named(wanted: Reference) -> OwnImage:
    """Return an image of a registry, as its name stands for it now; the nodes need not reach it."""
    digest, _ = pull.Registry(wanted).manifest()
    short = digest.removeprefix("sha256:")[:12]
    name, filename = f"{wanted.name}:{wanted.tag or short}", f"operator-image-{short}-amd64.tar"
    return OwnImage(
        reference=name,
        filename=filename,
        origin=str(wanted),
        archive=partial(_pulled, wanted, digest, name, filename),
    )


def _pulled(
    wanted: Reference, digest: str, name: str, filename: str, tell: Tell, progress: Progress
) -> Path:
    target = download.cache() / "images" / filename
    if not target.exists() or archives.name_in(target) != name:
        tell(str(wanted))
        exact = Reference(registry=wanted.registry, repository=wanted.repository, digest=digest)
        image = pull.Registry(exact).image(download.cache() / "blobs", progress)
        target.parent.mkdir(parents=True, exist_ok=True)
        archives.write(image, name, target)
        download.tidy()
    return download.used(target)
