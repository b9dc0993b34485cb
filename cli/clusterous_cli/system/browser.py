"""The person's browser, where there is one to be seen."""

import os
import sys
import webbrowser
from typing import Final

# Without one of these a browser on Linux would be one in text, in the terminal of who calls.
SEEN: Final = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


def show(url: str) -> bool:
    """Open *url*; False where nobody would see it."""
    if sys.platform == "linux" and not any(os.environ.get(name) for name in SEEN):
        return False
    return webbrowser.open(url)
