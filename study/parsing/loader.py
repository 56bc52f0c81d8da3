"""From a YAML file to a StudyConfig, or to every problem of the file, one line each.

Nothing here imports Ray, Optuna or MLflow: a wrong file is answered before any of them starts.
"""

from pathlib import Path

from search_spaces.preset_files import locate
from study.config.criterion import CriterionConfig
from study.config.study_config import Arm, ResourcesConfig, SearchConfig, StudyConfig
from study.parsing.arms import read_arms
from study.parsing.check_arm import anchor, check_arm, check_divisible, check_equal_architectures
from study.parsing.check_study import check_criterion, check_objectives, check_resources, check_search
from study.parsing.drafts import ArmDraft
from study.parsing.evaluations import check_evaluations, read_evaluations
from study.parsing.names import check_keys, read_boolean, read_studies_folder, read_study_name
from study.parsing.problems import Problems
from study.parsing.search_section import read_search
from study.parsing.sections import build, read_config
from study.parsing.tracking_and_report import read_report, read_tracking
from study.parsing.yaml_tree import Node, parse, read_text
from trainables.config import EvaluationConfig, TrialConfig


def load(path: Path) -> StudyConfig:
    """The study that a YAML file describes. Reads the file and writes nothing.

    Args:
        path: The file, or the name of a shipped study. Relative paths in it start at its folder (`locate`).

    Returns:
        The study with every default filled in. H is still open where the file leaves it to the spectrum.

    Raises:
        StudyFileError: with all problems of the file, in the order of the file.
    """
    file, folder, _ = locate(path)
    text = read_text(file)
    root = parse(text, file)
    problems = Problems()
    check_keys(root, problems)
    name = read_study_name(root, problems)
    studies = read_studies_folder(root, folder, problems)
    search = read_search(root, problems)
    resources = read_config(root, "resources", ResourcesConfig, problems)
    criterion = read_config(root, "criterion", CriterionConfig, problems) if root.entry("criterion") else None
    drafts = read_arms(root, search.objectives[0].metric, folder, problems)
    evaluations = read_evaluations(root.entry("evaluate"), folder, problems)
    tracking = read_tracking(root, name, studies, folder, problems)
    report = read_report(root, drafts, problems)
    check_together(root, search, resources, criterion, drafts, problems)
    problems.raise_if_any(path)
    check_evaluations(evaluations, drafts, problems)
    problems.raise_if_any(path)
    return StudyConfig(
        study=name,
        arms=tuple(finished_arm(draft, tuple(evaluation for evaluation, _ in evaluations)) for draft in drafts),
        search=search,
        resources=resources,
        tracking=tracking,
        report=report,
        studies=studies,
        source=text,
        criterion=criterion,
    )


def check_together(
    root: Node,
    search: SearchConfig,
    resources: ResourcesConfig,
    criterion: CriterionConfig | None,
    drafts: list[ArmDraft],
    problems: Problems,
) -> None:
    """Check what has to fit together. Arms with a wrong or missing section are left out where they cannot be tried."""
    valid = [draft for draft in drafts if all([build(section, problems) for section in draft.sections.values()])]
    complete = [draft for draft in valid if draft.complete]
    for draft in complete:
        check_arm(draft, problems)
    if read_boolean(root, "equal_architectures", problems):
        check_equal_architectures(complete, problems)
    check_divisible(resources.workers, complete, problems)
    check_objectives(search, root, drafts, problems)
    check_search(search, root, drafts, problems)
    check_resources(resources, root, problems)
    if criterion:
        check_criterion(criterion, root, drafts, problems)


def finished_arm(draft: ArmDraft, evaluate: tuple[EvaluationConfig, ...] = ()) -> Arm:
    """The arm that a draft without problems describes."""
    values = {part: section.values for part, section in draft.sections.items()}
    for name in draft.space:
        part, key = draft.trial_path(name).split(".")
        values[part][key] = anchor(draft, name)
    space = {name: entry.domain for name, entry in draft.space.items()}
    spectrum = next((entry.rule for entry in draft.space.values() if entry.rule), None)
    base = TrialConfig.model_validate({**values, "evaluate": evaluate})
    return Arm(name=draft.name, base=base, space=space, spectrum=spectrum, written=draft.written)
