"""Several questions in one message, and their answers in one, which the site has signed for that very message.

The k-th question's records are called "k/...". A site that refuses one answers it with a code, and the others all the
same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Final

from flwr.app import ArrayRecord, ConfigRecord, RecordDict

from ...privacy import PublicIdentity, SignatureError, UpdateRejectedError
from ..errors import Refusal
from .queries import ANSWER_DOMAIN
from .records import content_digest, pack_bytes, unpack_bytes

MAX_QUESTIONS: Final = 64
_SIGNATURE: Final = "signature"
_REFUSAL: Final = "refusal"


def join_contents(contents: Sequence[RecordDict]) -> RecordDict:
    """Some contents as one."""
    assert 1 <= len(contents) <= MAX_QUESTIONS
    return RecordDict({f"{k}/{name}": record for k, each in enumerate(contents) for name, record in each.items()})


def split_content(content: RecordDict) -> list[RecordDict]:
    """The inverse of `join_contents`.

    Raises:
        ValueError: it was not made by that.
    """
    parts: dict[str, RecordDict] = {}
    for name, record in content.items():
        place, slash, rest = name.partition("/")
        if not slash or not rest:
            raise ValueError(f"expected records of numbered questions, got {name!r:.60}")
        parts.setdefault(place, RecordDict())[rest] = record
    if not 1 <= len(parts) <= MAX_QUESTIONS or parts.keys() != {str(k) for k in range(len(parts))}:
        raise ValueError(f"expected 1 to {MAX_QUESTIONS} questions, numbered from 0, got {len(parts)}")
    return [parts[str(k)] for k in range(len(parts))]


def sign_answer(content: RecordDict, sign: Callable[[bytes], bytes], question: bytes) -> RecordDict:
    """The content with the site's signature of all of it, as the answer to the message with that digest.

    Args:
        content: gets one record more.
        sign: for `ANSWER_DOMAIN`.
        question: digest of the message's content without its own signature.
    """
    content[_SIGNATURE] = pack_bytes(sign(question + content_digest(content)))
    return content


def check_answer(content: RecordDict, site: PublicIdentity, question: bytes) -> RecordDict:
    """The content without its signature, which is the site's for the message with that digest.

    Raises:
        UpdateRejectedError: it is not.
    """
    signed = RecordDict({name: record for name, record in content.items() if name != _SIGNATURE})
    try:
        signature = unpack_bytes(content[_SIGNATURE])
    except (KeyError, ValueError) as exc:
        raise SignatureError(f"an answer that {site.name} has not signed") from exc
    try:
        site.verify(ANSWER_DOMAIN, question + content_digest(signed), signature)
    except UpdateRejectedError as exc:
        raise SignatureError(f"an answer that {site.name} has not signed for this question") from exc
    return signed


def refusal_to_content(code: Refusal) -> RecordDict:
    """That a site does not answer a question."""
    return RecordDict({_REFUSAL: ConfigRecord({"code": code.value})})


def refusal_from_content(content: RecordDict) -> Refusal | None:
    """Why a site does not answer a question; None: it does."""
    if list(content) != [_REFUSAL]:
        return None
    record = content[_REFUSAL]
    code = record.get("code") if isinstance(record, ConfigRecord) else None
    return Refusal.told(code if isinstance(code, str) else "")


def answers_something(content: RecordDict) -> bool:
    """Whether any question is answered, and not only refused; the content is not checked."""
    return any(not name.endswith(f"/{_REFUSAL}") for name in content if name != _SIGNATURE)


def content_bytes(content: RecordDict) -> int:
    """How large a content is; nothing in it is read."""
    size = 0
    for name, record in content.items():
        size += len(name)
        if isinstance(record, ArrayRecord):
            size += sum(len(key) + len(array.data) for key, array in record.items())
        else:
            size += len(json.dumps(dict(record), default=bytes.hex))
    return size
