"""AWS End User Messaging: texts and calls by its SMS and Voice API 2, receipts and inbound texts by SNS topics.

Written after https://docs.aws.amazon.com/pinpoint/latest/apireference_smsvoicev2/API_SendTextMessage.html (and
SendVoiceMessage), https://docs.aws.amazon.com/sms-voice/latest/userguide/configuration-sets-event-types.html,
configuration-sets-event-format.html and two-way-sms-payload.html beside it. Needs boto3: `verify-service[aws]`.

boto3 writes, signs and reads; what it would send goes by the same way as every other adapter's requests.
"""

import io
import time
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import boto3
import msgspec
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Meta

from verify_service.adapters import Adapter, AdapterContext, Secret, Settings, by_language
from verify_service.duration import Duration
from verify_service.errors import ConfigError, DeliveryError, Rejected, Unavailable, Uncertain
from verify_service.model import Callback, InboundText, Message, Receipt
from verify_service.providers import http
from verify_service.providers.sns import Topics

# `Reason` of a ConflictException, where it speaks of the number. Other errors speak of the account or the moment.
_NEVER = {
    "DESTINATION_PHONE_NUMBER_OPTED_OUT": "opted out",
    "DESTINATION_PHONE_NUMBER_BLOCKED_BY_PROTECT_NUMBER_OVERRIDE": "number blocked",
}
_OPTED_OUT = "DESTINATION_PHONE_NUMBER_OPTED_OUT"
# Errors after which the message may still be on its way.
_OPEN = frozenset({"InternalServerException", "InternalFailure", "ServiceUnavailable"})

# `eventType` of a receipt; what stands in neither is on its way still. TEXT_SUCCESSFUL is the last word in countries
# whose carriers report no handsets.
_DELIVERED = frozenset({"TEXT_DELIVERED", "TEXT_SUCCESSFUL", "VOICE_COMPLETED"})
_FAILED = {
    "TEXT_BLOCKED": "blocked by phone or carrier",
    "TEXT_CARRIER_BLOCKED": "blocked by carrier",
    "TEXT_CARRIER_UNREACHABLE": "carrier cannot be reached",
    "TEXT_INVALID": "invalid number",
    "TEXT_INVALID_MESSAGE": "invalid message",
    "TEXT_PROTECT_BLOCKED": "blocked by the account's protection",
    "TEXT_SPAM": "taken for spam",
    "TEXT_TTL_EXPIRED": "expired",
    "TEXT_UNKNOWN": "unknown",
    "TEXT_UNREACHABLE": "phone cannot be reached",
    "VOICE_BUSY": "busy",
    "VOICE_FAILED": "call failed",
    "VOICE_NO_ANSWER": "no answer",
    "VOICE_TTL_EXPIRED": "expired",
}
_PERMANENT = frozenset({"TEXT_INVALID"})

# Who speaks, by language.
_VOICES = {
    "ar": "ZEINA",
    "da": "NAJA",
    "de": "VICKI",
    "en": "JOANNA",
    "es": "LUCIA",
    "fr": "LEA",
    "is": "DORA",
    "it": "BIANCA",
    "ja": "MIZUKI",
    "ko": "SEOYEON",
    "nb": "LIV",
    "nl": "LOTTE",
    "pl": "EWA",
    "pt": "INES",
    "pt-BR": "CAMILA",
    "ro": "CARMEN",
    "ru": "TATYANA",
    "sv": "ASTRID",
    "tr": "FILIZ",
    "zh": "ZHIYU",
}
_SHORTEST_S, _LONGEST_S = 5, 259_200  # a TimeToLive


class AwsSettings(Settings, frozen=True, kw_only=True):
    """An account of AWS's in a region. Without `access_key` boto3 finds credentials as it always does, such as the
    machine's role. `configuration_set` names where events go; `topics` are the SNS topics whose calls are believed."""

    region: Annotated[str, Meta(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]\Z")]
    access_key: Annotated[str, Meta(pattern=r"^[A-Z0-9]{16,128}\Z")] | None = None
    secret_key: Secret | None = None
    configuration_set: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_:/-]{1,256}\Z")] | None = None
    topics: tuple[Annotated[str, Meta(pattern=r"^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:.+\Z")], ...] = ()
    endpoint_url: Annotated[str, Meta(pattern=r"^https?://[^\s/]+\Z")] | None = None
    timeout: Duration = Duration("5 seconds")


class AwsProvider:
    """One account in one region."""

    def __init__(self, settings: AwsSettings, context: AdapterContext) -> None:
        """Raises ConfigError for credentials that are incomplete."""
        if (settings.access_key is None) != (settings.secret_key is None):
            raise ConfigError("`access_key` and `secret_key` go together")
        self._client: Any = boto3.session.Session().client(
            "pinpoint-sms-voice-v2",
            region_name=settings.region,
            endpoint_url=settings.endpoint_url,
            aws_access_key_id=settings.access_key,
            aws_secret_access_key=context.secret(settings.secret_key) if settings.secret_key else None,
            config=Config(retries={"mode": "standard", "total_max_attempts": 1}),
        )
        self._endpoint = http.Endpoint(self._client.meta.endpoint_url, settings.timeout.seconds)
        self._client.meta.events.register("before-send.pinpoint-sms-voice-v2", self._carry)
        self._more = {"ConfigurationSetName": settings.configuration_set} if settings.configuration_set else {}

    def send(self, message: Message) -> Receipt:
        left = message.expires_at / 1000 - time.time()
        parameters: dict[str, object] = {
            "DestinationPhoneNumber": message.to,
            "OriginationIdentity": message.sender,
            "MessageBody": message.body,
            "TimeToLive": round(min(max(left, _SHORTEST_S), _LONGEST_S)),
            **self._more,
        }
        try:
            if message.channel == "voice":
                voice = by_language(_VOICES, message.locale)
                if voice is None:
                    raise Unavailable(f"no voice for {message.locale}")
                made = self._client.send_voice_message(**parameters, MessageBodyTextType="TEXT", VoiceId=voice)
            else:
                made = self._client.send_text_message(**parameters, MessageType="TRANSACTIONAL")
        except ClientError as error:
            raise _refusal(error) from None
        except BotoCoreError as error:  # Before anything was sent: no credentials, or a parameter that is none.
            raise Unavailable(type(error).__name__) from None
        except DeliveryError:
            raise
        except Exception:  # botocore takes answers apart without looking.
            raise Uncertain("unreadable answer") from None
        provider_id = made.get("MessageId")
        if not isinstance(provider_id, str):
            raise Uncertain("unreadable answer")
        return Receipt(provider_id)

    def close(self) -> None:
        self._endpoint.close()
        self._client.close()

    def _carry(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        """In place of botocore's own sending, which reads an answer of any length for as long as it drips."""
        headers = {
            name.lower(): value.decode() if isinstance(value, bytes) else str(value)
            for name, value in request.headers.items()
        }
        body = request.body.encode() if isinstance(request.body, str) else request.body
        answer = self._endpoint.post(body, headers)
        return AWSResponse(request.url, answer.status, dict(answer.headers), _Read(answer.body))


class AwsCallbacks:
    """Calls from SNS topics: one that the configuration set's events go to, one that the numbers' inbound texts do."""

    def __init__(self, settings: AwsSettings, context: AdapterContext, topics: Topics | None = None) -> None:
        self._topics = topics or Topics(frozenset(settings.topics), context.clock)

    def receipts(self, call: Callback) -> Sequence[Receipt]:
        told = self._topics.read(call)
        return [] if told is None else [_receipt(http.json(told.encode(), _Event))]

    def inbound(self, call: Callback) -> Sequence[InboundText]:
        told = self._topics.read(call)
        if told is None:
            return []
        text = http.json(told.encode(), _Text)
        return [InboundText(text.id, text.from_, text.to, text.body)]


class _Event(msgspec.Struct, rename="camel"):
    message_id: str
    event_type: str
    is_final: bool = False
    mcc: str | None = None
    mnc: str | None = None
    total_message_parts: Annotated[int, Meta(ge=0, le=1_000)] | None = None
    total_message_price: float | None = None
    total_carrier_fee: float = 0.0


class _Text(msgspec.Struct, rename={"id": "inboundMessageId", "from_": "originationNumber", "to": "destinationNumber",
                                    "body": "messageBody"}):  # fmt: skip
    id: str
    from_: str
    to: str
    body: str


class _Read(io.BytesIO):
    """A body that was read already, as botocore reads bodies."""

    def stream(self) -> Iterator[bytes]:
        yield self.read()


def _refusal(error: ClientError) -> DeliveryError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    why = str(error.response.get("Reason", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code == "ConflictException" and why in _NEVER:
        return Rejected(_NEVER[why], opted_out=why == _OPTED_OUT)
    known = code.isascii() and code.isalpha()
    word = f"{code} {why}".strip() if known and why.replace("_", "").isalpha() else code if known else f"HTTP {status}"
    return Uncertain(word[:96]) if code in _OPEN else http.failure(status, word[:96])


def _receipt(event: _Event) -> Receipt:
    carrier = http.network(f"{event.mcc}{event.mnc}")
    price = None
    if event.total_message_price is not None:
        price = http.amount(event.total_message_price + event.total_carrier_fee)
    parts = event.total_message_parts
    if event.event_type in _FAILED:
        permanent = event.event_type in _PERMANENT
        return Receipt(event.message_id, "failed", _FAILED[event.event_type], permanent, parts, price, carrier)
    delivered = event.event_type in _DELIVERED and event.is_final
    return Receipt(event.message_id, "delivered" if delivered else "accepted", None, False, parts, price, carrier)


ADAPTER = Adapter(
    settings=AwsSettings, provider=AwsProvider, callbacks=AwsCallbacks, channels=frozenset({"sms", "voice"})
)
