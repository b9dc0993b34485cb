"""Another process that makes a cluster in a test's account, and is killed in the middle of it."""

import os
import signal
import socket
import ssl
import sys
from pathlib import Path
from typing import Any

import boto3

from clusterous_cli.aws.client import Aws
from clusterous_cli.cluster import config
from clusterous_cli.turns import lock
from tests.functional import cloud


def main(port: str, folder: str, file: str, last: str) -> None:
    """Create what *file* says; of the call *last* only AWS ever hears."""
    socket.getaddrinfo = cloud.led_to(("127.0.0.1", int(port)))  # type: ignore[assignment]
    lock.RENEWED = 1.0  # type: ignore[misc]  # seconds; who waits hears sooner that it is at work
    aws = Aws(boto3.Session(), "eu-west-1")
    call = aws.call

    def dying(service: str, action: str, **params: Any) -> Any:
        answer = call(service, action, **params)
        if action == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    aws.call = dying  # type: ignore[method-assign]
    outside = Path(folder)
    outside.mkdir()
    world = cloud.World(
        server=None,  # type: ignore[arg-type]  # it is in the other process
        cloud=aws, folder=outside, port=int(port), tls=ssl.create_default_context(),
    )  # fmt: skip
    world.converge(config.parse(file)).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
