"""Settings that must be there before NumPy is imported, and the databases there are."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

# As the command line does: small matrices lose to OpenBLAS's threads. SQLAlchemy and pytest do not load NumPy.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an empty database: a new file, or a new schema on the server of NASTURTIUM_TEST_POSTGRES."""
    monkeypatch.setenv("NASTURTIUM_FILES", str(tmp_path / "history"))
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'history.db'}"
        return
    server = os.environ.get("NASTURTIUM_TEST_POSTGRES")
    if not server:
        pytest.skip("no PostgreSQL: NASTURTIUM_TEST_POSTGRES names none")
    url = make_url(server).set(drivername="postgresql+psycopg")
    schema = f"test_{uuid.uuid4().hex}"
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    yield url.update_query_dict({"options": f"-csearch_path={schema}"}).render_as_string(hide_password=False)
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    engine.dispose()
