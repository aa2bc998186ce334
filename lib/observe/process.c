/* SPDX-License-Identifier: Apache-2.0
 *
 * Read from /proc/self and the clocks at each scrape; nothing is kept. */
#include "lib/observe/process.h"

#include <dirent.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static void put(struct buf *out, const char *name, const char *kind, const char *help, double value)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.15g\n", name, help, name, kind, name, value);
}

/* Fields 22 (start time in ticks), 23 (virtual bytes) and 24 (resident pages) of stat. */
static int read_stat(unsigned long long *ret_start, unsigned long long *ret_virtual,
                     long long *ret_resident)
{
    char text[1024];
    FILE *file = fopen("/proc/self/stat", "re");
    if (!file)
        return -1;
    size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[size] = '\0';
    const char *behind_name = strrchr(text, ')');
    if (!behind_name)
        return -1;
    return sscanf(behind_name + 1,
                  " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d "
                  "%llu %llu %lld",
                  ret_start, ret_virtual, ret_resident) == 3
               ? 0
               : -1;
}

static double boot_time(void)
{
    struct timespec now;
    struct timespec since_boot;
    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_BOOTTIME, &since_boot);
    return (double)(now.tv_sec - since_boot.tv_sec) +
           (double)(now.tv_nsec - since_boot.tv_nsec) / 1e9;
}

static int count_files(void)
{
    DIR *folder = opendir("/proc/self/fd");
    if (!folder)
        return -1;
    int count = -3; /* ".", ".." and the folder's own descriptor */
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

void process_write_metrics(struct buf *out)
{
    struct timespec cpu;
    unsigned long long start;
    unsigned long long virtual;
    long long resident;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0)
        put(out, "process_cpu_seconds_total", "counter", "User and system CPU time.",
            (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9);
    if (read_stat(&start, &virtual, &resident) == 0) {
        put(out, "process_start_time_seconds", "gauge", "Start of the process, Unix time.",
            boot_time() + (double)start / (double)sysconf(_SC_CLK_TCK));
        put(out, "process_virtual_memory_bytes", "gauge", "Virtual memory.", (double)virtual);
        put(out, "process_resident_memory_bytes", "gauge", "Resident memory.",
            (double)resident * (double)sysconf(_SC_PAGESIZE));
    }
    int files = count_files();
    if (files >= 0)
        put(out, "process_open_fds", "gauge", "Open file descriptors.", files);
    buf_put_text(out, "# HELP weir_build_info The program's version.\n"
                      "# TYPE weir_build_info gauge\n"
                      "weir_build_info{version=\"" WEIR_VERSION "\"} 1\n");
}
