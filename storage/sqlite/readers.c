/* The reader threads: each takes the next request from a common queue and does it with its own connection, so that a
 * long page delays nobody but its neighbours. */
#include "storage/sqlite/reader.h"

#include "broker/base/log.h"
#include "broker/core/topic.h"

#include <stdlib.h>

enum { LOOKS = 64 };
_Static_assert(sizeof(((struct sql_reader *)0)->name) >= SLU_TOPIC_MAX, "the longest topic fits");

struct sql_readers {
    struct sql_store *st;
    pthread_mutex_t lock;
    pthread_cond_t changed;        /* for the threads */
    pthread_cond_t closed;         /* for who pauses them */
    struct slu_mail *first, **end; /* waiting requests */
    bool is_stopping, is_paused;
    unsigned n, n_open; /* threads; of these, such as may have a connection */
    struct sql_reader readers[SQL_READERS];
};

bool sql_snapshot(struct sql_reader *r)
{
    return sql_do(&r->db, SQL_BEGIN_READ) && sql_do(&r->db, SQL_SNAPSHOT);
}

void sql_snapshot_end(struct sql_reader *r)
{
    if (r->db.db && !sqlite3_get_autocommit(r->db.db))
        sql_do(&r->db, SQL_COMMIT);
}

/* All that v knew was trimmed before the snapshot: it says nothing about the rows that are seen. */
static bool is_outrun(const struct sql_view *v, const struct sql_view *later)
{
    if (!v->is_known)
        return false;
    return !later->is_known || later->id != v->id || later->log.first > v->log.head + 1;
}

enum slu_err sql_look_at(struct sql_reader *r, struct slu_bytes topic, struct sql_view *v)
{
    for (int i = 0; i < LOOKS; i++) {
        struct sql_view later;
        sql_view(r->st, topic, v);
        if (!sql_snapshot(r))
            return SLU_EUNAVAILABLE;
        sql_view(r->st, topic, &later);
        if (!is_outrun(v, &later)) {
            v->log.first = later.log.first;
            v->log.trimmed_seq = later.log.trimmed_seq;
            return SLU_OK;
        }
        sql_snapshot_end(r);
    }
    return SLU_EUNAVAILABLE;
}

enum slu_err sql_row_fault(const char *table)
{
    static struct slu_log_limit limit;
    if (slu_log_allowed(&limit, 1))
        slu_log(SLU_LOG_ERROR, "store", "row_makes_no_sense", "table=%s", table);
    return SLU_EINTERNAL;
}

sqlite3_stmt *sql_rows_of(struct sql_reader *r, enum sql_text which, uint64_t id, uint64_t after, uint64_t upto)
{
    sqlite3_stmt *st = sql_get(&r->db, which);
    sql_bind_u64(st, 1, id);
    sql_bind_u64(st, 2, after);
    sql_bind_u64(st, 3, upto);
    return st;
}

bool sql_next_row(struct sql_reader *r, sqlite3_stmt *st, struct sql_row *row, enum slu_err *err)
{
    if (!sql_row(&r->db, st)) {
        *err = sql_reader_err(r);
        return false;
    }
    if (sql_row_read(st, row))
        return true;
    sql_end(st);
    *err = sql_row_fault("message");
    return false;
}

static void *as_op(struct slu_store_req *req)
{
    return req; /* it is the first member of each of them */
}

static enum slu_err perform(struct sql_reader *r, struct slu_store_req *req)
{
    r->db.rc = SQLITE_OK;
    if (!r->db.db && sql_file_connect(r->st->file, true, &r->db.db) != SLU_OK)
        return SLU_EUNAVAILABLE;
    enum slu_err err;
    if (req->op == SQL_OP_SCAN)
        err = sql_scan(r, as_op(req));
    else if (req->op == SQL_OP_LOCATE)
        err = sql_locate(r, as_op(req));
    else
        err = sql_tail(r, as_op(req));
    sql_snapshot_end(r);
    if (r->db.rc != SQLITE_OK) /* a new one begins without whatever this one has met */
        sql_close(&r->db);
    return err;
}

static struct slu_store_req *next_request(struct sql_readers *rs)
{
    struct slu_mail *mail = rs->first;
    if (!mail)
        return NULL;
    rs->first = mail->next;
    if (!rs->first)
        rs->end = &rs->first;
    return slu_container_of(mail, struct slu_store_req, mail);
}

/* The lock is held, but not meanwhile. */
static void serve(struct sql_readers *rs, struct sql_reader *r, bool *is_open)
{
    struct slu_store_req *req = next_request(rs);
    bool refuses = rs->is_paused;
    pthread_mutex_unlock(&rs->lock);
    if (refuses && *is_open)
        sql_close(&r->db);
    if (req)
        sql_post_end(rs->st, req, refuses ? SLU_EUNAVAILABLE : perform(r, req));
    pthread_mutex_lock(&rs->lock);
    if (refuses == !*is_open)
        return;
    *is_open = !refuses;
    rs->n_open += *is_open ? 1u : -1u;
    pthread_cond_broadcast(&rs->closed);
}

static void *run(void *arg)
{
    struct sql_reader *r = arg;
    struct sql_readers *rs = r->st->readers;
    bool is_open = true; /* counts in n_open */
    pthread_mutex_lock(&rs->lock);
    while (!rs->is_stopping) {
        if (rs->first || rs->is_paused == is_open)
            serve(rs, r, &is_open);
        else
            pthread_cond_wait(&rs->changed, &rs->lock);
    }
    pthread_mutex_unlock(&rs->lock);
    sql_close(&r->db);
    return NULL;
}

enum slu_err sql_readers_start(struct sql_store *st)
{
    struct sql_readers *rs = sql_alloc(st, sizeof(*rs));
    if (!rs)
        return SLU_ENOMEM;
    st->readers = rs;
    rs->st = st;
    rs->end = &rs->first;
    pthread_mutex_init(&rs->lock, NULL);
    pthread_cond_init(&rs->changed, NULL);
    pthread_cond_init(&rs->closed, NULL);
    rs->n_open = SQL_READERS;
    for (; rs->n < SQL_READERS; rs->n++) {
        rs->readers[rs->n].st = st;
        if (!sql_thread_start(&rs->readers[rs->n].thread, "sqlite-reader", run, &rs->readers[rs->n]))
            return SLU_ENOMEM;
    }
    return SLU_OK;
}

void sql_readers_ask(struct sql_store *st, struct slu_store_req *req)
{
    struct sql_readers *rs = st->readers;
    req->mail.next = NULL;
    pthread_mutex_lock(&rs->lock);
    *rs->end = &req->mail;
    rs->end = &req->mail.next;
    pthread_cond_signal(&rs->changed);
    pthread_mutex_unlock(&rs->lock);
}

void sql_readers_pause(struct sql_store *st)
{
    struct sql_readers *rs = st->readers;
    pthread_mutex_lock(&rs->lock);
    rs->is_paused = true;
    pthread_cond_broadcast(&rs->changed);
    while (rs->n_open)
        pthread_cond_wait(&rs->closed, &rs->lock);
    pthread_mutex_unlock(&rs->lock);
}

void sql_readers_resume(struct sql_store *st)
{
    struct sql_readers *rs = st->readers;
    pthread_mutex_lock(&rs->lock);
    rs->is_paused = false;
    pthread_cond_broadcast(&rs->changed);
    pthread_mutex_unlock(&rs->lock);
}

void sql_readers_stop(struct sql_store *st)
{
    struct sql_readers *rs = st->readers;
    if (!rs)
        return;
    pthread_mutex_lock(&rs->lock);
    rs->is_stopping = true;
    pthread_cond_broadcast(&rs->changed);
    pthread_mutex_unlock(&rs->lock);
    for (unsigned i = 0; i < rs->n; i++)
        pthread_join(rs->readers[i].thread, NULL);
    for (struct slu_store_req *req; (req = next_request(rs));)
        sql_post_end(st, req, SLU_ECLOSED);
    pthread_cond_destroy(&rs->closed);
    pthread_cond_destroy(&rs->changed);
    pthread_mutex_destroy(&rs->lock);
    sql_free(st, rs, sizeof(*rs));
    st->readers = NULL;
}
