"""The most memory that a process has held, for programs that tests start.

``getrusage`` would begin with what the process held that started it.
"""

PEAK = "int(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
"""An expression for programs in Python: kilobytes."""
