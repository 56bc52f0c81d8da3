"""The report's part on contrastive distillation: what it says about small made-up results, tables and figures."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from study.analysis.comparison import Comparison
from study.analysis.contrastive import (
    MI,
    PLAIN,
    TE,
    ArmContrast,
    effects,
    fall,
    families,
    final,
    kind_of,
    seed_means,
    seed_values,
)
from study.analysis.study_results import study_results
from study.config.study_config import StudyConfig
from study.figures.contrastive import few_digits
from study.figures.style import arm_styles
from study.report.figure_builders.contrastive import by_field, trajectory_figure
from study.report.figure_table import FIGURES
from study.report.format.document import Items, Table
from study.report.format.figure_files import FigureInputs
from study.report.sections.contrastive import TITLE, clip_blocks, mean_text
from study.report.sections.contrastive_answers import verdict
from study.report.write import write_report
from study.storage.groups import collect_groups
from study.storage.store import StudyStore, TrialRecord
from tests.helpers.clip_studies import ARMS, captioned_data, clip_study, fill, kept_by, write_group
from trainables.common.types import EpochReport
from trainables.worker.trial_directory import TrialDirectory


@pytest.fixture(autouse=True, scope="module")
def data() -> Iterator[None]:
    with captioned_data():
        yield


def study_of(root: Path, *arms: str) -> tuple[StudyConfig, StudyStore]:
    study = clip_study(root, {name: ARMS[name] for name in arms} if arms else ARMS)
    return study, StudyStore(study.directory)


def blocks_of(study: StudyConfig, store: StudyStore) -> list:
    return clip_blocks(study, study_results(study, collect_groups(study, store)), store)


def said(study: StudyConfig, store: StudyStore) -> str:
    return "\n".join(item for block in blocks_of(study, store) if isinstance(block, Items) for item in block.items)


def table(study: StudyConfig, store: StudyStore, caption: str) -> Table:
    (found,) = [b for b in blocks_of(study, store) if isinstance(b, Table) and caption in b.caption]
    return found


def test_arms_are_known_by_their_terms(tmp_path: Path) -> None:
    study, store = study_of(tmp_path)
    for arm in ARMS:
        write_group(study, store, arm, [0.1, 0.2, 0.3])
    rows = study_results(study, collect_groups(study, store)).arms
    assert {row.arm: kind_of(row) for row in rows} == {
        **{"cl": None, "kl_mse": PLAIN, "mi": MI, "te1": TE, "te2": TE, "unified": None}
    }


@pytest.mark.slow
def test_a_clear_gain_is_said_with_its_interval(tmp_path: Path) -> None:
    study, store = study_of(tmp_path, "cl", "mi", "te1")
    write_group(study, store, "cl", [0.10, 0.11, 0.12])
    write_group(study, store, "mi", [0.20, 0.21, 0.22])
    write_group(study, store, "te1", [0.30, 0.312, 0.318])
    text = said(study, store)
    assert "TE proxy against MI, image→text: better in 3 of 3 comparisons" in text
    assert "TE proxy against MI, text→image: better in 3 of 3" in text
    assert "TE proxy against MI, transfer to `openmoji`: better in 2 of 2" in text
    d = np.array([10.0, 10.2, 9.8])
    half = 4.302652730 * d.std(ddof=1) / 3**0.5
    assert f"`te1` against `mi` +10.00 points [+{10 - half:.2f}, +{10 + half:.2f}]" in text
    assert "Image→text R@1, mean difference by seed" in text, "of the first recall"
    assert "against KL + MSE" not in text, "the study has no such arm"


@pytest.mark.slow
def test_a_loss_and_no_difference_are_said_alike(tmp_path: Path) -> None:
    study, store = study_of(tmp_path, "cl", "mi", "kl_mse", "te1")
    write_group(study, store, "mi", [0.20, 0.21, 0.22])
    write_group(study, store, "kl_mse", [0.40, 0.41, 0.42])
    write_group(study, store, "te1", [0.19, 0.23, 0.21])
    text = said(study, store)
    assert "TE proxy against MI, image→text: no difference shown in 3 of 3" in text
    assert "TE proxy against KL + MSE, image→text: worse in 3 of 3" in text


@pytest.mark.slow
def test_holm_counts_the_comparisons_of_one_question(tmp_path: Path) -> None:
    study, store = study_of(tmp_path, "cl", "mi", "te1", "te2")
    write_group(study, store, "mi", [0.20, 0.21, 0.22])
    write_group(study, store, "te1", [0.30, 0.31, 0.32])
    write_group(study, store, "te2", [0.30, 0.31, 0.32])
    rows = [row for row in table(study, store, "The paper's comparisons").rows if row[0].endswith("MI, image→text")]
    t = 0.1 / (0.01 * (2 / 3) ** 0.5)
    u = t / (4 + t * t) ** 0.5
    p = 1 - u * (3 - u * u) / 2
    assert len(rows) == 6 and rows[0][5] == (f"{p:.3f}" if p >= 0.001 else "< 0.001")
    assert all(float(row[6].removeprefix("< ")) == pytest.approx(min(1, 6 * p), abs=6e-4) for row in rows)


@pytest.mark.parametrize(
    ("difference", "holm", "said"),
    [
        (1.0, 0.05, "better"),
        (-1.0, 0.05, "worse"),
        (1.0, 0.051, "no difference shown"),
        (1.0, None, "no difference shown"),
    ],
)
def test_a_verdict_is_holms_at_5_percent(difference: float, holm: float | None, said: str) -> None:
    comparison = Comparison(difference, 1e-9, holm, None, None)
    assert verdict(ArmContrast("te1", "mi", "test/i2t_r1", comparison)) == said


def test_means_are_over_the_seeds_that_all_configurations_have() -> None:
    tables = [{0: 1.0, 1: 2.0, 2: 9.0}, {1: 4.0, 0: 2.0}, {0: 6.0, 1: 3.0, 3: 7.0}]
    assert seed_means(tables) == {0: 3.0, 1: 3.0}


def test_only_complete_trials_are_counted(tmp_path: Path) -> None:
    study, store = study_of(tmp_path, "cl", "te1")
    write_group(study, store, "te1", [0.1, 0.2, 0.3])
    (group,) = [group for group in collect_groups(study, store) if group.arm == "te1"]
    read = final("val/i2t_r1")
    assert seed_values(group, read) == {0: 0.1, 1: 0.2, 2: 0.3} and seed_values(None, read) == {}
    first, *others = group.trials
    assert first.result is not None
    for status in ("pruned", "failed"):
        stopped = first._replace(result=replace(first.result, status=status))
        assert seed_values(group._replace(trials=(stopped, *others)), read) == {1: 0.2, 2: 0.3}


@pytest.mark.parametrize(
    ("values", "expected"), [([2.0, 4.0, 1.0], 0.5), ([2.0, 1.0, 3.0], -0.5), ([2.0], None), ([0.0, 1.0], None)]
)
def test_a_fall_is_from_the_first_epoch_to_the_last_whatever_is_between(
    tmp_path: Path, values: list[float], expected: float | None
) -> None:
    directory = TrialDirectory(tmp_path)
    for epoch, value in enumerate(values, start=1):
        directory.append(EpochReport(epoch, {"val/mse": value}))
    config = clip_study(tmp_path, {"cl": {}}).arms[0].base
    assert fall("val/mse")(TrialRecord("one", config, None, directory)) == expected


@pytest.mark.slow
def test_arms_with_other_students_are_not_compared(tmp_path: Path) -> None:
    study, store = study_of(tmp_path, "cl", "mi", "te1")
    other = study.arms[2].base.model_copy(
        update={"student": study.arms[2].base.student.model_copy(update={"text_width": 64})}
    )
    study = study.model_copy(update={"arms": (*study.arms[:2], study.arms[2].model_copy(update={"base": other}))})
    for arm in ("cl", "mi", "te1"):
        write_group(study, store, arm, [0.1, 0.2, 0.3])
    assert "cannot be made" in said(study, store)


def test_the_effect_of_the_temperature_is_of_configurations_that_differ_in_it_alone(tmp_path: Path) -> None:
    study, store = study_of(tmp_path, "cl", "te1")
    for batch_size, low, high in ((64, [0.8, 0.82, 0.78], 0.4), (128, [0.7, 0.72, 0.68], 0.5)):
        write_group(study, store, "te1", [0.1] * 3, falls=low, temperature=0.03, batch_size=batch_size)
        write_group(study, store, "te1", [0.1] * 3, falls=[high] * 3, temperature=0.07, batch_size=batch_size)
    write_group(study, store, "cl", [0.1] * 3, temperature=0.03)
    groups = collect_groups(study, store)
    (found,) = effects(groups, "temperature", fall("val/teacher_kl"))
    assert found.arms == ("te1",) and found.values == (0.03, 0.07) and found.configurations == 2
    assert found.means == pytest.approx((0.75, 0.45))
    assert found.difference is not None and found.difference.mean == pytest.approx(0.3) and found.difference.n == 3
    assert found.difference.high - found.difference.mean == pytest.approx(4.302652730 * 0.02 / 3**0.5)
    text = said(study, store)
    assert (
        "Effect of τ on the KL divergence at the configuration's own τ to the teacher" in text
        and "It fell everywhere" in text
    )
    assert "`te1` 75 % at τ = 0.03, 45 % at τ = 0.07 (difference +30 [+25, +35])" in text
    assert "Effect of B on the KL divergence" in text and "60 % at B = 64, 60 % at B = 128" in text


def test_arms_that_differ_in_the_temperature_alone_are_a_sweep_too(tmp_path: Path) -> None:
    study = clip_study(tmp_path, {"cl": {}, "hot": {"temperature": 0.07}, "cold": {"temperature": 0.03}})
    arms = [arm.model_copy(update={"space": {"batch_size": arm.space["batch_size"]}}) for arm in study.arms[1:]]
    study, store = study.model_copy(update={"arms": (study.arms[0], *arms)}), StudyStore(study.directory)
    for arm in ("hot", "cold"):
        write_fixed(study, store, arm)
    assert list(families(collect_groups(study, store), "temperature")) == [("cold", "hot")]


def write_fixed(study: StudyConfig, store: StudyStore, arm: str) -> None:
    from study.storage.store import Proposal
    from trainables.common.types import EpochReport, TrialResult

    params = {"batch_size": 64}
    configs = [study.arm(arm).trial(params, seed) for seed in study.search.seeds]
    store.propose(Proposal(arm, 0, configs[0].group_id, params))
    for config in configs:
        trial = store.trial(config.trial_id)
        trial.begin(config, 0)
        trial.append(EpochReport(1, {"val/i2t_r1": 0.1}))
        trial.finish(TrialResult("complete", {"val/i2t_r1": 0.1}, 1, 1, 1.0))


@pytest.mark.slow
def test_recall_tables_by_hand(tmp_path: Path) -> None:
    study, store = study_of(tmp_path, "cl", "te1")
    write_group(study, store, "cl", [0.20, 0.21, 0.22])
    write_group(study, store, "te1", [0.30, 0.31, 0.32])
    found = table(study, store, "on the test split:")
    assert found.header[:4] == ("arm", "I→T R@1 (%)", "I→T R@5 (%)", "I→T R@10 (%)")
    assert found.rows[0][:3] == ("`cl`", "21.00 ± 1.00", "26.00 ± 1.00") and found.rows[1][1] == "31.00 ± 1.00"
    assert found.rows[0][-3:] == ("3", "", "") and found.rows[1][-3] == "3" and found.rows[1][-1] != ""
    assert found.rows[0][found.header.index("I→T median rank")] == "9.0 ± 0.0"
    assert table(study, store, "on `openmoji`, without fine-tuning").rows[0][1] == "10.50 ± 0.50"


@pytest.mark.slow
def test_kept_tables_have_intervals_and_chance(tmp_path: Path) -> None:
    study, store = study_of(tmp_path, "cl", "te1")
    generator = torch.Generator().manual_seed(0)
    teacher = torch.randn(41, 2, 8, generator=generator)
    near = [kept_by(teacher + 0.1 * torch.randn(41, 2, 8, generator=generator), teacher) for _ in range(3)]
    alone = [{k: v for k, v in each.items() if k not in ("clip/cosine", "clip/pca_student")} for each in near]
    write_group(study, store, "cl", [0.1, 0.2, 0.3], arrays=alone)
    write_group(study, store, "te1", [0.1, 0.2, 0.3], arrays=near)
    found = table(study, store, "among the images of the test split")
    values = {seed: float(each["clip/cosine"][0]) for seed, each in enumerate(near)}
    assert (
        found.rows[1][5:] == (mean_text(values, -1.0), "3") and found.rows[0][5] == "–" and "No cosine" in found.caption
    )
    assert found.rows[2] == ("chance", "0.025", "0.125", "0.250", "0.500", "", "")


def test_mean_text_by_hand() -> None:
    half = 12.7062047 * 0.1 / 2**0.5 / 2**0.5
    assert mean_text({0: 0.3, 1: 0.4}, -1.0) == f"0.350 [{0.35 - half:.3f}, {0.35 + half:.3f}]"
    assert mean_text({0: 0.3, 1: 0.4}) == f"0.350 [0.000, {0.35 + half:.3f}]", "no agreement is below 0"
    assert mean_text({0: 0.9, 1: 0.96}, -1.0).endswith(", 1.000]"), "no cosine is above 1"
    assert mean_text({0: 0.3}) == "0.300" and mean_text({}) == "–"


def test_other_tasks_and_empty_studies_have_no_such_section(tmp_path: Path) -> None:
    from tests.helpers.example_store import example_study
    from tests.helpers.example_store import fill as fill_example

    study = example_study(tmp_path)
    store = StudyStore(study.directory)
    fill_example(study, store)
    assert blocks_of(study, store) == []
    study, store = study_of(tmp_path / "clip")
    assert blocks_of(study, store) == []


@pytest.mark.slow
def test_the_whole_report_has_section_and_figures(tmp_path: Path) -> None:
    study, store = study_of(tmp_path)
    fill(study, store)
    path = write_report(study, store)
    text = path.read_text()
    assert "Test image→text R@1 (%), arms ordered" in text
    assert TITLE in text and "TE proxy against MI" in text and "TE against" not in text
    names = [entry.name for entry in FIGURES if entry.section == "contrastive"]
    assert len(names) == 6
    for name in names:
        assert (path.parent / "figures" / f"{name}.png").stat().st_size > 10_000, name


def inputs(study: StudyConfig, store: StudyStore) -> FigureInputs:
    results = study_results(study, collect_groups(study, store))
    return FigureInputs(study, results, store, arm_styles([arm.name for arm in study.arms], "cl"))


def test_arms_are_drawn_at_one_temperature(tmp_path: Path) -> None:
    study, store = study_of(tmp_path, "cl", "te1")
    write_group(study, store, "cl", [0.1] * 3, temperature=0.03)
    write_group(study, store, "te1", [0.1] * 3, temperature=0.07)
    figure = trajectory_figure(inputs(study, store))
    assert figure is not None
    divergence, distance = figure.axes
    assert divergence.get_ylabel() == "KL to the teacher at τ = 0.07 (nats)"
    assert [line.get_ydata().tolist() for line in divergence.lines] == [[3, 2.25, 1.5]] * 2, "not 2, at its own"
    assert distance.lines[0].get_ydata().tolist() == [1, 0.75, 0.5]


def test_an_arm_without_a_distance_keeps_its_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from study.report.figure_builders import contrastive as figures

    study, store = study_of(tmp_path, "cl", "te1")
    for arm in ("cl", "te1"):
        for temperature in (0.03, 0.07):
            write_group(study, store, arm, [0.1] * 3, temperature=temperature)
    read = figures.curves_of
    unknown = study.arms[0].base.method
    monkeypatch.setattr(
        *(figures, "curves_of"),
        lambda group, metric, relative=False: (
            []
            if "mse" in metric and group.trials[0].config.method.active_terms == unknown.active_terms
            else read(group, metric, relative)
        ),
    )
    figure = by_field(inputs(study, store), "temperature")
    assert figure is not None
    assert [(ax.get_title(), ax.get_ylabel(), len(ax.lines), len(ax.texts)) for ax in figure.axes] == [
        ("cl", "KL / first epoch's", 2, 0),
        ("te1", "", 2, 0),
        ("", "MSE / first epoch's", 0, 1),
        ("", "", 2, 0),
    ]


def test_a_logarithmic_axis_has_room_for_its_numbers() -> None:
    assert [few_digits(value) for value in (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 3 * 0.1, 2.0, 1.0)] == [
        *("", "0.8", "", "0.6", "", "0.4", "0.3", "2", "")
    ]
