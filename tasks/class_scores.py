"""What is to be known of a classifier beside its accuracy.

Accuracy and the F1 of a frequent class stay high where a rare class is never
found; what is here does not. Undefined shares (of a class that is never called,
or has no example) and areas (of one class alone) are 0.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np


def class_scores(
  labels: np.ndarray, outputs: np.ndarray, names: Sequence[str], positive: int
) -> dict[str, Any]:
  """Computes scores of all classes, and of each.

  Args:
    labels: int [examples].
    outputs: logits [examples, classes].
    names: of the classes.
    positive: of two classes the one that is looked for.

  Returns:
    `balanced_accuracy` (mean recall of the classes that have examples); `mcc`
    (Matthews; of more classes R_K, Gorodkin 2004, doi
    10.1016/j.compbiolchem.2004.09.006); of two classes `macro_f1`, and the
    areas `roc_auc` and `pr_auc` of the positive one; `per_class`; and
    `collapsed`, where all examples are called one class though they are not.
  """
  # Imported here: scikit-learn costs a second.
  from sklearn import metrics

  called = np.argmax(outputs, axis=-1)
  every = range(len(names))
  precision, recall, f1, count = metrics.precision_recall_fscore_support(
    labels, called, labels=every, zero_division=0.0
  )
  several = len({*labels, *called}) > 1
  found: dict[str, Any] = {
    "balanced_accuracy": float(recall[count > 0].mean()),
    "mcc": float(metrics.matthews_corrcoef(labels, called)) if several else 0.0,
  }
  if len(names) == 2:
    areas = {"roc_auc": 0.0, "pr_auc": 0.0}
    if all(count):
      scores = outputs[:, positive] - outputs[:, 1 - positive]
      truth = labels == positive
      areas["roc_auc"] = float(metrics.roc_auc_score(truth, scores))
      areas["pr_auc"] = float(metrics.average_precision_score(truth, scores))
    found |= {"macro_f1": float(f1.mean()), **areas}
  found["per_class"] = {
    name: {
      "precision": float(precision[i]),
      "recall": float(recall[i]),
      "f1": float(f1[i]),
      "examples": int(count[i]),
    }
    for i, name in enumerate(names)
  }
  if len(set(called)) == 1 and np.count_nonzero(count) > 1:
    found["collapsed"] = f"all called {names[called[0]]}"
  return found
