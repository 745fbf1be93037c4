"""A site's file: every key is checked, and what does not fit is told with its table, its key and what was expected."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.core import ConfigError, parse_toml, to_toml
from nasturtium.federated.site.config import SiteConfig
from nasturtium.federated.site.policy import ALLOWED, SitePolicy
from nasturtium.federated.site.template import TEMPLATE
from nasturtium.federated.site_data.config import DataConfig, SplitConfig
from nasturtium.federated.strategies import STRATEGIES

PLAIN = SiteConfig.template("hospital-a")
HEAD = 'version = 1\nname = "a"\nkeys = "k"\nstate = "s"\nadmission = "x"\n'
DATA = '[data]\nkind = "csv"\npath = "d.csv"\ntarget = "y"\n'
SQL = '[data]\nkind = "sql"\ntarget = "y"\nquery = "SELECT 1"\n'


def load(folder: Path, text: str | bytes) -> SiteConfig:
    path = folder / "site.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return SiteConfig.load(path)


def test_the_template_is_the_defaults(tmp_path):
    config = load(tmp_path, PLAIN)
    assert (config.policy, config.split) == (SitePolicy(), SplitConfig())
    assert config.data == DataConfig(kind="csv", path=tmp_path / "data.csv", target="label")
    assert (config.name, config.keys, config.admission) == (
        "hospital-a",
        tmp_path / "keys",
        tmp_path / "hospital-a.admission.json",
    )


def test_the_template_speaks_of_every_key():
    for kind in (SiteConfig, DataConfig, SplitConfig, SitePolicy):
        for each in fields(kind):
            assert each.name in TEMPLATE or f"[{each.name}]" in TEMPLATE
    assert all(f'"{action}"' in TEMPLATE for action in ALLOWED)


@pytest.mark.parametrize(
    ("data", "kind", "target"),
    [
        ("a.csv", "csv", "outcome"),
        ("b/C.PARQUET", "parquet", "outcome"),
        ("x.npz", "npz", "outcome"),
        ("scans", "images", None),
        ('we"ird {name} \\ ü.csv', "csv", "outcome"),
    ],
)
def test_a_template_for_what_is_there(data, kind, target, tmp_path):
    config = load(tmp_path, SiteConfig.template("b", data=data, target="outcome"))
    assert (config.data.kind, config.data.path, config.data.target) == (kind, tmp_path / data, target)


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "../a", "é", 'a"\n[policy]'])
def test_no_template_for_what_is_no_name(name):
    with pytest.raises(ConfigError, match="name: expected the name of a site"):
        SiteConfig.template(name)


BAD = [
    ("", "version: expected 1, there is none", "write: version = 1"),
    ("version = 2", "version: expected 1, got 2", "install a newer one"),
    ("version = true", "version: expected 1, got True", "version = 1"),
    ("version = '1'", "version: expected 1, got '1'", "version = 1"),
    ("version = 1", r"\[data\] kind is missing", "kind"),
    (HEAD, r"\[data\] kind is missing", "kind"),
    (HEAD + "data = 3", r"\[data\] expected a table, got 3", r"\[name\]"),
    (HEAD + "policy = []\n" + DATA, r"\[policy\] expected a table, got \[\]", None),
    (HEAD.replace("keys", "keyz") + DATA, "unknown key 'keyz'", "did you mean keys"),
    (HEAD + "password = 'hunter2'\n" + DATA, "unknown key 'password'", "known are version"),
    (HEAD.replace('"k"', "7") + DATA, "keys: expected a text without control characters, got 7", "path"),
    (HEAD.replace('"k"', '"a\\u0000b"') + DATA, r"keys: expected a text .* got 'a\\x00b'", None),
    (HEAD.replace('"k"', '"s"') + DATA, "state: expected another folder", None),
    (HEAD.replace('"a"', '"a b"') + DATA, "name: expected the name of a site", "letters, digits"),
    (HEAD.replace('name = "a"\n', "") + DATA, "name is missing", "name, keys, state, admission"),
    (HEAD + 'roster_fingerprint = "x"\n' + DATA, "roster_fingerprint: expected hexadecimal", None),
    (HEAD + "[polcy]\n" + DATA, "unknown key 'polcy'", "did you mean policy"),
    (HEAD + DATA + "targt = 1", r"\[data\] unknown key 'targt'", "did you mean target"),
    (HEAD + DATA.replace("csv", "cvs", 1), r"\[data\] kind: expected one of csv, .* got 'cvs'", "did you mean csv"),
    (HEAD + DATA.replace("d.csv", "d.xlsx"), r"path: expected a name with \.csv, .* got 'd.xlsx'", None),
    (HEAD + DATA.replace('path = "d.csv"', ""), "path: is missing", "name the file"),
    (HEAD + DATA.replace('path = "d.csv"', 'path = ""'), "path: expected a text", None),
    (HEAD + DATA.replace('target = "y"', ""), "target: is missing", None),
    (HEAD + DATA + "task = 'cluster'", "task: expected one of classification, regression", None),
    (HEAD + DATA + "columns = ['age']", "columns: expected a table of names", None),
    (HEAD + DATA + "columns = {age = 'float'}", "columns: 'age': expected one of auto, numeric, categorical", None),
    (HEAD + DATA + "columns = {y = 'auto'}", "columns: 'y' is an input, and also the target", None),
    (HEAD + DATA + "ignore = 'id'", "ignore: expected a list of texts, got 'id'", None),
    (HEAD + DATA + "ignore = ['a', 'a']", "ignore: expected different texts", None),
    (HEAD + DATA + "classes = ['a']", "classes: expected two at least", None),
    (HEAD + DATA + "classes = [0, 1]", "classes: expected a text", None),
    (HEAD + DATA + "task = 'regression'\nclasses = ['a', 'b']", "classes: .* of a classification", None),
    (HEAD + DATA + "image_size = [8, 8]", "image_size: belongs to a folder of images", None),
    (HEAD + DATA + "query = 'SELECT 1'", "query: belongs to an SQL query", None),
    (HEAD + DATA.replace("csv", "images", 1), "target: the folders of images are their classes", None),
    (HEAD + '[data]\nkind = "images"\npath = "d"\nimage_size = [0, 8]', "image_size: expected a whole number", None),
    (HEAD + '[data]\nkind = "images"\npath = "d"\nimage_size = 8', r"image_size: expected \[height, width\]", None),
    (HEAD + SQL, "database: is missing", None),
    (HEAD + SQL + "database = 'oracle://x'", "database: expected an address that begins with sqlite", None),
    (HEAD + SQL + "database = 'postgresql:x'", "database: expected an address", None),
    (HEAD + SQL + "database = 'postgresql://u:hunter2@h/d'", "database: there is a password in the address", "_file"),
    (HEAD + SQL + "database = 'postgresql://u@h/d?password=hunter2'", "database: there is a password", "_file"),
    (HEAD + SQL + "database = 'postgresql://[::hunter2/d'", "database: is no address", None),
    (HEAD + SQL + "database = 'sqlite:///a'\npassword_env = 'A'\npassword_file = 'b'", "got both", None),
    (
        HEAD + DATA + "[split]\nvalidation = 0",
        r"\[split\] validation: expected a finite number > 0 and < 1, got 0",
        None,
    ),
    (HEAD + DATA + "[split]\nvalidation = nan", "validation: expected a finite number .* got nan", None),
    (HEAD + DATA + "[split]\ntest = 0.9", "validation: 0.2 and test 0.9 leave too few rows", None),
    (HEAD + DATA + "[split]\nseed = -1", "seed: expected a whole number of at least 0, got -1", None),
    (HEAD + DATA + "[split]\nseed = 1.0", "seed: expected a whole number", None),
    (HEAD + DATA + "[split]\nstratified = 1", "stratified: expected true or false, got 1", None),
    (HEAD + DATA + "[policy]\nmin_site = 3", "unknown key 'min_site'", "did you mean min_sites"),
    (HEAD + DATA + "[policy]\nmin_sites = 2", "min_sites: expected a whole number from 3 to 1000, got 2", None),
    (HEAD + DATA + "[policy]\nmin_sites = true", "min_sites: expected a whole number .* got True", None),
    (HEAD + DATA + "[policy]\nmin_rows = 1e9", "min_rows: expected a whole number", None),
    (HEAD + DATA + f"[policy]\nmax_rounds = {10**400}", "max_rounds: expected a whole number .* got 1000", None),
    (HEAD + DATA + "[policy]\nmax_epsilon = 0", "max_epsilon: expected a finite number > 0, got 0", None),
    (HEAD + DATA + "[policy]\nmax_epsilon = inf", "max_epsilon: expected a finite number > 0, got inf", None),
    (HEAD + DATA + f"[policy]\nmax_epsilon = {10**4000}", "max_epsilon: expected a finite number > 0, got 1000", None),
    (HEAD + DATA + "[policy]\ndelta = 1.0", "delta: expected a finite number > 0 and < 1, got 1.0", None),
    (HEAD + DATA + "[policy]\nactions = ['trian']", "actions: expected one of .* got 'trian'", "did you mean train"),
    (HEAD + DATA + "[policy]\nallow_plain = true", "allow_plain: updates without encryption have no masks", "false"),
    (HEAD + DATA + "[policy]\nrelease_to = ['a\\u001b[31m']".replace("'", '"'), "release_to: expected a text", None),
    (HEAD + DATA + "[policy]\nstrategies = ['fedvag']", "strategies: expected one of any, .*'fedvag'", "mean fedavg"),
    (HEAD + DATA + "[policy.more]", "unknown key 'more'", None),
]


@pytest.mark.parametrize(("text", "match", "hint"), [pytest.param(*case, id=case[1][:40]) for case in BAD])
def test_what_does_not_fit_is_told(text, match, hint, tmp_path):
    with pytest.raises(ConfigError, match=match) as caught:
        load(tmp_path, text)
    assert "site.toml: " in caught.value.message
    assert "hunter2" not in str(caught.value)
    assert len(str(caught.value)) < 500
    if hint:
        assert hint.replace("\\", "") in (caught.value.hint or "")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"version = ", b"\x00" * 100, b"[" * 10_000, b"v = " + b"9" * 9999])
def test_bytes_that_are_no_file_of_a_site(content, tmp_path):
    with pytest.raises(ConfigError, match=r"site\.toml"):
        load(tmp_path, content)


def test_places_that_are_no_file(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    for name in ("absent.toml", "loop", "dangling", "", "n\0l", "x" * 5000):
        with pytest.raises(ConfigError, match="cannot be read"):
            SiteConfig.load(tmp_path / name)


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_a_file_that_anyone_can_write_is_no_policy(tmp_path):
    (tmp_path / "site.toml").write_text(PLAIN)
    (tmp_path / "site.toml").chmod(0o666)
    with pytest.raises(ConfigError, match="anyone can write to it"):
        SiteConfig.load(tmp_path / "site.toml")


def test_paths_are_relative_to_the_file(tmp_path, monkeypatch):
    (tmp_path / "conf").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    text = HEAD.replace('"k"', '"~/k"').replace('"s"', '"../s"').replace('"x"', '"/x"') + SQL
    (tmp_path / "conf" / "site.toml").write_text(text + "database = 'sqlite:///d/c.db?timeout=3'\npassword_file = 'p'")
    monkeypatch.chdir(tmp_path)
    config = SiteConfig.load("conf/site.toml")
    assert (config.keys, config.state, config.admission) == (tmp_path / "k", tmp_path / "s", Path("/x"))
    assert config.data.database == f"sqlite:///{tmp_path}/conf/d/c.db?timeout=3"
    assert config.data.password_file == tmp_path / "conf" / "p"


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20)
PATHS = st.lists(TEXTS.map(lambda text: text.replace("/", "_").lstrip("~.") or "p"), min_size=1, max_size=3).map(
    lambda parts: Path("/", *parts)
)
POLICIES = st.builds(
    SitePolicy,
    actions=st.lists(st.sampled_from(ALLOWED), unique=True).map(tuple),
    min_sites=st.integers(3, 1000),
    min_rows=st.integers(1, 2**53),
    max_epsilon=st.none() | st.floats(1e-300, 1e300) | st.integers(1, 100),
    delta=st.floats(1e-300, 0.999),
    max_rounds=st.integers(1, 2**53),
    require_masks=st.just(False),
    allow_plain=st.booleans(),
    strategies=st.lists(st.sampled_from(["any", *STRATEGIES]), unique=True).map(tuple),
    tell_rows=st.booleans(),
    tell_columns=st.booleans(),
    release_to=st.lists(TEXTS, unique=True).map(tuple),
)
DATAS = st.one_of(
    st.builds(
        DataConfig,
        kind=st.just("csv"),
        path=PATHS.map(lambda path: path.with_name(path.name + ".csv")),
        target=st.just("the target"),
        task=st.sampled_from(["classification", "regression"]),
        columns=st.dictionaries(TEXTS, st.sampled_from(["auto", "numeric", "categorical"])),
        missing=st.sampled_from(["refuse", "fill", "indicate"]),
    ),
    st.builds(
        DataConfig, kind=st.just("images"), path=PATHS, image_size=st.none() | st.tuples(*[st.integers(1, 999)] * 2)
    ),
    st.builds(
        DataConfig,
        kind=st.just("sql"),
        target=TEXTS,
        database=st.sampled_from(["postgresql+psycopg://u@h/d", "mysql+pymysql://h/d", "sqlite:////a/b.db"]),
        query=st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1).map(
            "SELECT {}".format
        ),
        password_env=st.none() | TEXTS,
    ),
)
CONFIGS = st.builds(
    SiteConfig,
    name=NAMES,
    keys=PATHS,
    state=PATHS.map(lambda path: path / "state"),
    admission=PATHS,
    data=DATAS,
    split=st.builds(
        SplitConfig,
        validation=st.floats(0.01, 0.4),
        test=st.just(0) | st.floats(0, 0.4),
        seed=st.integers(0, 2**53),
        stratified=st.booleans(),
    ),
    policy=POLICIES,
    roster_fingerprint=st.none() | st.just("0123 4567 89ab cdef"),
)


@given(CONFIGS)
def test_what_is_written_reads_back(config):
    assert SiteConfig.from_dict(parse_toml(config.to_toml()), Path("/elsewhere")) == config


@given(st.dictionaries(TEXTS, st.recursive(st.none() | st.integers() | st.floats() | TEXTS, st.lists), max_size=4))
def test_other_documents_are_refused_with_our_error(document):
    for whole in (document, {"version": 1} | document, {"version": 1, "data": document, "policy": document}):
        with pytest.raises(ConfigError):
            SiteConfig.from_dict(whole, Path("/"))


def test_the_writer_leaves_nothing_out():
    """What a table does not say is the default: a site that lost a line of its policy would be more open."""
    strict = SitePolicy(
        actions=(), min_sites=9, min_rows=99, max_epsilon=1.5, delta=1e-9, max_rounds=1, tell_columns=False
    )
    text = SiteConfig.from_dict(parse_toml(HEAD + DATA + "[policy]\n" + to_toml({"actions": []})), Path("/")).to_toml()
    assert "actions = []" in text
    assert all(f"\n{each.name} = " in text for each in fields(SitePolicy) if each.name != "max_epsilon")
    assert strict.words[0] == "takes part in: nothing"
