"""Connections to a single server without redis-py's layers: hiredis packs and reads, one send and one receive a batch.

redis-py opens each, so the address, TLS, credentials and database are its affair; from then on it is passed by, which
takes two thirds of a call's CPU time with it. A pool here has the few methods of redis-py's that a batch needs.
"""

import os
import select
from collections.abc import Sequence
from typing import Any, NoReturn

import hiredis
import redis

from verify_service.idle import Idle

_READ_BYTES = 16_384
_MISSING = object()


class DirectPool:
    """Idle connections to the server of a redis-py pool, the last used first: no more than callers at once."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self._idle = Idle[DirectConnection]()
        self._pid = os.getpid()

    def get_connection(self) -> "DirectConnection":
        """A connection on which nothing waits to be read. Raises what redis raises."""
        if self._pid != os.getpid():  # After a fork these are the parent's.
            self._idle, self._pid = Idle(), os.getpid()
        return self._idle.take() or DirectConnection(self.pool.connection_class(**self.pool.connection_kwargs))

    def release(self, connection: "DirectConnection") -> None:
        """Takes a connection back; one that was disconnected is forgotten."""
        if connection.is_open:
            self._idle.keep(connection)


class DirectConnection:
    """One connection that redis-py has `opened`. Every method raises what redis raises, and whatever goes wrong on the
    way disconnects; an error that the server answered does not."""

    def __init__(self, opened: Any) -> None:
        opened.connect()
        self._opened = opened
        self._socket = opened._get_socket()
        self._reader = hiredis.Reader(
            protocolError=redis.exceptions.InvalidResponse,
            replyError=opened._get_parser().parse_error,
            notEnoughData=_MISSING,
        )
        self._patience = self._socket.gettimeout()
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self.is_open = True

    def is_clean(self) -> bool:
        """False where the server has closed it, or anything that belongs to nobody waits on it."""
        return not self._reader.has_data() and not self._poll.poll(0)

    def pack_commands(self, commands: Sequence[Sequence[Any]]) -> bytes:
        return b"".join([hiredis.pack_command(tuple(command)) for command in commands])

    def send_packed_command(self, packed: bytes) -> None:
        try:
            self._socket.sendall(packed)
        except OSError as error:
            self._fail(error)

    def read_response(self, timeout: float | None = None) -> Any:
        """The next answer. No part of it may take longer than `timeout`, in seconds; None: than the address says."""
        try:
            answer = self._reader.gets()
            if answer is _MISSING:
                answer = self._receive(timeout)
        except (OSError, redis.exceptions.InvalidResponse) as error:
            self._fail(error)
        if isinstance(answer, redis.RedisError):
            raise answer
        return answer

    def disconnect(self) -> None:
        self.is_open = False
        self._opened.disconnect()

    close = disconnect

    def _receive(self, timeout: float | None) -> Any:
        if timeout is not None:
            self._socket.settimeout(timeout)
        while True:
            data = self._socket.recv(_READ_BYTES)
            if not data:
                raise ConnectionResetError
            self._reader.feed(data)
            answer = self._reader.gets()
            if answer is not _MISSING:
                break
        if timeout is not None:
            self._socket.settimeout(self._patience)
        return answer

    def _fail(self, error: Exception) -> NoReturn:
        self.disconnect()
        if isinstance(error, redis.RedisError):
            raise error
        kind = redis.TimeoutError if isinstance(error, TimeoutError) else redis.ConnectionError
        raise kind(type(error).__name__) from None
