"""A login by text message, as a small Flask app: number, code, signed in.

It shows what a login flow has to get right when it calls /start and /check. Copy what you need.
"""

import hashlib
import hmac
import json
import math
import os
import secrets
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import urllib3
from flask import Flask, abort, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

HERE = Path(__file__).parent
REGION = "US"  # for numbers that are written without a country code
DIGITS = 6  # of a code, as the policy of the service has it: with the last one, the page sends itself
# What a person is told, by the kind of problem. A kind that is not here is for who runs this app, and goes to its log.
SENTENCES = json.loads((HERE / "sentences.json").read_text("utf-8"))
OF_A_FIELD = {"to": "invalid-number", "region": "invalid-number", "channel": "no-call", "code": "no-code"}
OVER = ("checks-exhausted", "verification-not-found")
MOST_BYTES = 4096  # of a form; the service takes no more of a field
CSP = "default-src 'none'; script-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


class Verify:
    """The two calls. The API key stays on this server; a browser never sees it."""

    def __init__(self, url: str, api_key: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._pool = urllib3.PoolManager(timeout=urllib3.Timeout(connect=1, read=3), retries=False)

    def post(self, path: str, body: dict[str, Any], once: str) -> tuple[int, dict[str, Any]]:
        """(status, answer); 503 and {} where there is none. The same `once` has its effect once, so a lost answer is
        asked for again: no second message, no second try spent."""
        headers = {**self._headers, "Idempotency-Key": once}
        for _ in range(2):
            try:
                answer = self._pool.request("POST", self._url + path, json=body, headers=headers)
                return answer.status, answer.json()
            except (urllib3.exceptions.HTTPError, ValueError):
                continue
        return 503, {}


def kind_of(problem: dict[str, Any]) -> str:
    """The sentence's name for a problem that the service answered: the end of its `type`, or more exactly."""
    kind: str = problem.get("type", "").rpartition("/")[2]
    if kind == "invalid-request":
        return OF_A_FIELD.get(problem["errors"][0]["field"], kind)
    return "cooldown" if problem.get("limit") == "cooldown" else kind


def in_words(seconds: int) -> str:
    size, unit = next(each for each in ((3600, "h"), (60, "min"), (1, "s")) if seconds >= 2 * each[0] or each[0] == 1)
    return f"{math.ceil(seconds / size)} {unit}"


def create_app(verify_url: str, api_key: str, secret_key: str, host: str = "localhost") -> Flask:
    """`host` is where browsers find the app. The text names it, so that they fill the code in here and nowhere else. It
    is a setting: a stranger chooses the Host header, and could have a code sent that is for a site of their own."""
    app = Flask(__name__, root_path=str(HERE))
    # The cookie is signed, not encrypted: it holds the visitor's own number and an id that is worth nothing without
    # the API key. Behind a proxy, wrap the app in werkzeug's ProxyFix, or every visitor has the proxy's address.
    app.config.update(
        SECRET_KEY=secret_key,
        MAX_CONTENT_LENGTH=MOST_BYTES,
        SESSION_COOKIE_SECURE=True,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
    )
    verify = Verify(verify_url, api_key)

    def page(sentence: str = "", status: int = 200, **facts: object) -> tuple[str, int]:
        session.setdefault("csrf", secrets.token_urlsafe())
        shown = render_template(
            "login.html",
            notice=SENTENCES[sentence].format(**facts) if sentence else "",
            once=secrets.token_urlsafe(),
            digits=DIGITS,
            wait=max(0, math.ceil(session.get("resend_at", 0) - time.time())),
        )
        return shown, status

    def forget() -> None:
        for name in ("id", "to", "channel", "resend_at", "no_calls"):
            session.pop(name, None)

    def refused(problem: dict[str, Any]) -> tuple[str, int]:
        kind = kind_of(problem)
        if kind not in SENTENCES:
            app.logger.error("the service says %s %s", problem.get("status"), problem.get("type"))
            return page("unavailable", 503)
        if kind in OVER:
            forget()
        if kind == "no-call":
            session["no_calls"] = True
        status = problem["status"] if problem["status"] in (403, 429) else 422
        return page(kind, status, wait=in_words(problem.get("retry_after", 0)))

    def once(*content: str) -> str:
        """The Idempotency-Key: a second click on the same page with the same content is the same request."""
        parts = (session["csrf"], request.form.get("once", ""), *content)
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def send_code(number: str, channel: str = "sms") -> Response | tuple[str, int]:
        body = {"to": number, "region": REGION, "channel": channel, "origin": host, "ip": request.remote_addr}
        status, answer = verify.post("/start", body, once(number, channel))
        if status != 201:
            return refused(answer)
        resend_at = datetime.fromisoformat(answer["resend_at"]).timestamp()
        session.update(id=answer["id"], to=answer["to"], channel=answer["channel"], resend_at=resend_at)
        return redirect(url_for("code"), 303)

    @app.before_request
    def refuse_forged_forms() -> None:
        """A form must come from a page of ours; otherwise another site could sign a visitor in as somebody else."""
        if request.method == "POST":
            known, sent = session.get("csrf", ""), request.form.get("csrf", "")
            if not known or not hmac.compare_digest(known.encode(), sent.encode()):
                abort(400)

    @app.after_request
    def guard(response: Response) -> Response:
        """No copy is kept, no script runs but ours, and no other page shows this one in a frame."""
        response.headers.update({"Cache-Control": "no-store", "Content-Security-Policy": CSP})
        return response

    @app.get("/")
    def home() -> Response | tuple[str, int]:
        return page() if "user" in session else redirect(url_for("login"), 303)

    @app.get("/login")
    def login() -> tuple[str, int]:
        forget()
        return page()

    @app.post("/login")
    def start() -> Response | tuple[str, int]:
        return send_code(request.form.get("number", ""))

    @app.get("/code")
    def code() -> Response | tuple[str, int]:
        return page() if "id" in session else redirect(url_for("login"), 303)

    @app.post("/resend")
    def resend() -> Response | tuple[str, int]:
        if "id" not in session:
            return redirect(url_for("login"), 303)
        return send_code(session["to"], "voice" if request.form.get("channel") == "voice" else "sms")

    @app.post("/code")
    def check() -> Response | tuple[str, int]:
        """By the id in the session: by number, a stranger could use up the owner's tries."""
        if "id" not in session:
            return redirect(url_for("login"), 303)
        typed = request.form.get("code", "")
        body = {"id": session["id"], "code": typed, "ip": request.remote_addr}
        status, answer = verify.post("/check", body, once(typed))
        if status != 200:
            return refused(answer)
        if answer["approved"]:
            number = session["to"]
            session.clear()  # Nothing of the visitor from before goes on: not the form token either.
            session["user"] = number
            return redirect(url_for("home"), 303)
        if answer["status"] == "pending":
            return page("wrong", 422, left=answer["checks_left"])
        return refused({"type": "/problems/checks-exhausted", "status": 429})

    @app.post("/sign-out")
    def sign_out() -> Response:
        session.clear()
        return redirect(url_for("login"), 303)

    return app


if __name__ == "__main__":
    if not os.environ.get("LOGIN_API_KEY"):
        sys.exit("LOGIN_API_KEY is not set; beside `make run` it is what the file .verify/api-key has")
    create_app(
        os.environ.get("LOGIN_VERIFY_URL", "http://127.0.0.1:8080"),
        os.environ["LOGIN_API_KEY"],
        os.environ.get("LOGIN_SECRET_KEY") or secrets.token_hex(),
        os.environ.get("LOGIN_HOST", "localhost"),
    ).run(port=5000)
