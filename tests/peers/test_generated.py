"""Clients that other tools make of `openapi.yaml`: strictly typed, and they know the members of each problem."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from verify_service.testing import start_server

TOP = Path(__file__).parent.parent.parent
TYPESCRIPT = Path(sys.prefix) / "typescript/node_modules/.bin"
PACKAGE = "verify_service_client"
NUMBER = "+14155550123"


def runs(*command: object, cwd: Path) -> str:
    """What the command says; AssertionError with it where it fails."""
    env = os.environ | {"PATH": f"{sys.prefix}/bin:{os.environ['PATH']}"}  # the generator formats with the venv's ruff
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def python_client(folder: Path) -> str:
    """Makes the client's package in the folder; what its generator said."""
    generator = (sys.executable, "-m", "openapi_python_client", "generate")
    return runs(*generator, "--path", TOP / "openapi.yaml", "--output-path", "client", "--meta", "setup", cwd=folder)


def test_typescript_narrows_a_problem_by_its_type(tmp_path: Path) -> None:
    """Of openapi-typescript's types, `retry_after` is a number on every 429, and `type` says what else there is; what
    a kind of problem does not have is an error of the compiler."""
    runs(TYPESCRIPT / "openapi-typescript", TOP / "openapi.yaml", "--output", "api.d.ts", cwd=tmp_path)
    shutil.copy(Path(__file__).parent / "typescript/narrowing.ts", tmp_path)
    runs(TYPESCRIPT / "tsc", "--strict", "--noEmit", "--target", "es2022", "narrowing.ts", cwd=tmp_path)


def test_a_python_client_is_made_without_a_warning_and_is_typed_strictly(tmp_path: Path) -> None:
    """openapi-python-client leaves nothing out, and mypy has nothing to say of what it makes, nor of who narrows it."""
    assert "WARNING" not in python_client(tmp_path)
    made = {path.stem for path in (tmp_path / "client" / PACKAGE / "api").glob("*/*.py")} - {"__init__"}
    document = yaml.safe_load((TOP / "openapi.yaml").read_bytes())
    methods = ("get", "put", "post", "delete")
    assert made == {
        item[method]["operationId"] for item in document["paths"].values() for method in methods if method in item
    }
    (tmp_path / "client/narrowing.py").write_text(f"""
from {PACKAGE}.models import RateLimited, SendsExhausted, Started

def pause(answer: RateLimited | SendsExhausted | Started) -> int:
    return 0 if isinstance(answer, Started) else answer.retry_after

def narrowed(answer: RateLimited | SendsExhausted) -> str:
    return answer.limit if answer.type_ == "/problems/rate-limited" else answer.decision
""")
    runs(sys.executable, "-m", "mypy", "--strict", PACKAGE, "narrowing.py", cwd=tmp_path / "client")


def test_a_python_client_starts_checks_and_is_told_when_to_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same package against the live service: answers and problems arrive as its own types."""
    python_client(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "client")
    client, models = importlib.import_module(PACKAGE), importlib.import_module(f"{PACKAGE}.models")
    start, check = (importlib.import_module(f"{PACKAGE}.api.verification.{name}") for name in ("start", "check"))
    running = start_server(tmp_path / "state")
    try:
        caller = client.AuthenticatedClient(running.server.url, running.server.api_key)
        started = start.sync(client=caller, body=models.StartRequest(to=NUMBER))
        again = start.sync(client=caller, body=models.StartRequest(to=NUMBER))
        wrong = check.sync(client=caller, body=models.CheckById(id=started.id, code="0000"))
        stranger = start.sync(
            client=client.AuthenticatedClient(running.server.url, "wrong"), body=models.StartRequest(to=NUMBER)
        )
    finally:
        assert running.stop() == 0
    assert isinstance(started, models.Started)
    assert isinstance(again, models.RateLimited)
    assert (again.limit, again.id, 1 <= again.retry_after <= 30) == ("cooldown", started.id, True)
    assert isinstance(wrong, models.Checked)
    assert (wrong.approved, wrong.status) == (False, "pending")
    assert isinstance(stranger, models.Unauthorized)
