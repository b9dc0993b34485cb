"""Programs of ours on the controller, in a root folder that has the volume and nothing else of it.

Whoever runs on the cluster can make links on the volume, also between a look and what follows it.
Here a link leads to what is on the volume, to the system's programs, which cannot be written, or
nowhere: no path reaches the controller's own files, whenever it was made.
"""

import shlex
from typing import Final

from clusterous_api import names

# Mounts are seen by what is started here and end with it; /mnt is on every Linux. Users' names are
# there for who reads a listing.
_ROOT: Final = """\
set -e
PATH=/usr/sbin:/usr/bin
mount -t tmpfs -o mode=755,size=1m none /mnt
cd /mnt
mkdir -p usr dev etc tmp ".$0"
for one in bin sbin lib lib32 lib64; do
  if [ -L /$one ]; then ln -s "$(readlink /$one)" $one
  elif [ -d /$one ]; then mkdir $one; mount --bind /$one $one; mount -o remount,bind,ro $one; fi
done
: >dev/null
mount --bind /dev/null dev/null
for one in passwd group; do cat /etc/$one >etc/$one; done
mount --bind /usr usr
mount -o remount,bind,ro usr
mount --bind "$0" ".$0"
mount -o remount,ro /mnt
exec chroot /mnt "$@"
"""


def program(*words: str) -> str:
    """Spell a program and its first *words*, more may follow, as a remote shell reads it."""
    return shlex.join(["sudo", "unshare", "--mount", "sh", "-c", _ROOT, names.VOLUME_PATH, *words])


def script(text: str) -> str:
    """Spell a script of a shell that is confined so."""
    return program("sh", "-c", text)
