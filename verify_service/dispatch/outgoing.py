"""What goes out: the message of an outbox entry."""

from verify_service import messages, phone
from verify_service.codes import KeyRing
from verify_service.config import Config
from verify_service.dispatch.ways import Way
from verify_service.messages.composing import TRANSACTIONS
from verify_service.model import Message
from verify_service.store.entries import Entry
from verify_service.store.layouts import Content

# What a provider is told as it stands in the entry; the locale is the text's.
_PASSED_ON = tuple(name for name in Content.__struct_fields__ if name in Message.__struct_fields__ and name != "locale")


def unseal(entry: Entry, keys: KeyRing) -> tuple[str, str]:
    """An entry's number and code. The code is derived anew: by whoever does it, and however often, the same.

    Raises KeyError where the entry's key is not in the ring, ValueError for a number that was sealed for another entry.
    """
    to = keys.decrypt(entry.to, f"to|{entry.tenant}|{entry.content.number}").decode()
    if entry.kind:
        return to, ""
    return to, keys.code(entry.kid, entry.nonce, entry.tenant, entry.purpose, int(entry.content.digits))


def compose(entry: Entry, to: str, code: str, config: Config, now: int, way: Way) -> Message:
    """The message as it goes by this way."""
    tenant = config.tenants.get(entry.tenant)
    brand = tenant.brand if tenant else "Verify"
    if entry.kind == "reply":
        text = messages.reply(entry.text, brand, entry.content.locale, entry.content.country, config.own)
    else:
        text = messages.compose(
            entry.purpose,
            way.channel,
            entry.content.locale,
            entry.content.country,
            code,
            brand,
            max(1, round((entry.expires_at - now) / 60_000)),
            entry.content.app_hash,
            entry.content.origin,
            config.own,
        )
    return Message(
        id=f"{entry.id}.{entry.entry}",
        verification_id=entry.id,
        tenant=entry.tenant,
        to=phone.dialled(to, way.channel),
        # Of letters an SMS's sender has eleven at the most.
        sender=config.senders[way.sender].address if way.sender else brand if way.channel == "email" else brand[:11],
        channel=way.channel,
        body=text.body,
        code=code,
        encoding=text.encoding,
        segments=text.segments,
        expires_at=entry.expires_at,
        locale=text.locale,
        subject=text.subject,
        **{name: getattr(entry.content, name) for name in _PASSED_ON},
    )


def text_name(entry: Entry, config: Config, locale: str) -> str:
    """What a message's text is called where it is counted: a handful of names, whatever callers call their purposes."""
    if entry.kind:
        return f"{entry.kind}-{entry.text} {locale}"
    known = entry.purpose in TRANSACTIONS or any(of == entry.purpose for of, *_ in config.own.templates)
    return f"{entry.purpose if known else 'default'} {locale}"
