"""Run untrusted Python, one process per test, with verdicts that the code cannot give itself.

What holds on Linux, as root or as an ordinary user, in an ordinary container (each layer that the
kernel lacks is named by `codedpo doctor` and in the report):

- One fresh process per cell (solution x test), forked from a small locked interpreter; cells that
  provably leave nothing behind (`purity.py`) share one. No cell sees what another did; a crash,
  hang or memory bomb loses that cell alone.
- Limits on CPU time (decides), waiting, address space, file size, open files; no processes or
  threads of its own; killed with its parent. Compiling a source is limited too. Where a cgroup v2
  can be divided, a limit on the memory of everything that a sandbox does.
- What the machine ends (memory runs out, a process is killed) is no verdict: it is run again.
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

`client.Sandbox` is the way in; the zygote imports this package too, so nothing is imported here.
"""
