"""`clusterous setup`: a configuration profile, asked for step by step or given by options."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import click

from clusterous_api.errors import UserError
from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings
from clusterous_cli.terminal.screen import Ui

if TYPE_CHECKING:
    from clusterous_cli.aws.client import Aws
    from clusterous_cli.aws.profiles import Profiles

T = TypeVar("T")

# A wrong answer may be given again, so often in all.
TRIES: Final = 4
USUAL_REGION: Final = "us-east-1"
USUAL_NAME: Final = "default"
NO_BUCKET: Final = "none"


@click.command(cls=options.Command)
@click.option("--name", metavar="NAME", help="How the profile is to be called; it must be new.")
@click.option("--access-key-id", metavar="ID", help="Keys of an IAM user, to be kept in the file.")
@click.option(
    "--secret-from",
    metavar="FILE",
    help="Where the secret key is (- is stdin); it is never an argument, which others can see.",
)
@click.option(
    "--bucket",
    metavar="NAME",
    help="A bucket for images that outlive clusters, made if it is not there; none: no bucket.",
)
@options.with_settings
def command(
    settings: Settings,
    name: str | None,
    access_key_id: str | None,
    secret_from: str | None,
    bucket: str | None,
) -> None:
    """Set this machine up: whose AWS account, which region, and where images are kept.

    It asks for what options do not say, tries it at once, and writes a configuration profile to
    ~/.clusterous.yml, which is then the current one. Keys stay where AWS's own tools have them
    (`aws configure`, `aws sso login`) unless you give others. Nothing but the bucket is made in
    AWS. Profiles that there are stay as they are (`clusterous profile`).

    Without a terminal, all must be said:

    \b
    clusterous setup --name lab --region eu-west-1 --profile work --bucket none
    clusterous setup --name ci --region eu-west-1 --bucket none \\
      --access-key-id AKIAEXAMPLE --secret-from key.txt
    """
    from clusterous_cli.aws import profiles
    from clusterous_cli.cluster.config import ClusterConfig
    from clusterous_cli.commands import opening
    from clusterous_cli.plan import cost

    ui = Ui(settings)
    known = profiles.read()
    if name is not None:
        _check_new(name, known)
    meant = profiles.said_otherwise()
    is_asked = not (settings.region and (settings.profile or access_key_id))
    keys, cloud = again(ui, is_asked, lambda: _account(ui, settings, access_key_id, secret_from))
    ui.tell(f"✓ {cloud.identity['Arn']}, {cloud.region}")
    kept = again(ui, bucket is None, lambda: _bucket(ui, cloud, bucket))
    called = again(ui, name is None, lambda: _check_new(name or _name(ui), known))
    config = {
        **keys,
        "region": cloud.region,
        **({"clusterous_s3_bucket": kept} if kept else {}),
    }
    made = profiles.Profile(name=called, config=config)

    def added(there: "Profiles") -> "Profiles":
        _check_new(called, there)  # another setup may have ended meanwhile
        return profiles.Profiles(current=called, all={**there.all, called: made})

    profiles.change(added)
    ui.tell(f"✓ {called} is the current profile ({profiles.path()})")
    if meant:
        ui.warn(f"! {meant} is set here, and goes before it.")
    smallest = ClusterConfig(name="cluster")
    price = cost.of(smallest, cloud.region, opening.asked_prices(cloud, smallest)())
    ui.tell(
        f"  A cluster as it is usual costs {price.spelled()} in {cloud.region} while it runs;"
        " `clusterous plan` says what yours would, and destroy ends it."
    )
    if kept:
        ui.tell(f"  In the cluster file: registry: {{type: s3, bucket: {kept}}}")
    if not ui.for_people:
        ui.emit({"name": called, **made.shown(), "hourly": round(price.hourly, 4)})
    ui.hint("Next: clusterous doctor · clusterous plan FILE")


def again(ui: Ui, is_asked: bool, ask: Callable[[], T]) -> T:
    """Ask again after a wrong answer, where there is a person who gave it."""
    for _ in range(TRIES - 1):
        try:
            return ask()
        except UserError as error:
            if not (is_asked and ui.can_ask):
                raise
            ui.warn(f"✗ {error}")
    return ask()


def _keys(
    ui: Ui, settings: Settings, access_key_id: str | None, secret_from: str | None
) -> dict[str, str]:
    """What of the profile says whose keys are meant: keys, or a profile of AWS's own tools."""
    from clusterous_cli.aws import profiles

    if access_key_id is None:
        of_aws = profiles.of_aws()
        usual = settings.profile or os.environ.get("AWS_PROFILE") or "default"
        if settings.profile is not None and settings.profile not in of_aws:
            raise UserError(
                f"AWS's own tools have no profile {settings.profile}"
                f" (they have: {', '.join(sorted(of_aws)) or 'none'})."
            )
        if settings.profile is not None:
            return {profiles.AWS_PROFILE: settings.profile}
        if usual in of_aws and ui.confirm(
            f"use the profile {usual} of AWS's own tools? Its keys stay there. [y/N]",
            flag="--profile",
        ):
            return {profiles.AWS_PROFILE: usual}
        access_key_id = ui.ask("access key id", flag="--profile or --access-key-id")
    secret = _secret(ui, secret_from)
    if not access_key_id or not secret:
        raise UserError("Both an access key id and a secret key are needed.")
    return {"access_key_id": access_key_id, profiles.SECRET: secret}


def _secret(ui: Ui, secret_from: str | None) -> str:
    if secret_from is None:
        return ui.ask("secret access key (not shown)", flag="--secret-from", secret=True)
    if secret_from == "-":
        return sys.stdin.readline().strip()
    try:
        return Path(secret_from).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{secret_from} cannot be read: {error}") from error


def _account(
    ui: Ui, settings: Settings, access_key_id: str | None, secret_from: str | None
) -> "tuple[dict[str, str], Aws]":
    """Ask for keys and region, and AWS whose they are."""
    from clusterous_cli.aws import client, profiles

    usual = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or USUAL_REGION
    keys = _keys(ui, settings, access_key_id, secret_from)
    region = settings.region or ui.ask("region", flag="--region", usual=usual)
    # What this process was given is not tried, but what will be in the profile.
    for variable in profiles.WHOSE:
        os.environ.pop(variable, None)
    tried = profiles.Profile(name="", config={**keys, "region": region})
    os.environ.update(tried.environment())
    cloud = client.connect(Settings(region=region))
    _ = cloud.identity
    return keys, cloud


def _bucket(ui: Ui, cloud: "Aws", bucket: str | None) -> str:
    from clusterous_cli.images import buckets

    named = bucket or ui.ask(
        "bucket for images that outlive clusters", flag="--bucket", usual=NO_BUCKET
    )
    if named == NO_BUCKET:
        return ""
    made = buckets.ensure(cloud, buckets.check_name(named))
    ui.tell(f"✓ bucket {named} {'was made' if made else 'is there'}")
    return named


def _name(ui: Ui) -> str:
    return ui.ask("name of the profile", flag="--name", usual=USUAL_NAME)


def _check_new(name: str, known: "Profiles") -> str:
    if not name or name in known.all:
        raise UserError(f"There is a profile {name} already; profiles are never overwritten.")
    return name
