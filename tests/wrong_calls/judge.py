"""The rule that every wrong call is held to."""

from __future__ import annotations

from typing import Any

from tests.wrong_calls.mutations import Outcome
from tests.wrong_calls.table import Case
from tests.wrong_calls.worker import SECONDS

_KINDS = {"ValueError", "TypeError", "MemoryError"}
# Of scikit-learn's contract and ours: what the user should know of a right answer.
_WARNINGS = {"ConvergenceWarning", "UserWarning", "DataConversionWarning"}


def violations(case: Case, answer: dict[str, Any]) -> list[str]:
    """What is wrong with how a call ended; nothing, if all is well."""
    outcome = answer["outcome"]
    if outcome not in ("value", "error"):
        return [f"{outcome}: {answer['message']}\n{answer['stderr']}"]
    found = []
    if answer["seconds"] > SECONDS:
        found.append(f"took {answer['seconds']:.2f} s")
    if answer["stderr"]:
        found.append(f"wrote {answer['stderr'][:500]!r}")
    odd = set(answer["warnings"]) - _WARNINGS
    if odd:
        found.append(f"warned by {sorted(odd)}: {answer['warning messages']}")
    if outcome == "error":
        return found + _of_error(case, answer)
    if case.outcome is Outcome.WRONG:
        found.append("ended without an error")
    if answer["not finite"]:
        found.append(answer["not finite"])
    if case.outcome is Outcome.SAME and answer["difference"]:
        found.append(answer["difference"])
    return found


def _of_error(case: Case, answer: dict[str, Any]) -> list[str]:
    """What is wrong with an error: its kind, and what the message does not tell."""
    found = []
    allowed = _KINDS | {kind.__name__ for kind in case.entry.also}
    if not allowed & set(answer["kinds"]):
        found.append(f"raised {answer['exception']}: {answer['message']}\n{answer['trace']}")
    if case.outcome is Outcome.SAME and answer["difference"]:
        found.append(answer["difference"])
    # What "stays what it is" has its own words: of the operating system, or of NumPy.
    own_words = {"OSError", "IndexError", "ImportError"} & set(answer["kinds"])
    if own_words or case.entry.in_python_words:
        return found
    message = answer["message"]
    missing = []
    if not any(f"`{name}`" in message for name in case.names):
        missing.append(f"the argument ({' or '.join(case.names)})")
    if not any(word in message for word in ("must ", "not available yet", "needs ")):
        missing.append("the rule")
    if not any(word in message for word in ("got ", ": ", "not available yet")):
        missing.append("the value")
    if missing:
        found.append(f"{answer['exception']} does not name {', '.join(missing)}: {message[:600]}")
    return found
