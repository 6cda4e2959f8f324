"""Run untrusted Python, one process per test, with verdicts that the code cannot forge.

What holds on Linux, as root or as an ordinary user, in an ordinary container (`codedpo doctor` and
the report name each layer that the kernel lacks):

- One fresh process per cell (solution x test), forked from a small locked interpreter; cells that
  provably leave nothing behind (`purity.py`) share one. No cell sees what another did; a crash,
  hang or memory bomb costs that cell only.
- Limits on CPU time, waiting, address space, file size, open files; no processes or threads of its
  own; killed with its parent. Compiling a source is limited too. Where a cgroup v2 can be divided,
  the memory of the whole sandbox is limited.
- What the machine kills (because memory runs out, for example) gets no verdict: it is run again.
- No network, no writing outside an empty scratch folder, no reading outside the Python
  installation, no signals to other processes; stdin is empty, output goes nowhere, the
  environment is scrubbed.
- For tests of the form `assert f(args) == x`, the expected value never enters the process.

What does not hold:

- Tests of any other form run in the solution's own process and trust it (`sealed` is false).
- Installed packages are readable, and so is whatever world-readable file lies in the readable
  folders. Without Landlock (old kernels, gVisor) every readable file is.
- A flaw in the kernel is out of scope: run the whole build in a virtual machine against that.
- Off Linux only the rlimits hold, and nothing is timed; every run warns.

`client.Sandbox` is the entry point. The zygote imports this package too, so nothing is imported
here.
"""
