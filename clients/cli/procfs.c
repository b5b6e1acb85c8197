/* Parsers for /proc. All of them walk lines and words of a borrowed text by the two helpers below, which can only move
 * forward and only within the text. Numbers that do not fit saturate: a wrong figure for a moment, never a wild one. */
#include "clients/cli/procfs.h"

#include "broker/base/utf8.h"

#include <limits.h>
#include <stdlib.h>

static bool next_line(struct slu_bytes *rest, struct slu_bytes *line)
{
    if (rest->len == 0)
        return false;
    const uint8_t *end = memchr(rest->data, '\n', rest->len);
    size_t n = end ? (size_t)(end - rest->data) : rest->len;
    *line = slu_bytes(rest->data, n);
    size_t used = end ? n + 1 : n;
    *rest = slu_bytes(rest->data + used, rest->len - used);
    return true;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static bool next_word(struct slu_bytes *line, struct slu_bytes *word)
{
    size_t at = 0;
    while (at < line->len && is_space(line->data[at]))
        at++;
    size_t end = at;
    while (end < line->len && !is_space(line->data[end]))
        end++;
    if (end == at)
        return false;
    *word = slu_bytes(line->data + at, end - at);
    *line = slu_bytes(line->data + end, line->len - end);
    return true;
}

static bool to_u64(struct slu_bytes word, uint64_t *out)
{
    uint64_t v = 0;
    if (word.len == 0)
        return false;
    for (size_t i = 0; i < word.len; i++) {
        uint8_t c = word.data[i];
        if (c < '0' || c > '9')
            return false;
        uint64_t digit = (uint64_t)(c - '0');
        v = v > (UINT64_MAX - digit) / 10 ? UINT64_MAX : v * 10 + digit;
    }
    *out = v;
    return true;
}

static uint64_t add_capped(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t times_capped(uint64_t a, uint64_t b)
{
    return b != 0 && a > UINT64_MAX / b ? UINT64_MAX : a * b;
}

/* Up to cap numbers from the start of a line; stops at the first word that is none. */
static size_t numbers(struct slu_bytes *line, uint64_t *out, size_t cap)
{
    size_t n = 0;
    struct slu_bytes word;
    while (n < cap && next_word(line, &word) && to_u64(word, &out[n]))
        n++;
    return n;
}

/* A plain decimal such as 0.42; what the C locale's strtod reads, from a bounded copy. */
static bool to_double(struct slu_bytes word, double *out)
{
    char text[40];
    if (word.len == 0 || word.len >= sizeof(text) || word.data[0] < '0' || word.data[0] > '9')
        return false;
    memcpy(text, word.data, word.len);
    text[word.len] = '\0';
    char *end = NULL;
    double v = strtod(text, &end);
    if (end != text + word.len)
        return false;
    *out = v;
    return true;
}

static void copy_name(struct slu_bytes from, char *out, size_t cap)
{
    size_t n = from.len < cap ? from.len : cap - 1;
    memcpy(out, from.data, n);
    out[n] = '\0';
}

/* ---- /proc/stat ---- */

static bool cpu_times(struct slu_bytes line, struct slu_cpu_times *out)
{
    /* user nice system idle iowait irq softirq steal; kernels before 2.6.11 end earlier */
    uint64_t v[8] = { 0 };
    if (numbers(&line, v, 8) < 4)
        return false;
    *out = (struct slu_cpu_times){
        .user = add_capped(v[0], v[1]),
        .system = add_capped(v[2], add_capped(v[5], v[6])),
        .iowait = v[4],
        .idle = v[3],
    };
    for (size_t i = 0; i < 8; i++)
        out->total = add_capped(out->total, v[i]);
    return true;
}

bool slu_procfs_stat(struct slu_bytes text, struct slu_cpu_sample *out)
{
    bool found = false;
    struct slu_bytes line, word;
    memset(out, 0, sizeof(*out));
    while (next_line(&text, &line)) {
        if (!next_word(&line, &word) || !slu_bytes_starts(word, SLU_LIT("cpu")))
            continue;
        if (word.len == 3) {
            found = cpu_times(line, &out->all) || found;
            continue;
        }
        uint64_t core;
        if (!to_u64(slu_bytes(word.data + 3, word.len - 3), &core) || core >= SLU_PROCFS_CORES)
            continue;
        if (cpu_times(line, &out->core[core]) && core >= out->count)
            out->count = (size_t)core + 1;
    }
    return found;
}

/* ---- /proc/meminfo, /proc/loadavg, /proc/uptime ---- */

bool slu_procfs_meminfo(struct slu_bytes text, struct slu_memory *out)
{
    struct slu_memory m = { 0 };
    const struct {
        struct slu_bytes key;
        uint64_t *to;
    } rows[] = {
        { SLU_LIT("MemTotal:"), &m.total },         { SLU_LIT("MemFree:"), &m.free },
        { SLU_LIT("MemAvailable:"), &m.available }, { SLU_LIT("Buffers:"), &m.buffers },
        { SLU_LIT("Cached:"), &m.cached },          { SLU_LIT("SwapTotal:"), &m.swap_total },
        { SLU_LIT("SwapFree:"), &m.swap_free },
    };
    bool has_available = false;
    struct slu_bytes line, key, value;
    while (next_line(&text, &line)) {
        uint64_t kib;
        if (!next_word(&line, &key) || !next_word(&line, &value) || !to_u64(value, &kib))
            continue;
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            if (!slu_bytes_eq(key, rows[i].key))
                continue;
            *rows[i].to = times_capped(kib, 1024);
            has_available = has_available || rows[i].to == &m.available;
        }
    }
    if (!has_available)
        m.available = add_capped(m.free, add_capped(m.buffers, m.cached));
    if (m.available > m.total)
        m.available = m.total;
    if (m.total == 0)
        return false;
    *out = m;
    return true;
}

bool slu_procfs_loadavg(struct slu_bytes text, struct slu_load *out)
{
    struct slu_load l = { 0 };
    struct slu_bytes word;
    double *to[] = { &l.one, &l.five, &l.fifteen };
    for (size_t i = 0; i < 3; i++) {
        if (!next_word(&text, &word) || !to_double(word, to[i]))
            return false;
    }
    const uint8_t *slash;
    if (next_word(&text, &word) && (slash = memchr(word.data, '/', word.len)) != NULL) {
        size_t before = (size_t)(slash - word.data);
        (void)to_u64(slu_bytes(word.data, before), &l.running);
        (void)to_u64(slu_bytes(slash + 1, word.len - before - 1), &l.tasks);
    }
    *out = l;
    return true;
}

bool slu_procfs_uptime(struct slu_bytes text, double *seconds)
{
    struct slu_bytes word;
    return next_word(&text, &word) && to_double(word, seconds);
}

/* ---- disks and network ---- */

bool slu_procfs_disk_is_virtual(const char *name)
{
    static const char *const prefixes[] = { "loop", "ram", "zram", "fd", "sr", "dm-", "nbd" };
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        if (slu_bytes_starts(slu_str(name), slu_str(prefixes[i])))
            return true;
    }
    return false;
}

size_t slu_procfs_diskstats(struct slu_bytes text, bool (*wanted)(const char *name), struct slu_disk *out, size_t cap)
{
    size_t n = 0;
    struct slu_bytes line, name;
    while (n < cap && next_line(&text, &line)) {
        uint64_t device[2], v[10];
        if (numbers(&line, device, 2) < 2 || !next_word(&line, &name) || name.len >= SLU_PROCFS_NAME)
            continue;
        /* reads merged sectors ms, writes merged sectors ms, under way, busy ms */
        if (numbers(&line, v, 10) < 10)
            continue;
        struct slu_disk d = {
            .reads = v[0], .read_sectors = v[2], .writes = v[4], .write_sectors = v[6], .busy_ms = v[9]
        };
        copy_name(name, d.name, sizeof(d.name));
        if (!wanted || wanted(d.name))
            out[n++] = d;
    }
    return n;
}

size_t slu_procfs_net(struct slu_bytes text, struct slu_net *out, size_t cap)
{
    size_t n = 0;
    struct slu_bytes line, name;
    while (n < cap && next_line(&text, &line)) {
        /* old kernels print "eth0:123" without a space: cut at the last colon (aliases are "eth0:1:") */
        const uint8_t *colon = memrchr(line.data, ':', line.len);
        if (!colon)
            continue;
        struct slu_bytes head = slu_bytes(line.data, (size_t)(colon - line.data));
        struct slu_bytes tail = slu_bytes(colon + 1, line.len - head.len - 1);
        uint64_t v[12];
        if (!next_word(&head, &name) || name.len >= SLU_PROCFS_NAME || numbers(&tail, v, 12) < 12)
            continue;
        /* rx: bytes packets errs drop fifo frame compressed multicast, tx: bytes packets errs drop … */
        out[n] = (struct slu_net){ .rx_bytes = v[0],
                                   .rx_packets = v[1],
                                   .rx_errors = v[2],
                                   .rx_drops = v[3],
                                   .tx_bytes = v[8],
                                   .tx_packets = v[9],
                                   .tx_errors = v[10],
                                   .tx_drops = v[11] };
        copy_name(name, out[n].name, sizeof(out[n].name));
        n++;
    }
    return n;
}

/* ---- processes ---- */

bool slu_procfs_process(struct slu_bytes text, struct slu_process *out)
{
    const uint8_t *open = text.len ? memchr(text.data, '(', text.len) : NULL;
    const uint8_t *shut = text.len ? memrchr(text.data, ')', text.len) : NULL;
    if (!open || !shut || shut < open)
        return false;
    struct slu_bytes head = slu_bytes(text.data, (size_t)(open - text.data));
    struct slu_bytes tail = slu_bytes(shut + 1, text.len - (size_t)(shut + 1 - text.data));
    struct slu_process p = { 0 };
    uint64_t pid;
    if (numbers(&head, &pid, 1) != 1 || pid == 0 || pid > INT_MAX)
        return false;
    p.pid = (int)pid;
    copy_name(slu_bytes(open + 1, (size_t)(shut - open - 1)), p.name, sizeof(p.name));

    /* After the name: field 3 (state) up to 24 (rss); some are negative, so they are taken word by word. */
    struct slu_bytes word;
    uint64_t field[25] = { 0 };
    for (size_t i = 3; i <= 24; i++) {
        if (!next_word(&tail, &word))
            return false;
        (void)to_u64(word, &field[i]);
    }
    p.ticks = add_capped(field[14], field[15]);
    p.start = field[22];
    p.rss_pages = field[24];
    *out = p;
    return true;
}

/* ---- names ---- */

static struct slu_bytes trimmed(struct slu_bytes v)
{
    while (v.len && is_space(v.data[0]))
        v = slu_bytes(v.data + 1, v.len - 1);
    while (v.len && is_space(v.data[v.len - 1]))
        v.len--;
    return v;
}

/* Value of the first line "key<sep>value". */
static bool find_value(struct slu_bytes text, struct slu_bytes key, char sep, struct slu_bytes *out)
{
    struct slu_bytes line;
    while (next_line(&text, &line)) {
        const uint8_t *at = line.len ? memchr(line.data, sep, line.len) : NULL;
        if (!at || !slu_bytes_eq(trimmed(slu_bytes(line.data, (size_t)(at - line.data))), key))
            continue;
        *out = trimmed(slu_bytes(at + 1, line.len - (size_t)(at + 1 - line.data)));
        return out->len > 0;
    }
    return false;
}

bool slu_procfs_cpu_model(struct slu_bytes text, char *out, size_t cap)
{
    struct slu_bytes v;
    if (!find_value(text, SLU_LIT("model name"), ':', &v))
        return false;
    copy_name(v, out, cap);
    return true;
}

bool slu_procfs_os_name(struct slu_bytes text, char *out, size_t cap)
{
    struct slu_bytes v;
    if (!find_value(text, SLU_LIT("PRETTY_NAME"), '=', &v))
        return false;
    if (v.len >= 2 && (v.data[0] == '"' || v.data[0] == '\'') && v.data[v.len - 1] == v.data[0])
        v = slu_bytes(v.data + 1, v.len - 2);
    copy_name(v, out, cap);
    return v.len > 0;
}

void slu_procfs_topic_level(const char *name, char *out, size_t cap)
{
    struct slu_bytes in = slu_str(name);
    size_t n = in.len < cap ? in.len : cap - 1;
    /* a cut must not fall into a character */
    while (n < in.len && n > 0 && (in.data[n] & 0xc0) == 0x80)
        n--;
    bool is_text = slu_utf8_valid(slu_bytes(in.data, n));
    for (size_t i = 0; i < n; i++) {
        uint8_t c = in.data[i];
        bool bad = c <= ' ' || c == 0x7f || c == '/' || c == '+' || c == '#' || (c == '$' && i == 0) ||
                   (c >= 0x80 && !is_text);
        /* U+0080 to U+009F are control characters too: both bytes go */
        if (c == 0xc2 && i + 1 < n && in.data[i + 1] < 0xa0) {
            out[i++] = '-';
            bad = true;
        }
        out[i] = bad ? '-' : (char)c;
    }
    if (n == 0)
        out[n++] = '-';
    out[n] = '\0';
}
