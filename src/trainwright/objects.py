"""Objects of the Python API: the config that it takes, and the run, diagnosis, study, model and metrics that it returns.

Nothing heavy is imported before an object needs it, so that ``import trainwright`` stays quick.
"""

import html
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from trainwright import catalog
from trainwright.config.writing import to_yaml
from trainwright.engine.config import RunConfig
from trainwright.errors import UserError, nearest
from trainwright.runs.folder import open_run
from trainwright.schemas import ComparisonJson, EvaluationJson, MetricJson

if TYPE_CHECKING:
    from torch import Tensor

    from trainwright.diagnosis.history import Series
    from trainwright.report.compare import Comparison as RunComparison

Weights = Literal["ema", "raw", "best"]
WEIGHTS = ("ema", "raw", "best")


@dataclass(frozen=True, repr=False)
class Config:
    """A validated configuration: a recipe with your changes. Sections are attributes: ``config.train.steps``.

    Attributes:
        values: the settings, a frozen pydantic model.
    """

    values: RunConfig

    @classmethod
    def from_recipe(cls, recipe: str, /, **overrides: Any) -> "Config":
        """Return the config of a shipped recipe with other values.

        Args:
            recipe: as in ``trainwright recipes``, such as ``wgan_gp/small``.
            overrides: by leaf name (``lr_g=1e-4``), alias, or section (``train={"steps": 20_000}``).

        Raises:
            UserError: unknown recipe or key, wrong type or range, with the nearest valid name.
        """
        if recipe.endswith((".yaml", ".yml")):
            raise UserError(f"{recipe!r} is a file; use Config.from_file.")
        return cls(catalog.load(recipe, (), overrides)[1])

    @classmethod
    def from_file(cls, path: str | Path, /, **overrides: Any) -> "Config":
        """Return the config of a recipe of your own: a YAML file with a ``family`` key.

        Raises:
            UserError: as for :meth:`from_recipe`; with file and line for what is wrong in the file.
        """
        return cls(catalog.load(str(path), (), overrides)[1])

    def replace(self, **overrides: Any) -> "Config":
        """Return a copy with other values, given as in :meth:`from_recipe`."""
        return type(self)(catalog.changed(self.values, overrides))

    def to_yaml(self) -> str:
        """Return the whole config as YAML, each setting with a comment; :meth:`from_file` reads it back."""
        return to_yaml(self.values)

    @property
    def family(self) -> str:
        """The name of the family that it trains."""
        return self.values.family

    @property
    def recipe(self) -> str:
        """The name of the recipe that it started from."""
        return self.values.recipe

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "values":
            raise AttributeError(name)
        fields = type(self.values).model_fields
        if name in fields:
            return getattr(self.values, name)
        raise AttributeError(f"a config of {self.family} has no section {name!r}.{nearest(name, fields)}")

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *type(self.values).model_fields})

    def __repr__(self) -> str:
        return f"Config({self.recipe or self.family!r})"


class Run:
    """One training and its folder. Everything is read from the disk when it is asked for, also while the run trains.

    Args:
        path: the run folder.

    Raises:
        UserError: the folder is no run.
    """

    def __init__(self, path: "str | Path | Run") -> None:
        self._folder = open_run(path.path if isinstance(path, Run) else path)

    @property
    def path(self) -> Path:
        """The folder."""
        return self._folder.folder

    @property
    def status(self) -> str:
        """``created``, ``running``, ``finished``, ``interrupted``, ``paused``, ``stopped`` by the doctor, or ``crashed``."""
        return str(self._folder.read()["status"])

    @property
    def verdict(self) -> str:
        """The doctor's latest verdict: ``healthy``, ``suspect``, ``sick``, ``crashed`` or ``unknown``."""
        return str(self._folder.read()["verdict"])

    @property
    def reason(self) -> str:
        """The reason for the verdict, in one sentence."""
        return str(self._folder.read()["verdict_reason"])

    @property
    def step(self) -> int:
        """Number of steps that the newest checkpoint has behind it."""
        return int(self._folder.read().get("step", 0))

    @property
    def config(self) -> Config:
        """The config with which it was last trained."""
        family = catalog.family(self._folder.read()["family"], str(self.path))
        return Config(catalog.read_config(family, self._folder.config))

    @property
    def signals(self) -> list[str]:
        """Names of everything that was measured, such as ``critic/loss``."""
        names = {name for row in self._folder.rows() for name, value in row.items() if _is_number(value)}
        return sorted(names - {"step", "epoch"})

    def signal(self, name: str) -> "Series":
        """Return one measured series with ``.steps``, ``.values`` (arrays) and ``.last``.

        Raises:
            UserError: nothing of that name was measured; with the nearest name.
        """
        import numpy as np

        from trainwright.diagnosis.history import Series

        found = [(row["step"], row[name]) for row in self._folder.rows() if _is_number(row.get(name))]
        if not found:
            raise UserError(f"{self.path}: no signal {name!r}.{nearest(name, self.signals)}")
        steps, values = np.array(found, dtype=float).T
        return Series(steps, values)

    def events(self) -> list[dict[str, Any]]:
        """Return everything that was done automatically, in order: step, event, evidence."""
        return self._folder.events()

    def report(self) -> Path:
        """Write ``report.html``, one page about the run, and return its path."""
        from trainwright.report.run_page import build_report

        return build_report(self._folder)

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}: {self.status} at step {self.step}, {self.verdict})"

    def _repr_html_(self) -> str:
        from trainwright.report.run_page import data_uri

        facts = self._folder.read()
        cells = {"recipe": facts["recipe"], "status": self.status, "step": self.step, "verdict": self.verdict}
        grids = sorted(self._folder.samples.glob("step_*.png"))
        image = f'<img src="{data_uri(grids[-1])}" alt="samples" style="max-width: 100%">' if grids else ""
        return f"{_html_table(['run', *cells], [[str(self.path), *map(str, cells.values())]])}{image}"


class Study:
    """The folder of a treatment, a plan or a search: its experiments and what came of them.

    Args:
        path: the folder.

    Raises:
        UserError: the folder is no study.
    """

    def __init__(self, path: str | Path) -> None:
        from trainwright.studies.study import Study as StudyFolder

        self._folder = StudyFolder(Path(path).expanduser())
        self._folder.read()

    @property
    def path(self) -> Path:
        """The folder."""
        return self._folder.folder

    @property
    def headline(self) -> str:
        """The result in a sentence or two."""
        return str(self._table()["headline"])

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row an experiment: ``name``, ``change``, ``outcome``, ``because``, ``verdict``, ``score`` and so on."""
        return list(self._table()["rows"])

    @property
    def recovered(self) -> bool:
        """True if a treatment ended with a healthy run."""
        return bool(self._table().get("recovered", False))

    @property
    def best_run(self) -> Run:
        """The best run so far of a treatment or a search.

        Raises:
            UserError: no experiment has ended yet, or the study is a plan, which has no best run.
        """
        best = self._table().get("best")
        if best is None:
            raise UserError(f"{self.path} has no best run: nothing has ended yet, or it is a plan.")
        return Run(self._folder.runs / str(best))

    @property
    def runs(self) -> list[Run]:
        """Every run that has ended, in the order of the table."""
        return [Run(self._folder.runs / name) for row in self.table for name in row["runs"]]

    def report(self) -> Path:
        """Write ``notebook.html``, one page about the study, and return its path."""
        from trainwright.report.study_page import build_notebook

        return build_notebook(self.path)

    def _table(self) -> dict[str, Any]:
        from trainwright.report.study_page import read_table

        return read_table(self.path)

    def __repr__(self) -> str:
        return f"Study({str(self.path)!r}: {self.headline})"

    def _repr_html_(self) -> str:
        heads = ("name", "change", "outcome", "because")
        rows = [[_short(row[head]) for head in heads] for row in self.table]
        return f"<p>{html.escape(self.headline)}</p>{_html_table(heads, rows)}"


class Model:
    """A trained model, ready to sample. Made by :func:`trainwright.load`.

    Args:
        run: the run that trained it.
        weights: ``ema`` (the average of the weights, where the run keeps one), ``raw`` (the last weights) or ``best`` (the
            checkpoint with the best validation objective).

    Raises:
        UserError: no usable checkpoint, or none of that kind.
    """

    def __init__(self, run: Run, weights: Weights = "ema") -> None:
        from trainwright.engine.inference import load

        if weights not in WEIGHTS:
            raise UserError(
                f"weights={weights!r}: expected one of {', '.join(WEIGHTS)}.{nearest(str(weights), WEIGHTS)}"
            )
        self.run, self.weights = run, weights
        family = catalog.family(run.config.family, str(run.path))
        self._trained = load(family, run._folder, weights == "best")

    @property
    def step(self) -> int:
        """The step of its checkpoint."""
        return self._trained.step

    @property
    def config(self) -> Config:
        """The config of its run."""
        return self.run.config

    @property
    def averaged(self) -> bool:
        """True if samples come from the averaged weights."""
        return self._trained.has_average and self.weights != "raw"

    def sample(self, n: int = 64, seed: int = 0) -> "Tensor":
        """Return ``n`` samples (n, C, H, W) in [-1, 1] on the CPU; sample i depends on ``seed`` and i alone."""
        import torch

        return torch.cat([part.float().cpu() for part in self._parts(n, seed)])

    def save_samples(self, folder: str | Path, n: int = 64, seed: int = 0) -> list[Path]:
        """Write ``n`` samples as PNG files, a grid of the first 64, and where the family has one a file in the form of its data.

        Returns:
            The grid, then files that can be trained on, then the images.

        Raises:
            UserError: the folder cannot be written.
        """
        from trainwright.data.images import to_bytes
        from trainwright.engine.grids import save_grid, save_png, to_image
        from trainwright.files import atomic_path

        target = Path(folder).expanduser()
        if target.exists() and not target.is_dir():
            raise UserError(f"{target} is a file; give a folder.")
        grid = target / "grid.png"
        images: list[Path] = []
        others: list[Path] = []
        try:
            for number, part in enumerate(self._parts(n, seed)):
                if number == 0:
                    save_grid(part[:64], grid)
                for image in to_bytes(part):
                    images.append(target / f"{len(images):05d}.png")
                    save_png(to_image(image), images[-1])
            for name, content in self._trained.files(n, seed, averaged=self.weights != "raw").items():
                with atomic_path(target / name) as temporary:
                    temporary.write_bytes(content)
                others.append(target / name)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise UserError(f"the images cannot be written to {target}: {reason}.") from None
        return [grid, *others, *images]

    def export(self, folder: str | Path) -> str:
        """Write the model into a new folder, without what only training needs.

        Latent diffusion models become folders that Hugging Face diffusers loads; the others become small run folders, which
        :func:`trainwright.load` and ``trainwright sample`` read.

        Returns:
            How to load it.

        Raises:
            UserError: the folder exists or cannot be written.
        """
        from safetensors import SafetensorError

        from trainwright.engine.inference import export
        from trainwright.files import atomic_folder

        target = Path(folder).expanduser().resolve()
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise UserError(f"{target} exists; give the name of a new folder.")
        try:
            with atomic_folder(target) as temporary:
                how = export(self._trained, self.run._folder, temporary, self.weights != "raw")
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise UserError(f"{target} cannot be written: {reason.lower()}.") from None
        return how.format(folder=str(target))

    def _parts(self, n: int, seed: int) -> "Iterator[Tensor]":
        if n < 1:
            raise UserError(f"n={n}: expected a number of samples above 0.")
        return self._trained.samples(n, seed, averaged=self.weights != "raw")

    def __repr__(self) -> str:
        return f"Model({str(self.run.path)!r}: step {self.step}, {'averaged' if self.averaged else 'raw'} weights)"


@dataclass(frozen=True, repr=False)
class Evaluation:
    """Metrics of a run's samples compared with real data. ``print`` shows a table.

    Attributes:
        values: everything that was measured, as in ``evaluation.json``.
    """

    values: EvaluationJson

    @property
    def rows(self) -> list[MetricJson]:
        """One entry a metric: ``metric``, ``value``, ``spread``, ``better``, ``floor`` (of real data) and ``meaning``."""
        return self.values["rows"]

    @property
    def step(self) -> int:
        """The step of the checkpoint that was judged."""
        return self.values["step"]

    def __getitem__(self, metric: str) -> float:
        """Return the value of a metric by name, such as ``coverage``."""
        found = {row["metric"]: row["value"] for row in self.rows}
        if metric not in found:
            raise UserError(f"no metric {metric!r}.{nearest(metric, found)} Measured: {', '.join(found)}.")
        return found[metric]

    def as_dict(self) -> EvaluationJson:
        """Return plain values, for JSON."""
        return self.values

    def cells(self) -> list[list[str]]:
        """Return the table as text: metric, value with spread, what real data reach, meaning."""
        return [
            [
                row["metric"],
                f"{row['value']:.4g}" + (f" ± {row['spread']:.3g}" if row["spread"] is not None else ""),
                f"{row['floor']:.3g}" if row["floor"] is not None else "",
                row["meaning"],
            ]
            for row in self.rows
        ]

    @property
    def heading(self) -> str:
        """A sentence with what was compared."""
        v = self.values
        return (
            f"{v['samples']} samples of step {v['step']} ({v['weights']} weights, seed {v['seed']}) compared with "
            f"{v['real']} training and {v['held_out']} held-out images; {v['backend']}"
        )

    def __str__(self) -> str:
        cells = [["metric", "value", "real data", "meaning"], *self.cells()]
        widths = [max(len(line[i]) for line in cells) for i in range(4)]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in cells]
        return "\n".join([self.heading, "", *lines])

    def __repr__(self) -> str:
        return f"Evaluation({len(self.rows)} metrics at step {self.step})"

    def _repr_html_(self) -> str:
        table = _html_table(["metric", "value", "real data", "meaning"], self.cells())
        return f"<p>{html.escape(self.heading)}</p>{table}"


@dataclass(frozen=True, repr=False)
class Comparison:
    """Comparison of two or more runs; runs that differ only in their seed form one group.

    Attributes:
        rows: one row of named cells a run: what happened in it, read off its signals.
    """

    rows: list[dict[str, str]]
    _found: "RunComparison" = field(compare=False)

    @property
    def headline(self) -> str:
        """The effect on quality, one clause for each group after the first."""
        from trainwright.report.compare import headline

        return headline(self._found)

    @property
    def groups(self) -> list[str]:
        """Names of the groups; effects are compared with the first."""
        return [group.name for group in self._found.run_sets]

    @property
    def differences(self) -> list[tuple[str, list[str]]]:
        """(setting or fact, its value in each group) of everything that differs."""
        return self._found.differences

    @property
    def effects(self) -> dict[str, dict[str, str]]:
        """Group, then signal, to the change from the first group, with an interval over two or more seeds."""
        return {name: {signal: str(e) for signal, e in found.items()} for name, found in self._found.effects.items()}

    def save(self, file: str | Path = "compare.html") -> Path:
        """Write one offline page with curves and samples and return its path."""
        from trainwright.report.compare import build_comparison

        return build_comparison(self._found, Path(file))

    def as_dict(self) -> ComparisonJson:
        """Return plain values, for JSON; a number that JSON cannot hold becomes null."""
        from trainwright.studies.study import plain

        effects = {
            name: {signal: plain({**asdict(e), "text": str(e)}) for signal, e in found.items()}
            for name, found in self._found.effects.items()
        }
        differences = [{"what": what, "values": values} for what, values in self.differences]
        return cast(
            "ComparisonJson",
            {
                "headline": self.headline, "rows": self.rows, "groups": self.groups,
                "differences": differences, "effects": effects,
            },
        )  # fmt: skip

    def __str__(self) -> str:
        from trainwright.report.run_table import markdown

        lines = [self.headline, "", markdown(self.rows)]
        lines += [f"{what}: {' | '.join(values)}" for what, values in self.differences]
        lines += [f"{name}: {signal} {text}" for name, found in self.effects.items() for signal, text in found.items()]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Comparison({self.headline})"

    def _repr_html_(self) -> str:
        heads = list(dict.fromkeys(name for row in self.rows for name in row))
        table = _html_table(heads, [[row.get(head, "") for head in heads] for row in self.rows])
        return f"<p>{html.escape(self.headline)}</p>{table}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={one}" for key, one in value.items())
    return str(value)


def _html_table(heads: "list[str] | tuple[str, ...]", rows: list[list[str]]) -> str:
    def line(tag: str, cells: "list[str] | tuple[str, ...]") -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return f"<table>{line('th', heads)}{''.join(line('td', row) for row in rows)}</table>"
