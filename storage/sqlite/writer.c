/* The writer's thread. It takes what has gathered, begins, does each request, adds a piece of background work, commits,
 * feeds, publishes, answers. While it works more gathers: the group grows with the load, and nobody waits for a clock. */
#include "storage/sqlite/writer.h"

#include "broker/base/log.h"

#include <stdlib.h>

enum {
    GATHER = 16,       /* mails between two looks at their size */
    CLEAN_IDLE = 4096, /* rows that a batch without requests deletes */
    SWEEP_TOPICS = 8192,
    FREE_PAGES_MIN = 1024,
    FREE_PART = 4, /* a file is cut when more than one page in so many is free */
};

/* ---- requests ---- */

static struct slu_store_req *request_of(struct slu_mail *mail)
{
    return slu_container_of(mail, struct slu_store_req, mail);
}

static void *as_op(struct slu_store_req *req)
{
    return req; /* it is the first member of each of them */
}

static size_t bytes_of(struct slu_store_req *req)
{
    if (req->op == SQL_OP_APPEND)
        return ((const struct slu_append *)as_op(req))->msg->size;
    return ((const struct slu_state *)as_op(req))->value.len;
}

static void take_mail(struct slu_mail *mail, void *owner)
{
    struct sql_batch *b = &((struct sql_writer *)owner)->batch;
    mail->next = NULL;
    *b->end = mail;
    b->end = &mail->next;
    b->n++;
    b->bytes += bytes_of(request_of(mail));
}

/* True: there are more than before. The clock is read after the requests were taken, so none is done before its time. */
static bool gather(struct sql_writer *w)
{
    struct sql_batch *b = &w->batch;
    size_t before = b->n;
    while (b->n < SQL_BATCH_MAX && b->bytes < SQL_BATCH_BYTES && slu_mailbox_run(&w->box, w, GATHER))
        ;
    w->now = sql_now(w->st);
    return b->n > before;
}

static void drop_results(struct slu_store_req *req)
{
    if (req->op == SQL_OP_APPEND) {
        struct slu_append *a = as_op(req);
        if (a->pos.offset && !a->duplicate) { /* else readers on other threads may have the message */
            a->msg->pos = (struct slu_pos){ 0, 0 };
            a->msg->seq = 0;
        }
        a->pos = (struct slu_pos){ 0, 0 };
        a->duplicate = false;
        a->matched = 0;
    } else {
        struct slu_state *s = as_op(req);
        free((void *)(uintptr_t)s->found.data);
        s->found = (struct slu_bytes){ NULL, 0 };
    }
}

static enum slu_err perform(struct sql_writer *w, struct slu_store_req *req)
{
    if (req->op == SQL_OP_APPEND)
        return sql_append(w, as_op(req));
    return sql_state(w, as_op(req));
}

/* All that gathered, and what comes while that is done, as far as the batch has room. */
static void do_requests(struct sql_writer *w)
{
    struct slu_mail **at = &w->batch.first;
    do {
        for (; *at && !sql_is_broken(w); at = &(*at)->next) {
            struct slu_store_req *req = request_of(*at);
            req->err = perform(w, req);
        }
    } while (!sql_is_broken(w) && gather(w));
}

/* ---- the batch ---- */

static void batch_init(struct sql_writer *w)
{
    struct sql_batch *b = &w->batch;
    b->first = NULL;
    b->end = &b->first;
    b->n = b->bytes = b->stored = 0;
    b->has_gone = false;
    b->before = w->totals;
}

static void answer(struct sql_writer *w, enum slu_err failure)
{
    struct slu_mail *mail = w->batch.first;
    batch_init(w);
    while (mail) {
        struct slu_mail *next = mail->next;
        struct slu_store_req *req = request_of(mail);
        if (failure)
            drop_results(req);
        sql_post_end(w->st, req, failure ? failure : req->err);
        mail = next;
    }
}

static void undo(struct sql_writer *w, bool at_commit)
{
    sql_note_failure(w, at_commit);
    w->backs_off = true;
    if (w->db.db && !sqlite3_get_autocommit(w->db.db) && !sql_do(&w->db, SQL_ROLLBACK))
        sql_note_failure(w, true);
    if (at_commit && w->health == SQL_FAILED && w->pages)
        sql_cut_wal(sql_file_path(w->st->file), w->pages);
    sql_clean_undo(w);
    sql_dedup_undo(w);
    sql_kept_undo(w->st);
    w->totals = w->batch.before;
    sql_topics_undo(w);
    answer(w, SLU_EUNAVAILABLE);
}

static void tell(struct sql_writer *w, const struct slu_append *a)
{
    const struct slu_engine_env *env = &w->st->env;
    bool is_done = a->req.err == SLU_OK && !a->duplicate;
    if (is_done && a->pos.offset)
        env->feed(env->arg, SLU_NO_WORKER, a->msg);
    if (is_done && env->retained && (a->msg->retain || a->msg->clear))
        env->retained(env->retained_arg, a->msg->topic, a->msg->clear ? NULL : a->msg);
}

static void begin_feed(struct sql_store *st)
{
    pthread_mutex_lock(&st->lock);
    st->is_feeding = true;
    pthread_mutex_unlock(&st->lock);
}

static void committed(struct sql_writer *w)
{
    if (w->batch.stored)
        begin_feed(w->st);
    for (struct slu_mail *m = w->batch.first; m; m = m->next) {
        struct slu_store_req *req = request_of(m);
        if (req->op == SQL_OP_APPEND)
            tell(w, as_op(req));
    }
    sql_topics_committed(w);
    sql_clean_committed(w);
    sql_dedup_committed(w);
    sql_kept_committed(w->st);
    answer(w, SLU_OK);
}

static bool (*const chores[SQL_CHORES])(struct sql_writer *w) = {
    [SQL_CHORE_AGE] = sql_age_sweep,           [SQL_CHORE_EXPIRED] = sql_expiry_sweep,
    [SQL_CHORE_RETAINED] = sql_retained_sweep, [SQL_CHORE_MIRROR] = sql_kept_sweep,
    [SQL_CHORE_DEDUP] = sql_dedup_sweep,       [SQL_CHORE_STATE] = sql_state_sweep,
    [SQL_CHORE_IDLE] = sql_topics_sweep,
};

/* A slice of each. Deleting keeps up with what comes in: twice as many rows as were stored. */
static void do_chores(struct sql_writer *w)
{
    for (int i = 0; i < SQL_CHORES && !sql_is_broken(w); i++) {
        if (w->due[i])
            w->due[i] = !chores[i](w);
    }
    if (!sql_is_broken(w))
        sql_clean(w, w->batch.n ? SQL_SLICE + 2 * w->batch.stored : CLEAN_IDLE);
    if (w->has_probe && !sql_is_broken(w))
        w->has_probe = !sql_do(&w->db, SQL_PROBE_END);
}

static void write_generation(struct sql_writer *w)
{
    if (w->generation == w->generation_stored)
        return;
    sqlite3_stmt *s = sql_get(&w->db, SQL_META_PUT);
    sqlite3_bind_text(s, 1, "generation", -1, SQLITE_STATIC);
    sql_bind_u64(s, 2, w->generation);
    sql_run(&w->db, s);
}

static void run_batch(struct sql_writer *w, bool probes)
{
    w->now = sql_now(w->st);
    if (!sql_do(&w->db, SQL_BEGIN_WRITE)) {
        gather(w);
        undo(w, false);
        return;
    }
    int changes = sqlite3_total_changes(w->db.db);
    do_requests(w);
    if (!sql_is_broken(w) && w->health == SQL_WELL)
        do_chores(w);
    if (!sql_is_broken(w))
        sql_kept_write(w->st, &w->db);
    if (!sql_is_broken(w))
        sql_topics_write(w);
    if (!sql_is_broken(w))
        write_generation(w);
    if (probes && !sql_is_broken(w))
        sql_do(&w->db, SQL_PROBE);
    bool at_commit = !sql_is_broken(w);
    if (!at_commit || !sql_do(&w->db, SQL_COMMIT)) {
        undo(w, at_commit);
        return;
    }
    w->generation_stored = w->generation;
    if (sqlite3_total_changes(w->db.db) != changes)
        sql_note_stored(w);
    if (probes)
        w->has_probe = true;
    committed(w);
}

/* ---- space ---- */

static int on_commit(void *writer, sqlite3 *db, const char *name, int pages)
{
    (void)db, (void)name;
    ((struct sql_writer *)writer)->pages = (unsigned)pages;
    return SQLITE_OK;
}

bool sql_writer_connect(struct sql_writer *w)
{
    w->pages = 0; /* the log may hold some, that are not counted yet */
    if (sql_file_connect(w->st->file, false, &w->db.db) != SLU_OK)
        return false;
    sqlite3_wal_hook(w->db.db, on_commit, w);
    return true;
}

static void checkpoint(struct sql_writer *w)
{
    int rc = sqlite3_wal_checkpoint_v2(w->db.db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    if (!sql_checkpoint_failed(rc))
        return;
    w->db.rc = rc;
    sql_note_failure(w, false);
}

/* Between two batches. */
static void look_after_changes(struct sql_writer *w)
{
    int rc;
    bool finish = sql_keeper_tell(w->st, w->pages, &rc);
    if (rc != SQLITE_OK) {
        w->db.rc = rc;
        sql_note_failure(w, false);
    } else if (finish) {
        checkpoint(w);
    }
}

static uint64_t number(struct sql_writer *w, enum sql_text which)
{
    uint64_t n = 0;
    sqlite3_stmt *s = sql_get(&w->db, which);
    if (sql_row(&w->db, s)) {
        if (!sql_column_u64(s, 0, INT64_MAX, &n))
            n = 0;
        sql_end(s);
    }
    return n;
}

/* A slice; true: there is more. */
static bool vacuum(struct sql_writer *w)
{
    uint64_t pages = number(w, SQL_PAGES), spare = number(w, SQL_FREE_PAGES);
    bool pays = spare > FREE_PAGES_MIN && spare * FREE_PART > pages;
    if (pays)
        sql_do(&w->db, SQL_VACUUM);
    if (!sql_is_broken(w))
        return pays;
    sql_note_failure(w, false);
    return false;
}

/* ---- the thread ---- */

static void on_tick(struct sql_writer *w)
{
    for (int i = 0; i < SQL_CHORES; i++)
        w->due[i] = true;
    size_t n = w->st->by_name.n;
    w->age_left = n < SWEEP_TOPICS ? n : SWEEP_TOPICS;
    w->may_vacuum = true;
    w->backs_off = false;
    if (w->health == SQL_FAILED)
        sql_repair(w);
    if (w->health != SQL_NO_ROOM)
        return;
    checkpoint(w); /* then the log of changes can begin anew, in the space that it has */
    if (w->health == SQL_NO_ROOM)
        run_batch(w, true);
}

static bool has_chores(struct sql_writer *w)
{
    bool any = !slu_list_empty(&w->unclean) || sql_kept_any(w->st);
    for (int i = 0; i < SQL_CHORES; i++)
        any = any || w->due[i];
    return any && w->health == SQL_WELL && !w->backs_off;
}

/* One turn; false: nothing is left to do. */
static bool work(struct sql_writer *w)
{
    if (atomic_exchange(&w->has_ticked, false))
        on_tick(w);
    if (w->health == SQL_FAILED) {
        bool any = gather(w);
        answer(w, SLU_EUNAVAILABLE);
        return any;
    }
    if (!slu_mailbox_is_empty(&w->box) || has_chores(w)) {
        run_batch(w, false);
        if (w->health == SQL_WELL)
            look_after_changes(w);
        return true;
    }
    w->may_vacuum = w->may_vacuum && w->health == SQL_WELL && vacuum(w);
    return w->may_vacuum;
}

static void *run(void *arg)
{
    struct sql_writer *w = arg;
    while (!atomic_load(&w->is_stopping)) {
        if (!work(w))
            sql_bell_wait(&w->bell);
    }
    /* No worker asks for more: what they left is stored, the places of durable subscriptions among it. */
    while (w->health == SQL_WELL && (!slu_mailbox_is_empty(&w->box) || sql_kept_any(w->st)))
        run_batch(w, false);
    return NULL;
}

static void on_mail(void *writer)
{
    sql_bell_ring(&((struct sql_writer *)writer)->bell);
}

enum slu_err sql_writer_start(struct sql_store *st)
{
    struct sql_writer *w = st->writer;
    return sql_thread_start(&w->thread, "sqlite-writer", run, w) ? SLU_OK : SLU_ENOMEM;
}

enum slu_err sql_writer_new(struct sql_store *st, struct slu_buf *why)
{
    struct sql_writer *w = sql_alloc(st, sizeof(*w));
    if (!w)
        return SLU_ENOMEM;
    st->writer = w;
    w->st = st;
    w->batch.drafts_end = &w->batch.drafts;
    sql_bell_init(&w->bell);
    slu_mailbox_init(&w->box, on_mail, w);
    sql_topics_init(w);
    sql_trim_init(w);
    sql_dedup_init(w);
    if (!sql_writer_connect(w))
        return SLU_EUNAVAILABLE;
    w->now = sql_now(st);
    enum slu_err err = sql_load(w, why);
    batch_init(w);
    return err;
}

void sql_writer_ask(struct sql_store *st, struct slu_store_req *req)
{
    req->mail.run = take_mail;
    slu_mailbox_post(&st->writer->box, &req->mail);
}

void sql_writer_wake(struct sql_store *st)
{
    sql_bell_ring(&st->writer->bell);
}

void sql_writer_tick(struct sql_store *st)
{
    atomic_store(&st->writer->has_ticked, true);
    sql_bell_ring(&st->writer->bell);
}

void sql_writer_stop(struct sql_store *st)
{
    struct sql_writer *w = st->writer;
    atomic_store(&w->is_stopping, true);
    sql_bell_ring(&w->bell);
    pthread_join(w->thread, NULL);
    while (slu_mailbox_run(&w->box, w, GATHER))
        ;
    answer(w, SLU_ECLOSED);
}

void sql_writer_free(struct sql_store *st)
{
    struct sql_writer *w = st->writer;
    if (!w)
        return;
    if (w->db.db && w->health == SQL_WELL)
        sqlite3_wal_checkpoint_v2(w->db.db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    sql_close(&w->db);
    sql_dedup_fini(w);
    sql_topics_free(w);
    sql_bell_fini(&w->bell);
    sql_free(st, w, sizeof(*w));
    st->writer = NULL;
}
