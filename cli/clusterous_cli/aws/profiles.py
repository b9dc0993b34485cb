"""Configuration profiles, as the predecessor had them: a region and keys under a name, in
~/.clusterous.yml; in the place of keys, perhaps the name of a profile of AWS's own tools.

They are not AWS's profiles, which `--profile` and AWS_PROFILE name. The current one counts where
neither an option nor the environment says whose credentials are meant.
"""

import configparser
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from clusterous_api.errors import UserError
from clusterous_cli.system import private, yamltree

FILE: Final = ".clusterous.yml"
# In the folder of our files: whose turn it is to change that one.
LOCK: Final = "profiles.lock"
KEYS: Final = ("access_key_id", "secret_access_key")
NEEDED: Final = (*KEYS, "region")
# In the place of keys: whose they are.
AWS_PROFILE: Final = "aws_profile"
# What each cluster has of its own by now.
UNUSED: Final = ("vpc_id", "key_pair", "key_file", "clusterous_s3_bucket")
SECRET: Final = "secret_access_key"
# What says whose credentials are meant.
MEANT: Final = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_ROLE_ARN")


# All that says whose keys are taken, in an order of botocore's own: a profile that a variable names
# comes behind keys in others. So nothing of another's may stand beside ours.
WHOSE: Final = (
    *MEANT,
    *("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"),
    *("AWS_CREDENTIAL_EXPIRATION", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_SESSION_NAME"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One configuration profile; *config* as the file has it."""

    name: str
    config: Mapping[str, str]

    @property
    def region(self) -> str:
        """Return its region."""
        return self.config["region"]

    def environment(self) -> dict[str, str]:
        """Return the variables by which all that speaks to AWS has its keys."""
        if AWS_PROFILE in self.config:
            return {"AWS_PROFILE": self.config[AWS_PROFILE]}
        return {
            "AWS_ACCESS_KEY_ID": self.config["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": self.config[SECRET],
        }

    def shown(self) -> dict[str, Any]:
        """Return what may be shown of it: the secret key's last letters are enough to know it."""
        secret = self.config.get(SECRET)
        hidden = {SECRET: f"…{secret[-4:]}"} if secret else {}
        return {"type": "AWS", "config": {**self.config, **hidden}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiles:
    """All of them, and which is current."""

    current: str | None = None
    all: Mapping[str, Profile] = field(default_factory=dict)

    def find(self, name: str | None) -> Profile:
        """Return the profile *name*, or the current one."""
        wanted = name or self.current
        if wanted is None:
            raise UserError("No configuration profile is current; `clusterous profile use NAME`.")
        if wanted not in self.all:
            there = ", ".join(self.all) or "none"
            raise UserError(f"There is no configuration profile {wanted} (there are: {there}).")
        return self.all[wanted]


def path() -> Path:
    """Return where the file is."""
    return private.user_folder() / FILE


def read() -> Profiles:
    """Read the file, if there is one: a container's user may have no home."""
    try:
        place = path()
    except UserError:
        return Profiles()
    try:
        text = place.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return Profiles()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{place} cannot be read: {error}") from error
    return parse(text, str(place))


def parse(text: str, source: str) -> Profiles:
    """Read the configuration profiles in *text*."""
    try:
        document = yaml.safe_load(text)
    except yamltree.UNREADABLE as error:
        raise UserError(f"{source} is not YAML: {error}") from error
    if isinstance(document, list):
        raise UserError(
            f"{source} is of a clusterous before 0.5. Keep a copy of it, remove it, and name your"
            " keys to AWS's own tools (aws configure)."
        )
    if document is None:
        return Profiles()
    listed = document.get("profiles") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(listed or {}, dict):
        raise UserError(f"{source} must be a mapping with current_profile and profiles.")
    found = {str(name): _profile(str(name), one, source) for name, one in (listed or {}).items()}
    current = document.get("current_profile")
    return Profiles(current=str(current) if current else None, all=found)


def _profile(name: str, one: object, source: str) -> Profile:
    config = one.get("config") if isinstance(one, dict) else None
    if not isinstance(config, dict):
        raise UserError(f"{source}: profile {name} has no config.")
    needed = [key for key in NEEDED if AWS_PROFILE not in config or key not in KEYS]
    if missing := [key for key in needed if not isinstance(config.get(key), str)]:
        raise UserError(f"{source}: profile {name} has no {', '.join(missing)} (as text).")
    return Profile(name=name, config={str(key): str(value) for key, value in config.items()})


def change(by: Callable[[Profiles], Profiles]) -> Profiles:
    """Write what *by* makes of the profiles that there are now; two who change them take turns.

    Else the later one would write what it had read before, and a secret key that no one else has
    would be gone.
    """
    with private.alone(private.home() / LOCK):
        changed = by(read())
        write(changed)
    return changed


def write(profiles: Profiles) -> None:
    """Write the file anew: nobody else may read the keys in it. A link to it stays one."""
    document = {
        "current_profile": profiles.current,
        "profiles": {
            name: {"type": "AWS", "config": dict(one.config)} for name, one in profiles.all.items()
        },
    }
    private.write(path().resolve(), yaml.safe_dump(document, sort_keys=False))


def of_aws() -> frozenset[str]:
    """Return the names of AWS's own profiles, as its tools find them."""
    home = Path(os.path.expanduser("~"), ".aws")  # as they do: also where there is no home
    places = {
        "AWS_CONFIG_FILE": home / "config",
        "AWS_SHARED_CREDENTIALS_FILE": home / "credentials",
    }
    found = set()
    for variable, usual in places.items():
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read(os.environ.get(variable) or usual, encoding="utf-8")
        except (configparser.Error, OSError, UnicodeDecodeError):
            continue
        found |= {re.sub(r"^profile\s+", "", section) for section in parser.sections()}
    return frozenset(found)


def said_otherwise() -> str:
    """Return the variable that says whose credentials are meant, if one is set."""
    return next((variable for variable in MEANT if os.environ.get(variable)), "")


def meant(named: str | None) -> Profile | None:
    """Return the configuration profile that counts: the one *named* so, if no profile of AWS's is,
    or the current one."""
    if named is not None:
        return None if named in of_aws() else read().all.get(named)
    if said_otherwise():
        return None
    profiles = read()
    return profiles.all.get(profiles.current) if profiles.current else None
