"""Messages between the broker and its worker processes over a socket: a kind, a length, and JSON."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from typing import Any

READY, PROGRESS, OUTCOME, BROKEN, JOB = b"R", b"P", b"O", b"B", b"J"
_HEAD = struct.Struct("<cQ")


def send(connection: socket.socket, kind: bytes, document: object = None) -> None:
    """Send one message."""
    content = json.dumps(document, allow_nan=False).encode()
    connection.sendall(_HEAD.pack(kind, len(content)) + content)


class Inbox:
    """The messages that arrive on a socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = bytearray()

    def receive(self) -> bool:
        """Take what has come, or wait for it; False when the other side has gone."""
        try:
            block = self._connection.recv(1 << 20)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._received += block
        return bool(block)

    def messages(self) -> Iterator[tuple[bytes, Any]]:
        """Those that have arrived whole."""
        while len(self._received) >= _HEAD.size:
            kind, length = _HEAD.unpack_from(self._received)
            end = _HEAD.size + length
            if len(self._received) < end:
                return
            document = json.loads(self._received[_HEAD.size : end])
            del self._received[:end]
            yield kind, document
