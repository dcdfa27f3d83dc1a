"""Commands that apply a trained model: evaluate, draw, reconstruct, sample, predict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssavae.app.cli.console import format_value, print_table, print_values, print_written, warn
from ssavae.app.cli.main import app
from ssavae.app.cli.options import (
    PICTURE_SUFFIXES,
    ROW_SUFFIXES,
    TABLE_SUFFIXES,
    DataArgument,
    FormatOption,
    OutOption,
    RunArgument,
    check_choice,
    check_run,
    examples,
    folder_option,
    output_path,
    picture_suffix,
)
from ssavae.app.cli.reading import APPLIED, takes_reading

if TYPE_CHECKING:
    from ssavae.data.labelled import Reading


@app.command(epilog=examples("evaluate runs/mnist mnist --judge"))
@takes_reading(*APPLIED)
def evaluate(
    run: RunArgument,
    data: DataArgument,
    reading: Reading,
    judge: Annotated[
        bool, typer.Option("--judge", help="Also use a classifier trained on the real images.")
    ] = False,
) -> None:
    """Measure a model on DATA.

    On its test part: the data's own, else the rows that the run held out of it, else every row. Where rows
    are of classes that the model does not know, it also draws how well novelty tells them from the others.
    """
    from ssavae import figures
    from ssavae.app.runs.evaluate import evaluate_run
    from ssavae.app.runs.folder import JUDGE_FILE, RunFolder
    from ssavae.app.runs.pictures import draw_novelty

    folder = RunFolder(run)
    model, loaded = folder.load_model_and_data(data, reading)
    results, file = evaluate_run(model, folder, loaded, judged=judge)
    novelty = draw_novelty(model, folder.evaluation_parts(loaded)[1])
    judged = {f"judge: {k}": v for k, v in results.pop("judge", {}).items() if k != "rows_sha256"}
    faults = results.pop("faults", {})
    by_fault = faults.pop("by_class", {})
    print_values(f"{run} on {data}", results | faults | judged)
    if by_fault:
        columns = list(next(iter(by_fault.values())))
        lines = [[name, *(format_value(row[c]) for c in columns)] for name, row in by_fault.items()]
        print_table(["fault", *(c.replace("_", " ") for c in columns)], lines)
    print_written(file)
    if novelty is not None:
        print_written(figures.save(novelty, run / "novelty.png"))
    if judge:
        print_written(run / JUDGE_FILE)


@app.command("map", epilog=examples("map runs/mnist mnist --out map.svg"))
@takes_reading(*APPLIED)
def draw_map(run: RunArgument, data: DataArgument, reading: Reading, out: OutOption = None) -> None:
    """Draw the latent map of DATA.

    Rows as in `ssavae evaluate`; with more than 2 dimensions their PCA.
    """
    path = output_path(out, run / "map.png", PICTURE_SUFFIXES)
    from ssavae import figures
    from ssavae.app.runs import pictures
    from ssavae.app.runs.folder import RunFolder

    model, part = RunFolder(run).load_model_and_rows(data, reading)
    print_written(figures.save(pictures.draw_map(model, part), path))


@app.command(epilog=examples("draw runs/mnist mnist --format pdf --out figures"))
@takes_reading(*APPLIED)
def draw(
    run: RunArgument,
    data: DataArgument,
    reading: Reading,
    picture_format: FormatOption = "svg",
    out: Annotated[Path | None, folder_option("Folder for the pictures [default: RUN].")] = None,
) -> None:
    """Draw every picture of a run again, for a paper.

    Map, decoded grid, reconstructions, interpolations, traversals, samples, confusion, reliability, losses,
    and the ROC curve of novelty where DATA has classes that the model does not know; rows as in `ssavae
    evaluate`.
    """
    suffix = picture_suffix(picture_format)
    from ssavae.app.runs.album import draw_pictures
    from ssavae.app.runs.folder import RunFolder

    folder = RunFolder(run)
    model, part = folder.load_model_and_rows(data, reading)
    print_written(*draw_pictures(model, part, out or run, suffix, folder.reading))


@app.command(epilog=examples("reconstruct runs/mnist mnist --out rows.npz"))
@takes_reading(*APPLIED)
def reconstruct(
    run: RunArgument,
    data: DataArgument,
    reading: Reading,
    out: OutOption = None,
    n: Annotated[
        int | None, typer.Option("-n", min=1, help="Rows [default: 10; all in .npz and .csv].")
    ] = None,
) -> None:
    """Reconstruct rows of DATA.

    Rows as in `ssavae evaluate`: a picture beside the inputs, or the values as .npz or .csv.
    """
    path = output_path(out, run / "reconstructions.png", ROW_SUFFIXES)
    from ssavae import figures
    from ssavae.app.runs import output, pictures
    from ssavae.app.runs.folder import RunFolder

    folder = RunFolder(run)
    model, part = folder.load_model_and_rows(data, reading)
    if path.suffix.lower() in PICTURE_SUFFIXES:
        labels = pictures.axis_labels(folder.reading)
        print_written(figures.save(pictures.draw_reconstructions(model, part, n or 10, labels), path))
        return
    x = part.take(slice(n)).x
    arrays = {} if path.suffix.lower() == ".csv" else {"x": x}
    print_written(output.write_rows(model, path, {**arrays, "x_rec": model.reconstruct(x)}))


@app.command(epilog=examples("sample runs/mnist", "sample runs/mnist --class 4 -n 100 --out 4.npz"))
def sample(
    run: RunArgument,
    n: Annotated[int, typer.Option("-n", min=1, help="Rows of each class, or in all.")] = 10,
    class_name: Annotated[str | None, typer.Option("--class", help="Only this class.")] = None,
    sampler: Annotated[str, typer.Option(help="class, aggregate or prior.")] = "class",
    seed: Annotated[int | None, typer.Option(help="Seed [default: another each time].")] = None,
    out: OutOption = None,
) -> None:
    """Generate rows, by class or from the whole distribution.

    A picture, or the values as .npz or .csv.
    """
    path = output_path(out, run / "samples.png", ROW_SUFFIXES)
    from ssavae.inference import SAMPLERS

    check_choice("--sampler", sampler, SAMPLERS)
    check_run(run)
    from ssavae import figures
    from ssavae.app.runs import output, pictures
    from ssavae.app.runs.folder import RunFolder

    folder = RunFolder(run)
    model = folder.load_model()
    x, y = pictures.sample_rows(model, class_name, n, sampler, seed)
    if path.suffix.lower() in PICTURE_SUFFIXES:
        title = f"samples of class {class_name}" if class_name else f"samples, sampler {sampler!r}"
        figure = pictures.draw_samples(model, x, y, title, pictures.axis_labels(folder.reading))
        print_written(figures.save(figure, path))
        return
    arrays = {"x": x} if y is None else {"y": y, "x": x}
    print_written(output.write_rows(model, path, arrays))


@app.command(
    epilog=examples(
        "predict runs/parts partition.csv --out predictions.csv",
        "predict --onnx exported/parts partition.csv",
    )
)
@takes_reading(*APPLIED)
def predict(
    run: Annotated[Path, typer.Argument(help="The folder that `ssavae train` or `ssavae export` wrote.")],
    data: DataArgument,
    reading: Reading,
    out: OutOption = None,
    onnx: Annotated[
        bool,
        typer.Option("--onnx", help="RUN is a folder of `ssavae export`: use onnxruntime, not torch."),
    ] = False,
) -> None:
    """Write class and code of every row.

    Row, class, its probability and the code z0.., for labelled and unlabelled rows of DATA.
    """
    from ssavae.app.runs import output
    from ssavae.data import partition

    path = output_path(out, run / "predictions.csv", TABLE_SUFFIXES)
    if onnx:
        model, loaded = output.load_exported(run, data, reading)
    else:
        from ssavae.app.runs.folder import RunFolder

        model, loaded = RunFolder(run).load_model_and_data(data, reading)
    if len(model.classes_) == 0:
        warn("the model was trained without labels: no class and probability, only the code")
    rows = output.predictions(model, partition.whole(loaded))
    print_written(output.write_rows(model, path, rows))
