"""The figures of the report, in its order. A new figure gets an entry here.

`study.figures` draws a figure from numbers, and a builder in `study.report.figure_builders` selects these numbers.
"""

from functools import partial

from study.report.figure_builders import contrastive, criterion, diagnostics, pareto, results_and_search, suggested_h
from study.report.format.figure_files import ReportFigure

BY_FIELD = (
    "Configurations that differ in this field alone: KL (at each configuration's own temperature) and MSE on the "
    "validation split, divided by their value after the first epoch; mean ± 1 std over seeds and configurations."
)

FIGURES = (
    ReportFigure(
        "pareto",
        "pareto",
        "Pareto front of the objectives",
        "Every complete configuration, mean over seeds. Full colour: on the front of its arm; faint: dominated by "
        "another configuration of the arm. Rings: on the front over all arms; with two objectives, the line is the "
        "border of what the front dominates.",
        pareto.front_figure,
    ),
    ReportFigure(
        "criterion",
        "criterion",
        "The criterion and the measured gains",
        "Left: each pair's gap, estimated before any distillation, against the gain that distillation then brought "
        "on the test split (best configuration on validation minus the baseline with the same student, paired by "
        "seed); 95 % intervals over seeds and held-out pairs. In the shaded quadrants the criterion is right; open "
        "points have an interval that contains 0. The clearest failures are named. Right: pairs in bins of equal "
        "number by gap, and the share of each that gained.",
        criterion.criterion_figure,
    ),
    ReportFigure(
        "data_curve",
        "results",
        "Performance against the swept field of the data",
        "Test metric, and its difference from the baseline arm with the same seed. The field changes the data, so the "
        "points of a line are different problems, not better and worse configurations of one.",
        diagnostics.data_figure,
    ),
    ReportFigure(
        "value_spectra",
        "results",
        "Singular values by the swept field of the data",
        "Mean of the logarithms ± 1 std over seeds, of the student's weights and of the covariance of its training "
        "features. Where the data have shared inputs, a dotted line marks how many: Theorem 1 bounds the rank there.",
        diagnostics.value_spectra,
    ),
    ReportFigure(
        "split_loss",
        "results",
        "Distillation loss by its cause",
        "The feature distillation loss of a linear student over the training pairs: the part caused by the shared "
        "inputs (left, logarithmic) and by the other inputs (right), mean ± 1 std over seeds. Dashed: Corollary 1.1, "
        "mean over seeds. On data that are not completely separated the parts do not add up to the loss. Where the "
        "loss is a cross-entropy, the squared error is taken after each row's mean is removed, which that loss "
        "cannot see.",
        diagnostics.split_figure,
    ),
    ReportFigure(
        "seed_boxes",
        "results",
        "Results over seeds",
        "Best configuration of each arm. Box: quartiles and median; whiskers: the most distant seeds within 1.5 box "
        "lengths; rings: seeds beyond. Dark boxes distil through a bottleneck. With few seeds a box says little more "
        "than the points below.",
        diagnostics.boxes,
    ),
    ReportFigure(
        "seed_spread",
        "results",
        "Test results seed by seed",
        "Best configuration of each arm; a point is a seed, the bar next to the points is mean ± 1 std. Thin lines "
        "join the same seed, which shares teacher, initialisation and data order across arms.",
        results_and_search.spread,
    ),
    ReportFigure(
        "h_curve",
        "results",
        "Performance against the bottleneck dimension",
        "At each H the configuration that is best on validation, mean ± 1 std over seeds; faint points are all "
        "complete configurations. Dashed lines: best configuration of each arm without a bottleneck, with ± 1 std as a "
        "bar in the right margin. The points were chosen on validation, so the validation panel is optimistic. More "
        "than four arms get a panel each, on the test split, with the baseline and the arm that has the same loss "
        "without a bottleneck.",
        results_and_search.h_curve,
    ),
    ReportFigure(
        "suggested_h",
        "results",
        "H from the spectrum",
        "Above: logarithms of the singular values of ẑ', the bottleneck's output for the teacher's features, by H; "
        "mean over seeds, down to the floor of the rule. Dashed: the suggested H, the smallest whose spectrum equals"
        " that of all larger ones under the rule. Below: each arm's configuration at each H that is best on "
        "validation, mean ± 1 std over seeds on the test split (CIBA paper, Fig. 12). Arms that distil the same "
        "bottlenecks share a panel.",
        suggested_h.suggested_h_figure,
    ),
    ReportFigure(
        "spectra",
        "results",
        "Singular values of the student's features",
        "Training features of each arm's best configuration. A line that falls off early uses few dimensions "
        "(dimensional collapse). The effective rank, exp of the entropy of the normalised values, is averaged over "
        "seeds.",
        results_and_search.feature_spectra,
    ),
    ReportFigure(
        "weight_spectra",
        "results",
        "Singular values of the student's linear weights",
        "Best configuration of each arm, mean of the logarithms ± 1 std over seeds.",
        diagnostics.weight_spectra,
    ),
    ReportFigure(
        "dimensions",
        "results",
        "Feature dimensions in the plane",
        "t-SNE of feature dimensions, each a vector over the same test examples: the teacher's (grey, the same in each "
        "panel), the baseline student's, and those of the best arms with plain feature distillation and with a "
        "bottleneck; all embedded together, first seed. Distances between far groups mean nothing in such a picture.",
        diagnostics.dimension_figure,
    ),
    ReportFigure(
        "clip_trajectories",
        "contrastive",
        "Distance to the teacher",
        "KL divergence and squared distance between student and teacher on the validation split after every epoch, "
        "mean ± 1 std over seeds, best configuration of each arm; measured for every arm, whether or not its loss has "
        "the term. KL at one temperature. No MSE where the widths differ and the arm trains no projection.",
        contrastive.trajectory_figure,
    ),
    ReportFigure(
        "clip_by_temperature",
        "contrastive",
        "Distance to the teacher by temperature",
        BY_FIELD,
        partial(contrastive.by_field, field="temperature"),
    ),
    ReportFigure(
        "clip_by_batch_size",
        "contrastive",
        "Distance to the teacher by batch size",
        BY_FIELD,
        partial(contrastive.by_field, field="batch_size"),
    ),
    ReportFigure(
        "clip_neighbours",
        "contrastive",
        "Nearest neighbours in common with the teacher",
        "Share of the k nearest neighbours on the test split that student and teacher have in common: mean ± 1 std "
        "over seeds, each seed as a point, best configuration of each arm. Dotted: the chance level.",
        contrastive.neighbour_figure,
    ),
    ReportFigure(
        "clip_plane",
        "contrastive",
        "Students in the teacher's principal plane",
        "Principal components of the teacher's embeddings of the test split, fitted to the teacher alone (share of its "
        "variance on the axes), with the students' embeddings in the same plane; first seed of each arm's best "
        "configuration. Thin lines join some students' points to their teacher's.",
        contrastive.plane_figure,
    ),
    ReportFigure(
        "clip_joint",
        "contrastive",
        "Images and captions in one plane",
        "Embeddings of images and of their first captions in the plane of each network's own principal components; "
        "first seed of each arm's best configuration. Thin lines join some pairs. A gap between the colours is the "
        "modality gap.",
        contrastive.joint_figure,
    ),
    ReportFigure(
        "learning_curves",
        "search",
        "Learning curves",
        "Objective after each epoch for the best configuration of each arm. The axis is scaled by the second half of "
        "training.",
        results_and_search.learning,
    ),
    ReportFigure(
        "history",
        "search",
        "Optimisation history",
        "Every proposal of each arm in the order in which it was made.",
        results_and_search.history,
    ),
    ReportFigure(
        "sweeps",
        "search",
        "Swept hyperparameters",
        "Every complete configuration, mean over seeds. The other hyperparameters differ from point to point.",
        results_and_search.sweeps,
    ),
    ReportFigure(
        "importance",
        "search",
        "Importance of the hyperparameters",
        "PED-ANOVA (Optuna): which hyperparameters distinguish an arm's best configurations from all others, as shares "
        "that sum to 1. With few configurations this is a rough guide.",
        results_and_search.importances,
    ),
)
