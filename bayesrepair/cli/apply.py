"""``bayesrepair apply``: take reviewed decisions back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from bayesrepair.cli.diagnose import BasisName, Family
from bayesrepair.cli.errors import clear_errors, heard_warnings
from bayesrepair.cli.folder import output_folder, refuse_taken
from bayesrepair.cli.table import Header, read_given
from bayesrepair.status import DataError


def apply(
    reviewed: Annotated[Path, typer.Argument(help="review.csv with decisions filled in.", show_default=False)],
    table: Annotated[
        Path | None, typer.Option(help="The table that was reviewed; by default as suspects noted it.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="The label's column, as above.")] = None,
    row_id: Annotated[str | None, typer.Option("--id", help="Column of row ids, as above.")] = None,
    earlier: Annotated[Path | None, typer.Option("--reviewed", help="Of an earlier review, as above.")] = None,
    annotator: Annotated[str | None, typer.Option(help="Column of annotators, as above; no predictor.")] = None,
    header: Annotated[Header | None, typer.Option(help="Does row 1 of a CSV name the columns?")] = None,
    formula: Annotated[str | None, typer.Option(help="Bambi formula, as above.")] = None,
    family: Annotated[Family | None, typer.Option(help="Distribution of the outcome, as above.")] = None,
    basis: Annotated[BasisName | None, typer.Option(help="Curves or surfaces, as above.")] = None,
    method: Annotated[
        str, typer.Option(help="How the posterior is edited: auto, weights, transport, retrain.")
    ] = "auto",
    verify: Annotated[bool, typer.Option("--verify", help="Compare with refits; costs two refits.")] = False,
    inference: Annotated[
        Literal["auto", "nuts", "laplace"] | None, typer.Option(help="How the table is fitted, as above.")
    ] = None,
    draws: Annotated[int | None, typer.Option(min=50, help="Draws a chain.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of everything random.")] = None,
    out: Annotated[Path, typer.Option(help="Folder to make.")] = Path("applied"),
    force: Annotated[bool, typer.Option("--force", help="Replace the output of an earlier run.")] = False,
) -> None:
    """Carry reviewed decisions into the posterior, and write the corrected table.

    bayesrepair apply suspects/review.csv --out applied
    """
    with clear_errors():
        refuse_taken(out.absolute(), force=force)
        from bayesrepair import diagnosis
        from bayesrepair.cli.printed import Voice, print_applied, print_files

        voice = Voice()
        asked = {
            "table": None if table is None else str(table), "target": target, "id": row_id, "annotator": annotator,
            "header": header, "formula": formula, "family": family, "basis": basis, "inference": inference,
            "draws": draws, "seed": seed, "reviewed": None if earlier is None else str(earlier),
        }  # fmt: skip
        review = diagnosis.read_reviewed(reviewed)
        known = _settings(reviewed, asked)
        given = read_given(
            Path(known["table"]), target=known["target"], header=known["header"], row_id=known["id"],
            group=known["annotator"],
        )  # fmt: skip
        tables = diagnosis.prepare_alone(
            given.frame, target=given.target, formula=known["formula"], family=known["family"], group=given.group,
            basis=known["basis"],
        )  # fmt: skip
        diagnosis.check_request(tables, top="auto", action="none", method=method)
        decisions = diagnosis.checked_decisions(review, tables)
        stood = None if known["reviewed"] is None else diagnosis.read_stood(known["reviewed"], tables)
        decided = f"{given.described}; {tables.described}"
        voice.say(f"{decided}\n{reviewed.name}: {decisions!r}")
        with output_folder(out, force=force) as partial, heard_warnings(voice.warn) as heard:
            found = diagnosis.apply_decisions(
                tables, decisions, earlier=stood, method=method, verify=verify, inference=known["inference"],
                draws=known["draws"],
                title=f"{Path(known['table']).name}: reviewed {given.target}", settings={**known, "method": method},
                notes=(decided,), random_seed=known["seed"], tell=voice.tell,
            ).noting(heard)  # fmt: skip
            voice.tell("Writing the report", "step")
            names = [path.name for path in found.write(partial)]
        print_applied(found, voice)
        print_files([out / name for name in names], voice)
        again = (
            f"bayesrepair suspects {out / 'corrected.csv'} --target {given.target} --reviewed {out / 'reviewed.csv'}"
        )
        voice.say(f"To look again, with what is known now: {again}")


DEFAULTS: dict[str, Any] = {
    "header": "auto", "family": "auto", "basis": "linear", "inference": "auto", "draws": 1000, "seed": 0,
}  # fmt: skip


def _settings(reviewed: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """What is asked for, else what suspects noted beside the review, else the defaults."""
    noted: dict[str, Any] = {}
    beside = reviewed.parent / "summary.json"
    if asked["table"] is None and beside.is_file():
        try:
            noted = json.loads(beside.read_text(encoding="utf-8")).get("settings", {})
        except (ValueError, AttributeError) as error:
            remedy = "Say --table and --target."
            raise DataError(f"the settings of suspects in '{beside}'", f"{error}", remedy) from error
    found = {name: value if value is not None else noted.get(name, DEFAULTS.get(name)) for name, value in asked.items()}
    for name in ("table", "target"):
        if found[name] is None:
            got = "no summary.json with it" if asked["table"] is None else "none"
            remedy = "Say --table TABLE.csv --target COLUMN, with the options that suspects was given."
            raise DataError(f"the {name} that was reviewed, in '{beside}' or as --{name}", got, remedy)
    return found
