"""Whether the image that machines boot is there, fits them, and has an NFS client."""

from dataclasses import dataclass
from typing import Final

from clusterous_cli.checks.check import Check, Finding, Mark, Place
from clusterous_cli.cluster.config import ClusterConfig, VolumeType
from clusterous_cli.cluster.payload import RECORD
from clusterous_cli.cluster.records import formats
from clusterous_cli.plan import design
from clusterous_cli.plan.kinds.kind import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is wanted, and the image that AWS has for it."""

    config: ClusterConfig
    image: design.Image


def look(place: Place) -> Facts:
    """Ask for the image as a plan does."""
    kept = Scope(cloud=place.aws, who=place.who).told(RECORD)
    before = None if kept is None else formats.current(formats.parsed(kept, RECORD))
    return Facts(config=place.config, image=design.image_of(place.aws, place.config, before))


def judge(facts: Facts) -> Finding:
    """Judge as a plan does; what is in an image by its id nobody can see from outside."""
    config, image = facts.config, facts.image
    named = " ".join(filter(None, (config.image, image.id if image.id != config.image else "")))
    wrong = design.misfits(config, image)
    if wrong:
        return Finding(mark=Mark.FAILURE, says="\n".join(wrong))
    if config.image.startswith("ami-") and config.volume.type is not VolumeType.NONE:
        return Finding(
            mark=Mark.UNKNOWN,
            says=f"{named} ({image.name}) is there, for {image.architecture}",
            why="whether it has an NFS client (/sbin/mount.nfs4), which the shared volume takes,"
            " only its machines can tell",
            do="of Debian and Ubuntu: install nfs-common in it",
        )
    return Finding(mark=Mark.OK, says=f"{named}, for {image.architecture}")


CHECK: Final = Check(name="image", look=look, judge=judge, drawn=True)
