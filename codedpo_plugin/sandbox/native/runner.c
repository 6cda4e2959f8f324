/* The runner in C: what `Runner` in runner.py does, if a compiler was found (Linux; hatch_build.py).

   The cost of a worker is what the kernel takes to copy page tables and the pages that worker and
   fork server touch. So between two workers the fork server runs no Python, and a worker runs only
   the Python code of the program and the cell; that of cells.py runs for unusual values and errors.

   Everything here runs before the untrusted code (fork, lock), or in the trusted fork server (wait,
   read), which accepts only bytes of a bounded length from a worker. */

#include "memory.h"
#include "worker.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define ROOM 4096        /* bytes of results that are read without allocation */
#define MANY 50          /* workers, from which on turning memory into a file pays off */
#define FRAMES (1 << 16) /* bytes: replies are buffered up to this size ... */
#define HOLD 0.1         /* ... or for this many seconds */

PyDoc_STRVAR(settle_doc,
             "settle(file, maps): make this process's memory cheap to fork, once it is locked.\n\n"
             "`file`: in memory, and nobody else's; `maps`: /proc/self/maps.");

static PyObject *settle(PyObject *Py_UNUSED(self), PyObject *arguments)
{
    int file, maps;
    char *code = NULL, *code_end = NULL;
    if (!PyArg_ParseTuple(arguments, "ii", &file, &maps))
        return NULL;
    if (read_maps(maps, &code, &code_end))
        return PyErr_SetFromErrno(PyExc_OSError);
    turn_all_into_file(file);
    enlarge_pages(code, code_end);
    Py_RETURN_NONE;
}

static pid_t start(PyObject *programs, PyObject *cells, PyObject *jobs, Py_ssize_t first,
                   Py_ssize_t count)
{
    pid_t me = getpid(), pid;
    int shared[] = {0, 1, 2, config.results};
    if (ftruncate(config.results, 0) || lseek(config.results, 0, SEEK_SET))
        return -1;
    for (int i = 0; i < 4; i++) /* no worker sees what another has set */
        fcntl(shared[i], F_SETFL, 0);
    pid = fork(); /* without Python's hooks `random` keeps its state */
    if (pid == 0) {
        if (!lock(me, count) && write(config.started[1], ".", 1) == 1) {
            close(config.started[1]);
            run_jobs(programs, cells, jobs, first, count);
        }
        _exit(0);
    }
    return pid;
}

/* Wait for a worker, or kill it, as Runner in runner.py; its status, or -1 if the machine fails. */
static int await_worker(pid_t pid, Py_ssize_t jobs, int *number, double *seconds)
{
    clockid_t clock = (~(clockid_t)pid << 3) | 2; /* of the CPU time of a process */
    double pause = config.seconds, used_before = 0, since = clock_seconds(CLOCK_MONOTONIC);
    off_t written = 0;
    int status = ENDED;
    rlim_t last = kernel_cpu_limit(jobs);
    struct rusage usage;
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    for (;;) {
        double wait = pause > 0.005 ? pause : 0.005;
        struct timespec time = {(time_t)wait, (long)((wait - (time_t)wait) * 1e9)};
        struct stat file;
        sigtimedwait(&child, NULL, &time);
        pid_t done = wait4(pid, number, WNOHANG, &usage);
        if (done < 0)
            return -1;
        if (!done) {
            double used = clock_seconds(clock), now = clock_seconds(CLOCK_MONOTONIC);
            pause = config.seconds / 4;
            if (jobs && !fstat(config.results, &file) && file.st_size != written) {
                written = file.st_size, used_before = used, since = now, jobs--;
                continue;
            }
            double spent = used - used_before;
            if (spent < config.seconds && now - since < wall_limit(spent))
                continue;
            status = spent >= config.seconds ? CPU_LIMIT : WALL_LIMIT;
            kill(pid, SIGKILL);
            if (wait4(pid, number, 0, &usage) < 0)
                return -1;
        }
        *seconds = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
                   1e-6 * (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
        if (*number == SIGKILL && status == ENDED && *seconds > last)
            status = CPU_LIMIT; /* the kernel was quicker */
        return status;
    }
}

/* Whether the last worker was locked; if not, the machine failed, not the solution. */
static int was_locked(void)
{
    char message[2];
    return read(config.started[0], message, sizeof message) == 1 && message[0] == '.';
}

/* Empty the scratch folder if there is anything in it. */
static int clean_scratch(void)
{
    char entries[512];
    long size, at = 0;
    lseek(config.scratch, 0, SEEK_SET);
    size = syscall(SYS_getdents64, config.scratch, entries, sizeof entries);
    for (int seen = 0; at < size; at += *(uint16_t *)(entries + at + 16))
        if (++seen > 2 || entries[at + 19] != '.') { /* more than . and .. */
            PyObject *done = PyObject_CallNoArgs(config.clean);
            Py_XDECREF(done);
            return done ? 0 : -1;
        }
    return size < 0 ? -1 : 0;
}

static struct {
    char data[FRAMES];
    size_t size;
} frames;

static int flush(void)
{
    size_t size = frames.size;
    frames.size = 0;
    return write_all(config.replies, frames.data, size);
}

/* Buffer or send a reply (protocol.py: pack). */
static int reply(int status, PyObject *job, int number, double seconds, const char *text,
                 uint32_t size)
{
    uint32_t program = PyLong_AsLong(PyTuple_GetItem(job, 0));
    uint32_t cell = PyLong_AsLong(PyTuple_GetItem(job, 1));
    if (frames.size + HEADER + size > FRAMES && flush())
        return -1;
    char *frame = frames.data + frames.size;
    frame[0] = (char)status;
    memcpy(frame + 1, &program, 4);
    memcpy(frame + 5, &cell, 4);
    memcpy(frame + 9, &number, 4);
    memcpy(frame + 13, &seconds, 8);
    memcpy(frame + 21, &size, 4);
    frames.size += HEADER;
    if (frames.size + size > FRAMES)
        return flush() || write_all(config.replies, text, size);
    memcpy(frames.data + frames.size, text, size);
    frames.size += size;
    return 0;
}

/* What a worker has written: its size, or -1. In `room` if it fits, else freed by the caller. */
static Py_ssize_t read_results(char *room, char **data)
{
    struct stat file;
    *data = room;
    if (fstat(config.results, &file) || (file.st_size > ROOM && !(*data = PyMem_Malloc(file.st_size))))
        return -1;
    return pread(config.results, *data, file.st_size, 0) == file.st_size ? file.st_size : -1;
}

/* Find up to `most` records; their number. The data is not trusted: it ends with the last complete
   record, and if only one is expected, incomplete data holds none. */
static Py_ssize_t records(Py_ssize_t most, const char *data, Py_ssize_t size, const char **texts,
                          uint32_t *sizes)
{
    Py_ssize_t offset = 0, count = 0;
    while (count < most && offset + 4 <= size) {
        memcpy(&sizes[count], data + offset, 4);
        if (offset + 4 + (Py_ssize_t)sizes[count] > size)
            break;
        texts[count] = data + offset + 4;
        offset += 4 + (Py_ssize_t)sizes[count++];
    }
    return offset == size || most > 1 ? count : 0;
}

typedef struct {
    Py_ssize_t done;
    int timed_out; /* whether the last worker was killed at a limit */
    double seconds; /* its CPU time */
} Ran;

/* Reply to the jobs of a worker that has ended: those with records, and the one it died in. */
static int reply_all(PyObject *jobs, Py_ssize_t count, int status, int number, const char **texts,
                     uint32_t *sizes, Ran *ran)
{
    char room[ROOM], *data; /* on the stack: pages that every fork copies anyway */
    Py_ssize_t size = read_results(room, &data), first = ran->done;
    Py_ssize_t whole = size < 0 ? -1 : records(count, data, size, texts, sizes);
    int died = whole < count && (status || !whole), failed = whole < 0;
    double each = ran->seconds / (double)(whole + died);
    for (Py_ssize_t i = 0; i < whole && !failed; i++)
        failed = reply(ENDED, PyList_GetItem(jobs, first + i), 0, each, texts[i], sizes[i]);
    if (died && !failed)
        failed = reply(status, PyList_GetItem(jobs, first + whole), number, each, NULL, 0);
    if (data != room)
        PyMem_Free(data);
    ran->done += whole + died;
    return failed ? -1 : 0;
}

/* Run `count` jobs in one worker and reply; -1 if the machine failed. */
static int run_worker(PyObject *programs, PyObject *cells, PyObject *jobs, Py_ssize_t count,
                    const char **texts, uint32_t *sizes, Ran *ran)
{
    int number = 0;
    pid_t pid = start(programs, cells, jobs, ran->done, count);
    int status = pid < 0 ? -1 : await_worker(pid, count, &number, &ran->seconds);
    if (status < 0 || !was_locked() || clean_scratch())
        return -1;
    ran->timed_out = status != ENDED;
    return reply_all(jobs, count, status, number, texts, sizes, ran);
}

static long program_of(PyObject *jobs, Py_ssize_t i)
{
    return PyLong_AsLong(PyTuple_GetItem(PyList_GetItem(jobs, i), 0));
}

/* Add to a program's CPU seconds; the sum, or -1. */
static double add(PyObject *spent, long program, double seconds)
{
    PyObject *old = PyList_GetItem(spent, program);
    double sum = old ? PyFloat_AsDouble(old) + seconds : -1;
    return sum < 0 || PyList_SetItem(spent, program, PyFloat_FromDouble(sum)) ? -1 : sum;
}

PyDoc_STRVAR(run_doc, "run(programs, cells, jobs, per_worker, seconds, spent, budget, hold): see Runner.run");

static PyObject *run(PyObject *Py_UNUSED(self), PyObject *arguments)
{
    PyObject *programs, *cells, *jobs;
    PyObject *spent;
    Py_ssize_t per_worker;
    double budget, used = 0;
    int hold, failed = 0;
    Ran ran = {0, 0, 0};
    if (!PyArg_ParseTuple(arguments, "OOOndOdp", &programs, &cells, &jobs, &per_worker, &config.seconds,
                          &spent, &budget, &hold))
        return NULL;
    Py_ssize_t size = PyList_Size(jobs);
    per_worker = per_worker < size ? per_worker : size;
    const char **texts = PyMem_Malloc((per_worker + 1) * sizeof *texts);
    uint32_t *sizes = PyMem_Malloc((per_worker + 1) * sizeof *sizes);
    double since = clock_seconds(CLOCK_MONOTONIC);
    if (per_worker == 1 && size >= MANY)
        turn_all_into_file(config.memory_file); /* again: then it is copied onto itself */
    failed = !texts || !sizes;
    while (!failed && ran.done < size) {
        Py_ssize_t first = ran.done, count = size - first < per_worker ? size - first : per_worker;
        long program = program_of(jobs, first);
        failed = run_worker(programs, cells, jobs, count, texts, sizes, &ran);
        if (per_worker > 1) {
            for (Py_ssize_t i = first; i < ran.done; i++)
                failed |= add(spent, program_of(jobs, i), ran.seconds / (ran.done - first)) < 0;
            break;
        }
        used += ran.seconds;
        if (ran.timed_out || ran.done == size || program_of(jobs, ran.done) != program || used > budget) {
            double sum = add(spent, program, used);
            used = 0;
            failed |= sum < 0;
            if (ran.timed_out || sum > budget)
                break;
        }
        double now = clock_seconds(CLOCK_MONOTONIC);
        if (!hold || now - since > HOLD) {
            failed |= flush();
            since = now;
        }
    }
    failed |= flush();
    PyMem_Free(texts);
    PyMem_Free(sizes);
    if (failed)
        return PyErr_Occurred() ? NULL : PyErr_SetFromErrno(PyExc_OSError);
    return Py_BuildValue("nO", ran.done, ran.timed_out ? Py_True : Py_False);
}

PyDoc_STRVAR(configure_doc, "configure(...): what `run` needs; see NativeRunner");

static PyObject *configure(PyObject *Py_UNUSED(self), PyObject *arguments)
{
    unsigned long long memory, file;
    if (!PyArg_ParseTuple(arguments, "ii(ii)iiKKSnOOOOO", &config.results, &config.replies,
                          &config.started[0], &config.started[1], &config.scratch, &config.memory_file, &memory, &file,
                          &config.filter, &config.pid_at, &config.run_cell, &config.values_record,
                          &config.error_record, &config.clean, &config.builtins))
        return NULL;
    config.memory = memory;
    config.file = file;
    if (!config.main_name && !(config.main_name = PyUnicode_InternFromString("__main__")))
        return NULL;
    Py_INCREF(config.filter);
    Py_INCREF(config.run_cell);
    Py_INCREF(config.values_record);
    Py_INCREF(config.error_record);
    Py_INCREF(config.clean);
    Py_INCREF(config.builtins);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"configure", configure, METH_VARARGS, configure_doc},
    {"run", run, METH_VARARGS, run_doc},
    {"settle", settle, METH_VARARGS, settle_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_runner",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__runner(void)
{
    return PyModule_Create(&module);
}
