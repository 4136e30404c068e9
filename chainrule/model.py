"""The Python API: a `.net` file as an object that trains, predicts, draws and derives itself.

In: a file or a text, NumPy arrays. Out: NumPy arrays, numbers, pictures. Shapes: every array has
one row an example, `[n, *shape]`, where `shape` is that of the `.net` file. Mistakes raise
`chainrule.Failure`, whose text is the diagnostic that the command line prints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from . import project
from .answers import report as reported
from .arrays import Arrays, dataset_from
from .compiler.elaborate import Module
from .compiler.graph import Graph
from .compiler.pipeline import evaluation, step
from .dsl import syntax as ast
from .dsl.diagnostics import Failure, fail
from .parameters import Parameters
from .runtime import metrics
from .runtime.checkpoint import check_tensors, load_weights, save
from .runtime.data import Dataset, Vocabulary, apply_statistics
from .runtime.device import Device
from .runtime.feeding import Feeder
from .runtime.history import History
from .runtime.session import Session, requests_for
from .runtime.train.job import Job, Outcome
from .runtime.train.loop import train
from .runtime.train.observer import Observer
from .runtime.train.settings import Settings, read_settings, require_end, with_overrides
from .sequences import batches
from .trained import Trained, trained_facts

if TYPE_CHECKING:
    from .generating import Generated
    from .pictures import Picture
    from .runtime.generate.generator import Generator
    from .runtime.train.loading import Report
    from .summary import Summary

Array = NDArray[Any]


class Model:
    """A net of a `.net` file: its parameters, and everything that can be done with them.

    `device`: cpu, cuda or plain. `dtype`: the element type where the file names none. `data_root`:
    a folder in which data files are looked for first.
    """

    def __init__(
        self,
        module: Module,
        *,
        net: str | None = None,
        train: str | ast.Train | None = None,
        device: str = "cpu",
        threads: int | None = None,
        dtype: str = "f32",
        seed: int | None = None,
        data_root: Path | None = None,
    ) -> None:
        self.dtype, self.data_root = dtype, data_root
        self.declaration = _declaration(module, train)
        if self.declaration is not None and net not in (None, self.declaration.name.id):
            self.declaration = None
        self.module = module = project.with_train_settings(module, self.declaration)
        self.net = module.net(net or (self.declaration.name.id if self.declaration else None))
        self._device_name, self._threads, self._seed = device, threads, seed
        self._given: Dataset | None = None
        self._trained = Trained()  # what the file of the weights tells
        self._loaded = False  # have the `load` lines been obeyed?
        self.generators: dict[tuple[str, str], Generator] = {}  # by what is fed back

    # ------------------------------------------------------------ pieces, made when needed

    @property
    def name(self) -> str:
        """The net's name."""
        return self.net.name.id

    @cached_property
    def device(self) -> Device:
        """Where programs run."""
        threads = self._threads if self._threads is not None else self.settings.threads
        return project.make_device(self._device_name, threads)

    @cached_property
    def settings(self) -> Settings:
        """What the `train` declaration says, or the defaults."""
        if self.declaration is None:
            return Settings(seed=self._seed or 0)
        read = read_settings(self.declaration, project.plain_consts(self.module))
        return with_overrides(read, {"seed": self._seed})

    @property
    def dataset(self) -> Dataset | None:
        """The data given to `fit`, else those of the `train` declaration."""
        return self._given or self._declared_data

    @cached_property
    def _declared_data(self) -> Dataset | None:
        if self.declaration is None:
            return None
        return project.dataset_of(
            self.module, self.declaration, self.data_root, self._trained.vocabularies
        )

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Sizes that only the data fix (`input x: [n]`); the data are read only if there are
        any. Where a trained net is loaded and its data are not to be had, its own sizes."""
        if not project.open_sizes(self.net, self.module):
            return {}
        known = dict(self._trained.sizes)
        try:
            dataset = self.dataset
        except Failure:
            if not known:
                raise
            return known
        if dataset is None:
            return known
        found = project.sizes_from(self.net, dataset, project.renames(self.declaration))
        return {name: max(size, known.get(name, 0)) for name, size in found.items()}

    @property
    def vocabularies(self) -> dict[str, Vocabulary]:
        """What the numbers of each input of tokens mean: from a file, else from the data."""
        known = self._trained
        if known.vocabularies:
            return {n: known.vocabularies[f] for n, f in known.bound.items()
                    if f in known.vocabularies}  # fmt: skip
        if self.dataset is None or not self.dataset.vocabularies:
            return {}
        words = self.dataset.vocabularies
        bound = project.bind_inputs(self.evaluation, self.dataset, self.declaration)
        return {name: words[field] for name, field in bound.items() if field in words}

    @cached_property
    def evaluation(self) -> Graph:
        """The net in use: outputs per example, losses and metrics as means over the batch."""
        graph = evaluation(self.module, self.name, dtype=self.dtype, sizes=self.sizes)
        project.check_overrides(self.module)
        return graph

    @cached_property
    def session(self) -> Session:
        """The numbers, and the programs that use them."""
        seed, folder = self.settings.seed, self.module.folder
        return Session(self.evaluation, self.device, seed=seed, folder=folder)

    @property
    def parameters(self) -> Parameters:
        """Parameters and states by name: read, or assign arrays of the same shape."""
        return Parameters(self.session)

    # ------------------------------------------------------------ learning

    def fit(
        self,
        data: Arrays | Dataset | None = None,
        *,
        valid: Arrays | None = None,
        epochs: float | None = None,
        steps: int | None = None,
        batch: int | None = None,
        seed: int | None = None,
        out: str | Path | None = None,
        resume: bool = False,
        observer: Observer | None = None,
    ) -> History:
        """Train as the `train` declaration says, on its data or on arrays.

        `data`: `{"image": X, "digit": y}` or `(X, y)`, one row an example; `valid` likewise.
        `out`: a folder for checkpoints and history (nothing is written without it). Afterwards the
        model holds the trained parameters. Raises Failure; KeyboardInterrupt after saving.
        """
        overrides = {"epochs": epochs, "steps": steps, "batch": batch, "seed": seed}
        folder = Path(out) if out is not None else None
        outcome = self.run(
            data, valid, overrides=overrides, out=folder, resume=resume, observer=observer
        )
        if outcome.interrupted:
            raise KeyboardInterrupt
        return outcome.history

    def run(
        self,
        data: Arrays | Dataset | None = None,
        valid: Arrays | None = None,
        *,
        overrides: Mapping[str, Any] | None = None,
        out: Path | None = None,
        resume: bool = False,
        observer: Observer | None = None,
    ) -> Outcome:
        """`fit` with all that is known at the end; an interruption is part of the outcome."""
        if self.declaration is None:
            message = f"`{self.name}` has no `train` declaration"
            raise fail(
                "E608",
                message,
                self.net.name.span,
                help=f"add `train {self.name} on data {{ optimizer adam()  epochs 10 }}`",
            )
        if data is not None:
            self._use(data if isinstance(data, Dataset) else dataset_from(self.net, data, valid))
        settings = with_overrides(self.settings, overrides or {})
        require_end(settings, self.declaration)
        dataset = self.dataset
        assert dataset is not None  # a declaration names its data
        bound = project.bind_inputs(self.evaluation, dataset, self.declaration)
        if settings.sample is not None:
            from .showing import showing

            observer = showing(self, settings.sample, out, observer)
        self._start(settings, out, resume, observer)
        outcome = train(self._job(self.declaration, settings, dataset, bound, out), observer,
                        resume=resume)  # fmt: skip
        self.session.values = dict(outcome.values)
        return outcome

    def _start(
        self, settings: Settings, out: Path | None, resume: bool, observer: Observer | None
    ) -> None:
        """What the `load` lines ask for: once, before the first step."""
        done, self._loaded = self._loaded, True
        if not settings.loads or resume or done:
            return
        from .transfer import load_declared

        for report in load_declared(self, settings.loads, out):
            for line in report.lines():
                (observer or Observer()).note(line)

    def _job(
        self,
        declaration: ast.Train,
        settings: Settings,
        dataset: Dataset,
        bound: Mapping[str, str],
        out: Path | None,
    ) -> Job:
        graph = step(self.module, declaration, dtype=self.dtype, sizes=self.sizes)
        optimizers = [d.span.text for d in declaration.body
                      if d.keyword.id in ("optimizer", "minimize")]  # fmt: skip
        facts = {
            "net": self.name,
            "dtype": self.dtype,
            "settings": {n: repr(v) for n, v in sorted(self.module.overrides.items())},
            "sizes": self.sizes,
        }
        return Job(
            graph, self.evaluation, dataset, bound, settings, self.device,
            " ".join("; ".join(optimizers).split()), out,
            self.module.folder, facts, declaration.span, self.session.values,
        )  # fmt: skip

    def _use(self, dataset: Dataset) -> None:
        """Other data: sizes that they fix are looked up again where nothing is compiled yet."""
        self._given = project.with_augment(dataset, self.module, self.declaration)
        self._trained = Trained()
        if "evaluation" not in self.__dict__:
            self.__dict__.pop("sizes", None)

    # ------------------------------------------------------------ measuring and predicting

    def evaluate(
        self, data: Arrays | Dataset | None = None, part: str | None = None
    ) -> dict[str, float]:
        """Mean losses and metrics over a part: by default test, else valid, else train."""
        return self.session.scores(self.feeder(part, data))

    def feeder(self, part: str | None = None, data: Arrays | Dataset | None = None) -> Feeder:
        """The examples of a part, as the net takes them."""
        if data is not None and not isinstance(data, Dataset):
            data = dataset_from(self.net, data)
        if data is not None:
            data = project.with_augment(data, self.module, self.declaration)
        dataset = data or self.dataset
        if dataset is None:
            raise fail("E608", f"`{self.name}` has no data to be measured on",
                       help="give arrays, or add `train … on data` to the file")  # fmt: skip
        bound = project.bind_inputs(self.evaluation, dataset, self.declaration)
        chosen = dataset.parts.get(self.part(part, dataset))
        if chosen is None:
            shown = ", ".join(dataset.parts)
            raise fail("E609", f"the data have no {part} part", help=f"they have {shown}")
        return Feeder(chosen, requests_for(self.evaluation, bound))

    def part(self, wanted: str | None, dataset: Dataset | None = None) -> str:
        """The part to measure on: the one wanted, else the one least seen in training."""
        known = dataset or self.dataset
        parts = known.parts if known is not None else {}
        return wanted or next((p for p in ("test", "valid", "train") if p in parts), "train")

    def report(
        self, data: Arrays | Dataset | None = None, part: str | None = None
    ) -> metrics.Report | None:
        """Confusion matrix, precision, recall and top-k of a classifier; R² and errors of a
        regression; None where outputs and targets cannot be told apart."""
        return reported(self, self.feeder(part, data))

    def predict(self, inputs: Any, *, batch: int = 512, nodes: Sequence[str] | None = None) -> Any:
        """The outputs for some examples, in the units of the data.

        `inputs`: `[n, *shape]` (or one example, `shape`) where the net has one input to predict
        from, else a dictionary by input name. Gives one array `[n, *shape]`, or a dictionary where
        the net has several outputs. Inputs are normalised as the training data were. `nodes`: the
        values of these names instead of the outputs (as `embed` takes them), as the net has them.
        """
        from .predicting import predict

        return predict(self, inputs, batch, nodes)

    def embed(self, data: Arrays | Dataset | None, node: str, part: str | None = None) -> Array:
        """What a node computes for every example: of arrays, or of a part of the data. `node`: an
        output, an equation (`h`, `encoder.h`), a layer (`conv1`), an input or a loss."""
        from .predicting import embed

        return embed(self, data, [node], part)[node]

    def generate(
        self, name: str | None = None, *, start: Any = None, inputs: Any = None, **options: Any
    ) -> list[Generated]:
        """Texts that the net says token by token, as the `generate` declaration (of that name) and
        `options` ask: length, greedy, temperature, top_k, beam, length_penalty, samples, seed.

        `start`: a text, or numbers of tokens. `inputs`: what the net is given besides, as `predict`
        takes it. Gives one `Generated` for each example and sample.
        """
        from .generating import generate

        return generate(self, name, start, inputs, options)

    def sample(
        self,
        count: int = 64,
        *,
        node: str | None = None,
        seed: int | None = None,
        given: Mapping[str, Any] | None = None,
    ) -> Array:
        """Samples [count, *shape] of an output that depends on no input, only on draws; `given`:
        the classes of the labels that it depends on. The first k are the same for any count."""
        from .sampling import samples

        return samples(self, count, node=node, seed=seed, given=given)

    def interpolate(
        self,
        rows: int = 8,
        steps: int = 10,
        *,
        node: str | None = None,
        seed: int | None = None,
        given: Mapping[str, Any] | None = None,
        spherical: bool | None = None,
    ) -> Array:
        """[rows, steps, *shape]: from sample to sample through latent space, by default on a circle
        where the draws are normal."""
        from .latent import interpolate
        from .sampling import Sampler

        sampler = Sampler(self, node, given)
        return interpolate(sampler, rows, steps, seed=seed, spherical=spherical)

    @property
    def statistics(self) -> dict[str, dict[str, list[float]]]:
        """Mean and deviation of normalised fields, by input: from a file, else from the data."""
        if self._trained.statistics is not None:
            return self._trained.statistics
        if self.dataset is None or not self.dataset.statistics:
            return {}
        bound = project.bind_inputs(self.evaluation, self.dataset, self.declaration)
        known = self.dataset.statistics
        return {name: known[field] for name, field in bound.items() if field in known}

    def examples(self, given: Mapping[str, Any]) -> dict[str, Array]:
        """Examples by input name as programs take them: texts numbered, numbers normalised."""
        ready = batches(self.evaluation.leaves, given, lambda: self.vocabularies)
        return apply_statistics(ready, self.statistics)

    def gradients(self, inputs: Arrays, targets: Arrays | None = None) -> dict[str, Array]:
        """∂L/∂parameter of the mean loss over the given examples, by parameter name.

        `inputs`: arrays by input name; `targets` likewise, or everything in `inputs`.
        """
        from .differentiating import gradients

        return gradients(self, inputs, targets)

    # ------------------------------------------------------------ files

    def save(self, path: str | Path) -> None:
        """Write parameters and states, and what `predict` needs, as one safetensors file."""
        trained = self._trained
        if not trained.fields and self.vocabularies and self.dataset is not None:
            bound = project.bind_inputs(self.evaluation, self.dataset, self.declaration)
            trained = Trained(None, self.dataset.fields, bound)
        facts = {
            **trained.as_json(), "net": self.name, "dtype": self.dtype, "sizes": self.sizes,
            "input_statistics": self.statistics,
        }  # fmt: skip
        save(Path(path), self.session.values, facts)

    def load_weights(self, path: str | Path) -> None:
        """Take parameters and states from a file of `save`, of `train`, or of another program.

        Raises Failure E540 to E543, and E432 where data in use were numbered otherwise; the
        model is unchanged then.
        """
        file = Path(path)
        tensors = load_weights(file)
        before, self._trained = self._trained, trained_facts(file)
        try:
            held: Dataset | None = self._given or self.__dict__.get("_declared_data")
            self._trained.check(held)
            kept = {n: a for n, a in tensors.items() if n in self.session.values}
            kept |= {n: tensors[f"best/{n}"] for n in kept if f"best/{n}" in tensors}
            check_tensors(file, kept, self.session.values)
        except Failure:
            self._trained = before
            raise
        self.session.values = kept

    def load(
        self,
        source: str | Path | Model | Mapping[str, Array],
        into: str = "",
        names: Mapping[str, str | None] | None = None,
    ) -> Report:
        """Take what has equal names, and what `names` says ({"theirs.*": "ours.*"}, None leaves it
        out), from a safetensors file, another model or arrays; `into` is a part of this net.

        Gives a report, which prints. Raises Failure E548 where nothing matches, E549 where shapes
        differ; the model is unchanged then.
        """
        from .transfer import load

        return load(self, source, into, names)

    # ------------------------------------------------------------ pictures

    def draw(self, view: str = "layers", **options: Any) -> Picture:
        """The net as a picture: view layers, operations, backward or recurrence. It shows itself in
        notebooks; `.save(path)` writes SVG, PNG, PDF or DOT."""
        from .pictures import draw

        return draw(self, view, **options)

    def derive(self, format: str = "text", param: str | None = None, index: bool = False) -> str:
        """Each parameter's gradient: the chain, every simplification with its name, the closed
        form, shapes and a numeric check. format: text, markdown, latex or html."""
        from .deriving import derive

        return derive(self, format, param, index)

    def summary(self) -> Summary:
        """Layers, shapes, parameters, work and memory; prints as a table."""
        from .summary import summarise

        return summarise(self)

    def _repr_svg_(self) -> str:
        return self.draw()._repr_svg_()

    def __repr__(self) -> str:
        return f"<net {self.name} from {self.module.source.name}>"


def _declaration(module: Module, train: str | ast.Train | None) -> ast.Train | None:
    """The one named, else the only one."""
    if isinstance(train, ast.Train):
        return train
    if train is None and len(module.trains) != 1:
        return None
    return project.choose_train(module, train)
