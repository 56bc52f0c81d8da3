"""The presets of TE-inspired distillation: the paper's arms and grids, over tiny generated copies of the layouts."""

import re
from pathlib import Path

import pytest

from search_spaces.domains import Choice
from search_spaces.preset_files import preset_files
from study.config.study_config import Arm, StudyConfig
from study.export import empty_student, open_clip_form
from study.parsing.loader import load
from tests.helpers.generated import root
from trainables.methods.clip_kd import ClipKDConfig
from trainables.models.contrastive.open_clip import OpenClipConfig

PRESETS = {path.stem: path for path in preset_files() if path.stem.startswith("te_")}
TEACHERS = {"rn50": ("RN50", 1024), "vit_b_16": ("ViT-B-16", 512), "rn50x16": ("RN50x16", 768)}
TABLES = [f"te_{data}_{teacher}" for data in ("coco", "flickr8k", "flickr30k") for teacher in TEACHERS]
PAPER = {
    "cl": {"cl"},
    "kl_mse": {"cl", "kl", "mse"},
    "icl": {"cl", "icl"},
    "mi": {"cl", "mi"},
    "te1": {"cl", "te1"},
    "te2": {"cl", "te2"},
    "te1_te2": {"cl", "te1", "te2"},
    "all": {"cl", "kl", "mse", "icl", "mi", "te1", "te2"},
}
LAYOUTS = {"food-101": "food101"}
"""Folders of the presets whose generated layout has another name."""


def reduced(name: str, folder: Path) -> StudyConfig:
    """The preset over generated layouts, with random weights in the place of OpenAI's and batches that fit few rows."""
    text = PRESETS[name].read_text()
    text = re.sub(r"\.\./\.\./data/([\w-]+)", lambda found: root(LAYOUTS.get(found[1], found[1])), text)
    text = text.replace("pretrained: openai", "pretrained: null").replace("../../studies", "studies")
    text = re.sub(
        r"batch_size: (\d+|\[[\d, ]+\])",
        lambda found: "batch_size: [2, 3, 4]" if "[" in found[1] else "batch_size: 4",
        text,
    )
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return load(path)


def terms(arm: Arm) -> set[str]:
    """Those that the arm's method or its space gives a weight."""
    return set(arm.base.method.active_terms) | (set(arm.space) & set(ClipKDConfig.terms))


def options(arm: Arm, key: str) -> tuple[object, ...]:
    domain = arm.space[key]
    assert isinstance(domain, Choice)
    return domain.options


def trainings(study: StudyConfig) -> int:
    return sum((arm.size() or 0) for arm in study.arms) * len(study.search.seeds)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_says_how_many_trainings_it_is(name: str, tmp_path: Path) -> None:
    study = load(PRESETS[name]) if name.startswith("te_emoji") else reduced(name, tmp_path)
    about = PRESETS[name].read_text().replace("\n# ", " ")
    assert f"{trainings(study):,} trainings" in about, trainings(study)
    assert all((arm.size() or 0) <= study.search.trials for arm in study.arms)
    assert study.report.baseline == "cl" and len(study.search.seeds) == 3
    assert "proxies" in about or "proxy" in about or name in ("te_batch_size", "te_cross_dataset", "te_zero_shot")


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_the_papers_arms_temperatures_and_networks(name: str, tmp_path: Path) -> None:
    study = reduced(name, tmp_path)
    assert {arm.name: terms(arm) for arm in study.arms} == PAPER
    architecture, dim = TEACHERS[name.split("_", 2)[2]]
    for arm in study.arms:
        teacher, student = arm.base.teacher, arm.base.student.model_dump()
        assert isinstance(teacher, OpenClipConfig)
        assert (teacher.model_name, teacher.feature_dim) == (architecture, dim)
        assert (student["image"], student["text"], student["text_depth"], student["text_width"]) == (
            *("resnet34", "transformer"),
            *(2, 512),
        )
        assert options(arm, "temperature") == (0.07, 0.03)
        assert (arm.base.training.optimizer, arm.base.training.epochs, arm.base.training.lr) == ("adam", 10, 1e-4)
    grids = [options(study.arm(arm), arm) for arm in ("mi", "te1", "te2")]
    assert grids == [(0.01, 0.05, 0.1, 0.5, 1)] * 3, "equal budgets"
    assert "pretrained: openai" in PRESETS[name].read_text()


def test_batch_sizes_and_temperatures(tmp_path: Path) -> None:
    study = reduced("te_batch_size", tmp_path)
    assert [arm.name for arm in study.arms] == ["cl", "kl_mse", "mi", "te1", "te2"]
    for arm in study.arms:
        assert terms(arm) == PAPER[arm.name] and options(arm, "temperature") == (0.07, 0.03)
    assert "batch_size: [64, 128, 256]" in PRESETS["te_batch_size"].read_text()


@pytest.mark.parametrize(
    ("name", "further"), [("te_cross_dataset", ["flickr8k"]), ("te_zero_shot", ["food101", "imagenet"])]
)
def test_further_data_are_for_evaluation_only(name: str, further: list[str], tmp_path: Path) -> None:
    study = reduced(name, tmp_path)
    for arm in study.arms:
        assert terms(arm) == PAPER[arm.name]
        assert [one.name for one in arm.base.evaluate] == further
        for one in arm.base.evaluate:
            fields = one.data.model_dump()
            assert (fields["dataset"], fields["train"], fields["val"]) == (one.name, 0, 0)


def test_clip_kds_arms_have_its_weights(tmp_path: Path) -> None:
    study = reduced("te_clip_kd", tmp_path)
    weights = {"crd": 1, "fd": 2000, "mfd": 2000, "gd": 1e8, "icl": 1, "afd": 1}
    for arm in study.arms:
        method = arm.base.method
        assert isinstance(method, ClipKDConfig) and method.learn_temperature and method.cl == 1
        for term in set(method.active_terms) - {"cl", "te1", "te2"}:
            assert getattr(method, term) == weights[term]
    assert {arm.name: terms(arm) for arm in study.arms} == {
        "cl": {"cl"},
        **{term: {"cl", term} for term in (*weights, "te1", "te2")},
        "unified": {"cl", "crd", "fd", "icl"},
    }


def test_the_emoji_study_asks_the_papers_questions() -> None:
    study = load(PRESETS["te_emoji"])
    assert {arm.name: terms(arm) for arm in study.arms} == {
        **{name: PAPER[name] for name in ("cl", "kl_mse", "mi", "te1", "te2")},
        "unified": {"cl", "crd", "fd", "icl"},
    }
    for arm in study.arms:
        assert options(arm, "temperature") == (0.07, 0.03) and options(arm, "batch_size") == (64, 128)
        assert [one.name for one in arm.base.evaluate] == ["openmoji"]
        assert not arm.base.teacher.is_pretrained and arm.base.teacher.feature_dim > arm.base.student.feature_dim
    assert options(study.arm("mi"), "mi") == options(study.arm("te1"), "te1") == options(study.arm("te2"), "te2")


def test_the_small_study_for_export_has_a_student_that_open_clip_has() -> None:
    study, whole = load(PRESETS["te_emoji_export"]), load(PRESETS["te_emoji"])
    for arm in study.arms:
        form = open_clip_form(empty_student(arm.base))
        assert form is not None and form.model["vision_cfg"]["timm_model_name"] == "test_efficientnet"
        assert (arm.base.teacher, arm.base.pretraining, arm.base.data) == (
            *(whole.arms[0].base.teacher, whole.arms[0].base.pretraining),
            whole.arms[0].base.data,
        ), "the teacher is trained once for both"
