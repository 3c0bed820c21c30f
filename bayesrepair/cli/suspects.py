"""``bayesrepair suspects``: from a table to the labels that are probably wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bayesrepair.cli.cluster import Dask, cluster_at
from bayesrepair.cli.diagnose import BasisName, Family
from bayesrepair.cli.errors import clear_errors, heard_warnings
from bayesrepair.cli.folder import output_folder, refuse_taken
from bayesrepair.cli.table import GivenTable, Header, read_given
from bayesrepair.status import DataError

if TYPE_CHECKING:
    from bayesrepair.diagnosis import Tables


def suspects(
    table: Annotated[Path, typer.Argument(help="Rows with their labels: CSV or Parquet.", show_default=False)],
    target: Annotated[str, typer.Option(help="The label: a column's name or position (1 first, -1 last).")],
    trusted: Annotated[
        Path | None, typer.Option(help="Rows known to be right, not for looking odd: ids, one a line; or further rows.")
    ] = None,
    reviewed: Annotated[
        Path | None, typer.Option(help="reviewed.csv of apply: what stood in rows that somebody looked at.")
    ] = None,
    annotator: Annotated[
        str | None, typer.Option(help="Column of who (or which site) gave the label; no predictor.")
    ] = None,
    header: Annotated[Header, typer.Option(help="Does row 1 of a CSV name the columns?")] = "auto",
    formula: Annotated[str | None, typer.Option(help="Bambi formula; by default all columns.")] = None,
    family: Annotated[Family, typer.Option(help="Distribution of the outcome.")] = "auto",
    basis: Annotated[
        BasisName, typer.Option(help="Beside the columns: nothing, curves, surfaces, or what the rows ask for.")
    ] = "linear",
    row_id: Annotated[str | None, typer.Option("--id", help="Column of row ids; by default rows count from 0.")] = None,
    opinions: Annotated[
        bool, typer.Option(help="Hear a discriminant and a forest too, as far as they predict (classes only).")
    ] = True,
    review: Annotated[
        int | None, typer.Option(min=1, help="Rows in review.csv; by default all with P(wrong) of .1, at least 20.")
    ] = None,
    noise: Annotated[
        Literal["auto", "uniform", "class"], typer.Option(help="Whether classes differ in their error rates.")
    ] = "auto",
    method: Annotated[
        Literal["auto", "nuts", "laplace"], typer.Option(help="laplace: a Gaussian at the mode, in seconds.")
    ] = "auto",
    draws: Annotated[int, typer.Option(min=50, help="Draws a chain.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    dask: Dask = None,
    out: Annotated[Path, typer.Option(help="Folder to make.")] = Path("suspects"),
    force: Annotated[bool, typer.Option("--force", help="Replace the output of an earlier run.")] = False,
) -> None:
    """Name the rows whose label is probably wrong, and write a file for the person who reviews them.

    bayesrepair suspects pima.csv --target -1 --out suspects
    """
    with clear_errors():
        refuse_taken(out.absolute(), force=force)
        from bayesrepair import diagnosis
        from bayesrepair.cli.printed import Voice, print_files, print_labels

        voice = Voice()
        given = read_given(table, target=target, header=header, row_id=row_id, group=annotator)
        tables = diagnosis.prepare_alone(
            given.frame, target=given.target, formula=formula, family=family, group=given.group, basis=basis
        )
        known = [] if trusted is None else _trusted(trusted, given, tables)
        stood = None if reviewed is None else diagnosis.read_stood(reviewed, tables)
        decided = f"{given.described}; {tables.described}"
        voice.say(decided)
        settings = {
            "table": str(table.absolute()), "target": given.target, "id": given.row_id, "annotator": given.group,
            "header": header, "formula": formula, "family": family, "basis": basis, "noise": noise, "inference": method,
            "draws": draws, "opinions": opinions, "seed": seed,
            "reviewed": None if reviewed is None else str(reviewed.absolute()),
        }  # fmt: skip
        with (
            cluster_at(dask) as client,
            output_folder(out, force=force) as partial,
            heard_warnings(voice.warn) as heard,
        ):
            found = diagnosis.find_wrong_labels(
                tables, trusted=known, reviewed=stood, noise=noise, method=method, opinions=opinions, review=review,
                draws=draws, title=f"{table.name}: {given.target}", settings=settings, notes=(decided,), client=client,
                random_seed=seed, tell=voice.tell,
            ).noting(heard)  # fmt: skip
            voice.tell("Writing the report", "step")
            names = [path.name for path in found.write(partial)]
        print_labels(found, voice)
        print_files([out / name for name in names], voice)
        voice.say(f"Fill in the column decision of {out / 'review.csv'}, then: bayesrepair apply {out / 'review.csv'}")


def _trusted(path: Path, given: GivenTable, tables: Tables) -> list[Any]:
    """Ids of rows of the table, or a frame of further rows."""
    from bayesrepair.reading import read_row_list, read_table
    from bayesrepair.reading.checks import check_held_out
    from bayesrepair.reading.table import PARQUET

    if path.suffix.lower() in (".csv", ".tsv", *PARQUET) and path.is_file():
        other = read_table(path, header="auto").frame
        if "decision" in other.columns:
            remedy = "Apply it first: bayesrepair apply writes reviewed.csv, for --reviewed."
            raise DataError("rows known to be right", f"a review with its column 'decision', '{path}'", remedy)
        if given.target in other.columns:
            classes = tables.recipe.target.classes
            check_held_out(other, given.frame, given.target, predictors=tables.predictors, classes=classes)
            return [other]
    mask = read_row_list(path, given.frame.index, what="rows known to be right")
    return [row for row, is_known in zip(given.frame.index, mask, strict=True) if is_known]
