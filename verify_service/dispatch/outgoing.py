"""What goes out, and by whom: the message of an outbox entry, and the providers to try for it."""

import random

from verify_service import messages
from verify_service.codes import KeyRing
from verify_service.config import Config, Route, Via
from verify_service.model import Message
from verify_service.store.outbox import Entry

_dice = random.SystemRandom()


def compose(entry: Entry, config: Config, keys: KeyRing, now: int, via: Via) -> Message:
    """The message as it goes by this way. Its code is derived anew: whoever composes it, and however often, the same.

    Raises KeyError where the entry's key is not in the ring, ValueError for a number that was sealed for another entry.
    """
    to = keys.decrypt(entry.to, f"to|{entry.tenant}|{entry.number}").decode()
    tenant = config.tenants.get(entry.tenant)
    brand = tenant.brand if tenant else "Verify"
    if entry.kind == "reply":
        code, text = "", messages.reply(entry.text, brand, entry.locale, entry.country, config.own)
    else:
        code = keys.code(entry.kid, entry.nonce, entry.tenant, entry.purpose, entry.digits)
        text = messages.compose(
            entry.purpose,
            entry.channel,
            entry.locale,
            entry.country,
            code,
            brand,
            max(1, round((entry.expires_at - now) / 60_000)),
            entry.app_hash,
            entry.origin,
            config.own,
        )
    return Message(
        id=f"{entry.id}.{entry.entry}",
        verification_id=entry.id,
        tenant=entry.tenant,
        to=to,
        sender=config.senders[via.sender].address if via.sender else brand[:11],
        channel=entry.channel,
        body=text.body,
        code=code,
        encoding=text.encoding,
        segments=text.segments,
        expires_at=entry.expires_at,
        country=entry.country,
        locale=text.locale,
        subject=text.subject,
    )


def order(route: Route) -> list[Via]:
    """The providers to try: drawn by weight one after the other; those of weight 0 last, as written."""
    left = [via for via in route.via if via.weight]
    drawn = []
    while len(left) > 1:
        chosen = _dice.choices(left, [via.weight for via in left])[0]
        left.remove(chosen)
        drawn.append(chosen)
    return [*drawn, *left, *(via for via in route.via if not via.weight)]
