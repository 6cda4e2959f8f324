/* In a worker process: lock it, then run jobs and write a record for each. */

#ifndef CODEDPO_WORKER_H
#define CODEDPO_WORKER_H

#include "encode.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define FRAMES_OF_CELLS 4 /* Python frames of cells.py, which are missing when it is not used */

/* --- run */

/* The record of the current exception, as bytes. */
static PyObject *raised(void)
{
    PyObject *type, *value, *traceback, *record;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (value && traceback)
        PyException_SetTraceback(value, traceback);
    record = PyObject_CallFunctionObjArgs(config.error_record, value ? value : Py_None, NULL);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    return record;
}

/* The `__main__` module of a program, which is run unless it has been; *broken: a record if it
   raised. */
static PyObject *defined(PyObject *program, PyObject **broken)
{
    PyObject *modules = PyImport_GetModuleDict(), *module, *names;
    *broken = NULL;
    if (PyModule_Check(program)) {
        PyDict_SetItem(modules, config.main_name, program);
        return Py_NewRef(program);
    }
    module = PyModule_NewObject(config.main_name);
    if (!module || PyDict_SetItem(modules, config.main_name, module))
        return NULL;
    names = PyModule_GetDict(module);
    if (PyDict_SetItemString(names, "__builtins__", config.builtins))
        return NULL;
    PyObject *result = PyEval_EvalCode(program, names, names);
    if (!result)
        *broken = raised();
    Py_XDECREF(result);
    return module;
}

/* What `values_record` of cells.py returns for values, as bytes. */
static PyObject *encoded(PyObject **values, Py_ssize_t count)
{
    PyObject *list = PyList_New(0), *record = NULL;
    for (Py_ssize_t i = 0; list && i < count; i++)
        if (PyList_Append(list, values[i]))
            Py_CLEAR(list);
    if (list)
        record = PyObject_CallFunctionObjArgs(config.values_record, list, NULL);
    Py_XDECREF(list);
    return record ? record : raised();
}

/* Evaluate the calls of a cell that has nothing else to do: 1 if its record is in `text`, or in
   *record; 0 if there is none. The values die before it is sent, as they do in Python. */
static int called(PyObject *calls, PyObject *names, Text *text, PyObject **record)
{
    Py_ssize_t count = PyTuple_Size(calls), have = 0;
    PyObject *values[PLAIN_CALLS];
    int plain = 1;
    *record = NULL;
    for (int i = 0; i < FRAMES_OF_CELLS; i++)
        Py_EnterRecursiveCall("");
    for (; have < count; have++)
        if (!(values[have] = PyEval_EvalCode(PyTuple_GetItem(calls, have), names, names)))
            break;
    for (int i = 0; i < FRAMES_OF_CELLS; i++)
        Py_LeaveRecursiveCall();
    text->size = 0;
    PUT(text, VALUES);
    if (have < count)
        *record = raised(), plain = 0;
    for (Py_ssize_t i = 0; plain && i < count; i++)
        plain = (!i || PUT(text, "\n")) && put_value(text, values[i], 0);
    if (!plain && !*record)
        *record = have == count ? encoded(values, count) : NULL;
    while (have)
        Py_DECREF(values[--have]);
    return plain || *record;
}

/* Append a record to the results; the new offset, or 0 if the worker should end. */
static off_t send(const char *data, uint32_t size, off_t offset)
{
    static const char no_memory[] = NO_MEMORY;
    char whole[sizeof size + TEXT];
    if (offset && size >= sizeof no_memory - 1 && !memcmp(data, no_memory, sizeof no_memory - 1))
        return 0; /* perhaps because of other jobs' garbage: again, first in a new worker */
    memcpy(whole, &size, sizeof size);
    if (size <= TEXT) {
        memcpy(whole + sizeof size, data, size);
        offset += pwrite(config.results, whole, sizeof size + size, offset);
    } else {
        offset += pwrite(config.results, whole, sizeof size, offset);
        offset += pwrite(config.results, data, size, offset);
    }
    if (offset > (off_t)(config.file / 4) || clock_seconds(CLOCK_THREAD_CPUTIME_ID) > SHARED_WORKER_SECONDS)
        return 0; /* a new worker continues, with an empty file */
    return offset;
}

/* Run `count` jobs from `first` on, and write a record for each. */
static void run_jobs(PyObject *programs, PyObject *cells, PyObject *jobs, Py_ssize_t first,
                     Py_ssize_t count)
{
    PyObject *module = NULL, *broken = NULL, *record;
    long current = -1;
    off_t offset = 0;
    Text text;
    for (Py_ssize_t i = first; i < first + count; i++) {
        PyObject *job = PyList_GetItem(jobs, i);
        long program = PyLong_AsLong(PyTuple_GetItem(job, 0));
        long number = PyLong_AsLong(PyTuple_GetItem(job, 1));
        PyObject *cell = PyList_GetItem(cells, number); /* (calls or None, Cell) */
        PyObject *calls = PyTuple_GetItem(cell, 0);
        if (program != current) {
            Py_XDECREF(module);
            Py_CLEAR(broken);
            current = program;
            module = defined(PyList_GetItem(programs, program), &broken);
            if (!module)
                return;
        }
        PyObject *names = PyModule_GetDict(module);
        if (broken)
            record = Py_NewRef(broken);
        else if (calls == Py_None)
            record = PyObject_CallFunctionObjArgs(config.run_cell, PyTuple_GetItem(cell, 1), names, NULL);
        else if (!called(calls, names, &text, &record))
            return;
        char *data = text.data;
        Py_ssize_t size = text.size;
        if (record ? PyBytes_AsStringAndSize(record, &data, &size) : broken || calls == Py_None)
            return;
        offset = send(data, size, offset);
        Py_XDECREF(record);
        if (!offset)
            return;
    }
}

/* --- lock */

/* Set a resource limit, or keep a lower one that exists already; as lockdown.limit. */
static int limit(int kind, rlim_t soft, rlim_t hard)
{
    struct rlimit now, wanted = {soft, hard};
    if (!setrlimit(kind, &wanted))
        return 0;
    if (getrlimit(kind, &now))
        return -1;
    wanted.rlim_cur = soft < now.rlim_max ? soft : now.rlim_max;
    wanted.rlim_max = hard < now.rlim_max ? hard : now.rlim_max;
    return setrlimit(kind, &wanted);
}

/* Refuse new processes, prctl, and signals to others: the program of seccomp.py, with this pid. */
static int filter_calls(void)
{
    struct sock_filter code[BPF_MAXINSNS];
    char *data;
    Py_ssize_t size;
    uint32_t me = getpid();
    if (PyBytes_AsStringAndSize(config.filter, &data, &size) || size > (Py_ssize_t)sizeof code)
        return -1;
    if (!size)
        return 0;
    memcpy(code, data, size);
    memcpy((char *)code + config.pid_at, &me, sizeof me);
    struct sock_fprog program = {size / sizeof *code, code};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

/* Close all descriptors above stderr except two; as process_tools.keep_only. */
static int close_except(int one, int other)
{
    int low = one < other ? one : other, high = one < other ? other : one;
    return (low > 3 && syscall(SYS_close_range, 3, low - 1, 0)) ||
           (high > low + 1 && syscall(SYS_close_range, low + 1, high - 1, 0)) ||
           syscall(SYS_close_range, high + 1, ~0u, 0);
}

/* As lockdown.die_with_parent, process_tools.keep_only and lockdown.lock_worker; 0 on success. */
static int lock(pid_t parent, Py_ssize_t jobs)
{
    sigset_t child;
    rlim_t cpu = kernel_cpu_limit(jobs);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) || getppid() != parent)
        return -1;
    return sigprocmask(SIG_UNBLOCK, &child, NULL) || close_except(config.results, config.started[1]) ||
           limit(RLIMIT_CPU, cpu, cpu + 1) || limit(RLIMIT_FSIZE, config.file, config.file) ||
           limit(RLIMIT_NPROC, 0, 0) || limit(RLIMIT_NOFILE, 64, 64) ||
           limit(RLIMIT_CORE, 0, 0) || filter_calls() || limit(RLIMIT_AS, config.memory, config.memory);
}

#endif
