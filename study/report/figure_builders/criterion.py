"""The figure of the criterion and the measured gains."""

from matplotlib.figure import Figure

from study.analysis.notation import metric_name, scale
from study.figures import criterion as draw
from study.planning.criterion_agreement import calibration_curve, failures
from study.planning.criterion_gains import pair_outcomes
from study.report.format.figure_files import FigureInputs


def criterion_figure(inputs: FigureInputs) -> Figure | None:
    """Gap against gain; None for a study without a criterion, or with fewer than two gains."""
    study, results = inputs.study, inputs.results
    if study.criterion is None:
        return None
    outcomes = pair_outcomes(study, results, study.criterion.settings)
    unit = " points" if scale(results.test_metric) == 100 else ""
    label = f"gain in {metric_name(results.test_metric)}{',' + unit if unit else ''}"
    panels = draw.CriterionPanels(
        outcomes, failures(outcomes)[: draw.MOST_NAMES], calibration_curve(outcomes), scale(results.test_metric), label
    )
    return draw.criterion_figure(panels)
