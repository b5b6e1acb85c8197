/* A line is made on the stack and leaves in one write. A reader of stderr that has stopped must not stop a worker: a line
 * that would have to wait is dropped, and the next one that goes out is preceded by how many were. */
#include "broker/base/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 2048, VALUE_MIN_CAP = 8 };

static _Atomic int max_level = SLU_LOG_INFO;
static _Thread_local unsigned held_back;
static pthread_mutex_t write_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned long dropped; /* under write_lock */

static const char *const level_names[] = { "error", "warn", "info", "debug" };

void slu_log_set_level(enum slu_level lvl)
{
    atomic_store_explicit(&max_level, (int)lvl, memory_order_relaxed);
}

bool slu_log_enabled(enum slu_level lvl)
{
    return (int)lvl <= atomic_load_explicit(&max_level, memory_order_relaxed);
}

/* Length of the well-formed, printable character at p, 0 when its first byte must be escaped. */
static size_t printable(const uint8_t *p, size_t n)
{
    if (p[0] < 0x80)
        return p[0] >= 0x20 && p[0] != 0x7f;
    size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool control = p[0] == 0xc2 && p[1] < 0xa0;
    bool bad = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
               (p[0] == 0xf4 && p[1] > 0x8f);
    bool separator = p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9);
    return control || bad || separator ? 0 : len;
}

/* Copies in to out, escaping what is not printable and, in a quoted value, quote and backslash. Stops before what would
 * not fit in cap; returns the bytes written and in *used the bytes read. */
static size_t escape(char *out, size_t cap, const uint8_t *in, size_t n, bool quoted, size_t *used)
{
    static const char digits[] = "0123456789abcdef";
    size_t len = 0, i = 0;
    while (i < n) {
        size_t step = printable(in + i, n - i);
        if (step == 0) {
            if (cap - len < 4)
                break;
            const char hex[4] = { '\\', 'x', digits[in[i] >> 4], digits[in[i] & 15] };
            memcpy(out + len, hex, sizeof(hex));
            len += sizeof(hex);
            i++;
        } else {
            bool mark = quoted && (in[i] == '"' || in[i] == '\\');
            if (cap - len < step + mark)
                break;
            if (mark)
                out[len++] = '\\';
            memcpy(out + len, in + i, step);
            len += step;
            i += step;
        }
    }
    *used = i;
    return len;
}

const char *slu_log_quote(char *out, size_t cap, struct slu_bytes v)
{
    if (cap < VALUE_MIN_CAP) {
        if (cap > 0)
            out[0] = '\0';
        return out;
    }
    size_t used, room = cap - 3; /* two quotes and the NUL */
    out[0] = '"';
    size_t len = escape(out + 1, room, v.data, v.len, true, &used);
    if (used < v.len) {
        len = escape(out + 1, room - 3, v.data, v.len, true, &used);
        memcpy(out + 1 + len, "...", 3);
        len += 3;
    }
    out[1 + len] = '"';
    out[2 + len] = '\0';
    return out;
}

static size_t add_stamp(char *out, size_t cap)
{
    struct timespec ts;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    size_t len = strftime(out, cap, "%Y-%m-%dT%H:%M:%S", &tm);
    int n = snprintf(out + len, cap - len, ".%03ldZ", ts.tv_nsec / 1000000);
    return n > 0 ? len + (size_t)n : len;
}

/* A pipe that polls as writable takes a whole page, so a line written under the lock never waits. */
static void write_line(const char *line, size_t len)
{
    pthread_mutex_lock(&write_lock);
    struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };
    bool done = false;
    /* any other event means that nobody reads any more: a write would raise SIGPIPE */
    if (poll(&p, 1, 0) == 1 && p.revents == POLLOUT) {
        if (dropped > 0) {
            char notice[128];
            size_t at = add_stamp(notice, sizeof(notice));
            int n = snprintf(notice + at, sizeof(notice) - at, " warn log lines_dropped n=%lu\n", dropped);
            if (n > 0 && write(STDERR_FILENO, notice, at + (size_t)n) == (ssize_t)at + n)
                dropped = 0;
        }
        done = write(STDERR_FILENO, line, len) == (ssize_t)len;
    }
    if (!done)
        dropped++;
    pthread_mutex_unlock(&write_lock);
}

void slu_log(enum slu_level lvl, const char *area, const char *event, const char *fmt, ...)
{
    if (!slu_log_enabled(lvl))
        return;
    int saved_errno = errno;
    char line[LINE_MAX_BYTES], fields[LINE_MAX_BYTES];
    size_t len = add_stamp(line, sizeof(line));
    int n = snprintf(line + len, 256, " %s %s %s", level_names[lvl], area, event);
    len += n > 255 ? 255 : n > 0 ? (size_t)n : 0;
    if (held_back > 0) {
        n = snprintf(line + len, 32, " held_back=%u", held_back);
        len += n > 0 ? (size_t)n : 0;
        held_back = 0;
    }
    if (fmt && *fmt) {
        va_list args;
        va_start(args, fmt);
        n = vsnprintf(fields, sizeof(fields), fmt, args);
        va_end(args);
        size_t have = n <= 0 ? 0 : (size_t)n < sizeof(fields) ? (size_t)n : sizeof(fields) - 1;
        size_t used, whole = n > 0 ? (size_t)n : 0;
        line[len++] = ' ';
        len += escape(line + len, sizeof(line) - len - 4, (const uint8_t *)fields, have, false, &used);
        if (used < whole) {
            memcpy(line + len, "...", 3);
            len += 3;
        }
    }
    line[len++] = '\n';
    write_line(line, len);
    errno = saved_errno;
}

bool slu_log_allowed(struct slu_log_limit *l, unsigned per_second)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    long second = atomic_load_explicit(&l->second, memory_order_relaxed);
    /* + 1: a limit starts zeroed, and that must not look like the first second of the clock */
    if (second != ts.tv_sec + 1 && atomic_compare_exchange_strong(&l->second, &second, ts.tv_sec + 1)) {
        unsigned calls = atomic_exchange(&l->count, 0);
        if (calls > per_second)
            held_back += calls - per_second;
    }
    return atomic_fetch_add_explicit(&l->count, 1, memory_order_relaxed) < per_second;
}
