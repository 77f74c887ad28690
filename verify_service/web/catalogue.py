"""The catalogue of problems: what each error means and what its reader can do about it.

Plain data, no framework: the renderer of `application/problem+json` takes the titles from here, the pages
under `/problems/` take the words, and a test holds both to `openapi.yaml`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class ProblemType:
    """One kind of error, as RFC 9457 understands it: the slug is stable, the words may improve."""

    slug: str
    """The last part of the problem's ``type``, ``/problems/<slug>``."""
    title: str
    """A short summary that is the same every time the problem occurs."""
    status: int
    """The HTTP status that always goes with it."""
    means: str
    """What happened, for the developer who just received it; `code` in backticks."""
    remedy: str
    """What to do next; `code` in backticks."""


_ALL: Final = (
    ProblemType(
        "invalid-request",
        "The request does not fit the API",
        400,
        "The body is not valid JSON, a field has the wrong type or form, a required field is missing, or "
        "a field is not one this call knows. Nothing was counted or sent.",
        "Read `errors`: each entry names the `field` and says what it should be. The fields of every call "
        "are listed at `/docs`.",
    ),
    ProblemType(
        "unauthorized",
        "No valid API key",
        401,
        "The request carries no API key, or one that this service does not know; or, on a vendor's callback, not the "
        "signature of that vendor.",
        "Send `Authorization: Bearer <api key>`. Under `verify-service run` the key lies in the file "
        "`api-key` of the state folder; elsewhere `verify-service apikey new` makes one and prints the "
        "digest to configure. For a callback, compare the secret and `public_url` in verify.toml with what the "
        "vendor was given.",
    ),
    ProblemType(
        "forbidden",
        "This is not allowed with your API key or on this server",
        403,
        "The key is valid, but its scopes do not cover this call; or the server is not set up for it, as "
        "with moving a clock that is not virtual. The `detail` says which.",
        "Use a key with the scope named in `detail`, or make one with `verify-service apikey new "
        "--scope`. The clock moves only where `VERIFY_CLOCK=virtual` is set.",
    ),
    ProblemType(
        "verification-not-found",
        "There is no such verification to act on",
        404,
        "No verification answers to this id or number under your API key. It may never have existed, have "
        "expired, been canceled, or been approved already: a check cannot tell these apart, so that a "
        "stranger learns nothing.",
        "Ask for a new code with `POST /start`. To learn how a verification ended, `GET "
        "/verifications/{id}` answers for an hour after its life.",
    ),
    ProblemType(
        "not-found",
        "Nothing lives at this address",
        404,
        "The path is not one this server has. The fake provider's paths exist only where a fake provider "
        "is configured.",
        "Compare the path with `/docs`, and check that the base URL carries no prefix of its own.",
    ),
    ProblemType(
        "method-not-allowed",
        "This address does not know that method",
        405,
        "The path exists, but not with this HTTP method.",
        "The `Allow` header of the answer lists the methods that work here.",
    ),
    ProblemType(
        "idempotency-in-flight",
        "The first request with this key is still running",
        409,
        "Another request with the same `Idempotency-Key` has not been answered yet.",
        "Wait a second and send the same request with the same key again: it then gives the first one's answer.",
    ),
    ProblemType(
        "revision-conflict",
        "The policy has changed since you looked",
        409,
        "The policy in force is not the one that `If-Match` names: somebody else has pushed another. `revision` "
        "is the one in force now. Nothing was changed.",
        "Get `/admin/policy` again, see whether your change still fits, and send it with the new `ETag` as `If-Match`.",
    ),
    ProblemType(
        "backtest-running",
        "Another backtest is running",
        409,
        "One backtest runs at a time for the whole service; `backtest` is the id of that one. No other was begun.",
        "Get `/admin/policy/backtest` until its `state` is not `running`, or cancel it; then send yours again.",
    ),
    ProblemType(
        "request-timeout",
        "The body did not come in time",
        408,
        "The head of the request was here, but not all of its body within five seconds; or so many others were slow "
        "that the oldest had to go. Nothing was counted or sent, and the connection is closed.",
        "Send the request again, with its body right behind its head. A proxy that collects the body first, as nginx "
        "does by itself, keeps slow callers from this server.",
    ),
    ProblemType(
        "payload-too-large",
        "The body is too large",
        413,
        "The request's body is larger than 16384 bytes, or a policy larger than 1048576. No call needs that much.",
        "Send only the fields of the call. Put a reference to your own data into `binding`, not the data itself.",
    ),
    ProblemType(
        "unsupported-media-type",
        "The body is of a kind that this call does not take",
        415,
        "The request has a body whose `Content-Type` is not `application/json`, or names none.",
        "Send `Content-Type: application/json` and a JSON object. With curl, add `-H 'Content-Type: "
        "application/json'`. A policy may also be sent as it is, as `application/toml`.",
    ),
    ProblemType(
        "invalid-number",
        "This is not a number that can be verified",
        422,
        "The number cannot get a code. `reason` says why: `not-a-number` (it cannot be read as one, nor as an email "
        "address where there is an @ in it), "
        "`impossible` (no such number can exist in its country), or `line-type` (a kind of line that is "
        "never texted, such as premium rate, toll-free or pager). Nothing was counted or sent.",
        "Send what the person typed, with `+` and the country code, or together with `region`, as `US`; letters and "
        "extensions are refused. For `line-type`, ask the person for a mobile number.",
    ),
    ProblemType(
        "idempotency-mismatch",
        "This key belongs to another request",
        422,
        "The `Idempotency-Key` was used before with a different body, so repeating the earlier answer would be wrong.",
        "Make a fresh random key for each new request, and reuse one only to send the very same body again.",
    ),
    ProblemType(
        "rate-limited",
        "Too many requests for now",
        429,
        "A limit was reached. `limit` names it: `cooldown` means that a resend came too early, and then "
        "`id`, `resend_at` and `expires_at` describe the code already sent; `failed-authentications` "
        "means too many wrong API keys; others are named in the policy. The refused request itself was "
        "not counted.",
        "Try again after `retry_after` seconds, which is also the `Retry-After` header. For a cooldown, "
        "let the person enter the code they have. Give the `decision` to your security team if the limit "
        "seems wrong.",
    ),
    ProblemType(
        "sends-exhausted",
        "This code was sent as often as it may be",
        429,
        "The verification has used up its messages. The code that was sent still works until it expires.",
        "Ask the person to look through the messages they have. After `retry_after` seconds the "
        "verification is over, and a start makes a new one.",
    ),
    ProblemType(
        "checks-exhausted",
        "Too many wrong codes",
        429,
        "The verification has used up its tries, so no further code is compared, not even the right one.",
        "Start a new verification after `retry_after` seconds: 0 says that it can be done at once. Limits on wrong "
        "codes per number go on counting.",
    ),
    ProblemType(
        "blocked",
        "Refused by a rule of the policy",
        403,
        "A rule of the security team's policy refused this start. `rule` names it, and `decision` is the "
        "id under which its evidence is kept. No message was sent. The rule `unreachable` is a carrier's "
        "word: messages by this channel never arrive at this number. By the rule `factors`, the policy sends no "
        "codes to a user who has a second factor.",
        "Do not retry. If the person is genuine, hand the `decision` to your security team, who can look "
        "it up and lift the block. Where the number is `unreachable`, offer another channel or number; by `factors`, "
        "ask for the code of that factor.",
    ),
    ProblemType(
        "opted-out",
        "This number asked for no more messages",
        403,
        "The person at this number replied STOP (or a word like it), and texting them again would be "
        "unlawful in many places. Nothing was counted or sent.",
        "Offer another way to sign in. The person can undo it by texting START to the same sender.",
    ),
    ProblemType(
        "store-unavailable",
        "The store cannot be reached",
        503,
        "Redis (or Valkey) did not answer in time, or cannot be written to. Treat the request as not "
        "done: no verification was answered, no code approved.",
        "Wait for `Retry-After` seconds and send the request again, with the same `Idempotency-Key` if it "
        "had one, so that nothing happens twice. If it lasts, `/readyz` says what is missing.",
    ),
)

PROBLEM_TYPES: Final[dict[str, ProblemType]] = {problem.slug: problem for problem in _ALL}
"""Every kind of problem this service answers with, by slug, in the order of the documentation."""
