"""AWS's side: Signature Version 4, JSON 1.0 by X-Amz-Target, and SNS with a certificate of its own."""

import base64
import hashlib
import hmac
import itertools
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, ClassVar
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from tests.support.peers.contract import CODE, PUBLIC_URL, Outcome, Taken
from tests.support.peers.http_peer import Asked, HttpPeer, Reply
from verify_service.adapters import Callbacks
from verify_service.errors import DeliveryError, Rejected, Unavailable, Uncertain
from verify_service.model import Callback, InboundText
from verify_service.providers.aws import AwsCallbacks
from verify_service.providers.sns import Topics

ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
TOPIC = "arn:aws:sns:eu-central-1:123456789012:verify"
CERTIFICATE = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0a1b2c.pem"
STRANGERS = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-ffff.pem"
# `how` → HTTP status, exception and its Reason.
_ERRORS = {
    "denies": (403, "AccessDeniedException", "ACCOUNT_DISABLED"),
    "throttles": (400, "ThrottlingException", None),
    "rejects": (400, "ConflictException", "DESTINATION_PHONE_NUMBER_BLOCKED_BY_PROTECT_NUMBER_OVERRIDE"),
    "opted out": (400, "ConflictException", "DESTINATION_PHONE_NUMBER_OPTED_OUT"),
    "knows no such sender": (400, "ResourceNotFoundException", None),
    "has no money of ours": (402, "ServiceQuotaExceededException", "MONTHLY_SPEND_LIMIT_REACHED_FOR_TEXT"),
    "serves no such country": (400, "ValidationException", "DESTINATION_COUNTRY_BLOCKED"),
    "errs in mid-way": (500, "InternalServerException", None),
    "raises something new": (400, f"+4915112345678{CODE}", None),
}
_EVENT: Mapping[Outcome, tuple[str, bool]] = {
    "on its way": ("TEXT_PENDING", False),
    "delivered": ("TEXT_DELIVERED", True),
    "failed": ("TEXT_UNREACHABLE", True),
    "failed for good": ("TEXT_INVALID", True),
}


class AwsPeer(HttpPeer):
    kind = "aws"
    reasons = {"failed": "phone cannot be reached", "failed for good": "invalid number"}  # noqa: RUF012
    known = {"segments": 1, "price": 0.07 + 0.01, "carrier": "26201"}  # noqa: RUF012
    channels = ("sms", "voice")
    refusals: ClassVar[Mapping[str, type[DeliveryError]]] = {
        **HttpPeer.refusals,
        "opted out": Rejected,
        "knows no such sender": Unavailable,
        "has no money of ours": Unavailable,
        "serves no such country": Unavailable,
        "errs in mid-way": Uncertain,
        "raises something new": Unavailable,
    }
    secrets = {"SECRET": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self._ids = itertools.count(1)
        self.fetched: list[str] = []

    def table(self) -> dict[str, Any]:
        return {
            "region": "eu-central-1",
            "access_key": ACCESS_KEY,
            "secret_key": "env:SECRET",
            "configuration_set": "codes",
            "topics": [TOPIC],
            "endpoint_url": self.url,
        }

    def callbacks(self, **changed: Any) -> Callbacks:
        return AwsCallbacks(
            self.settings(**changed), self.surroundings(), Topics(frozenset([TOPIC]), self.clock, self.fetch)
        )

    def fetch(self, url: str) -> bytes:
        """What stands at an address of Amazon's."""
        self.fetched.append(url)
        key = {CERTIFICATE: "sns", STRANGERS: "stranger"}.get(url)
        return _certificate(key) if key else b"<ConfirmSubscriptionResponse/>"

    def answer(self, asked: Asked) -> Reply:
        if asked.headers.get("authorization") != _signed(asked, self.secrets["SECRET"]):
            return _error(403, "InvalidSignatureException", None)
        if self.how in _ERRORS:
            return _error(*_ERRORS[self.how])
        if asked.path != "/" or asked.headers.get("content-type") != "application/x-amz-json-1.0":
            self.wrong.append("not where or not how messages are sent")
        told = json.loads(asked.body)
        channel = "sms"
        if asked.headers["x-amz-target"] == "PinpointSMSVoiceV2.SendVoiceMessage":
            channel = "voice"
            if (told.pop("MessageBodyTextType"), told.pop("VoiceId")) != ("TEXT", "JOANNA"):
                self.wrong.append("another voice")
        elif told.pop("MessageType") != "TRANSACTIONAL":
            self.wrong.append("a promotion")
        if not 500 <= told.pop("TimeToLive") <= 600 or told.pop("ConfigurationSetName") != "codes":
            self.wrong.append("outlives its code, or tells nobody")
        to, sender, text = (
            told.pop(f"{name}") for name in ("DestinationPhoneNumber", "OriginationIdentity", "MessageBody")
        )
        if told:
            self.wrong.append(f"unknown members {sorted(told)}")
        self.taken.append(Taken(to, sender, text, channel))
        return Reply(
            200, json.dumps({"MessageId": f"862a8790-{next(self._ids):012}"}).encode(), "application/x-amz-json-1.0"
        )

    def receipt(self, provider_id: str, outcome: Outcome) -> Callback:
        event, final = _EVENT[outcome]
        told = {
            "eventType": event,
            "eventVersion": "1.0",
            "eventTimestamp": 1686975103470,
            "isFinal": final,
            "originationPhoneNumber": "+14155550100",
            "destinationPhoneNumber": "+4915112345678",
            "mcc": "262",
            "mnc": "01",
            "messageId": provider_id,
            "messageStatus": event.removeprefix("TEXT_"),
            "messageStatusDescription": "-",
            "totalMessageParts": 1,
            "totalMessagePrice": 0.07,
            "totalCarrierFee": 0.01,
        }
        return self.notification("receipts", json.dumps(told))

    def text(self, text: InboundText) -> Callback:
        told = {
            "originationNumber": text.from_,
            "destinationNumber": text.to,
            "messageKeyword": "KEYWORD_1",
            "messageBody": text.body,
            "inboundMessageId": text.id,
            "previousPublishedMessageId": "m0",
        }
        return self.notification("inbound", json.dumps(told))

    def notification(self, where: str, message: str, key: str = "sns", ago_s: int = 0, **changed: str) -> Callback:
        """As SNS posts a notification of the topic; `changed` before it is signed."""
        at = datetime.fromtimestamp(self.clock.now() / 1000, UTC) - timedelta(seconds=ago_s)
        fields = {
            "Type": "Notification",
            "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
            "TopicArn": TOPIC,
            "Message": message,
            "Timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "SignatureVersion": "2",
            "SigningCertURL": CERTIFICATE,
            "UnsubscribeURL": "https://sns.eu-central-1.amazonaws.com/?Action=Unsubscribe",
            **changed,
        }
        return self.signed(where, fields, key)

    def signed(self, where: str, fields: dict[str, str], key: str = "sns") -> Callback:
        names = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
        text = "".join(f"{name}\n{fields[name]}\n" for name in names if name in fields)
        algorithm = hashes.SHA1() if fields["SignatureVersion"] == "1" else hashes.SHA256()  # noqa: S303
        signature = base64.b64encode(_key(key).sign(text.encode(), padding.PKCS1v15(), algorithm)).decode()
        body = json.dumps({**fields, "Signature": signature}).encode()
        return Callback("POST", f"{PUBLIC_URL}/{where}", {"content-type": "text/plain; charset=UTF-8"}, body)

    def forgeries(self, call: Callback) -> Mapping[str, Callback]:
        fields = json.loads(call.body)
        where, message = call.url.rpartition("/")[2], fields["Message"]

        def changed(**to: str) -> Callback:
            return Callback("POST", call.url, call.headers, json.dumps(fields | to).encode())

        certificates = {
            "elsewhere": "https://example.org/SimpleNotificationService-0a1b2c.pem",
            "without TLS": CERTIFICATE.replace("https", "http"),
            "at another port": CERTIFICATE.replace(".com/", ".com:8443/"),
            "by another user": CERTIFICATE.replace("//", "//sns.eu-central-1.amazonaws.com@example.org/"),
            "in another region": CERTIFICATE.replace("eu-central-1", "us-east-1"),
            "at another service": CERTIFICATE.replace("//sns", "//s3"),
            "in a bucket": "https://sns.eu-central-1.amazonaws.com.example.org/SimpleNotificationService-0a1b2c.pem",
            "at another path": CERTIFICATE.replace("/Simple", "/bucket/Simple"),
            "with a query": f"{CERTIFICATE}?x=1",
            "nowhere": "",
        }
        return {
            "unsigned": changed(Signature=""),
            "another key": self.notification(where, message, key="stranger"),
            "a changed body": changed(Message=message.replace("1", "2")),
            "of another topic": self.notification(where, message, TopicArn=TOPIC + "-2"),
            "two days old": self.notification(where, message, ago_s=2 * 86_400),
            "of no version": changed(SignatureVersion="3"),
            "of no time": self.notification(where, message, Timestamp="yesterday"),
            **{
                f"certificate {place}": self.notification(where, message, key="stranger", SigningCertURL=url)
                for place, url in certificates.items()
            },
        }

    def unreadable(self) -> Mapping[str, Callback]:
        return {
            "no JSON within": self.notification("receipts", "Hello"),
            "another thing within": self.notification("receipts", "{}"),
            "another type": self.notification("receipts", "{}", Type="Greeting"),
            "no JSON": Callback("POST", f"{PUBLIC_URL}/receipts", {}, b"\xff"),
            "deep JSON": Callback("POST", f"{PUBLIC_URL}/receipts", {}, b'{"a":' * 5_000),
        }


def _signed(asked: Asked, secret: str) -> str:
    """The Authorization header that a request should carry, by Signature Version 4."""
    scope = f"{asked.headers['x-amz-date'][:8]}/eu-central-1/sms-voice/aws4_request"
    names = "content-type;host;x-amz-date;x-amz-target"
    canonical = "".join(f"{name}:{asked.headers[name]}\n" for name in names.split(";"))
    digest = hashlib.sha256(asked.body).hexdigest()
    request = f"POST\n{urlsplit(asked.path).path}\n\n{canonical}\n{names}\n{digest}"
    text = f"AWS4-HMAC-SHA256\n{asked.headers['x-amz-date']}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope}, SignedHeaders={names}, Signature={signature}"


def _error(status: int, kind: str, reason: str | None) -> Reply:
    told = {"__type": f"com.amazonaws.smsvoice#{kind}", "Message": f"not +4915112345678, not {CODE}"}
    return Reply(
        status, json.dumps(told | ({"Reason": reason} if reason else {})).encode(), "application/x-amz-json-1.0"
    )


@cache
def _key(_name: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65_537, 2_048)


def ended_certificate() -> bytes:
    """SNS's own, of the day before yesterday."""
    return _certificate("sns", -1)


@cache
def _certificate(name: str, days: int = 1) -> bytes:
    """One that is good for so many days from now."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(_key(name).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + timedelta(days=days))
        .sign(_key(name), hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)
