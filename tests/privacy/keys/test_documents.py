"""Files that parties exchange: told apart, bounded, and named in the error where they are wrong."""

from __future__ import annotations

import json
import os

import pytest

from nasturtium.core import ConfigError, FormatError
from nasturtium.privacy.errors import KeyFileError, RosterError, SignatureError
from nasturtium.privacy.keys.documents import read_document, write_document
from nasturtium.privacy.keys.grant import MAX_GRANT_BYTES
from nasturtium.privacy.keys.grant_secret import issue_key
from nasturtium.privacy.keys.identity_secret import Identity
from nasturtium.privacy.keys.roster import Roster

SITES = [Identity.generate(name) for name in ("a", "b", "c")]
DRAFT = Roster.draft([site.public for site in SITES], issuer="a")
ROSTER = DRAFT.signed(SITES[0]).signed(SITES[1]).signed(SITES[2])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.json"


@pytest.mark.parametrize("kind", ["identity", "draft", "roster", "grant"])
def test_documents_are_read_as_they_were_written(path, kind):
    document = {"identity": SITES[0].public, "draft": DRAFT, "roster": ROSTER}.get(kind)
    document = document or issue_key(SITES[0], ROSTER)[0]
    write_document(path, document)
    assert read_document(path) == document
    with pytest.raises(KeyFileError, match="is there already"):
        write_document(path, document)
    write_document(path, document, replace=True)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        pytest.param(b"", FormatError, "not valid JSON", id="empty"),
        pytest.param(b"\xff", ConfigError, "it is not text", id="binary"),
        pytest.param(b"[]", FormatError, "neither an identity, a roster nor a grant", id="list"),
        pytest.param(b'{"format":[]}', FormatError, "neither an identity", id="format-list"),
        pytest.param(b'{"format":"nasturtium.identity"}', FormatError, "expected a version", id="identity-empty"),
        pytest.param(
            DRAFT.to_json().replace('"name":"b"', '"name":"x"').encode(), SignatureError, "is not that of x", id="name"
        ),
        pytest.param(json.dumps({**ROSTER.to_dict(), "epoch": 0}).encode(), RosterError, "integer from 1", id="epoch"),
    ],
)
def test_a_file_that_is_none_is_named(path, content, error, message):
    path.write_bytes(content)
    with pytest.raises(error, match=message) as caught:
        read_document(path)
    assert str(path) in str(caught.value)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="there is no endless file")  # noqa: PTH110
def test_a_file_without_an_end_is_refused(path):
    path.symlink_to("/dev/zero")
    with pytest.raises(FormatError, match="too long"):
        read_document(path)


def test_a_file_that_is_too_long_is_not_parsed(path):
    path.write_text("[" * (MAX_GRANT_BYTES + 1))
    with pytest.raises(FormatError, match="too long"):
        read_document(path)


def test_a_file_that_is_not_there_is_wrong_usage(path):
    with pytest.raises(ConfigError, match="No such file"):
        read_document(path)
