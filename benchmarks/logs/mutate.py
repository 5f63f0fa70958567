"""Damaged logs: each is read or refused in a sentence, in bounded time, and nothing else.

``python -m benchmarks.logs.mutate CORPUS --count 2000`` damages the logs in ``CORPUS/ID/`` at random and gives them to the doctor.
"""

import argparse
import random
import signal
import tempfile
import time
from pathlib import Path

from benchmarks.results_io import row, write
from trainwright.errors import UserError
from trainwright.results import diagnose

COMMAND = "python -m benchmarks.logs.mutate CORPUS --count 2000"
SECONDS = 20  # limit for one log
MOST = 300_000  # bytes of a log
WORDS = (
    b"nan",
    b"inf",
    b"-1e999",
    b"1" * 400,
    b"\0",
    b"\xff\xfe",
    b"{",
    b"]",
    b'"',
    b"\r",
    b"\n",
    b"|",
    b",",
    b"=",
    b": ",
    b"\xe2\x96\x88",
)


def damage(data: bytes, rng: random.Random) -> bytes:
    """Return bytes with one to six damages: cut, flipped, doubled, exchanged or inserted parts."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        if not found:
            return bytes(found)
        at, size = rng.randrange(len(found)), rng.choice((1, 2, 8, 64, 512))
        way = rng.randrange(6)
        if way == 0:
            del found[at:]
        elif way == 1:
            for i in range(at, min(at + size, len(found))):
                found[i] ^= 1 << rng.randrange(8)
        elif way == 2:
            found[at:at] = found[at : at + size * 20]
        elif way == 3:
            del found[at : at + size]
        elif way == 4:
            found[at:at] = rng.choice(WORDS) * rng.choice((1, 1, 50))
        else:
            found[:at] = b""
    return bytes(found)


def main() -> None:
    """Damage, diagnose, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    given = parser.parse_args()
    logs = sorted(
        f for f in given.corpus.glob("*/*") if f.is_file() and f.name != "meta.json" and f.stat().st_size < MOST
    )
    rng, outcomes, slowest = random.Random(1), {"judged": 0, "refused": 0, "error": 0, "too slow": 0}, 0.0
    signal.signal(signal.SIGALRM, _late)
    for number in range(given.count):
        source = rng.choice(logs)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / source.name
            file.write_bytes(damage(source.read_bytes(), rng))
            begin = time.perf_counter()
            signal.alarm(SECONDS)
            try:
                str(diagnose(file))
                outcomes["judged"] += 1
            except UserError:
                outcomes["refused"] += 1
            except TimeoutError:
                outcomes["too slow"] += 1
                print(number, source, "too slow")
            except Exception as error:
                outcomes["error"] += 1
                print(number, source, type(error).__name__, error)
            signal.alarm(0)
            slowest = max(slowest, time.perf_counter() - begin)
    rows = [row(f"damaged logs: {what}", n, "", 0 if what in ("error", "too slow") else None, "lower", given.count, None)
            for what, n in outcomes.items()]  # fmt: skip
    rows.append(row("damaged logs: slowest", slowest, "s", SECONDS, "lower", given.count, None))
    print(outcomes, f"slowest {slowest:.2f} s")
    print(write("damaged_logs", COMMAND, rows))


def _late(*_: object) -> None:
    raise TimeoutError


if __name__ == "__main__":
    main()
