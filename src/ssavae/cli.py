"""The command line: parse -> one call -> print. Heavy libraries are imported inside the commands."""

from __future__ import annotations

import shlex
import sys
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from ssavae.console import plain_warnings, print_table, print_values, say_written, shown_value, warn

if TYPE_CHECKING:
    from ssavae.runs import Run


def _examples(*lines: str) -> str:
    """Return the end of a command's help; the mark keeps typer from joining its lines."""
    return "\n".join(["\b", "Example:", *[f"  ssavae {line}" for line in lines]])


class StoppableGroup(TyperGroup):
    """Commands that tell what the engine said when Ctrl-C or SIGTERM stopped it, and exit with 130."""

    def invoke(self, ctx: typer.Context) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Run the command; typer itself would swallow the message."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            typer.echo(str(stop) or "stopped", err=True)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=StoppableGroup,
    add_completion=False,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
data_app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
app.add_typer(data_app, name="data", epilog=_examples("data", "data get mnist"))

DataArgument = Annotated[
    str, typer.Argument(help="A named set (see `ssavae data`), or .csv, .parquet, .npz, .npy, image folder.")
]
RunArgument = Annotated[Path, typer.Argument(help="The folder that `ssavae train` wrote.")]
LabelOption = Annotated[
    str | None, typer.Option(help="Column with the classes, in .csv and .parquet.", show_default=False)
]
GroupOption = Annotated[
    str | None,
    typer.Option(help="Column (or array of .npz) of rows that no split may part.", show_default=False),
]
KindOption = Annotated[str | None, typer.Option(help="table, image or signal, where the data does not say.")]
DropOption = Annotated[
    list[str] | None, typer.Option(help="Column of a table that is no input; may be repeated.")
]
WindowOption = Annotated[
    int | None,
    typer.Option(min=16, help="Cut records into windows: rows of a table in time, or long signals."),
]
HopOption = Annotated[int | None, typer.Option(min=1, help="Samples between windows [default: a quarter].")]
SpectrumOption = Annotated[
    bool, typer.Option("--spectrum", help="Take the logarithm of each signal's spectrum in its place.")
]
SummaryOption = Annotated[
    bool, typer.Option("--summary", help="Take mean, deviation, roughness of each window's channels.")
]
TestFractionOption = Annotated[
    float | None,
    typer.Option(min=0.0, max=0.9, help="Rows held out where DATA has no test part [default: 0.2]."),
]
OutOption = Annotated[Path | None, typer.Option(help="File to write; by default into RUN.")]


@dataclass
class Call:
    """What was typed, and whether errors come with their traceback."""

    words: Sequence[str]
    debug: bool = False


@app.callback()
def start(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Show the version and stop.")] = False,
) -> None:
    """Partly labelled data in, a latent map out: to look at, classify with, decode and generate from."""
    from ssavae import __version__

    context.obj.debug = debug
    if version:
        typer.echo(f"ssavae {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command(epilog=_examples("demo --out runs/demo"))
def demo(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder for model, metrics and pictures.")] = Path("runs/demo"),
) -> None:
    """Train on the embedded digits.

    Both steps with a map of two dimensions; leaves model, metrics and pictures.
    """
    from ssavae.datasets import Reading
    from ssavae.runs import Run, plan_parameters

    parameters = plan_parameters("digits", {"latent_dim": 2}, [])
    _train(context, out, Run("digits", Reading(), 0.2, "digits", parameters))


@data_app.callback(epilog=_examples("data", "data get mnist"))
def data(context: typer.Context) -> None:
    """List or get the named data sets.

    Where they come from, and whether they are here.
    """
    if context.invoked_subcommand is not None:
        return
    from ssavae.named_sets import EMBEDDED, available

    rows = []
    for each in available():
        how = f"ssavae data get {each.name}" if each.downloads else f"put {each.file} into $SSAVAE_DATA"
        here = "embedded" if each.source == EMBEDDED else str(each.path or f"no: {how}")
        rows.append([each.name, f"{each.rows:,} {each.kind} rows", each.description, each.source, here])
    print_table(["name", "size", "content", "comes from", "is here"], rows)


@data_app.command("get", epilog=_examples("data get mnist"))
def get(name: Annotated[str, typer.Argument(help="A name that `ssavae data` lists.")]) -> None:
    """Download a named set into the user cache and check it."""
    from ssavae.checks import UsageError
    from ssavae.named_sets import SETS, fetch, unknown_name

    if name not in SETS:
        raise UsageError(unknown_name(name))
    typer.echo(f"{name} is at {fetch(name)}")


@data_app.command("audit", epilog=_examples("data audit bearings.csv --label fault --group machine"))
def audit(
    data: DataArgument,
    label: LabelOption = None,
    group: GroupOption = None,
    kind: KindOption = None,
    drop: DropOption = None,
    window: WindowOption = None,
    hop: HopOption = None,
    test_fraction: TestFractionOption = None,
    seed: Annotated[int, typer.Option(help="Seed of the split, where DATA has no test part.")] = 0,
) -> None:
    """Check what stands on both sides of a split.

    Exact copies, windows that share samples, groups; of DATA's own test part, else of the split that
    `ssavae train` would draw. Exits with 1 where there is any.
    """
    from ssavae.datasets import Reading
    from ssavae.reports import audit_data

    reading = Reading(label, group, tuple(drop or ()), window, hop)
    findings, caution = audit_data(data, reading, kind, _fraction(test_fraction), seed)
    rows = [[found.what, str(found.n_test), found.example] for found in findings]
    print_table(["on both sides", "test rows", "for example"], rows)
    if caution:
        typer.echo(caution)
    leaks = [f"{f.n_test} {f.what}" for f in findings if f.n_test]
    if leaks:
        raise ValueError(f"the test part of {data} holds {' and '.join(leaks)}: scores on it flatter")


@app.command(
    epilog=_examples(
        "train mnist --preset mnist --out runs/mnist",
        "train parts.csv --label state --out runs/parts --set beta=0.02",
        "train bearings.csv --label fault --group machine --out runs/bearings",
        "train mnist --out runs/mnist100 --labels-per-class 10",
        "train mnist --out runs/mnist --resume",
    )
)
def train(
    context: typer.Context,
    data: DataArgument,
    out: Annotated[Path, typer.Option(help="Folder for model, metrics and pictures.")],
    label: LabelOption = None,
    kind: KindOption = None,
    latent_dim: Annotated[int | None, typer.Option(help="Size of the code; 2 makes a map.")] = None,
    preset: Annotated[str | None, typer.Option(help="A set of the paper by name, or a .toml file.")] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any parameter of SSAVAE; may be repeated."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the unfinished run in --out, as it was begun.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the model or unfinished run in --out.")
    ] = False,
    group: GroupOption = None,
    drop: DropOption = None,
    window: WindowOption = None,
    hop: HopOption = None,
    spectrum: SpectrumOption = False,
    summary: SummaryOption = False,
    labels_per_class: Annotated[
        int | None, typer.Option(min=1, help="Learn from so many labels of each class, drawn by --seed.")
    ] = None,
    label_fraction: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Learn from this share of each class's labels.")
    ] = None,
    labels_from: Annotated[
        str | None, typer.Option(help="Learn from the labels of a run's labels.json, or .csv (row, label).")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of split and training [default: 0].")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = None,
    precision: Annotated[str | None, typer.Option(help="32-true or bf16-mixed.")] = None,
    test_fraction: TestFractionOption = None,
) -> None:
    """Train both steps on DATA.

    Leaves model, history, metrics and pictures in the folder --out.
    """
    from ssavae.budgets import LabelBudget
    from ssavae.runs import Run, check_free, plan_parameters, plan_reading, unfinished

    options = {"latent_dim": latent_dim, "kind": kind, "device": device, "precision": precision}
    read_as: dict[str, Any] = {"label": label, "group": group, "drop": tuple(drop) if drop else None}
    read_as |= {"window": window, "hop": hop, "spectrum": spectrum or None, "summary": summary or None}
    if resume:
        told = {**options, **read_as, "preset": preset, "set": assignments, "seed": seed}
        told |= {"overwrite": overwrite or None, "test_fraction": test_fraction}
        told |= {"labels_per_class": labels_per_class, "labels_from": labels_from}
        told |= {"label_fraction": label_fraction}
        _train(context, out, unfinished(out, data, told), resume=True)
        return
    parameters = plan_parameters(preset, options | {"random_state": seed}, assignments or [])
    check_free(out, overwrite)
    labels = LabelBudget(labels_per_class, label_fraction, labels_from)
    reading = plan_reading(preset, read_as)
    _train(context, out, Run(data, reading, _fraction(test_fraction), preset, parameters, labels))


def _train(context: typer.Context, out: Path, run: Run, resume: bool = False) -> None:
    from ssavae.reports import train_run

    command = shlex.join(["ssavae", *context.obj.words])
    metrics, files = train_run(out, run, resume=resume, command=command)
    protocol = metrics.pop("protocol")
    metrics |= {key: protocol[key] for key in ("seconds_vec", "seconds_decoder")}
    print_values(f"{run.data}, latent_dim {run.parameters['latent_dim']}, test part", metrics)
    say_written(*files)


@app.command(epilog=_examples("evaluate runs/mnist mnist --judge"))
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
    from ssavae.reports import evaluate_run, open_run
    from ssavae.runs import JUDGE_FILE

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


@app.command("map", epilog=_examples("map runs/mnist mnist --out map.svg"))
def draw_map(run: RunArgument, data: DataArgument, out: OutOption = None, label: LabelOption = None) -> None:
    """Draw the latent map of DATA.

    Rows as in `ssavae evaluate`; with more than 2 dimensions their PCA.
    """
    from ssavae import figures, pictures, reports

    model, loaded = reports.open_run(run, data, label)
    _, part = reports.evaluation_parts(run, loaded)
    path = _target(out, run / "map.png", (".png", ".svg", ".pdf"))
    say_written(figures.save(pictures.draw_map(model, part), path))


@app.command(epilog=_examples("reconstruct runs/mnist mnist --out rows.npz"))
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
    from ssavae import figures, listings, pictures, reports

    path = _target(out, run / "reconstructions.png", (".png", ".npz", ".csv"))
    model, loaded = reports.open_run(run, data, label)
    _, part = reports.evaluation_parts(run, loaded)
    if path.suffix == ".png":
        say_written(figures.save(pictures.draw_reconstructions(model, part, n or 10), path))
        return
    made = model.reconstruct(part.x[:n])
    arrays = {"x_rec": made} if path.suffix == ".csv" else {"x": part.x[:n], "x_rec": made}
    say_written(listings.write_rows(model, path, arrays))


@app.command(epilog=_examples("sample runs/mnist", "sample runs/mnist --class 4 -n 100 --out 4.npz"))
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
    from ssavae import figures, listings, pictures, reports
    from ssavae.samplers import SAMPLERS

    path = _target(out, run / "samples.png", (".png", ".npz", ".csv"))
    _choice("--sampler", sampler, SAMPLERS)
    model = reports.open_model(run)
    x, y = pictures.sample_rows(model, class_name, n, sampler, seed)
    if path.suffix == ".png":
        title = f"samples of class {class_name}" if class_name else f"samples, sampler {sampler!r}"
        say_written(figures.save(pictures.draw_samples(model, x, y, title), path))
        return
    arrays = {"x": x} if y is None else {"y": y, "x": x}
    say_written(listings.write_rows(model, path, arrays))


@app.command(epilog=_examples("predict runs/parts parts.csv --out predictions.csv"))
def predict(run: RunArgument, data: DataArgument, out: OutOption = None, label: LabelOption = None) -> None:
    """Write class and code of every row.

    Row, class, its probability and the code z0.., for labelled and unlabelled rows of DATA.
    """
    from ssavae import listings, parts, reports

    path = _target(out, run / "predictions.csv", (".csv", ".npz"))
    model, loaded = reports.open_run(run, data, label)
    if len(model.classes_) == 0:
        warn("the model was trained without labels: no class and probability, only the code")
    part = parts.whole(loaded)
    say_written(listings.write_rows(model, path, listings.predictions(model, part)))


@app.command(
    epilog=_examples(
        "monitor runs/plant plant.csv --run 14",
        "monitor runs/plant - < new_rows.csv",
        "monitor runs/plant tennessee_eastman --run 6 --out fault6.csv",
    )
)
def monitor(
    run: RunArgument,
    data: Annotated[str, typer.Argument(help="As in `ssavae train`; - reads csv rows as they come.")],
    one: Annotated[str | None, typer.Option("--run", help="Follow this group [default: the first].")] = None,
    normal: Annotated[str | None, typer.Option(help="The class without a fault [default: normal].")] = None,
    run_length: Annotated[int, typer.Option(min=1, help="Rows in a row that raise an alarm.")] = 3,
    out: OutOption = None,
) -> None:
    """Follow a run over time.

    Class with confidence, novelty against its limit, the way over the map, alarms: a csv and a picture.
    From - a csv line is written for each row, or window, as soon as it is there.
    """
    from ssavae import figures, listings

    if data == "-":
        for line in listings.monitor_stream(run, sys.stdin, normal, run_length):
            typer.echo(line)
        return
    path = _target(out, run / "monitor.csv", (".csv",))
    table, figure, told = listings.monitor_run(run, data, one, normal, run_length, path)
    print_values(f"{run} on {data}", told)
    say_written(table, figures.save(figure, path.with_suffix(".png")))


@app.command(epilog=_examples("why runs/plant plant.csv --row 120", "why runs/mnist mnist --row 0 --to 3"))
def why(
    run: RunArgument,
    data: DataArgument,
    row: Annotated[int, typer.Option(help="Row, as `ssavae evaluate` counts them from 0.")],
    to: Annotated[
        str | None, typer.Option(help="Class to compare with [default: normal, else the next].")
    ] = None,
    out: OutOption = None,
) -> None:
    """Say what puts a row where it is.

    Columns (of signals stretches, of images patches) that tell it from its counterpart in another class, and
    how they change on the way there.
    """
    from ssavae import listings

    path = _target(out, run / "why.csv", (".csv",))
    written, told, lines = listings.explain_row(run, data, row, to, path)
    print_values(f"{run} on {data}", told)
    print_table(lines[0], [[shown_value(value) for value in line] for line in lines[1:]])
    say_written(written)


@app.command(epilog=_examples("suggest runs/few mnist -n 20"))
def suggest(
    run: RunArgument,
    data: DataArgument,
    n: Annotated[int, typer.Option("-n", min=1, help="Rows.")] = 20,
    out: OutOption = None,
    label: LabelOption = None,
) -> None:
    """Say which rows of DATA to label next.

    Best first, with an empty column for the label: rows that the classifier is unsure of, unlike one another.
    """
    from ssavae import listings, reports

    path = _target(out, run / "suggestions.csv", (".csv", ".npz"))
    model, loaded = reports.open_run(run, data, label)
    say_written(listings.write_rows(model, path, listings.suggestions(model, run, loaded, n)))


@app.command(epilog=_examples("reproduce figure7", "reproduce figure9 --data mnist --fast"))
def reproduce(
    context: typer.Context,
    what: Annotated[str, typer.Argument(help="figure7, figure9, cifar10 or all.")],
    out: Annotated[
        Path, typer.Option(help="Folder for pictures, numbers and all that can be resumed.")
    ] = Path("runs/reproduce"),
    data: Annotated[
        list[str] | None, typer.Option(help="Only this database; may be repeated [default: all four].")
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="A small version that ends in minutes.")] = False,
    updates: Annotated[int | None, typer.Option(min=1, help="Batches of step 2 in each cell.")] = None,
    rows: Annotated[int | None, typer.Option(min=1000, help="Training rows [default: all].")] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
) -> None:
    """Make the paper's figures again, with the numbers behind them.

    Runs on from what --out already holds.
    """
    from ssavae.experiments.reproduce import EXPERIMENTS, reproduced

    _choice("WHAT", what, [*EXPERIMENTS, "all"])
    command = shlex.join(["ssavae", *context.obj.words])
    for file in reproduced(
        what, out, data, fast=fast, updates=updates, n_train=rows, seed=seed, device=device, command=command
    ):
        say_written(file)


# --------------------------------------------------------------------------------------- in and out


def _target(out: Path | None, default: Path, suffixes: Iterable[str]) -> Path:
    """Return the file to write, in a folder that exists."""
    path = default if out is None else out
    _choice("--out must end in one of these: it", path.suffix.lower(), suffixes)
    if out is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _fraction(chosen: float | None) -> float:
    return 0.2 if chosen is None else chosen


def _choice(name: str, value: str, allowed: Iterable[str]) -> None:
    from ssavae.checks import UsageError

    if value not in allowed:
        raise UsageError(f"{name} must be one of {', '.join(allowed)}, found {value!r}")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failure, 2 wrong use, 130 stopped.

    Parameters
    ----------
    argv : sequence of str or None
        The words after ``ssavae``; None takes those of the process.
    """
    call = Call(sys.argv[1:] if argv is None else list(argv))
    with plain_warnings():
        raise SystemExit(_status(call))


def _status(call: Call) -> int:
    command = typer.main.get_command(app)
    try:
        status = command.main(list(call.words), prog_name="ssavae", standalone_mode=False, obj=call)
        return status if isinstance(status, int) else 0
    except Exception as error:
        if call.debug:
            traceback.print_exc()
        typer.echo(f"error: {_one_line(error)}", err=True)
        return int(getattr(error, "exit_code", 1))


def _one_line(error: Exception) -> str:
    """Return an error's message without line breaks; typer's own errors keep theirs in format_message."""
    told = getattr(error, "format_message", None)
    text = told() if told is not None else str(error)
    return " ".join(text.split()) or type(error).__name__
