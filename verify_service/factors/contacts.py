"""Where a user's notices go: set by the tenant, sealed with the user's record."""

from verify_service import codes, recipient
from verify_service.asking import recipient_of
from verify_service.config import Config
from verify_service.errors import InvalidRequest
from verify_service.model import Frozen, Number
from verify_service.packing import plain, text
from verify_service.store.layouts import Content
from verify_service.store.user_layouts import Contact, NoticeAsk, User
from verify_service.store.users import Users

CHANNELS = ("sms", "email")


class NewContact(Frozen, frozen=True):
    """A number or address, how notices go there, and the language that its owner reads, None where it is the
    country's."""

    number: Number
    channel: str
    locale: str | None


class ContactState(Frozen, frozen=True):
    """The same as anybody may see it: `to` is masked, and None where its key has left the ring."""

    to: str | None
    channel: str
    locale: str | None


def contact_of(
    to: str, region: str | None, channel: str | None, locale: str | None, config: Config, now: int
) -> NewContact:
    """What a caller wrote, read. Raises InvalidNumber, InvalidRequest."""
    number = recipient_of(to, region, config, now)
    by = recipient.channel(number, channel)
    if by not in CHANNELS:
        raise InvalidRequest("channel", f"a notice goes by {' or '.join(CHANNELS)}")
    if config.route(number.country, by) is None:
        raise InvalidRequest("channel", f"no route carries {by} to {number.country}".removesuffix(" to "))
    return NewContact(number, by, locale)


class Contacts:
    """Seals contacts, and opens them."""

    def __init__(self, config: Config, keys: codes.KeyRing, tagger: codes.Tagger, users: Users) -> None:
        self._config = config
        self._keys = keys
        self._tagger = tagger
        self._users = users

    def sealed(self, tenant: str, new: NewContact | None) -> Contact:
        """As a record has it."""
        if new is None:
            return Contact()
        tag = self._tagger.number(new.number.e164)
        content = Content(number=tag, country=new.number.country, locale=new.locale or "")
        sealed = self._keys.seal_to(new.number.e164, tenant, tag)
        return Contact(text(sealed), text(content.pack()), new.channel)

    def shown(self, tenant: str, record: User | None) -> ContactState | None:
        """Where the notices of a record go; None where they go nowhere."""
        if record is None or not record.channel:
            return None
        content = Content.open(plain(record.message))
        to = self._keys.readable_to(plain(record.to), tenant, content.number)
        return ContactState(recipient.masked(to) if to else None, record.channel, content.locale or None)

    def wanted(self, tenant: str, user: str) -> NoticeAsk | None:
        """What the tenant's user, by its tag, is to be told of; None where of nothing."""
        wishes = self._config.notices.get(tenant)
        if wishes is None:
            return None
        id = self._users.new_id("no", user)
        return NoticeAsk(id, wishes.factor_added, wishes.recovery_codes_used, wishes.wrong_codes or 0)
