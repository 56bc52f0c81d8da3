"""Draw two figures of a study that has been run: the arms' test results, and the learning curves of the best trials.

python examples/compare_arms.py [STUDY] [FIGURE]

STUDY is the study file (default: `sweep.yaml`), FIGURE the picture to write (default: `compare_arms.png`).
"""

import sys

import matplotlib.pyplot as plt

import study

results = study.load(sys.argv[1] if len(sys.argv) > 1 else "sweep.yaml")
figure_file = sys.argv[2] if len(sys.argv) > 2 else "compare_arms.png"
objective = results.config.search.objectives[0].metric

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))

arms = results.arms().dropna(subset="test_mean")
left.errorbar(arms.test_mean, arms.arm, xerr=arms.test_std.astype(float), fmt="o", capsize=4)
left.set_xlabel(f"{arms.test_metric.iloc[0]}, mean ± std over seeds")
left.invert_yaxis()

for arm in arms.arm:
    best = results.best(arm)
    curves = [results.curves(trial_id)[objective] for trial_id in best.trial_ids]
    mean = sum(curves) / len(curves)
    right.plot(mean.index, mean, label=arm)
right.set_xlabel("epoch")
right.set_ylabel(f"{objective}, mean over seeds")
right.legend(title="best configuration of")

figure.tight_layout()
figure.savefig(figure_file, dpi=150)
print(f"figure  {figure_file}")
