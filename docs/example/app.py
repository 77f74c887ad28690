"""A login by text message, as a small Flask app: number, code, signed in.

It shows what a login flow has to get right when it calls /start and /check. Copy what you need.
"""

import hashlib
import hmac
import os
import secrets
import sys
import time
from datetime import datetime
from typing import Any

import urllib3
from flask import Flask, abort, redirect, render_template_string, request, session, url_for
from werkzeug.wrappers import Response

REGION = "US"  # for numbers that are written without a country code

PAGE = """<!doctype html>
<html lang="en"><meta name="viewport" content="width=device-width"><title>Sign in</title>
{% if notice %}<p role="alert">{{ notice }}</p>{% endif %}
{% macro hidden() %}
  <input type="hidden" name="csrf" value="{{ csrf }}"><input type="hidden" name="once" value="{{ once }}">
{% endmacro %}
{% if user %}
  <p>Signed in as {{ user }}.</p>
  <form method="post" action="{{ url_for('sign_out') }}">{{ hidden() }}<button>Sign out</button></form>
{% elif to %}
  <p>We have sent a code to {{ to }}.</p>
  <form method="post" action="{{ url_for('check') }}">{{ hidden() }}
    <label>Code <input name="code" inputmode="numeric" autocomplete="one-time-code" required autofocus></label>
    <button>Sign in</button></form>
  <form method="post" action="{{ url_for('resend') }}">{{ hidden() }}
    <button>Send it again</button>{% if wait %} possible in {{ wait }} s{% endif %}</form>
  <a href="{{ url_for('login') }}">Use another number</a>
{% else %}
  <form method="post" action="{{ url_for('start') }}">{{ hidden() }}
    <label>Mobile number <input name="number" type="tel" autocomplete="tel" required autofocus></label>
    <button>Send me a code</button></form>
{% endif %}
"""

TRY_SHORTLY = "We cannot reach our messaging service at the moment. Please try again shortly."
START_AGAIN = "This code is no longer good. Please ask for a new one."


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


def create_app(verify_url: str, api_key: str, secret_key: str) -> Flask:
    app = Flask(__name__)
    # The cookie is signed, not encrypted: it holds the visitor's own number and an id that is worth nothing without
    # the API key. Behind a proxy, wrap the app in werkzeug's ProxyFix, or every visitor has the proxy's address.
    app.config.update(
        SECRET_KEY=secret_key,
        SESSION_COOKIE_SECURE=True,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
    )
    verify = Verify(verify_url, api_key)

    def page(notice: str = "", status: int = 200) -> tuple[str, int]:
        session.setdefault("csrf", secrets.token_urlsafe())
        resend_at = datetime.fromisoformat(session["resend_at"]).timestamp() if "resend_at" in session else 0
        shown = render_template_string(
            PAGE,
            notice=notice,
            csrf=session["csrf"],
            once=secrets.token_urlsafe(),
            user=session.get("user"),
            to=session.get("to"),
            wait=max(0, round(resend_at - time.time())),
        )
        return shown, status

    def forget() -> None:
        for name in ("id", "to", "resend_at"):
            session.pop(name, None)

    def once(content: str) -> str:
        """The Idempotency-Key: a second click on the same page with the same content is the same request."""
        parts = (session["csrf"], request.form.get("once", ""), content)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def send_code(number: str) -> Response | tuple[str, int]:
        body = {"to": number, "region": REGION, "ip": request.remote_addr}
        status, answer = verify.post("/start", body, once(number))
        if status == 201:
            session.update(id=answer["id"], to=answer["to"], resend_at=answer["resend_at"])
            return redirect(url_for("code"), 303)
        if status == 429:
            return page(f"Please wait {answer['retry_after']} seconds before you ask for another code.", 429)
        if status in (400, 422):
            return page("We cannot text that number. Please check it.", 422)
        if answer.get("type") in ("/problems/opted-out", "/problems/blocked"):
            return page("We cannot send a code to this number. Please contact us.", 403)
        app.logger.error("start failed: %s %s", status, answer.get("type"))
        return page(TRY_SHORTLY, 503)

    @app.before_request
    def refuse_forged_forms() -> None:
        """A form must come from a page of ours; otherwise another site could sign a visitor in as somebody else."""
        if request.method == "POST":
            known, sent = session.get("csrf", ""), request.form.get("csrf", "")
            if not known or not hmac.compare_digest(known.encode(), sent.encode()):
                abort(400)

    @app.after_request
    def keep_out_of_caches(response: Response) -> Response:
        response.headers["Cache-Control"] = "no-store"
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
        return send_code(session["to"]) if "id" in session else redirect(url_for("login"), 303)

    @app.post("/code")
    def check() -> Response | tuple[str, int]:
        """By the id in the session: by number, a stranger could use up the owner's tries."""
        if "id" not in session:
            return redirect(url_for("login"), 303)
        typed = request.form.get("code", "")
        body = {"id": session["id"], "code": typed, "ip": request.remote_addr}
        status, answer = verify.post("/check", body, once(typed))
        if status == 200 and answer["approved"]:
            number = session["to"]
            session.clear()  # Nothing of the visitor from before goes on: not the form token either.
            session["user"] = number
            return redirect(url_for("home"), 303)
        if status == 200 and answer["status"] == "pending":
            return page(f"That is not the code. You have {answer['checks_left']} more tries.", 422)
        if status == 429 and answer["type"] == "/problems/rate-limited":
            return page(f"Please wait {answer['retry_after']} seconds before you try again.", 429)
        if status in (200, 404, 429):
            # Wrong too often, expired or used: the same words for all, since a stranger may be reading them.
            forget()
            return page(START_AGAIN, 422)
        if status == 400:
            return page("The code is the number in the message that we have sent.", 422)
        app.logger.error("check failed: %s %s", status, answer.get("type"))
        return page(TRY_SHORTLY, 503)

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
    ).run(port=5000)
