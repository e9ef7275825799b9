"""Every setting once, with its meaning and unit; read from the environment into one frozen object."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

PREFIX = "GEO_O2O_"
DEVELOPMENT_SECRET = "development-secret-do-not-use"
SHORTEST_SECRET = 32
# Written by the private cluster (cluster.py) into the data folder; used when no database is named.
CLUSTER_FILE = "cluster.json"
_SWITCHES = ("prepared", "shelf")
_CHECKOUT = Path(__file__).resolve().parents[1]


class BadSettings(Exception):
    """The environment asks for something that cannot be; the message says which setting and why."""


def setting(default: Any, meaning: str, unit: str = "") -> Any:
    return field(default=default, metadata={"meaning": meaning, "unit": unit})


@dataclass(frozen=True)
class Settings:
    """All settings. Each is read from GEO_O2O_ and its name in capitals; docs/settings.md lists them."""

    env: str = setting("development", "`development` or `production`; production refuses development secrets and writes JSON logs")
    data_dir: Path = setting(Path("var"), "folder for the private cluster, metrics and keys of this installation; by default `var` in the checkout")
    database_url: str = setting("", "PostgreSQL with PostGIS, as a URL; empty: the private cluster in data_dir")
    read_url: str = setting("", "a streaming replica for reads, as a URL; empty: the same as database_url")
    secret_key: str = setting(DEVELOPMENT_SECRET, "signs cursors; at least 32 characters in production")
    host: str = setting("127.0.0.1", "address the service listens on")
    port: int = setting(8000, "port the service listens on; the demonstration takes the next free one when it is busy")
    workers: int = setting(2, "web processes of one host", "processes")
    threads: int = setting(8, "requests that one web process holds at a time, so that a few stalled ones do not stop it", "threads")
    pool_size: int = setting(4, "database connections kept by one web process", "connections")
    prepared: int = setting(1, "1: keep the plans of nearby on each connection; 0: behind PgBouncer in transaction mode, and on Citus", "0 or 1")
    statement_timeout_ms: int = setting(5_000, "longest time of one statement of a web request", "milliseconds")
    lock_timeout_ms: int = setting(2_000, "longest wait of a web request for a lock", "milliseconds")
    connect_timeout_s: int = setting(2, "longest wait for a database connection", "seconds")
    max_body_bytes: int = setting(2_000_000, "largest request body; more is answered 413", "bytes")
    key_cache_s: int = setting(
        5, "how long a web process remembers an API key; a revoked key dies within this time, or when the database is back", "seconds"
    )
    nearby_budget_ms: int = setting(50, "longest time that nearby should take; slower answers are counted in /metrics", "milliseconds")
    hours_horizon_d: int = setting(35, "how far opening hours are expanded ahead, and so how far open_at may ask", "days")
    shelf: int = setting(1, "1: nearby is answered from snapshots in data_dir/shelf; 0: always by SQL", "0 or 1")
    shelf_max_staleness_s: int = setting(1, "no answer is older than this, unless the database is away, and then it says so", "seconds")
    shelf_bytes: int = setting(4_000_000_000, "largest size of the snapshots of one host; what was used longest ago goes first", "bytes")
    view_bytes: int = setting(128_000_000, "what one web process remembers of the filters that were asked lately", "bytes")
    tile_bytes: int = setting(64_000_000, "what one web process keeps of the map tiles that it has drawn", "bytes")
    log_name: str = setting("localhost/log", "name of the transparency log: its address without scheme; the half-year is added to it")
    log_high_water: str = setting("", "file that remembers how far the log was published, on another disk than the database; empty: in data_dir")
    log_policy: str = setting("", "file (C2SP tlog-policy) with the witnesses of the log, their addresses and the quorum; empty: none is asked")
    witness_name: str = setting("", "name under which this machine signs as a witness of other logs (`geo-o2o witness serve`)")
    witness_logs: str = setting("", "file with the public keys of the logs that it witnesses, one in each line")
    public_url: str = setting("http://localhost:8000", "address by which the world knows this service: the issuer of receipts, and what devices sign")
    web_key: str = setting("", "API key of role web that the visitor's page gives to whoever opens it; empty: a list without map and check-in")
    home: str = setting("", "`latitude,longitude` where the visitor's page begins; empty: at any store")
    heat_epsilon_per_year: int = setting(100, "privacy budget of one city and year: a release that would go beyond it is refused", "epsilon")
    evidence_days: int = setting(30, "life of the raw positions of a check-in", "days")
    worker_interval_s: int = setting(2, "pause of the worker between two rounds", "seconds")

    def __post_init__(self) -> None:
        if self.env not in ("development", "production"):
            raise BadSettings(f"{PREFIX}ENV must be development or production, found {self.env!r}")
        if self.env == "production" and (self.secret_key == DEVELOPMENT_SECRET or len(self.secret_key) < SHORTEST_SECRET):
            raise BadSettings(f"{PREFIX}SECRET_KEY must be a secret of {SHORTEST_SECRET} or more characters in production")
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, int) and value <= 0 and one.name not in _SWITCHES:
                raise BadSettings(f"{variable(one)} must be a positive whole number, found {value}")
        for name in _SWITCHES:
            if getattr(self, name) not in (0, 1):
                raise BadSettings(f"{PREFIX}{name.upper()} must be 0 or 1, found {getattr(self, name)}")
        if self.hours_horizon_d < 7:
            raise BadSettings(f"{PREFIX}HOURS_HORIZON_D must be 7 or more, found {self.hours_horizon_d}")
        self.home_point()
        if self.port > 65_535:
            raise BadSettings(f"{PREFIX}PORT must lie in 1..65535, found {self.port}")

    def home_point(self) -> tuple[float, float] | None:
        """Latitude and longitude in degrees, None where none is set. Raises BadSettings."""
        if not self.home:
            return None
        try:
            lat, lng = (float(part) for part in self.home.split(","))
        except ValueError:
            lat = lng = math.nan
        if not (abs(lat) <= 90 and abs(lng) <= 180):
            raise BadSettings(f"{PREFIX}HOME must be latitude,longitude in degrees, as 60.17,24.94, found {self.home!r}")
        return lat, lng

    def write_url(self) -> str:
        """The database to write to: the named one, or the private cluster's.

        Raises BadSettings where neither exists.
        """
        if self.database_url:
            return as_sqlalchemy_url(self.database_url)
        try:
            cluster = json.loads((self.data_dir / CLUSTER_FILE).read_text())
        except (OSError, ValueError) as missing:
            raise BadSettings(f"no database: set {PREFIX}DATABASE_URL, or start the private one with `geo-o2o db up`") from missing
        return str(cluster["url"])

    def replica_url(self) -> str:
        return as_sqlalchemy_url(self.read_url) if self.read_url else self.write_url()


def variable(one: Field[Any]) -> str:
    """The environment variable of a setting."""
    return PREFIX + one.name.upper()


def as_sqlalchemy_url(url: str) -> str:
    """Any of the usual spellings of a PostgreSQL URL as the one that names our driver."""
    for spelling in ("postgres://", "postgresql://"):
        if url.startswith(spelling):
            return "postgresql+psycopg2://" + url[len(spelling) :]
    if not url.startswith("postgresql+psycopg2://"):
        raise BadSettings("a database is named by a URL that begins with postgresql://")
    return url


def from_environment(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Settings from the environment; empty variables count as absent.

    Raises BadSettings, naming the variable.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {"data_dir": _CHECKOUT / Settings.data_dir}
    for one in fields(Settings):
        text = environ.get(variable(one), "")
        if not text:
            continue
        if isinstance(one.default, int):
            try:
                values[one.name] = int(text)
            except ValueError as failure:
                raise BadSettings(f"{variable(one)} must be a whole number, found {text!r}") from failure
        else:
            values[one.name] = Path(text) if isinstance(one.default, Path) else text
    return Settings(**{**values, **overrides})
