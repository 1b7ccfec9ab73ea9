"""How ``fit`` and ``certify`` tell what is proved."""

from __future__ import annotations

from typing import Any

import click

from pyconvexnn.certificates import Certificate
from pyconvexnn.cli.terminal import print_facts, print_json


def proof_facts(certificate: Certificate) -> dict[str, Any]:
    """Objective, bound and gap, by name."""
    return {
        "objective": certificate.objective,
        "lower_bound": certificate.lower_bound,
        "relative_gap": certificate.relative_gap,
        "proved": certificate.is_optimal,
        "method": certificate.method,
    }


def print_proof(facts: dict[str, Any], certificate: Certificate, as_json: bool) -> None:
    """Print the facts, and the three levels of what is known in words."""
    levels = certificate.summary().splitlines()
    if as_json:
        print_json({**facts, "summary": levels})
        return
    if certificate.method == "patterns" and certificate.is_optimal:
        facts = {**facts, "proved": "yes, over the patterns"}
    print_facts(facts, as_json)
    click.echo("\n" + "\n".join(levels))
