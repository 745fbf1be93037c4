"""Who may speak to the coordinator: certificates, admission, the front that faces the network, a site's tunnel.

    site: SuperNode -> tunnel (TLS on loopback) == mutual TLS 1.3 ==> front -> SuperLink (loopback): coordinator

Flower's SuperLink answers anybody who reaches its port: whoever does can register nodes and submit code for the sites
to run. So it listens on loopback, and what faces the network is the front. It lets in whoever has a certificate of the
coordinator's own authority that stands on the list of members, passes the few requests a site's node needs, and none
in the name of another site. Nothing here imports Flower or decrypts an update; names are loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .admission import Admission
    from .application import Application
    from .authority import Authority
    from .errors import AdmissionError, TransportError
    from .fields import Address, parse_address
    from .front import Front, Traffic
    from .loopback import LoopbackFiles
    from .members import Member, MemberList, Members
    from .rules import FrontLimits
    from .transport_key import TransportKey
    from .tunnel import Tunnel
    from .tunnel_state import FOR_THE_OPERATOR, TunnelCode, TunnelState

_HOMES = {
    "Address": "fields",
    "Admission": "admission",
    "AdmissionError": "errors",
    "Application": "application",
    "Authority": "authority",
    "FOR_THE_OPERATOR": "tunnel_state",
    "Front": "front",
    "FrontLimits": "rules",
    "LoopbackFiles": "loopback",
    "Member": "members",
    "MemberList": "members",
    "Members": "members",
    "Traffic": "front",
    "TransportError": "errors",
    "TransportKey": "transport_key",
    "Tunnel": "tunnel",
    "TunnelCode": "tunnel_state",
    "TunnelState": "tunnel_state",
    "parse_address": "fields",
}

__all__ = [
    "FOR_THE_OPERATOR",
    "Address",
    "Admission",
    "AdmissionError",
    "Application",
    "Authority",
    "Front",
    "FrontLimits",
    "LoopbackFiles",
    "Member",
    "MemberList",
    "Members",
    "Traffic",
    "TransportError",
    "TransportKey",
    "Tunnel",
    "TunnelCode",
    "TunnelState",
    "parse_address",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
