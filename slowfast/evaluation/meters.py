"""What the loops measure, by one import.

The meters take 0-d tensors as they come and read them once per log period, so that measuring does
not make the loop wait for the device. Errors are percentages, times seconds.
"""

from slowfast.evaluation.eval_meters import TestMeter, ValMeter
from slowfast.evaluation.measuring import IterationClock, ScalarMeter
from slowfast.evaluation.train_meter import TrainMeter

__all__ = ["IterationClock", "ScalarMeter", "TestMeter", "TrainMeter", "ValMeter"]
