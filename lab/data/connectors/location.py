"""What ``data`` may say beside a path: a table of a DuckDB file or of a database, and which of its rows."""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from lab.errors import ConfigError

#: What may follow ``?`` in an address. None can carry a password.
SETTINGS: Final = {"host", "port", "service", "sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout"}


def _day(value: Any) -> Any:
    """TOML's dates as text, as a job's file keeps them."""
    return str(value) if isinstance(value, datetime.date | datetime.datetime) else value


Scalar = Annotated[bool | int | float | str, BeforeValidator(_day)]


class Range(BaseModel):
    """From ``min`` to ``max``, both included; either may be absent, not both."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min: Scalar | None = None
    max: Scalar | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("a range needs min or max / 区间须给出 min 或 max")
        return self


class Location(BaseModel):
    """Rows that are more than a whole file.

    Attributes:
        file: CSV, Parquet or DuckDB file.
        address: SQLAlchemy's, never with a password: PostgreSQL finds it in ``PGPASSWORD`` or its own password file.
        table: of the DuckDB file or the database.
        read_only_account: its operator vouches that the account of the address cannot write. Only so a database is
            opened which we cannot hold to reading ourselves, such as MySQL or Oracle; its password, if it has one, is
            in ``LIANMO_SOURCE_PASSWORD``.
        where: column → its value, its values, or its range; all must hold.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: Path | None = None
    address: str | None = Field(default=None, repr=False)
    table: str | None = Field(default=None, min_length=1)
    read_only_account: bool = False
    where: dict[str, Range | Annotated[tuple[Scalar, ...], Field(min_length=1)] | Scalar] = Field(default_factory=dict)

    @field_validator("address")
    @classmethod
    def _no_password(cls, address: str | None) -> str | None:
        if address is None:
            return None
        from sqlalchemy import make_url  # some tenths of a CPU second: only for a database
        from sqlalchemy.exc import SQLAlchemyError

        try:
            url = make_url(address)
        except (SQLAlchemyError, ValueError):
            raise ValueError(
                "is no address such as postgresql+psycopg://USER@HOST/NAME / 不是有效的数据库地址"
            ) from None
        if url.password is not None or set(url.query) - SETTINGS:
            raise ValueError(
                f"holds a password, or settings other than {', '.join(sorted(SETTINGS))}; leave passwords to "
                "PGPASSWORD or the server's own password file / "
                "地址中不得包含口令或其他参数，口令请用 PGPASSWORD 或 pgpass 文件提供"
            )
        return address

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.file is None) == (self.address is None):
            raise ValueError("give file or address, one of them / file 与 address 须且仅须给出一个")
        tabled = self.address is not None or is_duckdb(self.file)
        if tabled != (self.table is not None):
            raise ValueError(
                "a database or DuckDB file needs a table, a CSV or Parquet file has none / "
                "数据库与 DuckDB 文件须给出 table，CSV 与 Parquet 文件不设 table"
            )
        return self

    def below(self, base: Path) -> Location:
        """The same, relative paths taken from ``base``."""
        if self.file is not None:
            return self.model_copy(update={"file": (base / self.file).resolve()})
        from sqlalchemy import make_url

        url = make_url(self.address or "")
        if url.get_backend_name() != "sqlite" or not url.database:
            return self
        return self.model_copy(update={"address": str(url.set(database=str((base / url.database).resolve())))})

    def relative_to(self, base: Path) -> Location:
        """The same, its file as seen from ``base``."""
        return self if self.file is None else self.model_copy(update={"file": Path(os.path.relpath(self.file, base))})


#: A bare text is a path. Told apart by shape, so that an error is about the one that was meant.
Data = Annotated[
    Annotated[Path, Tag("path")] | Annotated[Location, Tag("location")],
    Discriminator(lambda data: "location" if isinstance(data, dict | Location) else "path"),
]


def below(data: Path | Location, base: Path) -> Path | Location:
    """The same, relative paths taken from ``base``."""
    return (base / data).resolve() if isinstance(data, Path) else data.below(base)


def named(text: str, table: str | None, base: Path) -> Path | Location:
    """What a command was given: a file, a DuckDB file with a table, or an address with one.

    Raises:
        ConfigError: ``bad_location``; the address is not repeated.
    """
    place = {"address": text} if "://" in text else {"file": text}
    try:
        return below(Location.model_validate({**place, "table": table}) if table or "://" in text else Path(text), base)
    except ValidationError as error:
        told = "; ".join(str(problem["msg"]) for problem in error.errors(include_url=False, include_input=False))
        raise ConfigError("bad_location", f"The source: {told}.", f"数据来源有误：{told}。") from None


def is_duckdb(path: Path | None) -> bool:
    return path is not None and path.suffix.lower() in (".duckdb", ".ddb")


def is_parquet(path: Path) -> bool:
    return path.suffix.lower() in (".parquet", ".pq")
