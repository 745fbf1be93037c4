"""A model that sites gave out, as a file, and how who it is for opens it: the one place of a coordinator that does.

    one line of JSON: who, which run, the consents, the roster | a sealed box

Threat model: the file is for one party, and tells others who is in the federation and how large the model is. What is
opened here is what sites have sealed to that party's own identity; no key for updates or sums is asked for or imported.
The consents are of members of the roster in the file, all of whom have signed that. Whether they are who they are taken
for says its fingerprint: a coordinator knows it, anybody else compares it with a site's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from ...core import ConfigError, FormatError, SavedModel, canonical_json, check_header, parse_json, save_model
from ...privacy import Identity, PrivacyError, PublicIdentity, Roster, UpdateRejectedError
from ..adapters import AdaptedModel, ModelCatalogue
from ..protocol.release import (
    NONCE_BYTES,
    RELEASE_DOMAIN,
    SealedModel,
    check_consents,
    commit,
    consent_message,
    fewest_consents,
)
from ..released_model import MOST_MODEL_BYTES, unpack_model
from ..site.state import write_private

FORMAT: Final = "nasturtium.release"
VERSION: Final = 1
_MOST_HEADER_BYTES: Final = 2**22
_FIELDS: Final = frozenset(
    {"format", "version", "run", "party", "recipient", "commitment", "size", "donor", "consents", "roster"}
)


@dataclass(frozen=True, slots=True)
class ReleasedFile:
    """What is in a file.

    Attributes:
        sealed: the model, and who gave it.
        roster: whose members the sites are.
    """

    sealed: SealedModel
    roster: Roster

    def write(self, path: Path) -> Path:
        """Write the file, which only its owner can read; one that is there is replaced.

        Raises:
            SiteStateError: it cannot be written.
        """
        sealed = self.sealed
        header = {
            "format": FORMAT,
            "version": VERSION,
            "run": sealed.run,
            "party": sealed.party,
            "recipient": sealed.recipient.to_dict(),
            "commitment": sealed.commitment,
            "size": sealed.size,
            "donor": sealed.donor,
            "consents": {site: signature.hex() for site, signature in sealed.consents.items()},
            "roster": self.roster.to_dict(),
        }
        write_private(path, canonical_json(header).encode() + b"\n" + sealed.box)
        return path

    @classmethod
    def read(cls, path: Path) -> ReleasedFile:
        """Read a file.

        Raises:
            FormatError: it cannot be read, is none, or was changed.
        """
        try:
            with path.open("rb") as file:
                line = file.readline(_MOST_HEADER_BYTES + 1)
                if len(line) > _MOST_HEADER_BYTES or not line.endswith(b"\n"):
                    raise FormatError("its first line is none")
                header = check_header(parse_json(line.decode("utf-8", "replace")), FORMAT, VERSION)
                size = header.get("size")
                if set(header) != set(_FIELDS) or type(size) is not int or not 0 < size <= MOST_MODEL_BYTES:
                    raise FormatError(f"expected the fields {', '.join(sorted(_FIELDS))}")
                box = file.read(size + 2 * _MOST_HEADER_BYTES)
            return cls(_sealed(header, box), Roster.from_dict(header["roster"]))
        except (OSError, ValueError, KeyError, PrivacyError) as exc:
            raise FormatError(f"{path}: not a model that was given out: {exc}", hint="ask for it again") from exc

    @property
    def sites(self) -> tuple[str, ...]:
        """The names of the sites that have consented.

        Raises:
            UpdateRejectedError: they are fewer than half, or one has not signed this.
            RosterError: a member has not signed the roster.
        """
        self.roster.verify()
        sealed = self.sealed
        members = self.roster.members
        message = consent_message(sealed.run, sealed.recipient.id, sealed.commitment, sealed.size)
        return check_consents(sealed.consents, members, message, fewest=fewest_consents(len(members)))

    def open(self, identity: Identity, models: ModelCatalogue | None = None) -> SavedModel | AdaptedModel:
        """The model, once all of it is checked.

        Args:
            identity: of the party it is for.
            models: has the code of models that are no network of the core; what is installed, by default.

        Raises:
            ConfigError: it is for somebody else.
            UpdateRejectedError: as of `sites`, or what was sealed is not what they have consented to.
            PrivacyError: the box was changed.
            FormatError: what is in it is no model.
            PlanError: the code of the model is not here.
        """
        sealed = self.sealed
        if sealed.recipient != identity.public:
            raise ConfigError(
                f"the model is for {sealed.recipient.name} ({sealed.recipient.id}), and this is "
                f"{identity.public.name} ({identity.public.id})",
                hint="name the folder with the keys of that party: --keys",
            )
        _ = self.sites
        message = consent_message(sealed.run, sealed.recipient.id, sealed.commitment, sealed.size)
        opened = identity.unseal(sealed.box, RELEASE_DOMAIN.encode() + b"\0" + message)
        nonce, content = opened[:NONCE_BYTES], opened[NONCE_BYTES:]
        if len(content) != sealed.size or commit(nonce, content) != sealed.commitment:
            raise UpdateRejectedError(f"{sealed.donor} has sealed another model than most sites have consented to")
        return unpack_model(content, models)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedRelease:
    """A model that was opened.

    Attributes:
        run: ULID of its run.
        folder: a model folder.
        sites: who has consented.
        roster_fingerprint: of their roster, to be compared with a site's.
    """

    run: str
    folder: Path
    sites: tuple[str, ...]
    roster_fingerprint: str


def open_release(path: Path, identity: Identity, folder: Path, models: ModelCatalogue | None = None) -> OpenedRelease:
    """Open a file, and keep the model in a folder.

    Args:
        path: of the file.
        identity: of the party it is for.
        folder: an older model there is replaced.
        models: see `ReleasedFile.open`.

    Raises:
        FormatError, ConfigError, UpdateRejectedError, PrivacyError, PlanError: see `ReleasedFile`.
        NasturtiumError: the folder cannot be written.
    """
    found = ReleasedFile.read(path)
    model = found.open(identity, models)
    keep_released(model, folder, {"run": found.sealed.run, "from": list(found.sites)})
    return OpenedRelease(
        run=found.sealed.run, folder=folder, sites=found.sites, roster_fingerprint=found.roster.fingerprint
    )


def keep_released(model: SavedModel | AdaptedModel, folder: Path, facts: Mapping[str, Any]) -> Path:
    """Write a model folder.

    Raises:
        ConfigError: something that is not a model is there already.
        NasturtiumError: the disk refuses.
    """
    if isinstance(model, AdaptedModel):
        return model.save(folder, facts)
    return save_model(folder, model.spec, model.model, model.preprocessing, {**model.metadata, **facts})


def _sealed(header: Mapping[str, Any], box: bytes) -> SealedModel:
    texts = {name: header[name] for name in ("run", "party", "commitment", "donor")}
    consents = header["consents"]
    if not all(isinstance(each, str) for each in texts.values()) or not isinstance(consents, dict):
        raise FormatError("expected texts, and consents")
    signatures = {str(site): bytes.fromhex(str(each)) for site, each in cast(dict[str, object], consents).items()}
    recipient = PublicIdentity.from_dict(header["recipient"])
    return SealedModel(**texts, recipient=recipient, size=header["size"], consents=signatures, box=box)
