"""Whose an API key is: keys are known by their digest, and wrong ones are limited."""

from flask import Request, request

from verify_service.codes import api_key_digest
from verify_service.config import Principal
from verify_service.errors import RateLimited, Unauthorized
from verify_service.model import Actor
from verify_service.web.context import context


def principal(key: str, address: str | None) -> Principal:
    """Raises Unauthorized, or RateLimited where too many wrong keys came from the caller's address."""
    # Keys are 256 random bits looked up by their SHA-256, so neither guessing nor timing helps a stranger.
    known = context().config.principals.get(api_key_digest(key))
    if known is None:
        wait = context().failures.hit(address or "")
        if wait:
            raise RateLimited(
                "Too many wrong API keys came from this address.", limit="failed-authentications", retry_after=wait
            )
        raise Unauthorized("This API key is not known here.")
    return known


def caller(tenant: str, *, application: bool = False) -> Actor:
    """Who calls, by whose key and from where; an `application` where a key that may only verify will do."""
    return Actor(f"api:{tenant}", request.remote_addr or "", application)


def bearer(request: Request) -> Principal:
    """Who calls with an API key as bearer token. Raises as `principal` does."""
    scheme, _, key = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Unauthorized("Send the API key as `Authorization: Bearer <api key>`.")
    return principal(key.strip(), request.remote_addr)
