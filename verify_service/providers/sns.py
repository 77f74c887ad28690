"""Amazon SNS as a topic calls an HTTPS subscriber: whether a message is SNS's own, and saying yes to a subscription.

Written after https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html.
"""

import base64
import math
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from verify_service.errors import DeliveryError, Forged, Unavailable
from verify_service.model import Callback, Clock
from verify_service.providers import http

_CERTIFICATE = re.compile(r"/SimpleNotificationService-[0-9a-zA-Z]{1,64}\.pem")
_MOST_CERTIFICATES = 16
_PATIENCE_S = 3.0
# Fetches in so many seconds, and how long one that was in vain is not tried again. SNS has a new one once a year.
_MOST_FETCHES, _AGAIN_S = 12, 60.0
_SHORTEST_SIGNATURE, _LONGEST_SIGNATURE = 256, 512
# SNS repeats a call for an hour or so where it was not taken; what was signed long before may be a recording.
_FRESH_S = 25 * 3600
# What is signed, in this order, each with its name before it; `Subject` only where there is one.
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
# The topic says which: its attribute SignatureVersion.
_HASHES: dict[str, hashes.HashAlgorithm] = {"1": hashes.SHA1(), "2": hashes.SHA256()}  # noqa: S303


def fetch(url: str) -> bytes:
    """What an HTTPS URL of Amazon's answers. Raises Unavailable where it does not."""
    endpoint = http.Endpoint(url, _PATIENCE_S)
    try:
        answer = endpoint.get()
    finally:
        endpoint.close()
    if not answer.accepts:
        raise Unavailable(f"HTTP {answer.status} from SNS")
    return answer.body


class Topics:
    """The topics whose word is taken."""

    def __init__(self, arns: frozenset[str], clock: Clock, get: Callable[[str], bytes] = fetch) -> None:
        """`get` fetches a certificate, or visits the address that confirms a subscription."""
        self._arns = arns
        self._clock = clock
        self._get = get
        self._certificates = _Certificates(get)

    def read(self, call: Callback) -> str | None:
        """The message in a call; None where it was about the subscription itself, which is confirmed if it is new.

        Raises Forged for what is not signed by SNS for one of the topics, ValueError for what cannot be read, and
        Unavailable or Uncertain where SNS cannot be asked for its certificate.
        """
        told = http.json(call.body, dict[str, object])
        fields = {name: value for name, value in told.items() if isinstance(value, str)}
        kind = fields.get("Type", "")
        if kind not in _SIGNED:
            raise ValueError("no message of SNS's")
        if fields.get("TopicArn") not in self._arns:
            raise Forged("from a topic that is not ours")
        self._check(fields, _SIGNED[kind])
        if kind == "Notification":
            return fields["Message"]
        if kind == "SubscriptionConfirmation":
            self._get(_trusted(fields["SubscribeURL"], fields["TopicArn"]))
        return None

    def _check(self, fields: dict[str, str], signed: tuple[str, ...]) -> None:
        missing = [name for name in signed if name not in fields and name != "Subject"]
        algorithm = _HASHES.get(fields.get("SignatureVersion", ""))
        if missing or algorithm is None:
            raise Forged("not signed as SNS signs")
        text = "".join(f"{name}\n{fields[name]}\n" for name in signed if name in fields)
        # Whatever costs nothing comes before the certificate: anybody may know a topic's name.
        try:
            signature = base64.b64decode(fields.get("Signature", ""), validate=True)
            signed_at = datetime.fromisoformat(fields["Timestamp"]).astimezone(UTC)
        except (ValueError, OverflowError):
            raise Forged("not signed as SNS signs") from None
        if not _SHORTEST_SIGNATURE <= len(signature) <= _LONGEST_SIGNATURE:
            raise Forged("not signed as SNS signs")
        if abs(signed_at.timestamp() - self._clock.now() / 1000) > _FRESH_S:
            raise Forged("signed too long ago")
        url = _trusted(fields.get("SigningCertURL", ""), fields["TopicArn"])
        if not _CERTIFICATE.fullmatch(url.removeprefix(f"https://{urlsplit(url).netloc}")):
            raise Forged("its certificate is not at SNS")
        try:
            self._certificates.key(url).verify(signature, text.encode(), padding.PKCS1v15(), algorithm)
        except InvalidSignature:
            raise Forged("no signature of SNS's") from None


class _Certificates:
    """The certificates that SNS signs with. Each is trusted for where it comes from (TLS to a host of Amazon's), while
    it is valid, and kept, since SNS names a new one anew."""

    def __init__(self, get: Callable[[str], bytes]) -> None:
        self._get = get
        self._known: dict[str, x509.Certificate] = {}
        self._fetching = threading.Lock()
        self._fetches: deque[float] = deque(maxlen=_MOST_FETCHES)
        self._failed: dict[str, float] = {}

    def key(self, url: str) -> rsa.RSAPublicKey:
        """The key in a certificate. Raises Forged where it is none of SNS's, and Unavailable where it cannot be had
        now: one is asked for already, too many were, or this one was in vain."""
        found = self._known.get(url) or self._fetched(url)
        key = found.public_key()
        if not found.not_valid_before_utc <= datetime.now(UTC) <= found.not_valid_after_utc:
            self._known.pop(url, None)
            raise Forged("its certificate is not valid any more")
        if not isinstance(key, rsa.RSAPublicKey):
            raise Forged("not SNS's kind of key")
        return key

    def _fetched(self, url: str) -> x509.Certificate:
        if not self._fetching.acquire(blocking=False):
            raise Unavailable("SNS is being asked for a certificate")
        try:
            if known := self._known.get(url):
                return known
            now = time.monotonic()
            if now - self._failed.get(url, -math.inf) < _AGAIN_S:
                raise Unavailable("SNS had no such certificate a moment ago")
            if len(self._fetches) == _MOST_FETCHES and now - self._fetches[0] < _AGAIN_S:
                raise Unavailable("SNS was asked for too many certificates")
            self._fetches.append(now)
            try:
                known = x509.load_pem_x509_certificate(self._get(url))
            except (DeliveryError, ValueError):
                self._failed = {each: at for each, at in self._failed.items() if now - at < _AGAIN_S} | {url: now}
                raise Unavailable("SNS has no such certificate") from None
            while len(self._known) >= _MOST_CERTIFICATES:
                self._known.pop(next(iter(self._known)))
            self._known[url] = known
            return known
        finally:
            self._fetching.release()


def _trusted(url: str, arn: str) -> str:
    """The URL, if it leads to SNS in the region of a topic (its ARN), by HTTPS and no port or user of a stranger's.
    Raises Forged."""
    region = arn.split(":")[3]
    parts = urlsplit(url)
    host = f"sns.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"
    if parts.scheme != "https" or parts.netloc != host:
        raise Forged("it leads elsewhere than to SNS")
    return url
