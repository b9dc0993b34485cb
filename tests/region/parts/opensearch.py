"""OpenSearch's own engine from Maven's jars, and a program that starts one node of it."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.region.parts.cache import Found, Tell

HERE: Final = Path(__file__).parent / "java-opensearch"
NAME: Final = "opensearch"
PROGRAM: Final = "OneNode"
COPY: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
TOOLS: Final = ("mvn", "javac", "java")


def build(target: Path, found: Found, tell: Tell) -> None:
    """Write TARGET/jars and TARGET/OneNode.class."""
    missing = [name for name in TOOLS if shutil.which(name) is None]
    if missing:
        raise OSError(f"{', '.join(missing)} missing: install maven and a JDK of 17 or later.")
    jars = target / "jars"
    tell("fetching OpenSearch's jars")
    _run("mvn", "--quiet", "--batch-mode", COPY, f"--file={HERE / 'pom.xml'}",
         "-DincludeScope=runtime", f"-DoutputDirectory={jars}")  # fmt: skip
    tell("compiling the node's main")
    source = HERE / f"{PROGRAM}.java"
    _run("javac", "--class-path", f"{jars}/*", "-d", os.fspath(target), os.fspath(source))


def command(part: Path, folder: Path, port: int) -> list[str]:
    """Return what starts a node with its data in *folder*, and its API on a *port* of loopback."""
    options = ("-Xms512m", "-Xmx512m", "-XX:+UseSerialGC")
    path = f"{part}:{part}/jars/*"
    return ["java", *options, "--class-path", path, PROGRAM, os.fspath(folder), str(port)]


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(
            f"{argv[0]} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}"
        )
