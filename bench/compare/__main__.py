"""``python -m bench.compare``: the package beside its peers, at equal accuracy."""

from __future__ import annotations

from bench import one_thread  # noqa: F401

# isort: split
import argparse
import hashlib
import importlib
import sys
from pathlib import Path

import click
from tqdm import tqdm

import pyconvexnn as cx
from bench import arguments, machine
from bench.compare import environments, report
from bench.compare.cases import FILES, SETS, Case
from bench.compare.journal import Journal
from bench.compare.run import Comparison, Entrant, accepts
from bench.peers.protocol import Method

ROOT = Path(__file__).parents[2]
MODULES = (
    "ours",
    "cvxpy",
    "clarabel",
    "adelie",
    "skglm",
    "celer",
    "pyscnn",
    "lbfgs",
    "mlp",
    "torch",
)


FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


def _positive(_: click.Context, option: click.Parameter, text: str | None) -> float | None:
    try:
        return None if text is None else arguments.positive(text)
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise click.BadParameter(str(error), param=option) from None


@click.command()
@click.option(
    "--set",
    "chosen",
    type=click.Choice(list(SETS)),
    default="smoke",
    show_default=True,
    help="Which problems.",
)
@click.option(
    "--only",
    multiple=True,
    metavar="TEXT",
    help="Only rows whose 'problem / method' contains TEXT (any of them, if given again); "
    "pyconvexnn itself always runs.",
)
@click.option("--data", type=FOLDER, help="Folder of CSV files, for the set 'full'.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the results; one that holds some goes on from there.  [default: .bench/SET]",
)
@click.option(
    "--limit",
    callback=_positive,
    metavar="SECONDS",
    help="For every solve.  [default: 2, or 12 times our time (of ReLU recipes 18 or 60, of gated "
    "ones at .5 6), whichever is longer, at most 120]",
)
@click.option(
    "--against", type=FOLDER, help="Folder of an earlier run: ends with 1 where winners differ."
)
@click.option("--with-torch", is_flag=True, help="Also PyTorch and pyscnn, which needs it.")
@click.option(
    "--peers",
    type=click.Path(file_okay=False, path_type=Path),
    default=ROOT / ".peers",
    help="Folder of the peers' environments.  [default: .peers in the project]",
)
def main(
    chosen: str,
    only: tuple[str, ...],
    data: Path | None,
    out: Path | None,
    limit: float | None,
    against: Path | None,
    with_torch: bool,
    peers: Path,
) -> None:
    """Run pyconvexnn and its peers on a set of problems, at equal accuracy.

    Writes runs.jsonl (one line each, as it happens), results.json, table.md, profile.png and
    scaling.png, and prints the table. Stopped or killed, the same command goes on. Ends with 1
    where an answer of ours is not what it claims, or anybody's is below a proved bound.
    """
    earlier = [] if against is None else report.rows(_journal(against, to_read=True))
    if against is not None and not earlier:
        raise click.ClickException(f"--against {against}: no runs are there")
    out = out or ROOT / ".bench" / chosen
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.ClickException(f"--out {out}: {error.strerror}") from None
    methods = known(with_torch)
    planned = [(case, asked(case, methods, only)) for case in cases_of(chosen, data)]
    planned = [row for row in planned if row[1]]
    if not planned:
        raise click.ClickException(f"no row of the set {chosen!r} contains {', '.join(only)}")
    journal = _journal(out)
    facts = {**machine.facts(), "build": build()}
    if any(session["build"] != facts["build"] for session in journal.sessions):
        raise click.ClickException(
            f"{out} holds figures of another build of pyconvexnn or of the harness; "
            "give another --out, or remove it"
        )
    journal.start_session(facts)
    # Long runs repeat what is quick; what takes seconds is timed well enough by one run.
    repeat_below = float("inf") if chosen == "smoke" else 1.0
    comparison = Comparison(
        journal, facts["dgemm_gflops"], data, repeat_below=repeat_below, limit=limit
    )
    try:
        with tqdm(planned, unit="problem", disable=None) as bar:
            for case, of_case in bar:
                entrants = [
                    Entrant(method, module, environments.ensure(method.requirements, peers))
                    for method, module in of_case
                ]
                comparison.run(case, entrants, bar.set_postfix_str)
    except KeyboardInterrupt:
        click.echo(f"interrupted; the same command goes on from {out}", err=True)
        sys.exit(130)
    finally:
        report.write(journal, out)
    click.echo(report.markdown(journal))
    click.echo(f"In {out}: table.md, results.json, runs.jsonl, profile.png, scaling.png", err=True)
    if wrong := report.wrong(journal):
        raise click.ClickException("not what they claim:\n" + "\n".join(wrong))
    if against is not None:
        table = report.rows(journal)
        both = {row.case for row in table} & {row.case for row in earlier}
        if not both:
            raise click.ClickException(f"--against {against}: none of these problems is there")
        if changed := report.changed(table, earlier):
            raise click.ClickException("other winners than before:\n" + "\n".join(changed))
        click.echo(f"The same winners as in {against} on {len(both)} problems.", err=True)


def _journal(folder: Path, *, to_read: bool = False) -> Journal:
    try:
        return Journal(folder / "runs.jsonl", to_read=to_read)
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from None


def cases_of(name: str, data: Path | None) -> list[Case]:
    """The problems of a set; those of files only if their folder is known."""
    cases = SETS[name]()
    without = [case for case in cases if case.data not in FILES]
    if data is None and len(without) < len(cases):
        click.echo(f"{len(cases) - len(without)} problems on files left out: no --data", err=True)
        return without
    return cases


def known(with_torch: bool) -> list[tuple[Method, str]]:
    """Every method there is, with the module that speaks for it."""
    modules = [f"bench.peers.{name}_peer" for name in MODULES]
    return [
        (method, module)
        for module in modules
        for method in importlib.import_module(module).METHODS
        if with_torch or not method.torch
    ]


def asked(
    case: Case, methods: list[tuple[Method, str]], only: tuple[str, ...]
) -> list[tuple[Method, str]]:
    """The methods to run on a case: ours always, as it gives the bound and the time limits."""
    able = [row for row in methods if accepts(row[0], case)]
    chosen = [
        row
        for row in able
        if not only or any(text in f"{case.name} / {row[0].name}" for text in only)
    ]
    return [row for row in able if row in chosen or row[0].name == report.OURS] if chosen else []


def build() -> str:
    """Hash of the compiled package and of everything that makes a figure."""
    package = Path(cx.__file__).parent
    sources = [
        *package.rglob("*.py"),
        *package.glob("_core*.so"),
        *(ROOT / "bench" / "peers").glob("*.[pt][yx]*"),
        *(ROOT / "bench" / "compare" / f"{name}.py" for name in ("cases", "evaluate", "run")),
    ]
    contents = hashlib.sha256()
    for source in sorted(sources):
        contents.update(source.read_bytes())
    return contents.hexdigest()[:16]


if __name__ == "__main__":
    main()
