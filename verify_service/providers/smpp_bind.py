"""A transceiver bind to an SMSC (SMPP 3.4), kept up in a thread of its own: submits go out within a window, what the
SMSC delivers is told and then answered, silence is asked after, and a bind that has ended is made anew.
"""

import asyncio
import math
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple

from smpplib import consts, smpp
from smpplib.client import SimpleSequenceGenerator

from verify_service.errors import Unavailable, Uncertain
from verify_service.providers.smpp_pdu import Delivery, delivery, read, response, status_name

_AGAIN_S = 1.0
_LEAVE_S = 1.0
_IS_ANSWER = 0x80000000
_GENERIC_NACK, _SUBMIT_SM_RESP, _DELIVER_SM = 0x80000000, 0x80000004, 0x00000005
_BIND_TRANSCEIVER_RESP = 0x80000009
_UNBIND, _ENQUIRE_LINK = 0x00000006, 0x00000015


class Account(NamedTuple):
    """Where to bind and as whom. `window`: submits that may wait for their answers; times are in seconds."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    system_id: str
    password: str
    system_type: str
    window: int
    timeout: float
    enquire_every: float


class Answer(NamedTuple):
    """An SMSC's answer to a submit: its status, and its id of the message."""

    status: int
    message_id: str

    @property
    def status_name(self) -> str:
        return status_name(self.status)


class Bind:
    """One bind. `hear` is called with each delivery, by one thread, in the order of arrival; it must not raise. What it
    answers False to, the SMSC is asked to deliver again."""

    def __init__(self, account: Account, hear: Callable[[Delivery], bool]) -> None:
        self._account = account
        self._hear = hear
        self._sequence = SimpleSequenceGenerator()
        self._waiting: dict[int, asyncio.Future[Answer | None]] = {}
        self._window = asyncio.Semaphore(account.window)
        self._tried = asyncio.Event()
        self._why = "not bound yet"
        self._writer: asyncio.StreamWriter | None = None
        self._telling: set[asyncio.Task[None]] = set()
        self._teller = ThreadPoolExecutor(1, thread_name_prefix="smpp-tell")
        self._loop = asyncio.new_event_loop()
        self._keeping: asyncio.Task[None] | None = None
        self._left = False
        self._thread = threading.Thread(target=self._run, name="smpp", daemon=True)
        self._thread.start()

    def submit(self, parts: Sequence[Mapping[str, Any]]) -> list[Answer]:
        """Sends a submit_sm for each part, and answers what the SMSC answered. Raises Unavailable where none went out,
        Uncertain where an answer is missing."""
        asked = asyncio.run_coroutine_threadsafe(self._submit(parts), self._loop)
        try:
            return asked.result(3 * self._account.timeout)
        except (TimeoutError, CancelledError):
            raise Uncertain("the bind was closed") from None

    def close(self) -> None:
        """Unbinds and ends."""
        asyncio.run_coroutine_threadsafe(self._leave(), self._loop)
        self._thread.join(3 * _LEAVE_S)
        self._teller.shutdown(wait=False)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner, suppress(asyncio.CancelledError):
            runner.run(self._keep())

    async def _keep(self) -> None:
        self._keeping = asyncio.current_task()
        anew_at = -math.inf
        while not self._left:  # It may be closed before it has begun.
            held = False
            try:
                await self._live()
            except Exception as error:  # Whatever a peer sends, the bind is made anew.
                held = not self._why
                self._why = str(error) if isinstance(error, _Refused) else f"no bind ({type(error).__name__})"
            if held and self._loop.time() - anew_at > _AGAIN_S:
                # A bind that has held is made anew at once, and messages wait for it.
                self._tried.clear()
                anew_at = self._loop.time()
            else:
                self._tried.set()
                await asyncio.sleep(_AGAIN_S)

    async def _live(self) -> None:
        """Binds, and reads until the bind ends, which raises."""
        account = self._account
        async with asyncio.timeout(account.timeout):
            reader, writer = await asyncio.open_connection(account.host, account.port, ssl=account.tls)
        try:
            async with asyncio.timeout(account.timeout):
                writer.write(self._bind_pdu())
                command, status, _, _ = await read(reader)
            if command != _BIND_TRANSCEIVER_RESP and not status:
                raise _Refused("the answer to the bind is another PDU")
            if status:
                raise _Refused(f"bind refused ({status_name(status)})")
            self._writer, self._why = writer, ""
            self._tried.set()
            enquiring = self._loop.create_task(self._enquire(writer))
            try:
                while True:
                    self._take(writer, *await read(reader))
            finally:
                enquiring.cancel()
        finally:
            self._writer = None
            writer.close()
            for answer in list(self._waiting.values()):
                _settle(answer, None)

    def _bind_pdu(self) -> bytes:
        account = self._account
        pdu = smpp.make_pdu(
            "bind_transceiver",
            client=self._sequence,
            system_id=account.system_id,
            password=account.password,
            system_type=account.system_type,
        )
        return bytes(pdu.generate())

    async def _submit(self, parts: Sequence[Mapping[str, Any]]) -> list[Answer]:
        asked: list[asyncio.Future[Answer | None]] = []
        try:
            async with asyncio.timeout(self._account.timeout):
                await self._tried.wait()
                for part in parts:
                    await self._window.acquire()
                    if (answer := self._ask("submit_sm", part)) is None:
                        self._window.release()
                        break
                    answer.add_done_callback(lambda _: self._window.release())
                    asked.append(answer)
                answers = [found for found in await asyncio.gather(*asked) if found]
        except TimeoutError:
            for answer in asked:
                answer.cancel()
            reason = self._why or "no room in the window"
            raise Uncertain("no answer in time") if asked else Unavailable(reason) from None
        if not asked:
            raise Unavailable(self._why)
        if len(answers) < len(parts):
            raise Uncertain("the bind broke")
        return answers

    def _ask(self, command: str, fields: Mapping[str, Any]) -> "asyncio.Future[Answer | None] | None":
        """Where the answer to a request will be, None in it once the bind breaks; None where there is no bind."""
        if self._writer is None:
            return None
        pdu = smpp.make_pdu(command, client=self._sequence, **fields)
        answer: asyncio.Future[Answer | None] = self._loop.create_future()
        answer.add_done_callback(lambda _: self._waiting.pop(pdu.sequence, None))
        self._waiting[pdu.sequence] = answer
        self._writer.write(pdu.generate())
        return answer

    async def _enquire(self, writer: asyncio.StreamWriter) -> None:
        while True:
            await asyncio.sleep(self._account.enquire_every)
            try:
                async with asyncio.timeout(self._account.timeout):
                    if answer := self._ask("enquire_link", {}):
                        await answer
            except TimeoutError:
                writer.transport.abort()

    def _take(self, writer: asyncio.StreamWriter, command: int, status: int, sequence: int, pdu: bytes) -> None:
        if command & _IS_ANSWER:
            if answer := self._waiting.get(sequence):
                # A refusal has no body, nor need it have one.
                message_id = pdu[16:].partition(b"\0")[0] if command == _SUBMIT_SM_RESP else b""
                failed = status or consts.SMPP_ESME_RUNKNOWNERR if command == _GENERIC_NACK else status
                _settle(answer, Answer(failed, message_id.decode("latin-1")))
        elif command == _DELIVER_SM:
            task = self._loop.create_task(self._tell(writer, sequence, pdu))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)
        elif command == _ENQUIRE_LINK:
            writer.write(response("enquire_link_resp", sequence))
        elif command == _UNBIND:
            writer.write(response("unbind_resp", sequence))
            raise _Refused("unbound by the SMSC")
        else:
            writer.write(response("generic_nack", sequence, consts.SMPP_ESME_RINVCMDID))

    async def _tell(self, writer: asyncio.StreamWriter, sequence: int, pdu: bytes) -> None:
        """Answers what was heard: taken, or to be delivered again, as is what the bind breaks before. What cannot be
        read is refused for good, for otherwise it would come for ever."""
        try:
            told = delivery(pdu)
        except Exception:
            status = consts.SMPP_ESME_RX_P_APPN
        else:
            taken = await self._loop.run_in_executor(self._teller, self._hear, told)
            status = consts.SMPP_ESME_ROK if taken else consts.SMPP_ESME_RX_T_APPN
        writer.write(response("deliver_sm_resp", sequence, status))

    async def _leave(self) -> None:
        self._left = True
        if self._telling:
            await asyncio.wait(self._telling, timeout=_LEAVE_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_S):
                if answer := self._ask("unbind", {}):
                    await answer
        if self._keeping:
            self._keeping.cancel()


class _Refused(Exception):
    """The SMSC's own word that there is no bind."""


def _settle(answer: "asyncio.Future[Answer | None]", found: Answer | None) -> None:
    if not answer.done():
        answer.set_result(found)
