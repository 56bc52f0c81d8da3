"""Figure 12 and its statements: against numbers that are known, and from real bottlenecks without training."""

from pathlib import Path

import numpy as np
import pytest
import torch

from study.analysis.study_results import StudyResults, study_results
from study.config.study_config import Params, StudyConfig
from study.figures.style import arm_styles
from study.parsing.loader import load
from study.planning.resolve import resolve
from study.planning.suggest_h import Suggestion, print_suggestions, suggest
from study.report.figure_builders.suggested_h import spectrum_panels, suggested_h_figure
from study.report.format.figure_files import FigureInputs
from study.report.sections.suggested_h import (
    SuggestedSet,
    finding,
    measured_suggestion,
    suggested_h_findings,
    suggested_sets,
)
from study.report.write import write_report
from study.storage.groups import collect_groups
from study.storage.store import StudyStore
from tests.helpers.example_store import write_result
from trainables.stages.artifacts import StageStore
from trainables.stages.reconstruction import spectrum_stage

TEXT = """\
study: small
data: {dataset: mfeat, train: 70, val: 30}
teacher: {model: mlp, hidden: [8], feature_dim: 8}
student: {model: mlp, hidden: [8], feature_dim: 8}
training: {epochs: 1}
arms:
  none:
  plain: {method: feature_kd, loss: ce}
  other: {method: feature_kd, loss: margin}
  mse: {method: ciba, bottleneck_epochs: 2, space: {H: [2, 4, 8]}}
  ce: {method: ciba, loss: ce, bottleneck_epochs: 2, space: {H: [2, 4, 8], lambda: [1, 2]}}
search: {trials: 6, seeds: 3, sampler: grid, pruner: none}
"""
SPECTRA = {2: (1.0, 0.1), 4: (1.0, 0.5), 8: (1.0, 0.5)}
KNOWN = Suggestion(
    seeds=(0, 1, 2),
    spectra=SPECTRA,
    changes={2: 0.2, 4: 0.0},
    suggested=4,
    saturated=True,
    threshold=0.05,
    chosen=(2, 4, 8),
)


def study_in(folder: Path, text: str = TEXT) -> StudyConfig:
    path = folder / "sweep.yaml"
    path.write_text(text)
    return load(path)


def measured(study: StudyConfig, arm: str, rows: list[tuple[Params, list[float]]]) -> StudyResults:
    """A complete configuration for each row of test values; validation likes what the test likes, but tells more."""
    store = StudyStore(study.directory)
    for number, (params, values) in enumerate(rows):
        write_result(study, store, arm, number, params, [(round(sum(values) / 3, 6), value) for value in values])
    return study_results(study, collect_groups(study, store))


def row(dim: int, *values: float, **params: float) -> tuple[Params, list[float]]:
    return {"bottleneck_dim": dim, **params}, list(values)


def test_a_best_h_within_noise_of_the_suggested_one(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    results = measured(study, "mse", [row(2, 0.5, 0.5, 0.51), row(4, 0.60, 0.64, 0.62), row(8, 0.63, 0.61, 0.65)])
    text = finding(SuggestedSet(KNOWN, [study.arm("mse")]), study, results)
    assert "(3 seeds) suggest H = 4 for `mse`." in text
    assert "`mse` was best on validation at H = 8, which is better by 1.00 points on test than the suggested H" in text
    assert "within noise (p = 0.573)" in text
    assert text.endswith("Trying only H = 2, 4, 8 would have saved 0 of 9 student trainings.")


def test_a_best_h_that_is_more_than_noise_away(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    results = measured(study, "mse", [row(2, 0.80, 0.81, 0.82), row(4, 0.60, 0.61, 0.62), row(8, 0.5, 0.5, 0.5)])
    one = SuggestedSet(KNOWN.model_copy(update={"suggested": 8, "saturated": False}), [study.arm("mse")])
    text = finding(one, study, results)
    assert "suggest H = 8, the largest, because the spectrum still changes up to it for `mse`" in text
    assert "at H = 2, which is better by 31.00 points on test than the suggested H, more than noise (p < 0.001)" in text
    assert text.endswith("Trying only H = 4, 8 would have saved 3 of 9 student trainings.")


def test_the_suggested_h_may_be_the_best_or_not_measured(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    results = measured(study, "mse", [row(2, 0.5, 0.5, 0.51), row(4, 0.60, 0.64, 0.62)])
    arms = [study.arm("mse"), study.arm("ce")]
    text = finding(SuggestedSet(KNOWN, arms), study, results)
    assert "`mse` was best on validation at H = 4, the suggested one; `ce` has no complete configuration yet" in text
    elsewhere = SuggestedSet(KNOWN.model_copy(update={"suggested": 8}), arms[:1])
    assert "`mse` was best on validation at H = 4; the suggested H has no complete" in finding(
        elsewhere, study, results
    )


def test_what_a_choice_saved(tmp_path: Path) -> None:
    """mse: 2 of 3 values of H, 3 seeds; ce: the budget of 6 allows 2 x 2 of 3 x 2 configurations."""
    rule = "{from_spectrum: {grid: [2, 4, 8], around: 0}}"
    study = study_in(tmp_path, TEXT.replace("[2, 4, 8]", rule).replace("trials: 6", "trials: 4"))
    results = study_results(study, [])
    chosen = KNOWN.model_copy(update={"chosen": (4,)})
    both = finding(SuggestedSet(chosen, [study.arm("mse"), study.arm("ce")]), study, results)
    assert both.endswith("Only H = 4 of 2, 4, 8 were searched, which saved 12 of 21 student trainings.")
    study = study_in(tmp_path, TEXT.replace("[2, 4, 8]", rule).replace("trials: 6", "trials: 1"))
    none = finding(SuggestedSet(chosen, [study.arm("mse")]), study, results)
    assert none.endswith("The budget is the same, so no training was saved, but each of these H got more of them.")


@pytest.mark.slow
def test_the_panels_hold_the_arms_of_the_same_loss_and_the_baseline(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    for arm in ("none", "plain", "other"):
        measured(study, arm, [({}, [0.5, 0.6, 0.7])])
    results = measured(study, "ce", [row(2, 0.5, 0.5, 0.5, lambda_kd=1.0), row(4, 0.6, 0.6, 0.6, lambda_kd=2.0)])
    panels = spectrum_panels(SuggestedSet(KNOWN, [study.arm("ce")]), study, results)
    assert list(panels.bands) == ["none", "plain"] and panels.bands["plain"].mean == pytest.approx(60)
    assert [(point.x, point.mean) for point in panels.curves["ce"].best] == [
        (2, pytest.approx(50)),
        (4, pytest.approx(60)),
    ]


@pytest.mark.slow
def test_the_figure_of_real_bottlenecks(tmp_path: Path) -> None:
    """Both losses distil the same bottlenecks: one panel above, one below; the report has figure and statements."""
    study = study_in(tmp_path)
    measured(study, "mse", [row(2, 0.5, 0.5, 0.5), row(4, 0.7, 0.7, 0.7)])
    results = measured(study, "ce", [row(2, 0.5, 0.5, 0.5, lambda_kd=1.0)])
    assert suggested_sets(study, results) == [] and suggested_h_findings(study, results) == [], "no stage is ready"
    print_suggestions(tmp_path / "sweep.yaml", lambda line: None)
    (one,) = suggested_sets(study, results)
    assert [arm.name for arm in one.arms] == ["mse", "ce"]
    store = StageStore(study.stages_directory)
    spectra = {
        dim: {
            s: store.get(spectrum_stage(study.arm("mse").trial({"bottleneck_dim": dim}, s))).arrays["train"]
            for s in range(3)
        }
        for dim in (2, 4, 8)
    }
    assert one.suggestion == suggest(study.arm("mse"), spectra)
    logs = torch.stack(list(spectra[2].values())).log().mean(dim=0).tolist()
    assert one.suggestion.spectra[2] == pytest.approx(logs[: len(one.suggestion.spectra[2])], rel=1e-5)
    styles = arm_styles([arm.name for arm in study.arms], "none")
    figure = suggested_h_figure(FigureInputs(study, results, StudyStore(study.directory), styles))
    assert figure is not None
    upper, lower = figure.axes
    labels = [line.get_label() for line in upper.lines]
    suggested = one.suggestion.suggested
    assert [label.removesuffix(" (suggested)") for label in map(str, labels)] == ["H = 2", "H = 4", "H = 8"]
    assert f"H = {suggested} (suggested)" in labels
    assert np.asarray(upper.lines[0].get_ydata()).tolist() == pytest.approx(list(one.suggestion.spectra[2]))
    (marker,) = (line for line in lower.lines if line.get_label() == "suggested H")
    assert np.asarray(marker.get_xdata()).tolist() == [suggested, suggested]
    page = write_report(study, StudyStore(study.directory)).with_name("report.md").read_text()
    assert suggested_h_findings(study, results)[0] in page and "figures/suggested_h.png" in page


def test_only_seeds_that_every_h_has_are_averaged(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    results = measured(study, "mse", [row(2, 0.5, 0.5, 0.5)])
    store, arm = StageStore(study.stages_directory), study.arm("mse")
    for dim, seed in ((2, 0), (2, 1), (4, 1)):
        store.get(spectrum_stage(arm.trial({"bottleneck_dim": dim}, seed)).bottleneck)
    found = measured_suggestion(arm, study, results.arm("mse"))
    assert found is not None and found.seeds == (1,) and list(found.spectra) == [2, 4]


def test_a_kept_choice_is_reported_without_its_stages(tmp_path: Path) -> None:
    study = study_in(tmp_path, TEXT.replace("H: [2, 4, 8]}}", "H: {from_spectrum: {grid: [2, 4, 8]}}}}", 1))
    study = resolve(study, compute=True, say=lambda line: None)
    study.stages_directory.rename(tmp_path / "gone")
    (one,) = suggested_sets(study, study_results(study, []))
    assert [arm.name for arm in one.arms] == ["mse"] and list(one.suggestion.spectra) == [2, 4, 8]
