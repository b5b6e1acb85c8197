/* The keeper's thread. Commits only append to the log of changes (-wal); the keeper carries them over into the file with
 * a connection of its own, so that no acknowledgement waits for it. It can never quite catch up with a busy writer, and
 * the log starts over only when all of it is carried over: the last little bit the writer does itself.
 * After a failure it checks the file, which may take long, while the writer goes on answering. */
#include "storage/sqlite/store.h"

#include "broker/base/log.h"

#include <stdlib.h>

enum {
    PASS_PAGES = 1024,   /* a pass when the log grew by so many: 4 MiB */
    FINISH_PAGES = 512,  /* so few the writer carries over itself */
    FORCE_PAGES = 16384, /* here it does in any case */
};

struct sql_keeper {
    struct sql_store *st;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    sqlite3 *db;                              /* the thread's; NULL: to be opened when needed */
    bool is_stopping, is_paused, is_released; /* released: paused, and the connection is closed */
    enum sql_check check;
    unsigned pages, passed, forced; /* in the log; when the last pass began; when the writer last had to do it */
    bool may_finish;
    int rc;              /* how a pass failed */
    bool has_complained; /* of a check that failed as the last one did */
};

bool sql_checkpoint_failed(int rc)
{
    int plain = rc & 0xff;
    return plain != SQLITE_OK && plain != SQLITE_BUSY && plain != SQLITE_LOCKED && plain != SQLITE_FULL;
}

static bool is_due(const struct sql_keeper *k)
{
    unsigned since = k->pages < k->passed ? k->pages : k->pages - k->passed;
    return since >= PASS_PAGES;
}

/* The lock is not held. */
static int pass(struct sql_keeper *k, int *left)
{
    int all = 0, done = 0;
    *left = -1;
    if (!k->db && sql_file_connect(k->st->file, false, &k->db) != SLU_OK)
        return SQLITE_OK; /* told in the log; at the next pass */
    int rc = sqlite3_wal_checkpoint_v2(k->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &all, &done);
    if (rc == SQLITE_OK)
        *left = all - done;
    return rc;
}

static void do_pass(struct sql_keeper *k)
{
    int left;
    k->passed = k->pages;
    pthread_mutex_unlock(&k->lock);
    int rc = pass(k, &left);
    pthread_mutex_lock(&k->lock);
    if (left >= 0 && left <= FINISH_PAGES)
        k->may_finish = true;
    if (sql_checkpoint_failed(rc))
        k->rc = rc;
}

static void release(struct sql_keeper *k)
{
    sqlite3_close(k->db);
    k->db = NULL;
    k->is_released = true;
    pthread_cond_broadcast(&k->changed);
}

static void do_check(struct sql_keeper *k)
{
    struct slu_buf why;
    pthread_mutex_unlock(&k->lock);
    slu_buf_init(&why, 1024);
    enum slu_err err = SLU_EUNAVAILABLE;
    if (sql_renew_wal(sql_file_path(k->st->file)))
        err = sql_file_check(k->st->file, &why);
    else
        slu_buf_add_str(&why, "the log of changes cannot be written anew");
    if (err && !k->has_complained)
        slu_log(SLU_LOG_ERROR, "store", "check_failed", "why=\"%.*s\"", (int)why.len, (const char *)why.data);
    k->has_complained = err != SLU_OK;
    slu_buf_fini(&why);
    pthread_mutex_lock(&k->lock);
    k->check = err ? SQL_CHECK_UNSOUND : SQL_CHECK_SOUND;
}

static void *run(void *arg)
{
    struct sql_keeper *k = arg;
    pthread_mutex_lock(&k->lock);
    while (!k->is_stopping) {
        if (k->is_paused && !k->is_released)
            release(k);
        else if (k->is_paused && k->check == SQL_CHECK_RUNNING)
            do_check(k);
        else if (!k->is_paused && is_due(k))
            do_pass(k);
        else
            pthread_cond_wait(&k->changed, &k->lock);
    }
    sqlite3_close(k->db);
    k->db = NULL;
    pthread_mutex_unlock(&k->lock);
    return NULL;
}

enum slu_err sql_keeper_start(struct sql_store *st)
{
    struct sql_keeper *k = calloc(1, sizeof(*k));
    if (!k)
        return SLU_ENOMEM;
    k->st = st;
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->changed, NULL);
    if (sql_thread_start(&k->thread, "sqlite-keeper", run, k)) {
        st->keeper = k;
        return SLU_OK;
    }
    pthread_cond_destroy(&k->changed);
    pthread_mutex_destroy(&k->lock);
    free(k);
    return SLU_ENOMEM;
}

void sql_keeper_stop(struct sql_store *st)
{
    struct sql_keeper *k = st->keeper;
    if (!k)
        return;
    pthread_mutex_lock(&k->lock);
    k->is_stopping = true;
    pthread_cond_broadcast(&k->changed);
    pthread_mutex_unlock(&k->lock);
    pthread_join(k->thread, NULL);
    pthread_cond_destroy(&k->changed);
    pthread_mutex_destroy(&k->lock);
    free(k);
    st->keeper = NULL;
}

void sql_keeper_pause(struct sql_store *st)
{
    struct sql_keeper *k = st->keeper;
    pthread_mutex_lock(&k->lock);
    k->is_paused = true;
    pthread_cond_broadcast(&k->changed);
    while (!k->is_released)
        pthread_cond_wait(&k->changed, &k->lock);
    pthread_mutex_unlock(&k->lock);
}

void sql_keeper_resume(struct sql_store *st)
{
    struct sql_keeper *k = st->keeper;
    pthread_mutex_lock(&k->lock);
    k->is_paused = k->is_released = k->may_finish = false;
    k->rc = SQLITE_OK;
    k->pages = k->passed = k->forced = 0;
    pthread_cond_broadcast(&k->changed);
    pthread_mutex_unlock(&k->lock);
}

enum sql_check sql_keeper_check(struct sql_store *st)
{
    struct sql_keeper *k = st->keeper;
    pthread_mutex_lock(&k->lock);
    enum sql_check result = k->check;
    if (result == SQL_CHECK_NONE)
        result = k->check = SQL_CHECK_RUNNING;
    else if (result != SQL_CHECK_RUNNING)
        k->check = SQL_CHECK_NONE;
    pthread_cond_broadcast(&k->changed);
    pthread_mutex_unlock(&k->lock);
    return result;
}

bool sql_keeper_tell(struct sql_store *st, unsigned pages, int *rc)
{
    struct sql_keeper *k = st->keeper;
    pthread_mutex_lock(&k->lock);
    if (pages < k->pages)
        k->passed = k->forced = 0; /* the log started over */
    k->pages = pages;
    *rc = k->rc;
    k->rc = SQLITE_OK;
    bool is_forced = pages >= FORCE_PAGES && pages - k->forced >= PASS_PAGES; /* somebody reads what is long past */
    bool finish = k->may_finish || is_forced;
    k->may_finish = false;
    if (is_forced)
        k->forced = pages;
    if (is_due(k))
        pthread_cond_broadcast(&k->changed);
    pthread_mutex_unlock(&k->lock);
    return finish;
}
