/* Leaves in C: what `leaves.py` does, where a compiler was found (Linux; see hatch_build.py).

   A leaf costs what the kernel takes to copy page tables and the pages that leaf and row process
   touch. So between two leaves the row process runs no Python, and a leaf runs none but the
   program's, the cell's, and, for values and errors out of the ordinary, that of `cells.py`.

   Everything here runs before the untrusted code (fork, lock) or in the trusted row process (wait,
   read), which takes nothing from a leaf but bytes of a bounded length. */

#define _GNU_SOURCE
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

enum { ENDED, CPU_LIMIT, WALL_LIMIT };

/* As in protocol.py; tests/sandbox/test_protocol.py compares. */
#define HEADER 25
#define VALUES "v"
#define NO_MEMORY "eMemoryError"
#define SHARED_WORKER_SECONDS 1.0
#define WALL_BASE 2.0
#define WALL_PER_CPU_LIMIT 4.0
#define WALL_PER_CPU_USED 20.0
#define KERNEL_MARGIN 2
#define PLAIN_CALLS 8

#define TEXT 2048             /* values that are longer are encoded by encoding.py */
#define DEPTH 20
#define FRAMES_OF_CELLS 4     /* of cells.py, which are not there when it is not used */
#define ROOM 4096             /* bytes of results */
#define SMALL (1 << 16)       /* bytes: not worth a mapping */
#define MANY 50               /* leaves, from which on turning memory into a file pays */
#define HUGE (2ul << 20)
#define FRAMES (1 << 16)      /* replies are held back up to this size ... */
#define HOLD 0.1              /* ... or for so many seconds */

static struct {
    int results, replies, started[2], scratch, memory_file;
    double seconds;
    rlim_t memory, file;
    PyObject *filter; /* bytes: the BPF program of a leaf; empty without seccomp */
    Py_ssize_t pid_at; /* in it */
    PyObject *run_cell, *values_record, *error_record, *clean; /* of cells.py, leaves.py */
    PyObject *builtins, *main_name;
} my;

/* --- clocks and small things */

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

/* --- values: the texts that encoding.encode makes, for the commonest types */

typedef struct {
    char data[TEXT];
    size_t size;
} Text;

static int put(Text *text, const char *data, size_t size)
{
    if (text->size + size > TEXT)
        return 0;
    memcpy(text->data + text->size, data, size);
    text->size += size;
    return 1;
}

#define PUT(text, literal) put(text, literal, sizeof literal - 1)

static int put_string(Text *text, PyObject *value)
{
    Py_ssize_t size;
    const char *data = PyUnicode_AsUTF8AndSize(value, &size);
    if (!data) {
        PyErr_Clear(); /* a lone surrogate */
        return 0;
    }
    for (Py_ssize_t i = 0; i < size; i++)
        if (data[i] < ' ' || data[i] > '~' || data[i] == '"' || data[i] == '\\')
            return 0;
    return PUT(text, "\"") && put(text, data, size) && PUT(text, "\"");
}

static int put_number(Text *text, PyObject *value, PyTypeObject *kind)
{
    if (kind == &PyLong_Type) {
        char digits[32];
        int overflow;
        long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
        return !overflow && put(text, digits, snprintf(digits, sizeof digits, "%lld", number));
    }
    double number = PyFloat_AsDouble(value);
    if (number != number || number - number != 0.0)
        return 0; /* not finite */
    char *digits = PyOS_double_to_string(number, 'r', 0, Py_DTSF_ADD_DOT_0, NULL);
    int done = digits && put(text, digits, strlen(digits));
    PyMem_Free(digits);
    return done;
}

static int put_value(Text *text, PyObject *value, int depth);

static int put_dict(Text *text, PyObject *value, int depth)
{
    Py_ssize_t position = 0, count = 0;
    PyObject *key, *item;
    if (!PUT(text, "{\"dict\":["))
        return 0;
    while (PyDict_Next(value, &position, &key, &item)) {
        if (count++ && !PUT(text, ","))
            return 0;
        if (!PUT(text, "[") || !put_value(text, key, depth + 1) || !PUT(text, ",") ||
            !put_value(text, item, depth + 1) || !PUT(text, "]"))
            return 0;
    }
    return PUT(text, "]}");
}

/* Append the text of a value; 0 where encoding.py has to say. Runs no code of the program: exact
   types only. */
static int put_value(Text *text, PyObject *value, int depth)
{
    PyTypeObject *kind = Py_TYPE(value);
    if (value == Py_None)
        return PUT(text, "null");
    if (kind == &PyBool_Type)
        return value == Py_True ? PUT(text, "true") : PUT(text, "false");
    if (kind == &PyUnicode_Type)
        return put_string(text, value);
    if (kind == &PyLong_Type || kind == &PyFloat_Type)
        return put_number(text, value, kind);
    if (depth >= DEPTH)
        return 0;
    if (kind == &PyDict_Type)
        return put_dict(text, value, depth);
    if (kind != &PyList_Type && kind != &PyTuple_Type)
        return 0;
    int tuple = kind == &PyTuple_Type;
    if (!(tuple ? PUT(text, "{\"tuple\":[") : PUT(text, "[")))
        return 0;
    Py_ssize_t size = tuple ? PyTuple_Size(value) : PyList_Size(value);
    for (Py_ssize_t i = 0; i < size; i++) {
        PyObject *item = tuple ? PyTuple_GetItem(value, i) : PyList_GetItem(value, i);
        if ((i && !PUT(text, ",")) || !put_value(text, item, depth + 1))
            return 0;
    }
    return tuple ? PUT(text, "]}") : PUT(text, "]");
}

/* --- in a leaf: run cells */

/* The record of the exception that is set, as bytes. */
static PyObject *raised(void)
{
    PyObject *type, *value, *traceback, *record;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (value && traceback)
        PyException_SetTraceback(value, traceback);
    record = PyObject_CallFunctionObjArgs(my.error_record, value ? value : Py_None, NULL);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    return record;
}

/* A new `__main__` in which a program has run, or that of one that has been run; *broken: a record
   if it raised. */
static PyObject *defined(PyObject *program, PyObject **broken)
{
    PyObject *modules = PyImport_GetModuleDict(), *module, *names;
    *broken = NULL;
    if (PyModule_Check(program)) {
        PyDict_SetItem(modules, my.main_name, program);
        return Py_NewRef(program);
    }
    module = PyModule_NewObject(my.main_name);
    if (!module || PyDict_SetItem(modules, my.main_name, module))
        return NULL;
    names = PyModule_GetDict(module);
    if (PyDict_SetItemString(names, "__builtins__", my.builtins))
        return NULL;
    PyObject *result = PyEval_EvalCode(program, names, names);
    if (!result)
        *broken = raised();
    Py_XDECREF(result);
    return module;
}

/* What `values_record` of cells.py says of values, as bytes. */
static PyObject *encoded(PyObject **values, Py_ssize_t count)
{
    PyObject *list = PyList_New(0), *record = NULL;
    for (Py_ssize_t i = 0; list && i < count; i++)
        if (PyList_Append(list, values[i]))
            Py_CLEAR(list);
    if (list)
        record = PyObject_CallFunctionObjArgs(my.values_record, list, NULL);
    Py_XDECREF(list);
    return record ? record : raised();
}

/* The record of a cell whose calls need nothing but evaluation: 1 if it is in `text`, or in *record;
   0 if there is none. The values die before it is sent, as they do in Python. */
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

/* Append a record to the results; the new offset, or 0 if the leaf is to end. */
static off_t send(const char *data, uint32_t size, off_t offset)
{
    static const char no_memory[] = NO_MEMORY;
    char whole[sizeof size + TEXT];
    if (offset && size >= sizeof no_memory - 1 && !memcmp(data, no_memory, sizeof no_memory - 1))
        return 0; /* perhaps for the garbage of others: again, first in a new leaf */
    memcpy(whole, &size, sizeof size);
    if (size <= TEXT) {
        memcpy(whole + sizeof size, data, size);
        offset += pwrite(my.results, whole, sizeof size + size, offset);
    } else {
        offset += pwrite(my.results, whole, sizeof size, offset);
        offset += pwrite(my.results, data, size, offset);
    }
    if (offset > (off_t)(my.file / 4) || clock_seconds(CLOCK_THREAD_CPUTIME_ID) > SHARED_WORKER_SECONDS)
        return 0; /* a new leaf goes on, with an empty file */
    return offset;
}

/* Run jobs from `first` on; a record for each. */
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
            record = PyObject_CallFunctionObjArgs(my.run_cell, PyTuple_GetItem(cell, 1), names, NULL);
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

/* --- in a leaf: lock */

/* Set a resource limit, or keep a lower one that is there already; as lockdown._limit. */
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

/* Refuse processes, prctl, and signals to others: lockdown's program, with this pid in it. */
static int filter_calls(void)
{
    struct sock_filter code[BPF_MAXINSNS];
    char *data;
    Py_ssize_t size;
    uint32_t me = getpid();
    if (PyBytes_AsStringAndSize(my.filter, &data, &size) || size > (Py_ssize_t)sizeof code)
        return -1;
    if (!size)
        return 0;
    memcpy(code, data, size);
    memcpy((char *)code + my.pid_at, &me, sizeof me);
    struct sock_fprog program = {size / sizeof *code, code};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

static int close_but(int one, int other)
{
    int low = one < other ? one : other, high = one < other ? other : one;
    return (low > 3 && syscall(SYS_close_range, 3, low - 1, 0)) ||
           (high > low + 1 && syscall(SYS_close_range, low + 1, high - 1, 0)) ||
           syscall(SYS_close_range, high + 1, ~0u, 0);
}

/* CPU seconds after which the kernel ends a leaf, should the row process be late. */
static rlim_t cpu_limit(Py_ssize_t jobs)
{
    return (rlim_t)(my.seconds * jobs) + KERNEL_MARGIN;
}

/* As lockdown.die_with_parent, leaf.keep_only and lockdown.lock_leaf; 0 if all of it is done. */
static int lock(pid_t parent, Py_ssize_t jobs)
{
    sigset_t child;
    rlim_t cpu = cpu_limit(jobs);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) || getppid() != parent)
        return -1;
    return sigprocmask(SIG_UNBLOCK, &child, NULL) || close_but(my.results, my.started[1]) ||
           limit(RLIMIT_CPU, cpu, cpu + 1) || limit(RLIMIT_FSIZE, my.file, my.file) ||
           limit(RLIMIT_NPROC, 0, 0) || limit(RLIMIT_NOFILE, 64, 64) ||
           limit(RLIMIT_CORE, 0, 0) || filter_calls() || limit(RLIMIT_AS, my.memory, my.memory);
}

/* --- memory: what a fork copies, and what a leaf faults in */

static struct {
    char *start;
    size_t size;
} ranges[256];
static int range_count;

/* Note what is private and has been written to (but for the stack and these variables), and where
   the interpreter's code and constants lie. */
static int read_maps(int maps, char **code, char **code_end)
{
    static char text[1 << 16];
    char last_name[256] = "", *start = NULL, *until = NULL;
    size_t size = 0;
    ssize_t n;
    while ((n = read(maps, text + size, sizeof text - 1 - size)) > 0)
        size += n;
    text[size] = 0;
    range_count = 0;
    for (char *line = text, *end; (end = strchr(line, '\n')) && range_count < 256; line = end + 1) {
        char *from, *to, rights[5] = "", name[256] = "";
        *end = 0;
        if (sscanf(line, "%p-%p %4s %*s %*s %*s %255s", (void **)&from, (void **)&to, rights, name) < 3)
            continue;
        if (!strcmp(rights, "r--p") || !strcmp(rights, "r-xp")) {
            if (from != until || strcmp(name, last_name))
                start = from;
            until = to;
            strcpy(last_name, name);
            if ((char *)PyEval_EvalCode >= start && (char *)PyEval_EvalCode < until)
                *code = start, *code_end = until;
        }
        if (!strcmp(rights, "rw-p") && to - from >= SMALL && strcmp(name, "[stack]") &&
            !(text >= from && text < to)) {
            ranges[range_count].start = from;
            ranges[range_count++].size = to - from;
        }
    }
    return n;
}

/* Have the interpreter's code in huge pages, as far as it fills them: one entry of a page table
   each, not one for every 4 KiB that each leaf uses. Nothing is done where the kernel has none. */
static void enlarge_pages(char *start, char *end)
{
    start = (char *)(((uintptr_t)start + HUGE - 1) & -HUGE);
    end = (char *)((uintptr_t)end & -HUGE);
    if (start >= end)
        return;
    size_t size = end - start;
    char *room = mmap(NULL, size + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED)
        return;
    char *copy = (char *)(((uintptr_t)room + HUGE - 1) & -HUGE);
    madvise(copy, size, MADV_HUGEPAGE);
    memcpy(copy, start, size);
    if (!madvise(copy, size, MADV_COLLAPSE) && !mprotect(copy, size, PROT_READ | PROT_EXEC))
        mremap(copy, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, start);
    munmap(room, size + HUGE);
}

/* Copy a range to the file and map the file's pages instead: private, so nothing else changes. Made
   of system calls alone, as nothing may be written to the range meanwhile. A range of which a part
   has been given back is left alone. */
static void turn_into_file(int file, off_t at, char *start, size_t size)
{
    for (size_t done = 0; done < size;) {
        long n = syscall(SYS_pwrite64, file, start + done, size - done, at + done);
        if (n <= 0)
            return;
        done += n;
    }
    syscall(SYS_mmap, start, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, file, at);
}

/* What the process has written so far becomes a private mapping of a file in memory: a fork then
   copies entries of page tables for what was touched since, not for all of it. */
static void turn_all_into_file(int file)
{
    off_t at = 0;
    for (int i = 0; i < range_count; at += ranges[i++].size)
        turn_into_file(file, at, ranges[i].start, ranges[i].size);
}

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

/* --- in the row process */

static pid_t start(PyObject *programs, PyObject *cells, PyObject *jobs, Py_ssize_t first,
                   Py_ssize_t count)
{
    pid_t me = getpid(), pid;
    int shared[] = {0, 1, 2, my.results};
    if (ftruncate(my.results, 0) || lseek(my.results, 0, SEEK_SET))
        return -1;
    for (int i = 0; i < 4; i++) /* no leaf sees an offset or flag that another set */
        fcntl(shared[i], F_SETFL, 0);
    pid = fork(); /* without Python's hooks `random` keeps its state */
    if (pid == 0) {
        if (!lock(me, count) && write(my.started[1], ".", 1) == 1) {
            close(my.started[1]);
            run_jobs(programs, cells, jobs, first, count);
        }
        _exit(0);
    }
    return pid;
}

/* Wall-clock seconds that a job may take which has used so many CPU seconds (protocol.py). */
static double wall_limit(double used)
{
    return WALL_BASE + WALL_PER_CPU_LIMIT * my.seconds + WALL_PER_CPU_USED * used;
}

/* Wait for a leaf, or kill it, as Leaves._await; its status, or -1 if the machine fails. */
static int await(pid_t pid, Py_ssize_t jobs, int *number, double *seconds)
{
    clockid_t clock = (~(clockid_t)pid << 3) | 2; /* of the CPU time of a process */
    double pause = my.seconds, used_before = 0, since = clock_seconds(CLOCK_MONOTONIC);
    off_t written = 0;
    int status = ENDED;
    rlim_t last = cpu_limit(jobs);
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
            pause = my.seconds / 4;
            if (jobs && !fstat(my.results, &file) && file.st_size != written) {
                written = file.st_size, used_before = used, since = now, jobs--;
                continue;
            }
            double spent = used - used_before;
            if (spent < my.seconds && now - since < wall_limit(spent))
                continue;
            status = spent >= my.seconds ? CPU_LIMIT : WALL_LIMIT;
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

/* Whether the last leaf was locked; if not, the machine failed, not the solution. */
static int came_up(void)
{
    char said[2];
    return read(my.started[0], said, sizeof said) == 1 && said[0] == '.';
}

/* Empty the scratch folder if there is anything in it. */
static int tidy(void)
{
    char entries[512];
    long size, at = 0;
    lseek(my.scratch, 0, SEEK_SET);
    size = syscall(SYS_getdents64, my.scratch, entries, sizeof entries);
    for (int seen = 0; at < size; at += *(uint16_t *)(entries + at + 16))
        if (++seen > 2 || entries[at + 19] != '.') { /* more than . and .. */
            PyObject *done = PyObject_CallNoArgs(my.clean);
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
    return write_all(my.replies, frames.data, size);
}

/* Hold back or send a reply (leaves.py: pack). */
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
        return flush() || write_all(my.replies, text, size);
    memcpy(frames.data + frames.size, text, size);
    frames.size += size;
    return 0;
}

/* What a dead leaf has written: its size, or -1. In `room` if it fits, else freed by the caller. */
static Py_ssize_t read_results(char *room, char **data)
{
    struct stat file;
    *data = room;
    if (fstat(my.results, &file) || (file.st_size > ROOM && !(*data = PyMem_Malloc(file.st_size))))
        return -1;
    return pread(my.results, *data, file.st_size, 0) == file.st_size ? file.st_size : -1;
}

/* Find the records, at most so many; their number. The data is not trusted: if it is not made of
   whole records it ends with the last whole one, and holds none if it should hold one. */
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
    int struck; /* the last leaf: killed at a limit */
    double seconds; /* CPU time of it */
} Ran;

/* Reply to the jobs of a dead leaf: those that it has records of, and the one that it died in. */
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

/* Run so many jobs in one leaf and reply; -1 if the machine failed. */
static int run_leaf(PyObject *programs, PyObject *cells, PyObject *jobs, Py_ssize_t count,
                    const char **texts, uint32_t *sizes, Ran *ran)
{
    int number = 0;
    pid_t pid = start(programs, cells, jobs, ran->done, count);
    int status = pid < 0 ? -1 : await(pid, count, &number, &ran->seconds);
    if (status < 0 || !came_up() || tidy())
        return -1;
    ran->struck = status != ENDED;
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

PyDoc_STRVAR(run_doc, "run(programs, cells, jobs, at_once, seconds, spent, budget, hold): see Leaves.run");

static PyObject *run(PyObject *Py_UNUSED(self), PyObject *arguments)
{
    PyObject *programs, *cells, *jobs;
    PyObject *spent;
    Py_ssize_t at_once;
    double budget, used = 0;
    int hold, failed = 0;
    Ran ran = {0, 0, 0};
    if (!PyArg_ParseTuple(arguments, "OOOndOdp", &programs, &cells, &jobs, &at_once, &my.seconds,
                          &spent, &budget, &hold))
        return NULL;
    Py_ssize_t size = PyList_Size(jobs);
    at_once = at_once < size ? at_once : size;
    const char **texts = PyMem_Malloc((at_once + 1) * sizeof *texts);
    uint32_t *sizes = PyMem_Malloc((at_once + 1) * sizeof *sizes);
    double since = clock_seconds(CLOCK_MONOTONIC);
    if (at_once == 1 && size >= MANY)
        turn_all_into_file(my.memory_file); /* again: then it is copied onto itself */
    failed = !texts || !sizes;
    while (!failed && ran.done < size) {
        Py_ssize_t first = ran.done, count = size - first < at_once ? size - first : at_once;
        long program = program_of(jobs, first);
        failed = run_leaf(programs, cells, jobs, count, texts, sizes, &ran);
        if (at_once > 1) {
            for (Py_ssize_t i = first; i < ran.done; i++)
                failed |= add(spent, program_of(jobs, i), ran.seconds / (ran.done - first)) < 0;
            break;
        }
        used += ran.seconds;
        if (ran.struck || ran.done == size || program_of(jobs, ran.done) != program || used > budget) {
            double sum = add(spent, program, used);
            used = 0;
            failed |= sum < 0;
            if (ran.struck || sum > budget)
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
    return Py_BuildValue("nO", ran.done, ran.struck ? Py_True : Py_False);
}

PyDoc_STRVAR(configure_doc, "configure(...): what `run` needs; see NativeLeaves");

static PyObject *configure(PyObject *Py_UNUSED(self), PyObject *arguments)
{
    unsigned long long memory, file;
    if (!PyArg_ParseTuple(arguments, "ii(ii)iiKKSnOOOOO", &my.results, &my.replies,
                          &my.started[0], &my.started[1], &my.scratch, &my.memory_file, &memory, &file,
                          &my.filter, &my.pid_at, &my.run_cell, &my.values_record,
                          &my.error_record, &my.clean, &my.builtins))
        return NULL;
    my.memory = memory;
    my.file = file;
    if (!my.main_name && !(my.main_name = PyUnicode_InternFromString("__main__")))
        return NULL;
    Py_INCREF(my.filter);
    Py_INCREF(my.run_cell);
    Py_INCREF(my.values_record);
    Py_INCREF(my.error_record);
    Py_INCREF(my.clean);
    Py_INCREF(my.builtins);
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
