"""What passes the front, and how much of it: the paths and headers of Flower's Fleet API, limits, and refusals.

A site's node activates itself, sends heartbeats, pulls messages and their objects, and pushes its answers. It does not
register itself: the coordinator registers the keys of its members, so that `register-node` and `unregister-node` are of
use to strangers alone. Nothing of the Control API (submit code, stop runs) or the Runtime API is ever passed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from math import isfinite
from types import MappingProxyType
from typing import Final

from ...core import ConfigError

SMALL: Final = 64 * 1024  # bytes
FLEET_PATHS: Final[Mapping[str, int | None]] = MappingProxyType(
    # The longest body in bytes; None: `FrontLimits.max_object_bytes`.
    {
        "/v1/fleet/activate-node": SMALL,
        "/v1/fleet/deactivate-node": SMALL,
        "/v1/fleet/send-node-heartbeat": SMALL,
        "/v1/fleet/pull-messages": SMALL,
        "/v1/fleet/push-messages": 64 * SMALL,  # names every object of an answer, about 70 bytes each
        "/v1/fleet/get-run": SMALL,
        "/v1/fleet/get-fab": SMALL,
        "/v1/fleet/pull-object": SMALL,
        "/v1/fleet/push-object": None,
        "/v1/fleet/confirm-message-received": SMALL,
    }
)
HEALTH_PATH: Final = "/health"
PUBLIC_KEY_HEADER: Final = b"flwr-public-key"
REQUEST_HEADERS: Final = frozenset(
    {
        b"accept",
        b"content-type",
        PUBLIC_KEY_HEADER,
        b"flwr-signature",
        b"flwr-timestamp",
        b"flwr-package-name",
        b"flwr-package-version",
        b"flwr-component-name",
    }
)
RESPONSE_HEADERS: Final = frozenset({b"content-type", b"retry-after", b"flwr-version-incompatibility-message"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontLimits:
    """What one site may ask of the front.

    Attributes:
        max_head_bytes: of a request's line and headers.
        max_object_bytes: of an object's body; Flower cuts arrays into objects of 5 MiB.
        connections: open at once, of one site; a SuperNode needs about five.
        handshakes: begun and not finished at once, of one network address; nobody is known yet.
        all_handshakes: the same, of all.
        handshake_s: seconds for a TLS handshake.
        head_s: seconds for a request's head.
        idle_s: seconds between requests.
        body_s: seconds for a body, in addition to its bytes at `min_rate`.
        min_rate: bytes a second, in either direction; slower is taken for an attack.
        upstream_s: seconds that the SuperLink may take to begin an answer.
        linger_s: seconds in which what is still under way after a refusal is taken and forgotten.

    Raises:
        ConfigError: one of them is not positive.
    """

    max_head_bytes: int = 16 * 1024
    max_object_bytes: int = 32 * 1024 * 1024
    connections: int = 32
    handshakes: int = 32
    all_handshakes: int = 512
    handshake_s: float = 10.0
    head_s: float = 10.0
    idle_s: float = 90.0
    body_s: float = 30.0
    min_rate: int = 4096
    upstream_s: float = 60.0
    linger_s: float = 2.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not (isfinite(value) and value > 0):
                raise ConfigError(f"expected {name} > 0, got {value!r}")


class Refusal(Enum):
    """Why the front did not pass a request: its HTTP status, and a code that a tunnel can read."""

    NOT_A_MEMBER = 401, "not-a-member"  # a SuperNode that gets 401 ends, and asks no more
    EXPIRED = 401, "certificate-expired"
    BAD_REQUEST = 400, "bad-request"
    PIPELINED = 400, "pipelined-request"
    BAD_HEADER = 400, "bad-header"
    PATH = 403, "path-not-allowed"
    FOREIGN_KEY = 403, "key-of-another-site"
    SLOW = 408, "too-slow"
    NO_LENGTH = 411, "length-required"
    TOO_LARGE = 413, "body-too-large"
    EXPECTATION = 417, "expectation-not-met"
    HEAD_TOO_LARGE = 431, "head-too-large"
    UPSTREAM = 502, "upstream-down"
    BUSY = 503, "too-many-connections"
    NO_LIST = 503, "members-unknown"
    UPSTREAM_SLOW = 504, "upstream-slow"
    VERSION = 505, "http-version"

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.value[0]

    @property
    def code(self) -> str:
        """The code in the body."""
        return self.value[1]

    def response(self) -> bytes:
        """The whole answer; it says nothing about the coordinator, and that the connection ends."""
        body = f'{{"code":"{self.code}"}}\n'.encode()
        head = (
            f"HTTP/1.1 {self.status} Refused\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
            "connection: close\r\n\r\n"
        )
        return head.encode() + body
