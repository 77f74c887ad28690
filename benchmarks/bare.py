"""The yardstick: the least that a Flask app under Granian does to take JSON, run one script in Redis and give JSON.

It counts nothing, limits nothing, encrypts nothing, sends nothing. Run with the port as its argument; the store is in
`BENCH_REDIS_URL`.
"""

import os
import sys

import redis
from flask import Flask, request
from granian.constants import HTTPModes, Interfaces
from granian.server import Server

from verify_service.process import die_with_parent
from verify_service.serve import THREADS

SCRIPT = "return redis.call('SET', KEYS[1], ARGV[1], 'PX', 600000)"


def app() -> Flask:
    """The app, in each worker process."""
    die_with_parent()
    made = Flask(__name__)
    client = redis.Redis.from_url(os.environ["BENCH_REDIS_URL"])
    sha = client.script_load(SCRIPT)

    @made.post("/set")
    def store() -> tuple[dict[str, str], int]:
        body = request.get_json()
        client.evalsha(sha, 1, f"bare:{body['to']}", body["ip"])
        return {"to": body["to"], "status": "set"}, 201

    return made


def main() -> None:
    """Serves with Granian's own WSGI worker, and as many threads as the web role has."""
    Server(
        "benchmarks.bare:app",
        factory=True,
        address="127.0.0.1",
        port=int(sys.argv[1]),
        workers=2,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        websockets=False,
        blocking_threads=THREADS,
        backpressure=1024,
    ).serve()


if __name__ == "__main__":
    main()
