"""The folder of a training run, and the one class that reads and writes its files."""

from __future__ import annotations

import io
import json
import os
import socket
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from ssavae._checks import UsageError
from ssavae._serialize import JSONObject, lists_to_tuples, sweep, write_atomically
from ssavae.data.label_budget import LabelBudget, grant_labels, read_labels
from ssavae.data.labelled import DEFAULT_READING, LabelledData, Reading
from ssavae.data.partition import Part, divide, read_like
from ssavae.estimator import SSAVAE, load
from ssavae.metrics.judge import Judge, load_judge, save_judge
from ssavae.persistence.model_folder import HISTORY_FILE, MODEL_FILE, WEIGHTS_FILE
from ssavae.persistence.training_state import RESUME_FOLDER, drop_state, has_state
from ssavae.training.augmentations import current_names

RUN_FILE = "run.json"
SPLIT_FILE = "split.json"
LABELS_FILE = "labels.json"
METRICS_FILE = "metrics.json"
JUDGE_FILE = "judge.safetensors"
POINTS_FILE = "points.npz"
CARD_FILE = "README.md"
LOCK_FILE = "training.lock"
PROCESS_FILE = "process"  # names the process that trains
SECONDS = {f"seconds_{step}": step for step in ("vec", "student", "decoder")}  # in metrics.json's protocol


@dataclass(frozen=True)
class Run:
    """The settings of a training run, as in run.json: ``--resume`` needs nothing else."""

    data: str  # name or path
    reading: Reading
    test_fraction: float  # of the rows, where the data has no test part
    preset: str | None
    parameters: JSONObject  # of SSAVAE, all but those that a command line cannot give
    labels: LabelBudget = field(default_factory=LabelBudget)

    @property
    def kind(self) -> str | None:
        """Kind of the rows, where the user gave it."""
        return self.parameters["kind"]

    @property
    def seed(self) -> int:
        """Seed of split and training."""
        return self.parameters["random_state"]


@dataclass(frozen=True)
class RunFolder:
    """The folder of a training run; it need not exist before something is written into it.

    run.json and the state of an unfinished run are in ``resume/``, so that an older run beside it stays whole
    until it is replaced.  Without ``resume/run.json`` the run is complete.
    """

    path: Path

    # ------------------------------------------------------------------------------------ state

    @property
    def name(self) -> str:
        """Name of the folder, as a title."""
        return self.path.resolve().name

    @property
    def has_model(self) -> bool:
        """Whether there is a trained model."""
        return (self.path / MODEL_FILE).is_file()

    @property
    def pending(self) -> RunFolder:
        """The folder of an unfinished run's settings and state."""
        return RunFolder(self.path / RESUME_FOLDER)

    @property
    def has_state(self) -> bool:
        """Whether there is the state of a training."""
        return has_state(self.path)

    def read_unfinished(self) -> Run | None:
        """Read the run that was begun and is not complete; None where there is none."""
        run = self.pending.read_run()
        return run if run is not None or self.has_model else self.read_run()  # that of an older ssavae

    def check_exists(self) -> None:
        """Raise UsageError where there is no such folder."""
        if not self.path.is_dir():
            raise UsageError(f"no model folder at {self.path}")

    def check_free(self, overwrite: bool) -> None:
        """Raise UsageError for a folder with a model or an unfinished run, unless it may be overwritten."""
        if overwrite:
            return
        if self.has_state and self.read_unfinished() is not None:
            raise UsageError(f"{self.path} holds an unfinished run: go on with --resume, or give --overwrite")
        if self.has_model:
            raise UsageError(f"{self.path} holds a finished model: choose another --out, or give --overwrite")

    @contextmanager
    def locked(self, *, wait: bool = False) -> Iterator[None]:
        """Let no other process train into this folder meanwhile; ends with that process, however it ends.

        Raises
        ------
        UsageError
            If another process does, with its name, unless it is waited for; or the path is a file.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{self.path} is a file: choose a folder for the run")
        is_new = not self.path.exists()
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.path / LOCK_FILE, timeout=-1 if wait else 0):
                sweep(self.path)
                self.pending._write(PROCESS_FILE, f"process {os.getpid()} on {socket.gethostname()}")
                try:
                    yield
                finally:
                    self._unname_process(is_new)
        except Timeout:
            raise UsageError(
                f"{self._trainer()} trains into {self.path}: wait for its end, or choose another folder"
            ) from None

    def _trainer(self) -> str:
        path = self.pending.path / PROCESS_FILE
        return path.read_text("utf-8") if path.is_file() else "another process"

    def _unname_process(self, is_new: bool) -> None:
        """Remove the name of this process, and a new folder into which nothing was written."""
        (self.pending.path / PROCESS_FILE).unlink(missing_ok=True)
        with suppress(OSError):  # where one is not empty
            self.pending.path.rmdir()
            if is_new and os.listdir(self.path) == [LOCK_FILE]:
                (self.path / LOCK_FILE).unlink()
                self.path.rmdir()

    def begin(self, run: Run) -> None:
        """Begin a run in place of an unfinished one, whose state is removed."""
        self.complete()
        self.pending._write(RUN_FILE, json.dumps(asdict(run), indent=1))
        for events in self.path.glob("events.out.tfevents.*"):
            events.unlink()

    def complete(self) -> None:
        """Remove what an unfinished run would be resumed from."""
        (self.pending.path / RUN_FILE).unlink(missing_ok=True)
        drop_state(self.path)

    def _write(self, name: str, text: str) -> Path:
        write_atomically(self.path / name, text.encode())
        return self.path / name

    def _read_json(self, name: str) -> JSONObject | None:
        path = self.path / name
        return json.loads(path.read_text("utf-8")) if path.is_file() else None

    # --------------------------------------------------------------------------------- settings

    def read_run(self) -> Run | None:
        """Read run.json; None where there is none, ValueError where it is damaged."""
        try:
            document = self._read_json(RUN_FILE)
            if document is None:
                return None
            reading = Reading(**lists_to_tuples(document["reading"]))
            labels = LabelBudget(**document["labels"])
            parameters = lists_to_tuples(document["parameters"])
            if "augment" in parameters:
                parameters["augment"] = current_names(parameters["augment"])
            return Run(**document | {"reading": reading, "labels": labels, "parameters": parameters})
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{self.path / RUN_FILE} is damaged: {error}") from error

    def read_resumed(self, data: str, options: Sequence[str]) -> Run | None:
        """Read the unfinished run, in order to resume it; None where the run is complete.

        Raises UsageError where there is no run or it was begun with other data, or further options are given,
        which could only contradict run.json.
        """
        run = self.read_unfinished()
        if run is None and self.read_run() is None:
            raise UsageError(f"nothing to resume in {self.path}: no {RUN_FILE} there")
        if run is None:
            return None
        if options:
            raise UsageError(
                f"--resume goes on with what {self.path / RUN_FILE} says: leave out {', '.join(options)}"
            )
        if run.data != data:
            raise UsageError(f"--resume: {self.path} was begun with {run.data}, not with {data}")
        return run

    @property
    def reading(self) -> Reading:
        """How the run read its data; the default without run.json."""
        run = self.read_run()
        return Reading() if run is None else run.reading

    # ------------------------------------------------------------------------------------- data

    def write_settings(
        self, run: Run, loaded: LabelledData, granted: LabelledData, test_rows: np.ndarray
    ) -> list[Path]:
        """Write run.json, split.json and labels.json, and remove what an earlier run measured."""
        for name in (METRICS_FILE, JUDGE_FILE, SPLIT_FILE, LABELS_FILE):
            (self.path / name).unlink(missing_ok=True)
        files = [self._write(RUN_FILE, json.dumps(asdict(run), indent=1))]
        if len(test_rows):
            files.append(self.write_split(loaded, test_rows))
        if run.labels.given():
            files.append(self.write_labels(granted, test_rows))
        return files

    def write_split(self, loaded: LabelledData, test_rows: np.ndarray) -> Path:
        """Write which rows are the test part, and a checksum by which ``read_split`` recognises the data."""
        content = {"test": test_rows.tolist(), "rows_sha256": loaded.rows_sha256}
        return self._write(SPLIT_FILE, json.dumps(content))

    def read_split(self, loaded: LabelledData) -> np.ndarray:
        """Return the rows of this data that the run tests on; none where it was trained on other data."""
        split = self._read_json(SPLIT_FILE) if loaded.x_test is None else None
        if split is None or split["rows_sha256"] != loaded.rows_sha256:
            return np.empty(0, dtype=np.int64)
        return np.array(split["test"], dtype=np.int64)

    def write_labels(self, granted: LabelledData, test_rows: np.ndarray) -> Path:
        """Write which rows are learned from with their label, and a checksum of the rows."""
        assert granted.y_train is not None
        labelled = np.array([label is not None for label in granted.y_train])
        labelled[test_rows] = False
        content = {"labelled": np.flatnonzero(labelled).tolist(), "rows_sha256": granted.rows_sha256}
        return self._write(LABELS_FILE, json.dumps(content))

    def read_labelled(self, loaded: LabelledData) -> np.ndarray | None:
        """Return a mask of the training rows whose label the run learned from, (n,); None for all of them."""
        path = self.path / LABELS_FILE
        if not path.is_file():
            return None
        mask = np.zeros(len(loaded.x_train), dtype=bool)
        mask[list(read_labels(path, loaded.rows_sha256))] = True
        return mask

    def read_learned(self, loaded: LabelledData) -> np.ndarray | None:
        """Return the label of each training row that the run learned from, (n,); None elsewhere.

        None where the run learned from the data's own labels, or the file that it read is gone or another.
        """
        run = self.read_run()
        if run is None or not run.labels.given():
            return None
        with suppress(OSError, ValueError):
            held_out = self.read_split(loaded)
            y = grant_labels(loaded, run.labels, held_out, run.seed).y_train
            if y is not None:
                y[held_out] = None
            return y
        return None

    # ------------------------------------------------------------------------- model and metrics

    def save_model(self, model: SSAVAE) -> list[Path]:
        """Write the model and its history; return the files."""
        model.save(self.path)
        return [self.path / name for name in (MODEL_FILE, WEIGHTS_FILE, HISTORY_FILE)]

    def load_model(self) -> SSAVAE:
        """Load the model; raises UsageError without such a folder, else as :func:`ssavae.load`."""
        self.check_exists()
        return load(self.path)

    def load_model_and_data(
        self, data: str, reading: Reading = DEFAULT_READING
    ) -> tuple[SSAVAE, LabelledData]:
        """Load the model, and data read as for training, or as the options say that are given."""
        model = self.load_model()
        return model, read_like(data, self.reading, model.preprocess_.kind, reading)

    def load_model_and_rows(self, data: str, reading: Reading = DEFAULT_READING) -> tuple[SSAVAE, Part]:
        """Load the model and the rows of data to evaluate it on, see :meth:`evaluation_parts`."""
        model, loaded = self.load_model_and_data(data, reading)
        return model, self.evaluation_parts(loaded)[1]

    def evaluation_parts(self, loaded: LabelledData) -> tuple[Part | None, Part]:
        """Return the training rows, where they are known, and the rows to evaluate on.

        The latter are the data's own test part, else the rows that the run tests on, else every row.
        """
        train, test = divide(loaded, self.read_split(loaded))
        return (None, train) if test is None else (train, test)

    def read_metrics(self) -> JSONObject:
        """Read metrics.json; empty where there is none."""
        return self._read_json(METRICS_FILE) or {}

    def write_metrics(self, metrics: Mapping[str, object]) -> Path:
        """Merge values into metrics.json, by top-level key."""
        return self._write(METRICS_FILE, json.dumps({**self.read_metrics(), **metrics}, indent=1))

    def read_judge(self, train_sha256: str) -> Judge | None:
        """Read the judge that was trained on the rows of this checksum; None where there is no such judge."""
        last = self.read_metrics().get("evaluate", {}).get("judge", {})
        path = self.path / JUDGE_FILE
        return load_judge(path) if path.is_file() and last.get("rows_sha256") == train_sha256 else None

    def write_judge(self, judge: Judge) -> None:
        """Write the judge."""
        save_judge(judge, self.path / JUDGE_FILE)

    # ----------------------------------------------------------------- points, card and pictures

    def read_points(self, key: str, names: Sequence[str]) -> tuple[np.ndarray, ...] | None:
        """Read arrays from the explorer's cache; None where it is missing, damaged or of another key."""
        damaged = (OSError, ValueError, KeyError, zipfile.BadZipFile)
        with suppress(*damaged), np.load(self.path / POINTS_FILE) as arrays:
            if str(arrays["key"]) == key:
                return tuple(arrays[name] for name in names)
        return None

    def write_points(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write arrays into the explorer's cache; do nothing in a folder that cannot be written to."""
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, key=np.array(key), **arrays)
        with suppress(OSError):
            write_atomically(self.path / POINTS_FILE, content.getvalue())

    def read_card(self) -> str | None:
        """Read the model card; None where there is none."""
        path = self.path / CARD_FILE
        return path.read_text("utf-8", errors="replace") if path.is_file() else None

    def write_card(self, text: str) -> Path:
        """Write the model card."""
        return self._write(CARD_FILE, text)

    def existing(self, names: Sequence[str]) -> list[str]:
        """Return those of the names that are files of this folder."""
        return [name for name in names if (self.path / name).is_file()]
