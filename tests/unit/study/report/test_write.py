"""The report of the example store, and what it says about small made-up results."""

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from search_spaces.domains import Choice, FloatRange, IntRange
from study.analysis.notation import metric_label, show_p, show_param, show_summary, show_value
from study.analysis.study_results import Summary, study_results
from study.config.study_config import StudyConfig
from study.report.format.document import Code, Heading, Items, Table, Text, to_html, to_markdown
from study.report.format.figure_files import RenderedFigure
from study.report.sections.findings import findings
from study.report.sections.settings import counted, domain_text
from study.report.terminal import arms_table
from study.report.write import write_report
from study.storage.groups import collect_groups
from study.storage.manifest import environment, read_manifest, write_manifest
from study.storage.store import Proposal, StudyStore
from tests.helpers.example_store import example_study, fill, write_result
from tests.helpers.stored_trials import stored_records
from trainables.common.atomic_files import read_json, write_json
from trainables.common.types import TrialError, TrialResult

Accuracies = list[tuple[float, float]]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyConfig, StudyStore, Path]:
    root = tmp_path_factory.mktemp("studies")
    study = example_study(root)
    store = StudyStore(study.directory)
    fill(study, store)
    write_manifest(study, store)
    return study, store, write_report(study, store, {"wall": 12.5, "orchestration_per_trial": None})


def small_study(root: Path, **arms: Accuracies) -> tuple[StudyConfig, StudyStore]:
    """One configuration for each arm given, with these (validation, test) accuracies."""
    params = {
        "none": {"batch_size": 64},
        "kd": {"lambda_kd": 0.5, "temperature": 2.0, "batch_size": 64},
        "ciba": {"bottleneck_dim": 8, "batch_size": 64},
    }
    study = example_study(root)
    store = StudyStore(study.directory)
    for arm, accuracies in arms.items():
        write_result(study, store, arm, 0, params[arm], accuracies)
    return study, store


def found(study: StudyConfig, store: StudyStore) -> str:
    return "\n".join(findings(study, study_results(study, collect_groups(study, store))))


class Page(HTMLParser):
    """Checks nesting, and collects what a browser would fetch."""

    VOID = ("meta", "img", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_is_whole_and_needs_nothing_else(filled: tuple[StudyConfig, StudyStore, Path]) -> None:
    text = filled[2].read_text()
    page = Page(text)
    assert page.open == []
    assert page.fetched and all(link.startswith(("#", "data:")) for link in page.fetched)
    assert "<script" not in text and "@import" not in text
    for link in page.fetched:
        assert not link.startswith("#") or f'id="{link[1:]}"' in text


def test_everything_is_there(filled: tuple[StudyConfig, StudyStore, Path]) -> None:
    study, store, path = filled
    text = path.read_text()
    for arm in study.arms:
        assert f"<code>{arm.name}</code>" in text
    assert "NonFiniteLossError: loss is nan" in text and "stopped by the pruner" in text
    assert "Shared stages: 1 computed, 32 times reused" in text and "wall 12.5 s" in text
    assert "study: example" in text, "the YAML source"
    for name, version in environment(study)["versions"].items():
        assert version is None or (f"versions.{name}" in text and version in text)
    markdown = (path.parent / "report.md").read_text()
    for picture in re.findall(r"\]\((figures/[^)]+)\)", markdown):
        assert (path.parent / picture).exists()
    assert len(re.findall(r"<img ", text)) == len(list((path.parent / "figures").glob("*.png"))) >= 5
    assert not list(store.directory.rglob("*.tmp"))


@pytest.mark.slow
def test_equal_stores_give_equal_tables(filled: tuple[StudyConfig, StudyStore, Path]) -> None:
    study, store, path = filled
    before = {file: file.read_bytes() for file in sorted(path.parent.rglob("*.*")) if file.is_file()}
    write_report(study, store, {"wall": 12.5, "orchestration_per_trial": None})
    for file, data in before.items():
        if file.suffix in (".csv", ".svg", ".png"):
            assert file.read_bytes() == data, file.name
        else:
            assert file.read_text().split("Made from")[0] == data.decode().split("Made from")[0], file.name


def test_groups_csv_holds_raw_values(filled: tuple[StudyConfig, StudyStore, Path]) -> None:
    study, store, path = filled
    groups = collect_groups(study, store)
    with (path.parent / "tables" / "groups.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["group_id"] for row in rows] == [group.group_id for group in groups]
    for row, group in zip(rows, groups, strict=True):
        assert row["status"] == group.status
        for name, value in group.params.items():
            assert type(value)(row[name]) == value
        values = [float(row[f"val/accuracy seed {seed}"]) for seed in (0, 1, 2) if row[f"val/accuracy seed {seed}"]]
        assert values == group.values("val/accuracy")
    assert sum(row["chosen"] == "yes" for row in rows) == 3


def test_trials_csv_has_every_trial_once(filled: tuple[StudyConfig, StudyStore, Path]) -> None:
    _, store, path = filled
    with (path.parent / "tables" / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["trial_id"] for row in rows) == [record.trial_id for record in stored_records(store)]
    failed = [row for row in rows if row["status"] == "failed"]
    assert failed and all(row["error"] == "NonFiniteLossError: loss is nan" for row in failed)


@pytest.mark.slow
def test_arms_csv_by_hand(tmp_path: Path) -> None:
    ours, theirs = [(0.8, 0.80), (0.8, 0.81), (0.8, 0.82)], [(0.7, 0.70), (0.7, 0.71), (0.7, 0.72)]
    study, store = small_study(tmp_path, none=theirs, ciba=ours)
    with (write_report(study, store).parent / "tables" / "arms.csv").open() as file:
        rows = {row["arm"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["none", "kd", "ciba"]
    row = rows["ciba"]
    assert float(row["test_mean"]) == pytest.approx(0.81) and float(row["test_std"]) == pytest.approx(0.01)
    assert float(row["difference"]) == pytest.approx(0.1)
    t = 0.1 / (0.01 * (2 / 3) ** 0.5)
    u = t / (4 + t * t) ** 0.5
    assert float(row["welch_p"]) == pytest.approx(1 - u * (3 - u * u) / 2, rel=1e-6)
    assert float(row["hedges_g"]) == pytest.approx(8)
    assert (row["paired_low"], row["paired_n"], row["n"], row["configurations"]) == ("", "3", "3", "1")
    assert rows["kd"]["test_mean"] == "" and "no complete configuration" in rows["kd"]["no_p_because"]
    assert rows["none"]["welch_p"] == ""


def test_an_empty_study_has_a_report(tmp_path: Path) -> None:
    study, store = small_study(tmp_path)
    text = write_report(study, store).read_text()
    assert "No configuration is complete yet" in text
    assert "No environment was recorded" in text
    assert "<img" not in text


def test_an_interrupted_study_has_a_report(tmp_path: Path) -> None:
    study, store = small_study(tmp_path, none=[(0.7, 0.7), (0.71, 0.7), (0.72, 0.71)])
    config = study.arm("kd").trial({"lambda_kd": 0.5, "temperature": 2.0, "batch_size": 64}, 0)
    store.propose(Proposal("kd", 0, config.group_id, {"lambda_kd": 0.5, "temperature": 2.0, "batch_size": 64}))
    assert "1 complete, 1 unfinished" in found(study, store), "proposed, and no trial has begun"
    store.trial(config.trial_id).begin(config, 0)
    said = found(study, store)
    assert "1 complete, 1 unfinished" in said and "No complete configuration yet: `kd`, `ciba`" in said
    assert "No arm could be tested against `none`: this arm has no complete configuration" in said
    assert write_report(study, store).exists()


def test_stale_figures_are_removed(tmp_path: Path) -> None:
    study, store = small_study(tmp_path, none=[(0.7, 0.7), (0.71, 0.7), (0.72, 0.71)])
    old = store.directory / "report" / "figures" / "old.png"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"")
    write_report(study, store)
    assert not old.exists()


@pytest.mark.slow
def test_a_clear_difference_is_claimed_with_its_direction(tmp_path: Path) -> None:
    low, high = [(0.7, 0.70), (0.7, 0.71), (0.7, 0.72)], [(0.8, 0.80), (0.8, 0.81), (0.8, 0.83)]
    said = found(*small_study(tmp_path / "a", none=low, ciba=high))
    assert "`ciba` is better than `none` on test accuracy by 10.33 points" in said
    assert "does not mean equal" not in said
    assert "`ciba` is worse than `none` on test accuracy by 10.33 points" in found(
        *small_study(tmp_path / "b", none=high, ciba=low)
    )


def test_no_claim_beyond_the_p_values(tmp_path: Path) -> None:
    """ciba is the best on average, but p = 0.09 before correction."""
    none, kd = [(0.7, 0.70), (0.7, 0.71), (0.7, 0.72)], [(0.7, 0.69), (0.7, 0.71), (0.7, 0.73)]
    ciba = [(0.8, 0.71), (0.8, 0.73), (0.8, 0.75)]
    said = found(*small_study(tmp_path, none=none, kd=kd, ciba=ciba))
    assert "No arm differs from `none` on test accuracy at the 5 % level after Holm's correction" in said
    assert "better than" not in said and "worse than" not in said
    assert "2.3 standard deviations" in said


def test_significant_before_the_correction_only(tmp_path: Path) -> None:
    """Means 0.025 apart, both deviations 0.01: t = 3.06, p = 0.038, doubled by Holm because there is a larger p."""
    none, kd = [(0.7, 0.70), (0.7, 0.71), (0.7, 0.72)], [(0.7, 0.70), (0.7, 0.71), (0.7, 0.73)]
    ciba = [(0.8, 0.725), (0.8, 0.735), (0.8, 0.745)]
    said = found(*small_study(tmp_path, none=none, kd=kd, ciba=ciba))
    assert "no basis for a claim: `ciba` (p = 0.038)" in said
    assert "No arm differs" in said


def test_one_seed_is_not_tested(tmp_path: Path) -> None:
    study = example_study(tmp_path, seeds=(4,))
    store = StudyStore(study.directory)
    write_result(study, store, "none", 0, {"batch_size": 64}, [(0.7, 0.7)])
    write_result(study, store, "ciba", 0, {"bottleneck_dim": 8, "batch_size": 64}, [(0.8, 0.8)])
    assert "No arm could be tested against `none`: needs two seeds or more, but n = 1" in found(study, store)
    assert "80.00</td>" in write_report(study, store).read_text(), "a mean without a deviation"


def test_best_value_at_the_end_of_its_range_is_said(tmp_path: Path) -> None:
    study, store = small_study(tmp_path, none=[(0.7, 0.7)] * 3)
    write_result(study, store, "ciba", 0, {"bottleneck_dim": 32, "batch_size": 32}, [(0.8, 0.8)] * 3)
    said = found(study, store)
    assert "`ciba`: bottleneck_dim = 32" in said
    assert "batch_size" not in said, "of two values one is always at an end"


@pytest.mark.slow
def test_terminal_table(filled: tuple[StudyConfig, StudyStore, Path]) -> None:
    console = Console(width=110, record=True, file=open("/dev/null", "w"))
    console.print(arms_table(filled[0], filled[1]))
    console.file.close()
    text = console.export_text()
    results = study_results(filled[0], collect_groups(filled[0], filled[1]))
    for row in results.arms:
        assert row.arm in text and show_summary(row.test, "test/accuracy") in text
    assert "baseline" in text and "p vs none" in text


def test_manifest_keeps_earlier_environments(tmp_path: Path) -> None:
    study = example_study(tmp_path)
    store = StudyStore(study.directory)
    now = write_manifest(study, store)
    assert read_manifest(store) == now == json.loads(json.dumps(now)), "plain JSON"
    assert now["versions"]["torch"] and now["versions"]["python"] and now["data"]["mfeat"]
    old = {**now, "versions": {**now["versions"], "torch": "1.0"}}
    write_json(store.directory / "manifest.json", old)
    for _ in range(2):
        write_manifest(study, store)
        assert read_json(store.directory / "manifest.json")["earlier"] == [old]
    text = write_report(study, store).read_text()
    assert f"another environment: versions.torch 1.0 (last: {now['versions']['torch']})" in text


def test_document_escapes_and_aligns() -> None:
    blocks = [
        Heading("A & B"),
        Text("`<name>` < 1"),
        Items(("one",)),
        Table("cap", ("arm", "n"), (("a|b", "1"),), strong=(0,)),
        Code("```\n<x>", "trace"),
    ]
    page = to_html("T<", blocks, "end")
    assert "<code>&lt;name&gt;</code> &lt; 1" in page and "<title>T&lt;</title>" in page and 'id="a-b"' in page
    assert '<tr class="strong"><td class="l">a|b</td><td>1</td></tr>' in page
    assert "<details><summary>trace</summary><pre>```\n&lt;x&gt;</pre></details>" in page
    assert Page(page).open == []
    markdown = to_markdown("T", blocks, "end")
    assert "| **a\\|b** | **1** |" in markdown and "| --- | ---: |" in markdown
    assert "trace\n\n````\n```\n<x>\n````" in markdown


def test_notation() -> None:
    assert metric_label("val/accuracy") == "validation accuracy (%)"
    assert metric_label("test/loss") == "test loss"
    assert show_value(0.12345, "test/accuracy") == "12.35" and show_value(-0.5, "val/loss", "+") == "-0.5000"
    assert [show_p(p) for p in (None, 0.0004, 0.001, 0.0494)] == ["–", "< 0.001", "0.001", "0.049"]
    assert show_summary(Summary(0.5, None, 1), "val/accuracy") == "50.00"
    assert show_summary(Summary(0.5, 0.011, 3), "val/accuracy") == "50.00 ± 1.10"
    assert [show_param(v) for v in (True, 64, 0.000123456, "mse")] == ["true", "64", "0.0001235", "mse"]
    assert domain_text(Choice((2, 4))) == "{2, 4}"
    assert domain_text(FloatRange(0.1, 10.0, log=True)) == "[0.1, 10] log"
    assert domain_text(IntRange(1, 9, step=2)) == "[1, 9] step 2" and domain_text(IntRange(1, 9)) == "[1, 9]"


def test_what_a_data_set_counts_is_called_by_its_name() -> None:
    assert [counted("classification", 10), counted("classification", 1)] == ["10 classes", "1 class"]
    assert [counted("regression", 1), counted("retrieval", 5)] == ["1 output", "at most 5 captions"]


def test_a_page_shows_markup_in_texts_as_text(tmp_path: Path) -> None:
    """Names, errors and study files come from the user; none of them may become part of the page's markup."""
    evil = '<script>alert("&")</script>'
    figure = RenderedFigure("f", evil, evil, b"<svg/>", b"")
    blocks = [Heading(evil), Text(evil), Items((evil,)), Table(evil, (evil,), ((evil,),)), figure]
    page = to_html(evil, [*blocks, Code(evil), Code(evil, evil)], evil)
    assert "<script" not in page
    # title twice, link, heading, text, item, caption and two cells, alt and caption twice, code, summary and code, end
    assert page.count("&lt;script&gt;alert(&#34;&amp;&#34;)&lt;/script&gt;") == 16

    study = example_study(tmp_path).model_copy(update={"source": f"study: example  # {evil}\n"})
    store = StudyStore(study.directory)
    config = study.arm("none").trial({"batch_size": 64}, 0)
    store.propose(Proposal("none", 0, config.group_id, {"batch_size": 64}))
    store.trial(config.trial_id).begin(config, 0)
    store.trial(config.trial_id).finish(TrialResult("failed", error=TrialError("ValueError", evil, 1, 1, evil)))
    text = write_report(study, store).read_text()
    assert "<script" not in text
    assert text.count("&lt;script&gt;alert") == 3
