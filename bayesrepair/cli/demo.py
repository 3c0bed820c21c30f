"""``bayesrepair demo``: the main job on data with known wrong labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayesrepair.cli.errors import clear_errors, heard_warnings
from bayesrepair.cli.folder import output_folder


def demo(
    out: Annotated[Path, typer.Option(help="Folder to make.")] = Path("demo-out"),
    draws: Annotated[int, typer.Option(min=50, help="Draws a chain.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the flips, the split and the sampling.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace the output of an earlier run.")] = False,
) -> None:
    """Run the main job on breast cancer data with a tenth of the training labels flipped.

    bayesrepair demo --out demo-out
    """
    with clear_errors(), output_folder(out, force=force) as partial:
        from bayesrepair import demo as demonstration
        from bayesrepair.cli.printed import Voice, print_diagnosis, print_files

        voice = Voice()
        voice.say(
            "Breast cancer (scikit-learn): 569 rows, half of them held out, a tenth of the training labels flipped"
        )
        with heard_warnings(voice.warn) as heard:
            found = demonstration.run(random_seed=seed, draws=draws, tell=voice.tell).noting(heard)
            voice.tell("Writing the report", "step")
            names = [path.name for path in found.write(partial)]
        print_diagnosis(found, voice)
    print_files([out / name for name in names], voice)
