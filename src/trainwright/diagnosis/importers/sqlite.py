"""SQLite databases of trackers, opened for reading only."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from trainwright.errors import UserError

HEADER = b"SQLite format 3\0"


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database that is not changed, not even by a lock.

    Raises:
        UserError: it is damaged.
    """
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            yield database
    except sqlite3.Error as error:
        raise UserError(f"{path} cannot be read as a SQLite database ({error}).") from None


def has(path: Path, table: str, columns: set[str]) -> bool:
    """True if a database has a table with these columns."""
    with opened(path) as database:
        found = {row[1] for row in database.execute("SELECT * FROM pragma_table_info(?)", (table,))}
    return columns <= found
