"""A login that leaves the code to the hosted page: a number, a redirect there, and the browser is back, signed in."""

import hmac
import os
import secrets

import urllib3
from flask import Flask, abort, redirect, request, session, url_for
from markupsafe import escape
from werkzeug.wrappers import Response

URL = os.environ.get("LOGIN_VERIFY_URL", "http://127.0.0.1:8080")
PAGE = (
    '<!doctype html><title>Sign in</title><form method="post"><input name="number" type="tel"><button>Sign in</button>'
)
app = Flask(__name__)
app.config.update(SECRET_KEY=secrets.token_hex(), SESSION_COOKIE_SECURE=True, SESSION_COOKIE_SAMESITE="Lax")


def verify(method: str, path: str, body: object = None) -> urllib3.BaseHTTPResponse:
    headers = {"Authorization": f"Bearer {os.environ['LOGIN_API_KEY']}"}
    return urllib3.request(method, URL + path, json=body, headers=headers, timeout=3)


@app.get("/")
def home() -> str:
    return f"Signed in as {escape(session['user'])}." if "user" in session else PAGE


@app.post("/")
def login() -> Response:
    page = {"return_url": url_for("back", _external=True), "state": secrets.token_urlsafe()}
    number, address = request.form.get("number", ""), request.remote_addr
    answer = verify("POST", "/start", {"to": number, "region": "US", "ip": address, "page": page})
    if answer.status != 201:
        abort(422, "We cannot send a code to this number now.")
    started = answer.json()
    session["asked"] = page["state"], started["id"], started["to"]
    return redirect(started["page"], 303)


@app.get("/back")
def back() -> Response:
    state, verification, number = session.pop("asked", ("", "", ""))
    if not state or not hmac.compare_digest(state.encode(), request.args.get("state", "").encode()):
        abort(400, "This browser was not sent there by us.")
    if verify("GET", f"/verifications/{verification}").json().get("status") == "approved":
        session["user"] = number  # The address says so as well, but anybody can type that.
    return redirect(url_for("home"), 303)


if __name__ == "__main__":
    app.run(port=5000)
