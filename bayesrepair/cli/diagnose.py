"""``bayesrepair diagnose``: from a table to a report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import typer

from bayesrepair.cli.cluster import Dask, cluster_at
from bayesrepair.cli.errors import clear_errors, heard_warnings
from bayesrepair.cli.folder import output_folder, refuse_taken
from bayesrepair.status import DataError

Family = Literal["auto", "bernoulli", "categorical", "gaussian", "t", "poisson", "negativebinomial"]
BasisName = Literal["linear", "splines", "fourier", "auto"]


def diagnose(
    train: Annotated[Path, typer.Argument(help="Training rows: CSV or Parquet.", show_default=False)],
    target: Annotated[str, typer.Option(help="Outcome: a column's name or position (1 first, -1 last).")],
    test: Annotated[Path | None, typer.Option(help="Held-out rows with their outcomes.")] = None,
    holdout: Annotated[float | None, typer.Option(help="Share of TRAIN to hold out instead (0.3).")] = None,
    header: Annotated[
        Literal["auto", "yes", "no"], typer.Option(help="Does row 1 of a CSV name the columns?")
    ] = "auto",
    formula: Annotated[str | None, typer.Option(help="Bambi formula; by default all columns.")] = None,
    family: Annotated[Family, typer.Option(help="Distribution of the outcome.")] = "auto",
    basis: Annotated[
        BasisName, typer.Option(help="Beside the columns: nothing, curves, surfaces, or what the rows ask for.")
    ] = "linear",
    row_id: Annotated[str | None, typer.Option("--id", help="Column of row ids; by default rows count from 0.")] = None,
    group: Annotated[str | None, typer.Option(help="Column to rank groups by (annotator, site); no predictor.")] = None,
    failures: Annotated[Path | None, typer.Option(help="Ids of the rows of --test that failed, one a line.")] = None,
    level: Annotated[
        float,
        typer.Option(min=0.0001, max=0.9, help="Counts, numbers: share of a row's predictive outside which it fails."),
    ] = 0.05,
    against: Annotated[
        Literal["held_out", "failures"],
        typer.Option(help="Rank rows by harm to all held-out rows, or to the failures alone."),
    ] = "held_out",
    top: Annotated[str, typer.Option(help="How many rows to repair; auto chooses on held-out rows.")] = "auto",
    action: Annotated[Literal["delete", "relabel", "none"], typer.Option(help="What to do with them.")] = "delete",
    method: Annotated[
        str, typer.Option(help="How the posterior is edited: auto, weights, transport, retrain.")
    ] = "auto",
    verify: Annotated[bool, typer.Option("--verify", help="Compare with refits; costs two refits.")] = False,
    draws: Annotated[int, typer.Option(min=50, help="Draws a chain.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    dask: Dask = None,
    out: Annotated[Path, typer.Option(help="Folder to make.")] = Path("diagnosis"),
    force: Annotated[bool, typer.Option("--force", help="Replace the output of an earlier run.")] = False,
) -> None:
    """Name the training rows behind a model's failures, repair the posterior, write a report.

    bayesrepair diagnose pima.csv --target -1 --out pima-report
    """
    with clear_errors():
        refuse_taken(out.absolute(), force=force)
        size = _size(top)
        from bayesrepair import diagnosis
        from bayesrepair.cli.printed import Voice, print_diagnosis, print_files

        voice = Voice()
        given = _read(train, test, target=target, header=header, row_id=row_id, group=group, share=holdout)
        failed = _failed(failures, given)
        tables = diagnosis.prepare(
            given.train,
            given.test,
            target=given.target,
            share=0.3 if holdout is None else holdout,
            formula=formula,
            family=family,
            group=given.group,
            basis=basis,
            random_seed=seed,
        )
        diagnosis.check_request(tables, top=size, action=action, method=method)
        decided = f"{given.described}; {tables.described}"
        voice.say(decided)
        with (
            cluster_at(dask) as client,
            output_folder(out, force=force) as partial,
            heard_warnings(voice.warn) as heard,
        ):
            found = diagnosis.diagnose(
                tables,
                failed=failed,
                level=level,
                against=against,
                top=size,
                action=action,
                method=method,
                verify=verify,
                draws=draws,
                title=f"{train.name}: {given.target}",
                notes=(decided,),
                client=client,
                random_seed=seed,
                tell=voice.tell,
            ).noting(heard)
            voice.tell("Writing the report", "step")
            names = [path.name for path in found.write(partial)]
        print_diagnosis(found, voice)
        print_files([out / name for name in names], voice)


@dataclass(frozen=True, eq=False)
class _Given:
    """The tables as read, and what was decided about them."""

    train: pd.DataFrame
    test: pd.DataFrame | None
    target: str
    group: str | None
    described: str


def _size(top: str) -> int | Literal["auto"]:
    if top == "auto":
        return "auto"
    if not top.isdigit():
        raise DataError("--top auto, or a number of rows", repr(top), "Say --top 20, say.")
    return int(top)


def _read(
    train: Path,
    test: Path | None,
    *,
    target: str,
    header: Literal["auto", "yes", "no"],
    row_id: str | None,
    group: str | None,
    share: float | None,
) -> _Given:
    from bayesrepair.reading import column_named, read_table, with_row_ids

    if test is not None and share is not None:
        raise DataError("--test or --holdout", "both", "Leave one of them out.")
    table = read_table(train, header=header)
    other = None if test is None else read_table(test, header=header, like=table)
    named = column_named(table.frame, target, what="target")
    by = None if group is None else column_named(table.frame, group, what="column of groups")
    ids = None if row_id is None else column_named(table.frame, row_id, what="column of ids")
    for option, column in (("--id", ids), ("--group", by)):
        if column == named:
            raise DataError(f"another column than the target for {option}", repr(column))
    frames = [table.frame, None if other is None else other.frame]
    if ids is not None:
        frames = [None if f is None else with_row_ids(f, column_named(f, ids, what="column of ids")) for f in frames]
    size = f"{len(table.frame)} rows, {table.frame.shape[1]} columns"
    own = [phrase for phrase in table.decided if phrase.startswith("row ids")]
    rows = f"row ids from {ids!r}" if ids is not None else "" if own else "rows numbered from 0"
    described = ", ".join(filter(None, [f"{table.source}: {size}", *table.decided, rows]))
    if other is not None:
        described += f"; {other.source}: {len(other.frame)} held-out rows"
    assert frames[0] is not None
    return _Given(frames[0], frames[1], named, by, described)


def _failed(path: Path | None, given: _Given) -> np.ndarray | None:
    from bayesrepair.reading import read_row_list

    if path is None:
        return None
    if given.test is None:
        raise DataError("--test with --failures", "--failures alone", "Give the held-out rows that failed with --test.")
    return read_row_list(path, given.test.index)
