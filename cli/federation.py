"""`nasturtium federate` on real machines: the coordinator's commands, and a site's."""

from __future__ import annotations

import logging
import signal
import threading
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core import ConfigError
from .keys import passphrase_of
from .options import FormatOption, Json, argument, chosen, option
from .output import Format, count, print_json, print_rows, show, size, stderr, stdout

if TYPE_CHECKING:
    from types import FrameType

    from ..federated import SiteConfig
    from ..federated.deployment import FederationConfig, JobStatus, ParticipantEvent, ServerEvent

Folder = Annotated[Path, option("--folder", help="Where to make it; the folder is made where there is none.")]
HubConfig = Annotated[Path, option("--config", help="The coordinator's federation.toml.")]
SiteFile = Annotated[Path, option("--config", help="The site's site.toml.")]
Job = Annotated[str, argument(metavar="JOB", help="Its number in `federate status`, or the first letters of its id.")]
_HUB, _SITE, _HERE = Path("federation.toml"), Path("site.toml"), Path()

init = typer.Typer(no_args_is_help=True, suggest_commands=False, add_completion=False)


@init.callback()
def init_party() -> None:
    """Make the keys and the configuration of a coordinator, or of a site."""


@init.command("coordinator")
def init_coordinator(
    host: Annotated[str, option("--host", help="Name or IP address by which sites reach it.")],
    port: Annotated[int, option("--port", help="On which.")] = 8443,
    name: Annotated[str, option("--name", help="As the sites see it.")] = "coordinator",
    folder: Folder = _HERE,
    as_json: Json = False,
) -> None:
    """Make a coordinator: identity, certificate authority, server certificate, federation.toml."""
    from ..federated import deployment

    made = deployment.init_coordinator(folder, host, name=name, port=port, passphrase=passphrase_of(None))
    if as_json:
        told = {"config": str(made.config), "id": made.identity.id, "fingerprint": made.identity.fingerprint}
        print_json(told | {"authority": made.authority_fingerprint})
        return
    out = stdout()
    out.print(f"made {made.config}; sites reach {name} at {host}:{port}", soft_wrap=True)
    out.print(f"fingerprint {made.identity.fingerprint}", soft_wrap=True)
    _note(
        "sites compare this fingerprint with the one in their admission\n"
        f"admit each by the file it sends: nasturtium federate admit SITE.pub --config {made.config}\n"
        f"then: nasturtium federate server --config {made.config}"
    )


@init.command("site")
def init_site(
    name: Annotated[str, argument(help="Of the site, as the others will see it.")],
    data: Annotated[str, option("--data", help="Its data: .csv, .parquet, .npz or a folder of images.")] = "data.csv",
    target: Annotated[str, option("--target", help="The column to learn.")] = "label",
    folder: Folder = _HERE,
    as_json: Json = False,
) -> None:
    """Make a site: identity and transport key, site.toml, and what it sends to the coordinator."""
    from ..federated import deployment

    made = deployment.init_site(folder, name, data=data, target=target, passphrase=passphrase_of(None))
    if as_json:
        told = {"config": str(made.config), "id": made.identity.id, "fingerprint": made.identity.fingerprint}
        print_json(told | {"send": str(made.application)})
        return
    stdout().print(f"made {made.config} of site {name}", soft_wrap=True)
    stdout().print(f"fingerprint {made.identity.fingerprint}", soft_wrap=True)
    _note(
        f"send {made.application} to the coordinator, and tell it the fingerprint over another channel\n"
        f"look through {made.config}: data, splits, and what this site takes part in\n"
        f"put what comes back beside it, and: nasturtium federate client --config {made.config}"
    )


def admit(
    application: Annotated[Path, argument(metavar="SITE.pub", help="The file that the site sent.")],
    config: HubConfig = _HUB,
    as_json: Json = False,
) -> None:
    """Admit a site whose fingerprint was compared; writes the file to send back to it."""
    from ..federated import deployment

    hub = _hub(config)
    admission, path = deployment.admit_site(hub, application, passphrase=passphrase_of(hub.keys))
    if as_json:
        print_json({"site": admission.site, "send": str(path), "expires": admission.expires.isoformat()})
        return
    stdout().print(f"admitted {admission.site} until {admission.expires:%Y-%m-%d}; send back {path}", soft_wrap=True)


def remove(site: Annotated[str, argument(help="Its name.")], config: HubConfig = _HUB, as_json: Json = False) -> None:
    """Remove a site: its connections end at once, and the others get another key before their next run."""
    from ..federated import deployment

    member = deployment.remove_site(_hub(config), site)
    if as_json:
        print_json({"site": member.name, "removed": str(member.removed)})
        return
    stdout().print(f"removed {member.name}", soft_wrap=True)
    _note("before their next run the other sites compare and sign a new roster: nasturtium federate approve")


def server(
    config: HubConfig = _HUB,
    once: Annotated[bool, option("--once", help="End when no job waits any more.")] = False,
) -> None:
    """Coordinate: bring up everything on this machine, wait for sites, and do the jobs that were started."""
    from ..federated import deployment
    from .site_search import search_at_sites

    hub = _hub(config)
    watch = _ServerLines()
    with _stopping() as stop:
        passphrase = passphrase_of(hub.keys)
        deployment.serve(hub, stop=stop, passphrase=passphrase, until_idle=once, search=search_at_sites, observe=watch)
        if stop.is_set():
            _note(f"stopped; a job that was running goes on with: nasturtium federate server --config {config}")


def client(
    config: SiteFile = _SITE,
    dry_run: Annotated[bool, option("--dry-run", help="Only show what would leave this site.")] = False,
    as_json: Json = False,
) -> None:
    """Take part with the data described in site.toml, which never leaves; --dry-run shows what would."""
    from ..federated import deployment

    site = _site(config)
    if dry_run:
        _show_dry_run(site, as_json=as_json)
        return
    lines = _SiteLines(str(config))
    participant = deployment.Participant(site, passphrase=passphrase_of(site.keys), observe=lines)
    with _stopping() as stop:
        participant.run(stop)


def approve(
    fingerprint: Annotated[
        list[str] | None, argument(help="The roster's, as the other sites told it.", show_default="show what waits")
    ] = None,
    config: SiteFile = _SITE,
    as_json: Json = False,
) -> None:
    """Sign the roster that waits, once its fingerprint was compared with the other sites' in a call."""
    from ..federated import deployment
    from .key_lines import describe, document_lines

    site = _site(config)
    if fingerprint:  # with or without quotation marks
        roster = deployment.approve_roster(site, " ".join(fingerprint), passphrase=passphrase_of(site.keys))
    else:
        roster = deployment.waiting_roster(site)
    if as_json:
        print_json(None if roster is None else describe(roster))
    elif roster is None:
        stdout().print("no roster waits", soft_wrap=True)
    else:
        for line in document_lines(roster):
            stdout().print(line, soft_wrap=True)
        if not fingerprint:
            _note("compare the fingerprint with the other sites, then: nasturtium federate approve FINGERPRINT")


def start(
    job: Annotated[
        Path, argument(metavar="JOB.toml", help="What to train, or with a table [search] to search; see --template.")
    ] = Path("train.toml"),
    template: Annotated[
        bool, option("--template", help="Print a commented job to begin with: train, or --template search.")
    ] = False,
    again: Annotated[bool, option("--again", help="Although the very same job is not done yet.")] = False,
    config: HubConfig = _HUB,
    as_json: Json = False,
) -> None:
    """Ask for a model to be trained, or searched, across the sites; the server does it when it comes to it."""
    from ..federated import deployment

    if template:
        typer.echo(_template(job.stem), nl=False)
        return
    asked = deployment.load_job(job)
    if isinstance(asked, deployment.SearchJob):
        from .site_search import check_search

        check_search(asked)
    record = deployment.start_job(_hub(config), asked, again=again)
    if as_json:
        print_json({"name": record.name, "uid": record.uid, "state": record.state})
        return
    stdout().print(f"queued {record.name} as {record.uid}", soft_wrap=True)
    _note(f"watch it: nasturtium federate status --config {config}")


def status(config: HubConfig = _HUB, fmt: FormatOption = Format.TABLE, as_json: Json = False) -> None:
    """The jobs of the federation, and how far each is."""
    from ..federated import deployment

    rows = [_job_row(number, each) for number, each in enumerate(deployment.read_jobs(_hub(config)), 1)]
    headings = {name: name for name in ("job", "kind", "name", "state", "trials", "rounds", "accuracy")}
    print_rows(rows, headings | {"why": "why", "uid": "id", "run": "run"}, chosen(fmt, as_json=as_json), title="Jobs")


def rounds(
    job: Annotated[
        str | None, argument(metavar="JOB", help="As of the others.", show_default="the newest that has begun")
    ] = None,
    config: HubConfig = _HUB,
    fmt: FormatOption = Format.TABLE,
    as_json: Json = False,
) -> None:
    """The rounds of a job, with the attempts that gave no sum; of a search those of its trials, and of its model."""
    from ..federated import deployment

    found = deployment.read_rounds(_hub(config), job)
    headings = ["round", "state", "participants", "rejected", "loss", "accuracy", "bytes_up", "bytes_down", "seconds"]
    print_rows(
        found,
        {name: name.replace("_", " ") for name in ["trial", *headings, "why"]},
        chosen(fmt, as_json=as_json),
        title="Rounds",
    )


def clients(
    job: Annotated[str | None, argument(metavar="JOB", help="Of one job; see there.", show_default="all")] = None,
    config: HubConfig = _HUB,
    fmt: FormatOption = Format.TABLE,
    as_json: Json = False,
) -> None:
    """The admitted sites, and what each gave."""
    from ..federated import deployment

    found = deployment.read_clients(_hub(config), job)
    headings = ["site", "admitted", "expires", "accepted", "rejected", "bytes_up", "last_reason", "fingerprint"]
    print_rows(found, {name: name.replace("_", " ") for name in headings}, chosen(fmt, as_json=as_json), title="Sites")


def stop(job: Job, config: HubConfig = _HUB) -> None:
    """Stop a job after the message it is at; it can be resumed."""
    from ..federated import deployment

    record, state = deployment.stop_job(_hub(config), job)
    told = "will stop" if state == "running" else "stopped"
    stdout().print(f"{record.name} {told}", soft_wrap=True)
    _note(f"go on with it: nasturtium federate resume {record.uid} --config {config}")


def resume(job: Job, config: HubConfig = _HUB) -> None:
    """Go on with a job that is paused, stopped or failed, at its last closed round."""
    from ..federated import deployment

    record = deployment.resume_job(_hub(config), job)
    stdout().print(f"queued {record.name} again", soft_wrap=True)


def open_release(
    file: Annotated[Path, argument(metavar="FILE.release", help="What the coordinator sent.")],
    to: Annotated[Path, option("--to", help="Folder for the model.")] = Path("model"),
    keys: Annotated[Path, option("--keys", help="The folder with this party's keys.")] = Path("nasturtium.keys"),
    as_json: Json = False,
) -> None:
    """Open a model that the sites of a federation have given to this party, and check who gave it."""
    from ..federated import deployment
    from ..privacy import KeyFolder

    opened = deployment.open_release(file, KeyFolder(keys).identity(passphrase_of(keys)), to)
    if as_json:
        told = {"run": opened.run, "model": str(opened.folder), "sites": list(opened.sites)}
        print_json(told | {"roster": opened.roster_fingerprint})
        return
    stdout().print(f"model of run {opened.run} in {opened.folder}, given by {', '.join(opened.sites)}", soft_wrap=True)
    stdout().print(f"roster {opened.roster_fingerprint}", soft_wrap=True)
    _note(f"compare the roster with a site, over another channel; then: nasturtium predict {opened.folder} ROWS")


def audit(
    config: SiteFile = _SITE,
    last: Annotated[int, option("--last", help="How many entries, newest first.")] = 20,
    check: Annotated[bool, option("--check", help="Check the whole chain instead.")] = False,
    fmt: FormatOption = Format.TABLE,
    as_json: Json = False,
) -> None:
    """What has left this site, and what it has refused."""
    from ..federated import AuditLog

    log = AuditLog(_site(config).state / "audit")
    if check:
        report = log.verify()
        if as_json:
            print_json({"entries": report.entries, "head": report.head})
            return
        stdout().print(f"{report.entries:,} entries, unbroken; head {report.head}", soft_wrap=True)
        return
    rows: list[dict[str, Any]] = [each.to_dict() for each in log.entries(last)]
    headings = ["time", "action", "run", "round", "bytes", "refused", "holds"]
    print_rows(rows, {name: name for name in headings}, chosen(fmt, as_json=as_json), title="Audit log")


class _ServerLines:
    """A coordinator's events as lines for its operator."""

    def __call__(self, event: ServerEvent) -> None:
        from ..federated import AttemptFailed, FederationStarted, RoundFinished
        from ..federated.deployment import (
            JobEnded,
            JobGoesOn,
            JobWaits,
            ModelReleased,
            ServerReady,
            SitesChanged,
        )

        match event:
            case ServerReady():
                line = f"ready at {event.address}, {count(event.members, 'site')} admitted"
            case SitesChanged():
                away = [name for name in event.members if name not in event.online]
                line = f"connected: {', '.join(event.online) or 'nobody'}" + (
                    f"; away: {', '.join(away)}" if away else ""
                )
            case JobWaits():
                line = f"{event.name} waits: {event.reason}"
            case JobGoesOn():
                line = f"{event.name}: {event.what}"
            case ModelReleased():
                line = f"the model of run {event.run} is given to {event.party} by {', '.join(event.sites)}"
                line += "" if event.opened else f"; send {event.path}, and: nasturtium federate open-release"
            case JobEnded():
                figure = "" if event.accuracy is None else f", accuracy {show(event.accuracy)} on the sites' rows"
                line = f"{event.name} {event.state}{figure}" + (f": {event.error}" if event.error else "")
            case FederationStarted():
                line = f"run {event.run.run.number} of {event.run.run.name}: {count(event.run.rounds, 'round')}"
            case RoundFinished():
                line = f"round {event.number} of {event.total}, {event.seconds:.1f} s, {size(event.bytes_up)} up"
                if event.accuracy is not None:
                    line += f"; round {event.reported}: accuracy {show(event.accuracy)}"
            case AttemptFailed():
                line = f"attempt {event.attempt} at round {event.number} gave no sum: {event.failure}"
        stderr().print(line, soft_wrap=True)


class _SiteLines:
    """A site's events as lines for its operator."""

    def __init__(self, config: str) -> None:
        self._config = config

    def __call__(self, event: ParticipantEvent) -> None:
        from ..federated.deployment import ModelKept, NotTaken, PlanFollowed, Refused, RosterWaits, SiteReady

        match event:
            case SiteReady():
                line = f"{event.name}: {count(event.rows, 'row')}; coordinator {event.coordinator}"
            case RosterWaits():
                line = (
                    f"a roster of {count(len(event.members), 'site')} waits: {', '.join(event.members)}\n"
                    f"compare its fingerprint with theirs in a call: {event.fingerprint}\n"
                    f"then: nasturtium federate approve FINGERPRINT --config {self._config}"
                )
            case PlanFollowed():
                said = "" if event.accuracy is None else f"; all sites: accuracy {show(event.accuracy)}"
                line = f"run {event.run}, round {event.round}: {event.phase}{said}"
            case Refused():
                asked = ", run ".join(filter(None, (event.action, event.run)))
                line = f"refused{f' ({asked})' if asked else ''}: {event.reason}"
            case NotTaken():
                line = f"the coordinator does not take this site: {'; '.join(event.reasons)}"
            case ModelKept():
                line = f"model of run {event.run} kept in {event.folder}"
                if event.gain is not None:
                    gain = event.gain
                    line += (
                        f"\non {count(gain.rows, 'test row')} of this site: accuracy {show(gain.federated_accuracy)}, "
                        f"a model of its own rows alone {show(gain.local_accuracy)} (p = {show(gain.p_value)})"
                    )
            case _:
                state = event.state
                line = state.code.code if state.connected else f"{state.code.code}: {state.detail}; {state.code.hint}"
        stderr().print(line, soft_wrap=True)


class _stopping:  # noqa: N801 - used as a function
    """Ctrl-C and SIGTERM set an event instead of raising; a second one ends the process at once."""

    def __enter__(self) -> threading.Event:
        logging.getLogger("nasturtium").setLevel(logging.ERROR)  # the events say it in words
        logging.getLogger("flwr").setLevel(logging.ERROR)
        self._stop = threading.Event()
        self._before = {each: signal.signal(each, self._set) for each in (signal.SIGINT, signal.SIGTERM)}
        return self._stop

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _set(self, number: int, frame: FrameType | None) -> None:
        if self._stop.is_set():
            raise KeyboardInterrupt
        self._stop.set()
        stderr().print("stopping; once more ends it at once", soft_wrap=True)


def _show_dry_run(site: SiteConfig, *, as_json: bool) -> None:
    from ..federated import run_dry

    found = run_dry(site)
    if as_json:
        print_json(found.to_dict())
        return
    out = stdout()
    out.print(f"what would leave {found.site}, made by the code that makes it, of its own data; nothing was sent\n")
    out.print("its policy", *(f"  {each}" for each in found.policy), sep="\n", soft_wrap=True)
    if found.refused:
        told = "its policy refuses such a run, and nothing that it refuses leaves"
        out.print(f"\n{told}", *(f"  {each}" for each in found.refused), sep="\n", soft_wrap=True)
    rows = ", ".join(f"{name} {number:,}" for name, number in found.rows.items())
    out.print(f"\nrows: {rows}; none leave, and {_told(found.rows_are_told)} how many", soft_wrap=True)
    columns = ", ".join(f"{name} ({kind})" for name, kind in found.columns)
    out.print(f"columns, whose names the coordinator {_told(found.columns_are_told)}: {columns}", soft_wrap=True)
    out.print(f"\nanswers of a run of one round, of a network of {found.parameters:,} parameters", soft_wrap=True)
    for message in found.messages:
        out.print(f"  {message.action}, {size(message.bytes)}", soft_wrap=True)
        out.print(*(f"    {each}" for each in message.holds), sep="\n", soft_wrap=True)
    out.print(f"  {size(found.bytes_per_round)} a round\n", soft_wrap=True)
    out.print("never leaves", *(f"  {each}" for each in found.stays), sep="\n", soft_wrap=True)


def _told(told: bool) -> str:
    return "is told" if told else "is not told"


def _template(kind: str) -> str:
    """The commented file of a kind of job.

    Raises:
        ConfigError: there is none of that kind.
    """
    from ..federated import deployment

    templates = {"train": deployment.JOB_TEMPLATE, "search": deployment.SEARCH_TEMPLATE}
    if kind not in templates:
        raise ConfigError(f"there is no template {kind!r:.40}", hint=f"there are {' and '.join(templates)}")
    return templates[kind]


def _hub(path: Path) -> FederationConfig:
    from ..federated.deployment import FederationConfig

    return FederationConfig.load(path)


def _site(path: Path) -> SiteConfig:
    from ..federated import SiteConfig

    return SiteConfig.load(path)


def _job_row(number: int, record: JobStatus) -> dict[str, Any]:
    return {"job": number, **asdict(record)}


def _note(text: str) -> None:
    stderr().print(text, soft_wrap=True)
