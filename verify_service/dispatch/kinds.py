"""The kinds of messages: a code, an answer to a person's keyword, a notice. Each says what is its own on the way of a
message; everything else is the same for all."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from verify_service import messages
from verify_service.codes import KeyRing
from verify_service.config import Config
from verify_service.messages.composing import TRANSACTIONS, Text
from verify_service.store.entries import Entry


class Kind(ABC):
    """A kind. One that `falls_back` may go by the channels that its route falls back on."""

    falls_back = False

    def code(self, _entry: Entry, _keys: KeyRing) -> str:
        """The code in it, '' where it has none. Raises KeyError where the entry's key is not in the ring."""
        return ""

    @abstractmethod
    def text(self, entry: Entry, code: str, brand: str, channel: str, config: Config, now: int) -> Text:
        """The text as it goes out. Raises KeyError for a name that this version does not know."""

    def called(self, entry: Entry, _config: Config) -> str:
        """What its text is called where it is counted: a handful of names."""
        return f"{entry.kind}-{entry.text}"


class _Code(Kind):
    falls_back = True

    def code(self, entry: Entry, keys: KeyRing) -> str:
        """Derived anew: by whoever does it, and however often, the same."""
        return keys.code(entry.kid, entry.nonce, entry.tenant, entry.purpose, int(entry.content.digits))

    def text(self, entry: Entry, code: str, brand: str, channel: str, config: Config, now: int) -> Text:
        return messages.compose(
            entry.purpose,
            channel,
            entry.content.locale,
            entry.content.country,
            code,
            brand,
            max(1, round((entry.expires_at - now) / 60_000)),
            entry.content.app_hash,
            entry.content.origin,
            config.own,
        )

    def called(self, entry: Entry, config: Config) -> str:
        """Whatever callers call their purposes."""
        known = entry.purpose in TRANSACTIONS or any(of == entry.purpose for of, *_ in config.own.templates)
        return entry.purpose if known else "default"


class _Reply(Kind):
    def text(self, entry: Entry, _code: str, brand: str, _channel: str, config: Config, _now: int) -> Text:
        return messages.reply(entry.text, brand, entry.content.locale, entry.content.country, config.own)


class _Notice(Kind):
    def text(self, entry: Entry, _code: str, brand: str, channel: str, config: Config, _now: int) -> Text:
        return messages.notice(entry.text, channel, brand, entry.content.locale, entry.content.country, config.own)


class _Unknown(Kind):
    def text(self, entry: Entry, _code: str, _brand: str, _channel: str, _config: Config, _now: int) -> Text:
        raise KeyError(entry.kind)


NOTICE = "notice"
_KINDS: Mapping[str, Kind] = {"": _Code(), "reply": _Reply(), NOTICE: _Notice()}
_OF_A_LATER_VERSION = _Unknown()


def kind_of(entry: Entry) -> Kind:
    """An entry's kind. One of a later version is composed by no text, and so not sent."""
    return _KINDS.get(entry.kind, _OF_A_LATER_VERSION)
