"""A worker: fetches a job, throws its points, returns the result, until there are no more.

The master may be away for a while (it is restarted, its node died); a worker asks again. When
asked to stop, it finishes the job in hand first.
"""

import argparse
import http.client
import json
import os
import signal
import socket
import threading
import time
from dataclasses import asdict

from montecarlo import jobs


class MasterAway(Exception):
    """The master does not answer just now."""


def ask(address: str, path: str, value: object = None) -> tuple[int, bytes]:
    """Post *value* as JSON to the master; raise MasterAway while nobody answers there."""
    host, _, port = address.partition(":")
    connection = http.client.HTTPConnection(host, int(port or 8080), timeout=10)
    try:
        body = "" if value is None else json.dumps(value)
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise MasterAway(str(error)) from error
    finally:
        connection.close()


def persist(address: str, path: str, value: object, stop: threading.Event) -> tuple[int, bytes]:
    """Ask until the master answers or we are told to stop; wait longer each time, 5 s at most."""
    pause = 0.2
    while True:
        try:
            return ask(address, path, value)
        except MasterAway as error:
            if stop.is_set():
                raise
            print(f"the master is away ({error}); asking again in {pause:.1f} s", flush=True)
            stop.wait(pause)
            pause = min(5.0, pause * 2)


def work(address: str, name: str, stop: threading.Event) -> int:
    """Do jobs until all are done or we are told to stop; return how many."""
    count = 0
    while not stop.is_set():
        status, body = persist(address, "/claim", None, stop)
        if status == http.client.GONE:
            break
        if status != http.client.OK:
            stop.wait(0.5)
            continue
        job = jobs.Job(**json.loads(body))
        result = jobs.Result(id=job.id, samples=job.samples, hits=jobs.throw(job), worker=name)
        persist(address, "/result", asdict(result), stop)
        count += 1
    return count


def main() -> None:
    host = os.environ.get("CLUSTEROUS_MASTER_HOST", "master")
    parser = argparse.ArgumentParser(prog="montecarlo.worker", description=__doc__)
    parser.add_argument("--master", default=f"{host}:8080", metavar="HOST:PORT")
    options = parser.parse_args()

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    count = work(options.master, socket.gethostname(), stop)
    print(f"{count} jobs done here", flush=True)
    while not stop.is_set():  # a Deployment would start us again; wait to be told
        time.sleep(0.2)


if __name__ == "__main__":
    main()
