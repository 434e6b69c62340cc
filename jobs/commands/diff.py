"""`nightscore diff A B`: what tells two published outputs of the same rows apart."""

import json
from typing import Annotated

import typer

from jobs.commands.ending import ended, note
from jobs.commands.options import Debug
from jobs.commands.watching import Log, LogFormat
from pipeline_lib.machine.terminal import escaped_output, printable

First = Annotated[
    str, typer.Argument(metavar="A", help="A published output: the folder of output.path, or its URL (s3://...).")
]
Second = Annotated[str, typer.Argument(metavar="B", help="Another output of the same rows.")]
MaxFlips = Annotated[
    int | None, typer.Option(metavar="N", min=0, help="Exit with 3 if more rows flip. Default: any number may.")
]
Id = Annotated[
    str | None,
    typer.Option("--id", metavar="COLUMN", help="The kept column that names rows. Default: id, or the only *_id."),
]
Page = Annotated[
    str | None, typer.Option(metavar="FILE", help="Write a page with all figures; HTML without any script.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one object with all figures.")]


def diff(  # noqa: PLR0913 - its options
    first: First,
    second: Second,
    *,
    max_flips: MaxFlips = None,
    id_name: Id = None,
    as_json: AsJson = False,
    page: Page = None,
    log_format: Log = LogFormat.TEXT,
    debug: Debug = False,
) -> None:
    """Compare two published outputs of the same rows: labels that flip, and differences of scores."""
    del log_format  # `main` looks at it

    def job() -> None:
        from pipeline_lib.comparing.difference import compare
        from pipeline_lib.comparing.published import read_published
        from pipeline_lib.comparing.words import lines

        found = compare(read_published(first), read_published(second), id_name)
        for text in found.notes:
            note("note", text)
        if as_json:
            print(printable(json.dumps(found.to_json())))
        else:
            for line in [*lines(found), found.line]:
                print(line)
        if page:
            from pipeline_lib.reporting.pages.diff_page import write_diff_page

            note("page", write_diff_page(found, max_flips, page))
        if max_flips is not None and found.comparison.flips > max_flips:
            note("limit", f"{found.comparison.flips:,} flips are more than --max-flips {max_flips:,}")
            raise typer.Exit(3)

    with escaped_output():
        ended(job, debug=debug)
