"""Settings that must be there before NumPy is imported, and the databases there are."""

import gc
import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import URL, create_engine, make_url, text

# As the command line does: small matrices lose to OpenBLAS's threads. SQLAlchemy and pytest do not load NumPy.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# The same examples in every run; NASTURTIUM_HYPOTHESIS=default draws others.
settings.register_profile(
    "repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # a loaded machine is no mistake
settings.load_profile(os.environ.get("NASTURTIUM_HYPOTHESIS", "repeatable"))
# Of PyTorch, scikit-learn and XGBoost: threads of OpenMP spin while they wait for one that has no core, and the tests
# leave none. Four times the CPU time of the tests of convolution, measured with two workers on two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NASTURTIUM_NUM_THREADS", "1")  # two workers on two cores have one each

# What takes longest, or waits for other processes: begun first, lest one worker ends alone with them.
LONG = ("tests/e2e/", "tests/test_readme.py", "tests/test_packaging.py", "tests/nas/test_ray.py")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect without the garbage collector: what is made stays, and each run would go through it all.

    SQLAlchemy makes so much garbage that a tenth of the time of storage's tests would be spent on it.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(10_000, 20, 10)
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))  # all else keeps its order


@pytest.fixture(scope="session")
def fitted() -> dict[tuple[object, ...], Any]:
    return {}


@pytest.fixture
def fitted_once(fitted: dict[tuple[object, ...], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit the simple models that a search is compared with once for the same rows, in this process and all tests.

    For tests of what is around a search: on digits these models take two seconds, most of what a small search takes.
    """
    from nasturtium.nas.finale import gather

    choose, fit = gather.choose_settings, gather.fit_reference

    def once(make: Callable[..., Any], name: str, task: Any, arrays: Sequence[Any], *arguments: Any) -> Any:
        if task.kind != "classification":
            return make(*arguments)
        seen = hashlib.sha256(repr((task, [(each.shape, str(each.dtype)) for each in arrays])).encode())
        for each in arrays:
            seen.update(each.tobytes())
        key = (make, name, seen.digest())
        if key not in fitted:
            fitted[key] = make(*arguments)
        return fitted[key]

    def choose_once(name: str, folds: Sequence[Any]) -> Any:
        arrays = [rows for each in folds for rows in (each.inputs, each.targets, each.held_inputs, each.held_labels)]
        return once(choose, name, folds[0].task, arrays, name, folds)

    def fit_once(chosen: Any, inputs: Any, targets: Any, task: Any) -> Any:
        return once(fit, f"{chosen.name} {chosen.settings}", task, [inputs, targets], chosen, inputs, targets, task)

    monkeypatch.setattr(gather, "choose_settings", choose_once)
    monkeypatch.setattr(gather, "fit_reference", fit_once)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an empty database: a new file, or a new schema on the server of NASTURTIUM_TEST_POSTGRES.

    For a test that asks for `database` it has our tables already, copied from those of `templates`: making them by
    migrations takes twenty times longer.
    """
    monkeypatch.setenv("NASTURTIUM_FILES", str(tmp_path / "history"))
    templates = request.getfixturevalue("templates") if "database" in request.fixturenames else None
    if request.param == "sqlite":
        path = tmp_path / "history.db"
        if templates is not None:
            shutil.copyfile(templates.sqlite(), path)
        yield f"sqlite:///{path}"
        return
    if templates is not None:
        with templates.copy_on_server() as url:
            yield url
        return
    server = postgresql_server()
    name = f"test_{uuid.uuid4().hex}"
    run_on(server, f"CREATE SCHEMA {name}")
    yield server.update_query_dict({"options": f"-csearch_path={name}"}).render_as_string(hide_password=False)
    run_on(server, f"DROP SCHEMA {name} CASCADE")


def postgresql_server() -> URL:
    """The server that NASTURTIUM_TEST_POSTGRES names, whose role may make databases; skips the test without one."""
    server = os.environ.get("NASTURTIUM_TEST_POSTGRES")
    if not server:
        pytest.skip("no PostgreSQL: NASTURTIUM_TEST_POSTGRES names none")
    return make_url(server).set(drivername="postgresql+psycopg")


def run_on(server: URL, statement: str) -> None:
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


class Templates:
    """A database with our tables on each engine, made when the first test needs it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.made: str | None = None  # the name of the one on PostgreSQL

    def sqlite(self) -> Path:
        path = self._folder / "template.db"
        if not path.exists():
            self._make(path)
        return path

    def postgresql(self) -> str:
        if self.made is None:
            name = f"template_{uuid.uuid4().hex}"
            server = postgresql_server()
            run_on(server, f"CREATE DATABASE {name}")
            self.made = name
            self._make(server.set(database=name).render_as_string(hide_password=False))
        return self.made

    @contextmanager
    def copy_on_server(self) -> Iterator[str]:
        """The URL of a new database on PostgreSQL with our tables, dropped afterwards."""
        server, name = postgresql_server(), f"test_{uuid.uuid4().hex}"
        run_on(server, f"CREATE DATABASE {name} TEMPLATE {self.postgresql()}")
        yield server.set(database=name).render_as_string(hide_password=False)
        run_on(server, f"DROP DATABASE {name} WITH (FORCE)")

    def _make(self, target: Any) -> None:
        from nasturtium.storage import open_database

        open_database(target).close()


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Templates]:
    templates = Templates(tmp_path_factory.mktemp("templates"))
    yield templates
    if templates.made is not None:
        run_on(postgresql_server(), f"DROP DATABASE {templates.made} WITH (FORCE)")
