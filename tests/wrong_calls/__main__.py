"""Makes all calls, or those whose ids hold a word, and prints what is wrong: ``python -m`` this."""

from __future__ import annotations

import sys
import time
from collections import Counter

from tests.wrong_calls.judge import violations
from tests.wrong_calls.pool import Pool
from tests.wrong_calls.table import cases, default_cases


def main() -> None:
    words = sys.argv[1:]
    chosen = [
        name
        for name in cases()
        if all(word in name or (word == "--default" and name in default_cases()) for word in words)
    ]
    ends: Counter[str] = Counter()
    begun, pool = time.perf_counter(), Pool()
    for name in chosen:
        answer = pool.run(name)
        ends[str(answer.get("exception") or answer["outcome"])] += 1
        wrong = violations(cases()[name], answer)
        if wrong:
            ends["VIOLATION"] += 1
            sys.stdout.write("\n    ".join([name, *wrong]) + "\n")
            sys.stdout.flush()
    pool.close()
    seconds = time.perf_counter() - begun
    sys.stdout.write(
        f"{len(chosen)} calls, {dict(ends)}, {pool.started} workers, {seconds:.0f} s\n"
    )


if __name__ == "__main__":
    main()
