/* What the disk and SQLite alone give, without a broker: the raw limit beside the figures of the durable log.
 *
 *   bench_sqlite commits FOLDER   inserts rows like those of a stored message, so many to a commit, one connection
 *   bench_sqlite flush FOLDER     writes over a part of a file and flushes it, again and again
 *
 * Settings, columns and checkpoints are those of the disk engine. Prints one JSON object; leaves no file behind. */
#include "clients/cli/hist.h"

#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PAYLOAD_MAX = 1 << 20, FILE_PARTS = 1024, BUSY_MS = 5000 };

/* The engine's: a pass of the keeper when the log grew by so many pages; so few left the writer carries over itself, and
 * at so many it does in any case. */
enum { PASS_PAGES = 1024, FINISH_PAGES = 512, FORCE_PAGES = 16384 };

struct plan {
    const char *folder;
    size_t size, batch, topics;
    double duration_s;
    bool with_index;
    char path[PATH_MAX];
};

/* The thread that carries the log of changes (-wal) over into the file. */
struct keeper {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    sqlite3 *db;
    bool is_stopping, may_finish;
    int pages, passed; /* in the log now, and when the last pass began */
};

struct result {
    uint64_t rows, commits, began_ns, ended_ns, cpu_ns, pages_written;
    struct keeper keeper;
    struct cli_hist latency;
};

static uint64_t now_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static bool is_over(const struct plan *p, const struct result *r)
{
    return (double)(r->ended_ns - r->began_ns) / 1e9 >= p->duration_s;
}

/* ---- connections ---- */

static const char settings[] = "PRAGMA auto_vacuum=INCREMENTAL;"
                               "PRAGMA journal_mode=WAL;"
                               "PRAGMA synchronous=FULL;"
                               "PRAGMA wal_autocheckpoint=0;"
                               "PRAGMA journal_size_limit=67108864;"
                               "PRAGMA secure_delete=FAST;"
                               "PRAGMA cache_size=-8192;"
                               "PRAGMA mmap_size=0;"
                               "PRAGMA cell_size_check=ON;"
                               "PRAGMA temp_store=MEMORY;";

static bool connect_to(const char *path, sqlite3 **out)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
    return sqlite3_open_v2(path, out, flags, NULL) == SQLITE_OK && sqlite3_busy_timeout(*out, BUSY_MS) == SQLITE_OK &&
           sqlite3_exec(*out, settings, NULL, NULL, NULL) == SQLITE_OK;
}

/* ---- the keeper, as the engine has it ---- */

static bool is_due(const struct keeper *k)
{
    return k->pages - k->passed >= PASS_PAGES;
}

static void *keep(void *arg)
{
    struct keeper *k = arg;
    pthread_mutex_lock(&k->lock);
    while (!k->is_stopping) {
        int all = 0, done = 0;
        if (!is_due(k)) {
            pthread_cond_wait(&k->changed, &k->lock);
            continue;
        }
        k->passed = k->pages;
        pthread_mutex_unlock(&k->lock);
        int rc = sqlite3_wal_checkpoint_v2(k->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &all, &done);
        pthread_mutex_lock(&k->lock);
        k->may_finish = k->may_finish || (rc == SQLITE_OK && all - done <= FINISH_PAGES);
    }
    pthread_mutex_unlock(&k->lock);
    return NULL;
}

/* Between two commits; the last little bit of the log the writer carries over, so that it can start over. */
static bool tell_keeper(struct keeper *k, sqlite3 *db)
{
    pthread_mutex_lock(&k->lock);
    bool finish = k->may_finish || (k->pages >= FORCE_PAGES && k->pages != k->passed);
    k->may_finish = false;
    if (is_due(k))
        pthread_cond_signal(&k->changed);
    pthread_mutex_unlock(&k->lock);
    if (!finish)
        return true;
    int rc = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    return rc == SQLITE_OK || rc == SQLITE_BUSY;
}

static bool keeper_start(struct keeper *k, const char *path)
{
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->changed, NULL);
    return connect_to(path, &k->db) && pthread_create(&k->thread, NULL, keep, k) == 0;
}

static void keeper_stop(struct keeper *k)
{
    pthread_mutex_lock(&k->lock);
    k->is_stopping = true;
    pthread_cond_signal(&k->changed);
    pthread_mutex_unlock(&k->lock);
    pthread_join(k->thread, NULL);
    pthread_cond_destroy(&k->changed);
    pthread_mutex_destroy(&k->lock);
    sqlite3_close(k->db);
}

/* ---- commits ---- */

static const char schema[] = "CREATE TABLE message (seq INTEGER PRIMARY KEY, topic INTEGER NOT NULL, offset INTEGER "
                             "NOT NULL, ts INTEGER NOT NULL, expires INTEGER, size INTEGER NOT NULL, kind INTEGER "
                             "NOT NULL, form INTEGER NOT NULL, flags INTEGER NOT NULL, publisher INTEGER, key BLOB, "
                             "reply BLOB, headers BLOB, payload BLOB);";
static const char index_too[] = "CREATE INDEX message_topic ON message(topic);";
static const char insert[] = "INSERT INTO message (seq, topic, offset, ts, size, kind, form, flags, publisher, payload)"
                             " VALUES (?, ?, ?, ?, ?, 0, 0, 0, ?, ?)";

static int note_commit(void *arg, sqlite3 *db, const char *name, int pages)
{
    struct result *r = arg;
    (void)db, (void)name;
    struct keeper *k = &r->keeper;
    pthread_mutex_lock(&k->lock);
    r->pages_written += (uint64_t)(pages > k->pages ? pages - k->pages : pages);
    k->passed = pages < k->pages ? 0 : k->passed;
    k->pages = pages;
    pthread_mutex_unlock(&k->lock);
    return SQLITE_OK;
}

static bool insert_row(const struct plan *p, const struct result *r, sqlite3_stmt *st, const char *payload)
{
    uint64_t seq = r->rows + 1;
    sqlite3_bind_int64(st, 1, (sqlite3_int64)seq);
    sqlite3_bind_int64(st, 2, (sqlite3_int64)(seq % p->topics + 1));
    sqlite3_bind_int64(st, 3, (sqlite3_int64)(seq / p->topics + 1));
    sqlite3_bind_int64(st, 4, (sqlite3_int64)(now_ns(CLOCK_REALTIME) / 1000000));
    sqlite3_bind_int64(st, 5, (sqlite3_int64)p->size);
    sqlite3_bind_int64(st, 6, INT64_C(1) << 40 | (sqlite3_int64)seq);
    sqlite3_bind_blob(st, 7, payload, (int)p->size, SQLITE_STATIC);
    int rc = sqlite3_step(st);
    sqlite3_reset(st);
    return rc == SQLITE_DONE;
}

static bool one_commit(const struct plan *p, struct result *r, sqlite3 *db, sqlite3_stmt *st, const char *payload)
{
    uint64_t began = now_ns(CLOCK_MONOTONIC);
    bool ok = sqlite3_exec(db, "BEGIN", NULL, NULL, NULL) == SQLITE_OK;
    for (size_t i = 0; ok && i < p->batch; i++) {
        ok = insert_row(p, r, st, payload);
        r->rows++;
    }
    ok = ok && sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK;
    slu_hist_add(&r->latency, now_ns(CLOCK_MONOTONIC) - began);
    r->commits++;
    return ok && tell_keeper(&r->keeper, db);
}

static bool insert_all(const struct plan *p, struct result *r, sqlite3 *db, const char *payload)
{
    sqlite3_stmt *st = NULL;
    bool ok = sqlite3_exec(db, schema, NULL, NULL, NULL) == SQLITE_OK &&
              (!p->with_index || sqlite3_exec(db, index_too, NULL, NULL, NULL) == SQLITE_OK) &&
              sqlite3_prepare_v2(db, insert, -1, &st, NULL) == SQLITE_OK;
    sqlite3_wal_hook(db, note_commit, r);
    r->cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    r->began_ns = now_ns(CLOCK_MONOTONIC);
    do {
        ok = ok && one_commit(p, r, db, st, payload);
        r->ended_ns = now_ns(CLOCK_MONOTONIC);
    } while (ok && !is_over(p, r));
    r->cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID) - r->cpu_ns;
    sqlite3_finalize(st);
    return ok;
}

static void remove_files(const struct plan *p)
{
    static const char *const ends[] = { "", "-wal", "-shm" };
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        char name[PATH_MAX + 8];
        snprintf(name, sizeof(name), "%s%s", p->path, ends[i]);
        unlink(name);
    }
}

static bool commits(const struct plan *p, struct result *r)
{
    sqlite3 *db = NULL;
    char *payload = malloc(p->size);
    bool ok = payload && connect_to(p->path, &db) && keeper_start(&r->keeper, p->path);
    if (ok) {
        memset(payload, '~', p->size);
        ok = insert_all(p, r, db, payload);
        keeper_stop(&r->keeper);
    }
    if (!ok)
        fprintf(stderr, "bench_sqlite: %s: %s\n", p->path, db ? sqlite3_errmsg(db) : "out of memory");
    sqlite3_close(db);
    remove_files(p);
    free(payload);
    return ok;
}

/* ---- flush ---- */

/* The file has its length before the clock runs: SQLite too writes over its log once that has been used up. */
static bool flush_all(const struct plan *p, struct result *r, int fd, const char *part)
{
    bool ok = true;
    for (size_t i = 0; ok && i < FILE_PARTS; i++)
        ok = pwrite(fd, part, p->size, (off_t)(i * p->size)) == (ssize_t)p->size;
    ok = ok && fsync(fd) == 0;
    r->cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    r->ended_ns = r->began_ns = now_ns(CLOCK_MONOTONIC);
    while (ok && !is_over(p, r)) {
        uint64_t began = r->ended_ns;
        ok = pwrite(fd, part, p->size, (off_t)(r->commits++ % FILE_PARTS * p->size)) == (ssize_t)p->size &&
             fdatasync(fd) == 0;
        r->ended_ns = now_ns(CLOCK_MONOTONIC);
        slu_hist_add(&r->latency, r->ended_ns - began);
    }
    r->cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID) - r->cpu_ns;
    return ok;
}

static bool flushes(const struct plan *p, struct result *r)
{
    char *part = calloc(1, p->size);
    int fd = open(p->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool ok = part && fd >= 0 && flush_all(p, r, fd, part);
    if (!ok)
        perror(p->path);
    if (fd >= 0)
        close(fd);
    remove_files(p);
    free(part);
    return ok;
}

/* ---- command line ---- */

static void print(const struct result *r)
{
    double seconds = (double)(r->ended_ns - r->began_ns) / 1e9, n = (double)(r->commits ? r->commits : 1);
    seconds = seconds > 0 ? seconds : 1e-9;
    printf("{\"seconds\":%.3f,\"rows\":%llu,\"rows_per_s\":%.0f,\"cpu_us_per_row\":%.3f,\"commits\":%llu,"
           "\"pages_per_commit\":%.2f,\"commit_p50_ms\":%.4f,\"commit_p99_ms\":%.4f,\"commit_max_ms\":%.4f}\n",
           seconds, (unsigned long long)r->rows, (double)r->rows / seconds,
           (double)r->cpu_ns / 1e3 / (double)(r->rows ? r->rows : 1), (unsigned long long)r->commits,
           (double)r->pages_written / n, (double)slu_hist_quantile(&r->latency, 0.5) / 1e6,
           (double)slu_hist_quantile(&r->latency, 0.99) / 1e6, (double)r->latency.max / 1e6);
}

static const char usage[] =
    "usage: bench_sqlite commits|flush FOLDER [--size BYTES] [--batch ROWS] [--topics N] [--duration SECONDS]\n"
    "                    [--index]\n";

static bool parse(struct plan *p, int argc, char **argv)
{
    static const struct option options[] = {
        { "size", 1, NULL, 's' },     { "batch", 1, NULL, 'b' }, { "topics", 1, NULL, 't' },
        { "duration", 1, NULL, 'd' }, { "index", 0, NULL, 'i' }, { NULL, 0, NULL, 0 },
    };
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        size_t *count = o == 's' ? &p->size : o == 'b' ? &p->batch : &p->topics;
        if (o == '?')
            return false;
        if (o == 'i')
            p->with_index = true;
        else if (o == 'd')
            p->duration_s = strtod(optarg, NULL);
        else
            *count = strtoul(optarg, NULL, 10);
    }
    if (optind + 2 != argc)
        return false;
    p->folder = argv[optind + 1];
    int n = snprintf(p->path, sizeof(p->path), "%s/bench-sqlite.%ld", p->folder, (long)getpid());
    return n > 0 && (size_t)n < sizeof(p->path) && p->size > 0 && p->size <= PAYLOAD_MAX && p->batch > 0 &&
           p->topics > 0;
}

int main(int argc, char **argv)
{
    static struct result r;
    struct plan p = { .size = 128, .batch = 1024, .topics = 1, .duration_s = 2 };
    bool flush;
    if (!parse(&p, argc, argv) || (!(flush = strcmp(argv[optind], "flush") == 0) && strcmp(argv[optind], "commits"))) {
        fputs(usage, stderr);
        return 2;
    }
    if (!(flush ? flushes : commits)(&p, &r))
        return 1;
    print(&r);
    return 0;
}
