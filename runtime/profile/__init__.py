"""Where the time of a training step goes.

In: a program in a device's memory. Out: seconds of every kernel within whole steps (`steps`), the
rates that this machine reaches (`peaks`), and both together as rows for people (`report`).
"""

from .peaks import Peaks, measure_peaks
from .report import BY, Profile, Row, report
from .steps import StepTimes, profile

__all__ = ["BY", "Peaks", "Profile", "Row", "StepTimes", "measure_peaks", "profile", "report"]
