"""The figure of H from the spectrum."""

from matplotlib.figure import Figure

from study.analysis.notation import metric_label
from study.analysis.study_results import StudyResults
from study.config.spectrum_rule import BOTTLENECK
from study.config.study_config import Arm, StudyConfig
from study.figures import suggested_h as draw
from study.figures.suggested_h import SpectrumPanels
from study.report.figure_builders.points import bottleneck_points, has_metric, mean_point
from study.report.format.figure_files import FigureInputs
from study.report.sections.suggested_h import SuggestedSet, suggested_sets


def suggested_h_figure(inputs: FigureInputs) -> Figure | None:
    """Spectra and performance by H (CIBA paper, Fig. 12); None for a study without a swept H."""
    study, results = inputs.study, inputs.results
    panels = [spectrum_panels(one, study, results) for one in suggested_sets(study, results)]
    return draw.suggested_h_figure(panels, metric_label(results.test_metric), inputs.styles)


def spectrum_panels(one: SuggestedSet, study: StudyConfig, results: StudyResults) -> SpectrumPanels:
    """The numbers of one column of the figure."""
    metric = results.test_metric
    curves = {arm.name: bottleneck_points(results.arm(arm.name).groups, metric, results) for arm in one.arms}
    bands = {
        row.arm: mean_point(0, row.best, metric)
        for row in results.arms
        if has_metric(row.best, metric) and is_plain(study.arm(row.arm), one, results.baseline)
    }
    return SpectrumPanels(one.suggestion.spectra, one.suggestion.suggested, curves, bands)


def is_plain(arm: Arm, one: SuggestedSet, baseline: str) -> bool:
    """Whether an arm is the baseline, or distils without a bottleneck from the same teacher by one of the losses."""
    if BOTTLENECK in type(arm.base.method).model_fields:
        return False
    loss = getattr(arm.base.method, "loss", None)
    alike = [
        other
        for other in one.arms
        if loss == getattr(other.base.method, "loss", None)
        and (arm.base.data, arm.base.teacher) == (other.base.data, other.base.teacher)
    ]
    return arm.name == baseline or bool(alike)
