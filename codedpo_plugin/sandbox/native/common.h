/* What the parts of the C runner share: settings, and the values that protocol.py has too. */

#ifndef CODEDPO_COMMON_H
#define CODEDPO_COMMON_H

#define _GNU_SOURCE
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* As in protocol.py; tests/sandbox/test_protocol.py compares them. */
enum { ENDED, CPU_LIMIT, WALL_LIMIT };

#define HEADER 25
#define VALUES "v"
#define NO_MEMORY "eMemoryError"
#define SHARED_WORKER_SECONDS 1.0
#define WALL_BASE 2.0
#define WALL_PER_CPU_LIMIT 4.0
#define WALL_PER_CPU_USED 20.0
#define KERNEL_MARGIN 2
#define PLAIN_CALLS 8

static struct {
    int results, replies, started[2], scratch, memory_file;
    double seconds; /* CPU limit of a job */
    rlim_t memory, file;
    PyObject *filter; /* bytes: the BPF program of a worker; empty without seccomp */
    Py_ssize_t pid_at; /* offset of the pid in it */
    PyObject *run_cell, *values_record, *error_record, *clean; /* of cells.py, runner.py */
    PyObject *builtins, *main_name;
} config;

static double clock_seconds(clockid_t clock)
{
    struct timespec t = {0, 0};
    clock_gettime(clock, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static int write_all(int file, const char *data, size_t size)
{
    while (size) {
        ssize_t n = write(file, data, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        data += n;
        size -= n;
    }
    return 0;
}

/* CPU seconds after which the kernel kills a worker, in case the fork server is late. */
static rlim_t kernel_cpu_limit(Py_ssize_t jobs)
{
    return (rlim_t)(config.seconds * jobs) + KERNEL_MARGIN;
}

/* Wall-clock seconds that a job may take if it has used `used` CPU seconds. */
static double wall_limit(double used)
{
    return WALL_BASE + WALL_PER_CPU_LIMIT * config.seconds + WALL_PER_CPU_USED * used;
}

#endif
