"""Print the results of a study that has been run: its arms, its best configurations, its failed trials.

python examples/read_results.py [STUDY]

STUDY is the study file; the default is the quickstart, `sweep.yaml`, which `make study` runs. Only the study directory
is read, so the study may still be running.
"""

import sys

import study

results = study.load(sys.argv[1] if len(sys.argv) > 1 else "sweep.yaml")

print(f"Study {results.config.study} in {results.directory}\n")
columns = ["arm", "configurations", "n", "objective_mean", "test_mean", "test_std", "difference", "holm_p"]
print(results.arms()[columns].to_string(index=False, float_format="%.4f", na_rep="-"))

print("\nBest configuration of each arm:")
for arm in results.config.arms:
    try:
        best = results.best(arm.name)
    except study.StudyError as error:
        print(f"  {error}")
        continue
    values = ", ".join(f"{name} = {value}" for name, value in best.params.items())
    print(f"  {arm.name}: {values}; {best.metric} = {best.mean:.4f} (n = {best.n})")

trials = results.trials()
print("\nTrials by arm and status:")
print(trials.groupby(["arm", "status"], sort=False).size().to_string())
failed = trials[trials.status == "failed"]
print(f"\n{len(failed)} failed trials")
for trial in failed.itertuples():
    print(f"  {trial.trial_id} ({trial.arm}, seed {trial.seed}): {trial.error}")
