"""PySlowFast's import path of the metrics, which live in ``slowfast.evaluation.metrics``."""

from slowfast.evaluation.metrics import topk_accuracies, topk_errors, topks_correct

__all__ = ["topk_accuracies", "topk_errors", "topks_correct"]
