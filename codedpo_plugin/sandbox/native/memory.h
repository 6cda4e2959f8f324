/* Make forks cheap: what a fork has to copy, and what a worker faults in. */

#ifndef CODEDPO_MEMORY_H
#define CODEDPO_MEMORY_H

#include "common.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define SMALL (1 << 16) /* bytes: not worth a mapping */
#define HUGE (2ul << 20)

static struct {
    char *start;
    size_t size;
} ranges[256];
static int range_count;

/* Find the private writable ranges (except the stack and these variables), and where the code and
   constants of the interpreter are. */
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

/* Move the code of the interpreter to huge pages, as far as it fills them: one page table entry
   each, instead of one for every 4 KiB that a worker uses. No effect if the kernel has none. */
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

/* Copy a range to the file and map the file's pages in its place: private, so nothing else changes.
   Uses system calls only, as nothing may be written to the range meanwhile. A range of which a part
   has been unmapped stays as it is. */
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

/* Turn what the process has written so far into a private mapping of a file in memory: a fork then
   copies page table entries only for what was touched since. */
static void turn_all_into_file(int file)
{
    off_t at = 0;
    for (int i = 0; i < range_count; at += ranges[i++].size)
        turn_into_file(file, at, ranges[i].start, ranges[i].size);
}

#endif
