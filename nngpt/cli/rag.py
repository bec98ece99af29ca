"""`nngpt rag`: index libraries, and search, show, extract and grade their blocks."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from nngpt.cli.inputs import make_folder
from nngpt.cli.options import AsJson, Sandbox
from nngpt.cli.output import console, logger, print_json, print_notes, print_result
from nngpt.cli.stopping import stoppable
from nngpt.errors import UserError
from nngpt.files import DATABASE, write_file

app = typer.Typer(
    no_args_is_help=True, help="Find PyTorch blocks in libraries, and extract them to files."
)

_IndexFolder = Annotated[
    Path, Option("--folder", help="Folder of the database with the block index.")
]
Target = Annotated[
    str, Argument(help="Block: Class, module.Class or library:module.Class.", metavar="NAME")
]
Audit = Annotated[
    Path | None,
    Option(
        "--audit",
        help="File for each decision on an import or name, one line of JSON each.",
        metavar="FILE",
    ),
]
_SOME = 5
_OTHER_AUDIT = "Choose another file with --audit"


@app.command()
def index(
    places: Annotated[
        list[str],
        Argument(
            help="Libraries: installed packages, wheels, sdists or folders.", metavar="LIBRARY"
        ),
    ],
    folder: _IndexFolder = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Index the classes of libraries, or update their index, without importing them."""
    from nngpt.retrieval.index_writer import add_source
    from nngpt.retrieval.sources import open_source
    from nngpt.store.database import open_database

    opened = [(place, open_source(place)) for place in places]
    make_folder(folder, "--folder")
    database = open_database(folder / DATABASE, create=True)
    reports = []
    with stoppable("Stopped. Finished libraries are in the index."):
        for place, source in opened:
            path = str(Path(place).resolve()) if "/" in place else place
            reports.append(add_source(database, source, path).facts())
            if not as_json:
                _print_report(reports[-1])
    if as_json:
        print_json(reports)


@app.command()
def remove(
    source: Annotated[str, Argument(help="Name of the library.", metavar="LIBRARY")],
    folder: _IndexFolder = Path("runs"),
) -> None:
    """Remove a library from the block index."""
    from nngpt.retrieval import index, index_writer

    index_writer.remove_source(index.open_index(folder), source)
    typer.echo(f"{source} is no longer indexed.")


@app.command("list")
def list_(
    source: Annotated[str | None, Option(help="List the blocks of this library.")] = None,
    folder: _IndexFolder = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """List the indexed libraries, or the blocks of one."""
    from nngpt.reports.tables.retrieval import sources_table
    from nngpt.retrieval import index

    database = index.open_index(folder)
    if source is not None:
        names = index.block_names(database, source)
        print_result(as_json, names, "\n".join(names))
    else:
        rows = index.source_facts(database)
        print_result(as_json, rows, sources_table(rows))


@app.command()
def search(
    question: Annotated[
        str, Argument(help="Description of the block in words.", metavar="QUESTION")
    ],
    top: Annotated[int, Option(min=1, help="Number of blocks to show.")] = 10,
    copyleft: Annotated[
        bool, Option("--copyleft", help="Include blocks under copyleft or unknown licences.")
    ] = False,
    folder: _IndexFolder = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Search the names, docstrings and code of all indexed blocks (BM25 ranking)."""
    from nngpt.reports.tables.retrieval import hits_table
    from nngpt.retrieval import index
    from nngpt.retrieval.extractor import Extractor
    from nngpt.retrieval.library import Library
    from nngpt.retrieval.search import search as find

    database = index.open_index(folder)
    known = index.blocks(database)
    hits = find([b for b in known if copyleft or not b.copyleft], question, top)
    extractor = Extractor(Library(index.sources(database)))
    needs = [extractor.needs(hit.block.target) for hit in hits]
    if as_json:
        found = [{"score": h.score, "target": h.block.target, **asdict(h.block)} for h in hits]
        shown = [{k: v for k, v in one.items() if k != "words"} for one in found]
        print_json([{**one, "needs": need} for one, need in zip(shown, needs, strict=True)])
    elif hits:
        console().print(hits_table(hits, needs))
    else:
        typer.echo("No block contains any of these words.", err=True)
        raise typer.Exit(1)


@app.command()
def show(target: Target, folder: _IndexFolder = Path("runs"), as_json: AsJson = False) -> None:
    """Show the origin, licence and original source of a block."""
    from nngpt.retrieval import index
    from nngpt.retrieval.extractor import Extractor
    from nngpt.retrieval.library import Library

    database = index.open_index(folder)
    extractor = Extractor(Library(index.sources(database)))
    facts = extractor.original(target)
    code = facts.pop("code")
    facts["needs"] = extractor.needs(target) or "nothing beyond torch"
    place = facts["target"].partition(":")[2]
    known = index.blocks(database)
    facts["module"] = any(f"{block.module}.{block.name}" == place for block in known)
    lines = [f"# {name}: {value}" for name, value in facts.items()]
    print_result(as_json, {**facts, "code": code}, *lines, f"\n{code}")


@app.command()
def extract(
    target: Target,
    out: Annotated[Path | None, Option(help="File to write (default: standard output).")] = None,
    audit: Audit = None,
    folder: _IndexFolder = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Write a block and its dependencies as one file that imports only torch."""
    from nngpt.reports.text import plural
    from nngpt.retrieval import decisions, index
    from nngpt.retrieval.audit import decisions_of_error
    from nngpt.retrieval.extractor import Extractor
    from nngpt.retrieval.library import Library

    database = index.open_index(folder)
    try:
        found = Extractor(Library(index.sources(database))).extract(target)
    except UserError as error:
        if audit is not None:
            refused = decisions.json_lines(target, decisions_of_error(target, error))
            write_file(audit, refused, hint=_OTHER_AUDIT)
        raise
    if audit is not None:
        lines = decisions.json_lines(found.target, found.decisions)
        write_file(audit, lines, hint=_OTHER_AUDIT)
    if out is not None:
        write_file(out, [found.code.encode()], hint="Choose another file with --out")
    if as_json:
        print_json({**found.facts(), **({"file": str(out)} if out else {"code": found.code})})
    elif out is None:
        typer.echo(found.code, nl=False)
    else:
        typer.echo(f"{out}: {found.target} with {plural(len(found.inlined) - 1, 'helper')}")
    print_notes(
        f"argument {name!r} takes a class that is not in the file (extract it, too): "
        + " or ".join(classes)
        for name, classes in found.arguments.items()
    )
    print_notes(f"{name} is imported only when a function needs it" for name in found.lazily)
    beyond = found.checked.beyond
    guarded = (name for name in beyond.guarded if name not in found.lazily)
    print_notes(f"{name} is imported if it is installed" for name in guarded)
    print_notes(f"{name} is compiled by the library and missing" for name in beyond.compiled)


@app.command()
def bench(
    source: Annotated[
        list[str], Option(help="Grade only blocks of this library; repeatable.")
    ] = [],  # noqa: B006 (typer copies it)
    limit: Annotated[
        int | None, Option(min=1, help="Grade a random sample of this many blocks.")
    ] = None,
    targets: Annotated[
        Path | None,
        Option(help="File that names the blocks to grade, one library:module.Class per line."),
    ] = None,
    run: Annotated[
        bool, Option("--run", help="Also import, build and train each block in the sandbox.")
    ] = False,
    sandbox: Sandbox = None,
    audit: Audit = None,
    folder: _IndexFolder = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Extract blocks and count how many compile and define all names; with --run, how many run."""
    from nngpt.cycle.networks import open_block_training
    from nngpt.reports.tables.retrieval import audit_tables, tally_table
    from nngpt.retrieval import decisions, grading, index
    from nngpt.retrieval.extractor import Extractor
    from nngpt.retrieval.library import Library

    database = index.open_index(folder)
    indexed = (block.target for block in index.blocks(database))
    names = grading.read_targets(targets) if targets else list(indexed)
    chosen = grading.choose_targets(names, source, limit)
    extractor = Extractor(Library(index.sources(database)))
    if audit is not None:
        write_file(audit, [], hint=_OTHER_AUDIT)  # a wrong path is reported before the work
    log = logger(style="dim")
    grades = []
    training = open_block_training(sandbox) if run else nullcontext()
    with stoppable("Stopped."), training as train:
        for number, name in enumerate(chosen, 1):
            grades.append(grading.grade(extractor, name, train))
            if number % 100 == 0:
                log(f"{number:,} of {len(chosen):,}")
    tables = [tally_table(list(grading.tallies(grades)), run)]
    if audit is not None:
        audits = {one.target: one.decisions for one in grades}
        lines = (line for one in audits.items() for line in decisions.json_lines(*one))
        write_file(audit, lines, hint=_OTHER_AUDIT)
        tables += audit_tables(audits)
    print_result(as_json, [one.facts() for one in grades], *tables)


def _print_report(report: dict[str, Any]) -> None:
    typer.echo(
        f"{report['source']} {report['version']}".rstrip()
        + " ({licence}): {files:,} files, {new:,} new, {changed:,} changed, "
        "{removed:,} removed; {classes:,} classes".format(**report)
    )
    broken = report["broken"]
    for path, reason in list(broken.items())[:_SOME]:
        typer.echo(f"skipped: {path} {reason}", err=True)
    if len(broken) > _SOME:
        typer.echo(f"and {len(broken) - _SOME:,} more", err=True)
