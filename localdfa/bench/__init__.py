"""Speed, measured side by side: each workload runs ours and its peers in turn, in one invocation.

Every side lives in a process of its own, so that no library's threads or settings touch another's; the processes take
turns, and a figure is the median over the turns. A peer is one module here that defines ``make(workload)``.
"""
