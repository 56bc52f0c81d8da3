"""What orchestration costs: the same 24 small distillations, driven in three ways, one at a time.

    python benchmarks/orchestration.py [--trials 24] [--variants study nested plain]

    study    this system: Ray Tune, long-lived Ray Train slots, the store, MLflow, the report
    nested   the documented pattern: a Tuner over a function that builds a TorchTrainer, with TuneReportCallback and
             MLflowLoggerCallback
    plain    what an expert would shorten it to: a function trainable, reused actors, no Ray Train, no MLflow

Every trial is `trainables.fitting.fit` of the same TrialConfig, with the shared stages ready, so the training itself is
equal. Each variant runs in a process of its own; memory is the largest sum of resident sets over its process tree.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import psutil

VARIANTS = ("study", "nested", "plain")
TEMPERATURES = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
EPOCHS = 30
REPORTS = "epochs"

STUDY = """
study: orchestration
data: {{dataset: mfeat, teacher: pix, student: fou, labels: 100}}
teacher: {{model: mlp}}
student: {{model: mlp}}
training: {{epochs: {epochs}, batch_size: 32}}
pretraining: {{epochs: 2}}
arms:
  kd: {{method: kd, space: {{T: {temperatures}, lambda: {lambdas}}}}}
search: {{sampler: grid, pruner: none, trials: {trials}, seeds: 1}}
resources: {{concurrency: 1}}
report: {{baseline: kd}}
studies: {studies}
"""


class Span(NamedTuple):
    """One trial: when its training began and ended (Unix seconds), and the seconds it spent training."""

    began: float
    ended: float
    training: float


class Row(NamedTuple):
    """What one variant came to."""

    variant: str
    trials: int
    wall: float
    training: float
    startup: float
    per_trial: float
    """(wall - training) / trials: everything that is not training, start-up included."""
    steady: float
    """The same between the first trial's end and the last one's, for each trial but the first, which warms up."""
    peak_mib: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--inside", nargs=2, metavar=("VARIANT", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        run_inside(arguments.inside[0], Path(arguments.inside[1]))
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), arguments.trials)
        for variant in arguments.variants:
            rows.append(measure(variant, Path(folder), arguments.trials))
            print_rows(rows)


def prepare(folder: Path, trials: int) -> None:
    """Write the study file and compute its stages, so that no variant pays for them."""
    from study.parsing.loader import load
    from trainables.stages.artifacts import StageStore
    from trainables.stages.targets import required_stages

    step = 0.8 / max(1, -(-trials // len(TEMPERATURES)))
    lambdas = [round(0.1 + k * step, 3) for k in range(-(-trials // len(TEMPERATURES)))]
    studies = folder / "studies"
    values = {"epochs": EPOCHS, "temperatures": list(TEMPERATURES), "lambdas": lambdas, "trials": trials}
    (folder / "sweep.yaml").write_text(STUDY.format(studies=studies, **values))
    study = load(folder / "sweep.yaml")
    configs = [study.arms[0].trial({"temperature": t, "lambda_kd": x}, 0) for x in lambdas for t in TEMPERATURES]
    for stage in required_stages(configs[0]):
        StageStore(study.stages_directory).get(stage)
    (folder / "trials.json").write_text(json.dumps([c.model_dump(mode="json") for c in configs[:trials]]))


def measure(variant: str, folder: Path, trials: int) -> Row:
    """Run one variant in a process of its own and watch its memory."""
    command = [sys.executable, __file__, "--inside", variant, str(folder)]
    if variant == "study":
        command = [sys.executable, "-m", "study.run", str(folder / "sweep.yaml")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    started = time.time()
    with (folder / f"{variant}.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        peak = watch(process)
    wall = time.time() - started
    if process.returncode != 0:
        raise RuntimeError(f"{variant} ended with {process.returncode}:\n{(folder / f'{variant}.log').read_text()}")
    spans = study_spans(folder) if variant == "study" else read_spans(folder / f"{variant}.jsonl")
    if len(spans) != trials:
        raise RuntimeError(f"{variant} was to run {trials} trials, but ran {len(spans)}")
    training = sum(span.training for span in spans)
    first, *others = sorted(spans)
    steady = (others[-1].ended - first.ended - sum(span.training for span in others)) / len(others)
    return Row(variant, trials, wall, training, first.began - started, (wall - training) / trials, steady, peak / 2**20)


def watch(process: subprocess.Popen[Any]) -> int:
    """Wait for the process; the largest sum of resident sets over its tree, in bytes."""
    peak = 0
    tree = psutil.Process(process.pid)
    while process.poll() is None:
        total = 0
        for member in [tree, *tree.children(recursive=True)]:
            try:
                total += member.memory_info().rss
            except psutil.Error:
                continue
        peak = max(peak, total)
        time.sleep(0.5)
    return peak


def study_spans(folder: Path) -> list[Span]:
    """The trials of the study variant, from its store."""
    spans = []
    for path in (folder / "studies" / "orchestration" / "trials").iterdir():
        began = json.loads((path / "attempts.jsonl").read_text().splitlines()[0])["time"]
        result = json.loads((path / "result.json").read_text())
        spans.append(Span(began, (path / "result.json").stat().st_mtime, result["seconds"]))
    return spans


def read_spans(path: Path) -> list[Span]:
    """The trials of another variant, from the lines that it wrote."""
    return [Span(*json.loads(line)[:3]) for line in path.read_text().splitlines()]


def print_rows(rows: list[Row]) -> None:
    """The table so far, and the ratios to the first row."""
    head = ("variant", "trials", "wall s", "training s", "start-up s", "s a trial", "steady s a trial", "peak MiB")
    print(f"\n{head[0]:8}" + "".join(f"{name:>18}" for name in head[1:]))
    for row in rows:
        print(f"{row.variant:8}{row.trials:18d}" + "".join(f"{value:18.2f}" for value in row[2:7]) + f"{row[7]:18.0f}")
    for row in rows[1:]:
        ratio, steady = row.per_trial / rows[0].per_trial, row.steady / rows[0].steady
        print(f"{row.variant} / {rows[0].variant}: cost a trial {ratio:.1f}x, in steady state {steady:.0f}x")
    sys.stdout.flush()


# What follows runs inside a variant's own process.


def run_inside(variant: str, folder: Path) -> None:
    """Run the trials in the way called `variant`."""
    import ray

    configs = json.loads((folder / "trials.json").read_text())
    context = {"stages": str(folder / "studies" / "stages"), "spans": str(folder / f"{variant}.jsonl")}
    ray.init(address="local", num_cpus=3, include_dashboard=False, log_to_driver=False)
    {"nested": run_nested, "plain": run_plain}[variant](configs, context, folder)
    ray.shutdown()


def train_one(values: dict[str, Any], context: dict[str, str], report: Any) -> None:
    """One distillation; notes when it ran."""
    import torch

    from trainables.config import TrialConfig
    from trainables.fitting import fit
    from trainables.stages.artifacts import StageStore

    torch.set_num_threads(1)
    began = time.time()
    config = TrialConfig.model_validate(values)
    fitted = fit(config, report, stages=StageStore(Path(context["stages"])))
    with open(context["spans"], "a") as file:
        result = fitted.result
        file.write(json.dumps([began, time.time(), result.seconds, config.trial_id, result.metrics]) + "\n")


def run_plain(configs: list[dict[str, Any]], context: dict[str, str], folder: Path, slots: int = 1) -> None:
    """A function trainable in reused actors, `slots` at a time."""
    from ray import tune

    def trainable(config: dict[str, Any]) -> None:
        train_one(config["trial"], context, lambda report: tune.report(report.metrics))

    tune.Tuner(
        tune.with_resources(trainable, {"CPU": 1}),
        param_space={"trial": tune.grid_search(configs)},
        tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=slots),
        run_config=tune.RunConfig(storage_path=str(folder / "plain"), verbose=0),
    ).fit()


def run_nested(configs: list[dict[str, Any]], context: dict[str, str], folder: Path, slots: int = 1) -> None:
    """A function that builds a TorchTrainer for every trial, as Ray's guide has it."""
    import ray.train
    import ray.train.torch
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.tune.integration.ray_train import TuneReportCallback

    def train_function(config: dict[str, Any]) -> None:
        train_one(config["trial"], context, lambda report: ray.train.report(report.metrics))

    def trainable(config: dict[str, Any]) -> None:
        trainer = ray.train.torch.TorchTrainer(
            train_function,
            train_loop_config=config,
            scaling_config=ray.train.ScalingConfig(num_workers=1, resources_per_worker={"CPU": 1}),
            run_config=ray.train.RunConfig(
                name=f"train-{tune.get_context().get_trial_id()}",
                storage_path=str(folder / "nested"),
                callbacks=[TuneReportCallback()],
            ),
        )
        trainer.fit()

    logger = MLflowLoggerCallback(tracking_uri=f"sqlite:///{folder}/nested.db", experiment_name="nested")
    tune.Tuner(
        tune.with_resources(trainable, {"CPU": 1}),
        param_space={"trial": tune.grid_search(configs)},
        tune_config=tune.TuneConfig(max_concurrent_trials=slots),
        run_config=tune.RunConfig(storage_path=str(folder / "nested"), verbose=0, callbacks=[logger]),
    ).fit()


if __name__ == "__main__":
    main()
