"""Cure rates of the pilot runs for the playbooks; no number of the benchmark is measured on these runs.

``python -m benchmarks.treatment.rates`` writes ``src/trainwright/playbooks/cure_rates.json``.
"""

import json
from collections import defaultdict
from pathlib import Path

from benchmarks.treatment.runs import HOME, TABLE
from trainwright.files import write_json

FILE = Path("src/trainwright/playbooks/cure_rates.json")


def main() -> None:
    """Count for each remedy the attempts, and the attempts that ended without alarms."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for file in sorted(HOME.glob("*.json")):
        made = json.loads(file.read_text())
        if made["seed"] not in TABLE["seeds"]["pilot"] or made["method"] not in ("treatment", "explore"):
            continue
        for attempt in made["attempts"]:
            if attempt["remedy"] is not None:
                seen = counts[f"{attempt['playbook']}/{attempt['remedy']}"]
                seen[0] += "no alarm to its end" in attempt["because"]
                seen[1] += 1
    rates = {name: {"cured": cured, "tried": tried} for name, (cured, tried) in sorted(counts.items())}
    runs = "python -m benchmarks.treatment.runs --seeds pilot --methods healthy,treatment,explore"
    command = f"{runs} && python -m benchmarks.treatment.rates"
    write_json(FILE, {"command": command, "rates": rates})
    print(FILE)


if __name__ == "__main__":
    main()
