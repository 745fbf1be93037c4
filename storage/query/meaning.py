"""What the names of a query stand for in one history."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from typing import Literal as OneOf

from ..errors import QueryError
from .fields import FIELDS, Field
from .language import SCOPES, And, Compare, Condition, Holds, Missing, Name, Not, Or, Query, Scope, Within, query_error
from .names import ALIASES, NameLookup, NameUse

_NOUNS: Final[Mapping[str, str]] = {"metric": "metric", "param": "parameter", "tag": "tag"}


@dataclass(frozen=True, slots=True)
class Meaning:
    """A field of the run; or the metric, parameter or tag of some names: one, except of parameters."""

    kind: OneOf["field", "metric", "param", "tag"]
    names: tuple[str, ...]
    ids: tuple[int, ...] = ()  # of `nst_name`
    field: Field | None = None


@dataclass(frozen=True, slots=True)
class Mention:
    """A name in a query: whether it stands alone as a condition, and whether beside another one in a comparison."""

    name: Name
    alone: bool = False
    beside: bool = False


Meanings = Mapping[Mention, Meaning]


def mentions(query: Query) -> Iterator[Mention]:
    """The names in a query, in the order in which they are written."""
    if query.where is not None:
        yield from _within(query.where)
    for key in query.order:
        yield Mention(key.name)


def _within(condition: Condition) -> Iterator[Mention]:
    match condition:
        case Compare():
            names = [operand for operand in condition.operands if isinstance(operand, Name)]
            yield from (Mention(name, beside=len(names) > 1) for name in names)
        case Holds(name):
            yield Mention(name, alone=True)
        case Within(name) | Missing(name):
            yield Mention(name)
        case Not(inner):
            yield from _within(inner)
        case And(conditions) | Or(conditions):
            for inner in conditions:
                yield from _within(inner)


def find_meanings(query: Query, lookup: NameLookup) -> Meanings:
    """What each name in the query stands for.

    A name without a scope is a field of the run, else a metric, else a parameter, else a tag; alone as a condition it
    is a parameter or a tag. A name nobody uses may be short for another one: see `ALIASES`, and `op` finds every
    parameter that ends in ".op".

    Raises:
        QueryError: a name that stands for nothing.
    """
    found = list(mentions(query))
    asked = {mention.name.name for mention in found if not _is_field(mention)}
    asked |= {ALIASES[name] for name in asked if name in ALIASES}
    uses: Mapping[str, NameUse] = lookup.uses(asked) if asked else {}
    return {mention: _meaning(mention, uses, lookup) for mention in found}


def _is_field(mention: Mention) -> bool:
    name = mention.name
    return name.name in FIELDS and name.scope is None and name.statistic is None and not mention.alone


def _meaning(mention: Mention, uses: Mapping[str, NameUse], lookup: NameLookup) -> Meaning:
    name = mention.name
    if _is_field(mention):
        return Meaning("field", (name.name,), field=FIELDS[name.name])
    scopes = _scopes(mention)
    for candidate in (name.name, ALIASES.get(name.name, "")):
        use = uses.get(candidate)
        if use is None:
            continue
        for scope in scopes:
            if getattr(use, scope):
                return Meaning(scope, (candidate,), (use.id,))
    if "param" in scopes and (endings := lookup.endings(name.name)):
        return Meaning("param", tuple(endings.values()), tuple(endings))
    raise _unknown(mention, uses.get(name.name), lookup)


def _scopes(mention: Mention) -> tuple[Scope, ...]:
    if mention.name.scope is not None:
        return (mention.name.scope,)
    if mention.name.statistic is not None:
        return ("metric",)
    return ("param", "tag") if mention.alone else SCOPES


def _unknown(mention: Mention, use: NameUse | None, lookup: NameLookup) -> QueryError:
    name = mention.name
    if mention.alone and name.scope is None and name.name in FIELDS:
        return query_error(f"{name} is no condition", name.place, hint=f"compare it, or ask: {name} is not null")
    uses = [] if use is None else [scope for scope in SCOPES if getattr(use, scope)]
    if mention.alone and "metric" in uses:
        return query_error(f"{name} is a number, and no condition", name.place, hint=f"as in: {name} > 0.9")
    wanted = "name" if len(_scopes(mention)) > 1 else _NOUNS[_scopes(mention)[0]]
    message = f"there is no {wanted} {name.name} in this history"
    if uses:
        return query_error(message, name.place, hint=f"there is {uses[0]}.{name.name}")
    near = _near(name, lookup)
    hints = [f"did you mean {' or '.join(near)}?"] if near else []
    if mention.beside and name.scope is None and name.statistic is None:
        hints.append(f'a text is quoted: "{name.name}"')
    return query_error(message, name.place, hint="; ".join(hints) or None)


def _near(name: Name, lookup: NameLookup) -> list[str]:
    spelt: dict[str, str] = {}
    for known in (*(FIELDS if name.scope is None and name.statistic is None else ()), *ALIASES, *lookup.known()):
        spelt.setdefault(known.lower(), known)
        spelt.setdefault(known.rpartition(".")[2].lower(), known)
    near = (spelt[word] for word in difflib.get_close_matches(name.name.lower(), spelt, n=3, cutoff=0.7))
    return [str(Name(each)) for each in dict.fromkeys(ALIASES.get(word, word) for word in near)]
