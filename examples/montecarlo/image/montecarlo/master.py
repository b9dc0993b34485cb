"""The master: serves the jobs over HTTP, keeps what comes back, writes the result.

Everything that was accepted is on the shared volume before the worker hears of it, so a master
that is killed goes on where it was.
"""

import argparse
import json
import os
import signal
import socket
import sys
import threading
import time
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from montecarlo import jobs

PAGE = """<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="2">
<title>Monte Carlo</title><style>body{{font:16px system-ui;max-width:36em;margin:3em auto}}
progress{{width:100%}}td{{padding-right:2em}}</style>
<h1>Monte Carlo</h1><progress max="{jobs}" value="{done}"></progress>
<p>{done} of {jobs} jobs, {points:,} points. {line}</p>
<table>{rows}</table>"""


class Book:
    """The queue and the file behind it; one lock, since requests come in threads."""

    def __init__(self, folder: Path, queue: jobs.Queue, *, run: str) -> None:
        self.queue = queue
        self.lock = threading.Lock()
        self.finished = threading.Event()
        self._result = folder / "result.json"
        self._journal = folder / "montecarlo" / f"accepted-{run}.jsonl"
        self._journal.parent.mkdir(parents=True, exist_ok=True)
        self._recover()

    def claim(self) -> jobs.Job | None:
        with self.lock:
            return self.queue.claim()

    def give_back(self, result: jobs.Result) -> None:
        with self.lock:
            if self.queue.give_back(result):
                self._note(result)
                self._finish_if_done()

    def progress(self) -> dict[str, Any]:
        with self.lock:
            results = list(self.queue.accepted.values())
            pi, error = jobs.estimate(results) if results else (None, None)
            return {
                "jobs": len(self.queue.jobs),
                "done": len(results),
                "points": sum(result.samples for result in results),
                "pi": pi,
                "error": error,
                "repeated": self.queue.repeated,
                "refused": self.queue.refused,
                "workers": _per_worker(results),
            }

    def _recover(self) -> None:
        if self._journal.exists():
            for line in self._journal.read_text().splitlines():
                self._take_back(line)
            print(f"going on: {len(self.queue.accepted)} jobs were done before", flush=True)
        self._finish_if_done()

    def _take_back(self, line: str) -> None:
        try:
            result = jobs.Result(**json.loads(line))
        except (ValueError, TypeError):  # the last line of a master that was killed while writing
            return
        job = self.queue.jobs.get(result.id)
        if job is not None and job.samples == result.samples:
            self.queue.accepted[result.id] = result

    def _note(self, result: jobs.Result) -> None:
        with self._journal.open("a") as journal:
            journal.write(json.dumps(asdict(result)) + "\n")
            journal.flush()
            os.fsync(journal.fileno())

    def _finish_if_done(self) -> None:
        if not self.queue.is_done or self.finished.is_set():
            return
        results = sorted(self.queue.accepted.values(), key=lambda result: result.id)
        pi, error = jobs.estimate(results)
        answer = {
            "pi": pi,
            "error": error,
            "jobs": len(results),
            "points": sum(result.samples for result in results),
            "hits": sum(result.hits for result in results),
            "workers": _per_worker(results),
        }
        partial = self._result.with_suffix(".partial")
        partial.write_text(json.dumps(answer, indent=2) + "\n")
        partial.replace(self._result)
        print(f"done: pi is {pi:.6f} ± {error:.6f}", flush=True)
        self.finished.set()


class Handler(BaseHTTPRequestHandler):
    """`POST /claim` gives a job (204: wait, 410: all done), `POST /result` takes the answer."""

    protocol_version = "HTTP/1.1"
    book: Book

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/claim":
            self._claim()
        elif self.path == "/result":
            self._result(body)
        else:
            self._answer(HTTPStatus.NOT_FOUND)

    def do_GET(self) -> None:
        if self.path == "/healthz":
            self._answer(HTTPStatus.OK, {"ok": True})
        elif self.path == "/progress":
            self._answer(HTTPStatus.OK, self.book.progress())
        elif self.path == "/":
            self._send(HTTPStatus.OK, "text/html; charset=utf-8", _page(self.book.progress()))
        else:
            self._answer(HTTPStatus.NOT_FOUND)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a line for every job would hide what matters."""

    def _claim(self) -> None:
        if self.book.finished.is_set():
            self._answer(HTTPStatus.GONE)
        elif (job := self.book.claim()) is not None:
            self._answer(HTTPStatus.OK, asdict(job))
        else:
            self._answer(HTTPStatus.NO_CONTENT)

    def _result(self, body: bytes) -> None:
        try:
            result = jobs.Result(**json.loads(body))
        except (ValueError, TypeError):
            self._answer(HTTPStatus.BAD_REQUEST)
            return
        self.book.give_back(result)
        self._answer(HTTPStatus.OK, {"ok": True})

    def _answer(self, status: HTTPStatus, value: object = None) -> None:
        self._send(status, "application/json", "" if value is None else json.dumps(value))

    def _send(self, status: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        if status is not HTTPStatus.NO_CONTENT:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _per_worker(results: list[jobs.Result]) -> dict[str, int]:
    names = sorted({result.worker for result in results})
    return {name: sum(result.worker == name for result in results) for name in names}


def _page(now: dict[str, Any]) -> str:
    known = now["pi"] is not None
    line = f"π ≈ {now['pi']:.5f} ± {now['error']:.5f}" if known else "Waiting for the first job."
    rows = "".join(f"<tr><td>{name}<td>{n} jobs" for name, n in now["workers"].items())
    return PAGE.format(**now, line=line, rows=rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="montecarlo.master", description=__doc__)
    env = os.environ.get
    parser.add_argument("--jobs", type=int, default=int(env("MONTECARLO_JOBS", "300")))
    parser.add_argument("--samples", type=int, default=int(env("MONTECARLO_SAMPLES", "1000000")))
    parser.add_argument("--seed", type=int, default=int(env("MONTECARLO_SEED", "2016")))
    parser.add_argument("--lease", type=float, default=20.0, help="seconds to answer in")
    parser.add_argument("--folder", type=Path, default=Path("/home/data"))
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--stay", action="store_true", help="go on serving the page when done")
    options = parser.parse_args()

    work = jobs.split(options.jobs, options.samples, options.seed)
    Handler.book = Book(
        options.folder,
        jobs.Queue(work, clock=time.monotonic, lease=options.lease),
        run=f"{options.seed}-{options.jobs}-{options.samples}",
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # as process 1 we get no default
    server = ThreadingHTTPServer(("", options.port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"{len(work)} jobs on {socket.gethostname()}:{options.port}", flush=True)
    Handler.book.finished.wait()
    if options.stay:
        threading.Event().wait()
    time.sleep(2)  # so that workers hear that all is done, rather than find nobody


if __name__ == "__main__":
    main()
