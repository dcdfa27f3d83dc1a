"""Commands that use a trained model: measure, draw, reconstruct, sample, predict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssavae.app.cli.console import print_table, print_values, say_written, shown_value, warn
from ssavae.app.cli.main import app
from ssavae.app.cli.options import (
    DRAWINGS,
    DataArgument,
    FormatOption,
    LabelOption,
    OutOption,
    RunArgument,
    choice,
    examples,
    picture_suffix,
    target,
)


@app.command(epilog=examples("evaluate runs/mnist mnist --judge"))
def evaluate(
    run: RunArgument,
    data: DataArgument,
    label: LabelOption = None,
    judge: Annotated[
        bool, typer.Option("--judge", help="Let a classifier trained on the real images judge too.")
    ] = False,
) -> None:
    """Measure a model on DATA.

    Its test part is used: the data's own, else the rows that the run held out of it, else every row.
    """
    from ssavae.app.runs.evaluate import evaluate_run
    from ssavae.app.runs.folder import JUDGE_FILE, open_run

    model, loaded = open_run(run, data, label)
    found, file = evaluate_run(model, run, loaded, judged=judge)
    unknown = found.get("rows_of_unknown_classes")
    if unknown:
        warn(f"{unknown} rows have a class that the model does not know: they count as unlabelled")
    judged = {f"judge: {k}": v for k, v in found.pop("judge", {}).items() if k != "rows_sha256"}
    diagnosed = found.pop("faults", {})
    by_class = diagnosed.pop("by_class", {})
    print_values(f"{run} on {data}", found | diagnosed | judged)
    if by_class:
        columns = list(next(iter(by_class.values())))
        lines = [[name, *(shown_value(values[c]) for c in columns)] for name, values in by_class.items()]
        print_table(["fault", *(c.replace("_", " ") for c in columns)], lines)
    say_written(file, *[run / JUDGE_FILE] * judge)


@app.command("map", epilog=examples("map runs/mnist mnist --out map.svg"))
def draw_map(run: RunArgument, data: DataArgument, out: OutOption = None, label: LabelOption = None) -> None:
    """Draw the latent map of DATA.

    Rows as in `ssavae evaluate`; with more than 2 dimensions their PCA.
    """
    from ssavae import figures
    from ssavae.app.runs import evaluate, pictures
    from ssavae.app.runs import folder as run_folder

    model, loaded = run_folder.open_run(run, data, label)
    _, part = evaluate.evaluation_parts(run, loaded)
    path = target(out, run / "map.png", DRAWINGS)
    say_written(figures.save(pictures.draw_map(model, part), path))


@app.command(epilog=examples("draw runs/mnist mnist --format pdf --out figures"))
def draw(
    run: RunArgument,
    data: DataArgument,
    picture_format: FormatOption = "svg",
    out: Annotated[Path | None, typer.Option(help="Folder for the pictures; by default RUN.")] = None,
    label: LabelOption = None,
) -> None:
    """Draw every picture of a run again, for a paper.

    Map, decoded grid, reconstructions, samples, reliability and losses; rows as in `ssavae evaluate`.
    """
    from ssavae.app.runs import evaluate, pictures
    from ssavae.app.runs import folder as run_folder

    suffix = picture_suffix(picture_format)
    model, loaded = run_folder.open_run(run, data, label)
    _, part = evaluate.evaluation_parts(run, loaded)
    say_written(*pictures.draw_pictures(model, part, out or run, suffix))


@app.command(epilog=examples("reconstruct runs/mnist mnist --out rows.npz"))
def reconstruct(
    run: RunArgument,
    data: DataArgument,
    out: OutOption = None,
    n: Annotated[
        int | None, typer.Option("-n", min=1, help="Rows [default: 10; all in .npz and .csv].")
    ] = None,
    label: LabelOption = None,
) -> None:
    """Reconstruct rows of DATA.

    Rows as in `ssavae evaluate`: a picture beside the inputs, or .npz or .csv with the values.
    """
    from ssavae import figures
    from ssavae.app.runs import evaluate, output, pictures
    from ssavae.app.runs import folder as run_folder

    path = target(out, run / "reconstructions.png", (*DRAWINGS, ".npz", ".csv"))
    model, loaded = run_folder.open_run(run, data, label)
    _, part = evaluate.evaluation_parts(run, loaded)
    if path.suffix.lower() in DRAWINGS:
        say_written(figures.save(pictures.draw_reconstructions(model, part, n or 10), path))
        return
    rows = part.take(slice(n)).x
    made = model.reconstruct(rows)
    arrays = {"x_rec": made} if path.suffix.lower() == ".csv" else {"x": rows, "x_rec": made}
    say_written(output.write_rows(model, path, arrays))


@app.command(epilog=examples("sample runs/mnist", "sample runs/mnist --class 4 -n 100 --out 4.npz"))
def sample(
    run: RunArgument,
    n: Annotated[int, typer.Option("-n", min=1, help="Rows of each class; in all, where not by class.")] = 10,
    class_name: Annotated[str | None, typer.Option("--class", help="Only this class.")] = None,
    sampler: Annotated[str, typer.Option(help="class, aggregate or prior.")] = "class",
    seed: Annotated[int | None, typer.Option(help="Seed; other samples each time without it.")] = None,
    out: OutOption = None,
) -> None:
    """Generate rows, class by class or at large.

    A picture, or .npz or .csv with the values.
    """
    from ssavae import figures
    from ssavae.app.runs import folder as run_folder
    from ssavae.app.runs import output, pictures
    from ssavae.inference.samplers import SAMPLERS

    path = target(out, run / "samples.png", (*DRAWINGS, ".npz", ".csv"))
    choice("--sampler", sampler, SAMPLERS)
    model = run_folder.open_model(run)
    x, y = pictures.sample_rows(model, class_name, n, sampler, seed)
    if path.suffix.lower() in DRAWINGS:
        title = f"samples of class {class_name}" if class_name else f"samples, sampler {sampler!r}"
        say_written(figures.save(pictures.draw_samples(model, x, y, title), path))
        return
    arrays = {"x": x} if y is None else {"y": y, "x": x}
    say_written(output.write_rows(model, path, arrays))


@app.command(
    epilog=examples(
        "predict runs/parts partition.csv --out predictions.csv",
        "predict --onnx exported/parts partition.csv",
    )
)
def predict(
    run: RunArgument,
    data: DataArgument,
    out: OutOption = None,
    label: LabelOption = None,
    onnx: Annotated[
        bool,
        typer.Option("--onnx", help="RUN is what `ssavae export` wrote: onnxruntime does it, not torch."),
    ] = False,
) -> None:
    """Write class and code of every row.

    Row, class, its probability and the code z0.., for labelled and unlabelled rows of DATA.
    """
    from ssavae.app.runs import output
    from ssavae.data import partition

    path = target(out, run / "predictions.csv", (".csv", ".npz"))
    if onnx:
        model, loaded = output.open_exported(run, data, label)
    else:
        from ssavae.app.runs.folder import open_run

        model, loaded = open_run(run, data, label)
    if len(model.classes_) == 0:
        warn("the model was trained without labels: no class and probability, only the code")
    part = partition.whole(loaded)
    say_written(output.write_rows(model, path, output.predictions(model, part)))
