"""An aggregator's SMSC by the library smpp34: it takes messages, and delivers receipts and texts over the bind."""

import asyncio
import itertools
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import smpp34

from tests.support.live import until
from verify_service.embedded import free_port

T = TypeVar("T")
_RECEIPT = "id:{id} sub:001 dlvrd:001 submit date:2611220100 done date:2611220100 stat:DELIVRD err:000 text:"


class Aggregator:
    """Listens on `port`; `received` has sender, number and text of each message that it took."""

    def __init__(self) -> None:
        self.port = free_port()
        self.received: list[tuple[str, str, str]] = []
        self.binds: list[str] = []
        self._ids = itertools.count(0x1000)
        self._esmes: dict[str, Any] = {}
        self._loop = asyncio.new_event_loop()
        self._server: Any = None
        self._receipts: set[asyncio.Task[Any]] = set()

    def text(self, sender: str, to: str, body: str) -> None:
        """A text from a phone, delivered over a bind that is up."""

        async def deliver() -> bool:
            esme = next(esme for esme in self._esmes.values() if esme.can_receive)
            source = sender.removeprefix("+")
            told = await esme.deliver_sm(to, body.encode(), source_addr=source, source_addr_ton=1, source_addr_npi=1)
            return bool(told.is_success)

        assert self._call(deliver())

    def run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    def stop(self) -> None:
        async def stop() -> None:
            await self._server.stop()
            self._serving.cancel()

        self._call(stop())

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _serve(self) -> None:
        self._serving = asyncio.ensure_future(self._take())
        await asyncio.gather(self._serving, return_exceptions=True)

    async def _take(self) -> None:
        server = smpp34.Server(host="127.0.0.1", port=self.port, system_id="AGGREGATOR")
        await server.start()
        self._server = server
        while True:
            event = await server.next()
            if isinstance(event, smpp34.Esme):
                self._esmes[event.session_id] = event
                self.binds.append(event.system_id)
            elif isinstance(event, smpp34.Unbound):
                self._esmes.pop(event.session_id, None)
            elif isinstance(event, smpp34.SubmitSmEvent):
                self._answer(event)

    def _answer(self, event: Any) -> None:
        message_id = f"{next(self._ids):X}"
        self.received.append((event.source_addr, f"+{event.destination_addr}", event.short_message.decode()))
        event.accept(message_id=message_id)
        if event.registered_delivery:
            esme = self._esmes[event.session_id]
            receipt = esme.deliver_sm(
                event.source_addr,
                _RECEIPT.format(id=message_id).encode(),
                source_addr=event.destination_addr,
                esm_class=0x04,
            )
            task = asyncio.ensure_future(receipt)
            self._receipts.add(task)
            task.add_done_callback(self._receipts.discard)


@contextmanager
def aggregator_at_work() -> Iterator[Aggregator]:
    aggregator = Aggregator()
    thread = threading.Thread(target=aggregator.run, daemon=True)
    thread.start()
    until(lambda: aggregator._server)
    try:
        yield aggregator
    finally:
        aggregator.stop()
        thread.join(30)
