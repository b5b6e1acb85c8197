/* The SQLite engine: requests go to the writer or to the readers, and come back as mails to whoever asked. Those that
 * are under way when the engine closes keep its shell alive until the last of them has been told. */
#include "storage/sqlite/sqlite.h"

#include "storage/sqlite/writer.h"

#include <stdlib.h>

void *sql_alloc(struct sql_store *st, size_t size)
{
    void *p = calloc(1, size);
    if (p)
        slu_account_add(st->env.account, size);
    return p;
}

void sql_free(struct sql_store *st, void *p, size_t size)
{
    if (!p)
        return;
    slu_account_sub(st->env.account, size);
    free(p);
}

/* ---- requests ---- */

_Static_assert(offsetof(struct slu_append, req) == 0 && offsetof(struct slu_locate, req) == 0 &&
                   offsetof(struct slu_scan, req) == 0 && offsetof(struct slu_tail, req) == 0 &&
                   offsetof(struct slu_state, req) == 0,
               "as_op() relies on it");

static void *as_op(struct slu_store_req *req)
{
    return req;
}

static void drop_page(struct slu_msg ***msgs, size_t *n)
{
    slu_page_free(*msgs, *n);
    *msgs = NULL;
    *n = 0;
}

static void drop_bytes(struct slu_bytes *b)
{
    free((void *)(uintptr_t)b->data);
    *b = (struct slu_bytes){ NULL, 0 };
}

static void drop_results(struct slu_store_req *req)
{
    if (req->op == SQL_OP_APPEND) {
        struct slu_append *a = as_op(req);
        a->pos = (struct slu_pos){ 0, 0 };
        a->duplicate = false;
    } else if (req->op == SQL_OP_SCAN) {
        struct slu_scan *s = as_op(req);
        drop_page(&s->msgs, &s->n);
    } else if (req->op == SQL_OP_TAIL) {
        struct slu_tail *t = as_op(req);
        drop_page(&t->msgs, &t->n);
        free(t->retained);
        t->retained = NULL;
        drop_bytes(&t->next_topic);
    } else if (req->op == SQL_OP_STATE) {
        struct slu_state *s = as_op(req);
        drop_bytes(&s->found);
    }
}

static bool anything_pending(const struct sql_store *st)
{
    for (unsigned i = 0; i < st->env.workers; i++) {
        if (st->seats[i].pending)
            return true;
    }
    return false;
}

static void end_request(struct slu_mail *mail, void *owner)
{
    (void)owner;
    struct slu_store_req *req = slu_container_of(mail, struct slu_store_req, mail);
    struct sql_store *st = req->engine;
    st->seats[req->worker].pending--;
    if (st->is_closed) {
        drop_results(req);
        req->err = SLU_ECLOSED;
        if (!anything_pending(st))
            free(st);
    }
    req->done(req);
}

void sql_post_end(struct sql_store *st, struct slu_store_req *req, enum slu_err err)
{
    req->err = err;
    req->mail.run = end_request;
    st->env.post(st->env.arg, req->worker, &req->mail);
}

static void ask(struct sql_store *st, struct slu_store_req *req, enum sql_op op)
{
    req->engine = st;
    req->op = op;
    st->seats[req->worker].pending++;
    if (op == SQL_OP_APPEND || op == SQL_OP_STATE)
        sql_writer_ask(st, req);
    else
        sql_readers_ask(st, req);
}

static void ask_append(void *st, struct slu_append *a)
{
    ask(st, &a->req, SQL_OP_APPEND);
}

static void ask_locate(void *st, struct slu_locate *l)
{
    ask(st, &l->req, SQL_OP_LOCATE);
}

static void ask_scan(void *st, struct slu_scan *s)
{
    ask(st, &s->req, SQL_OP_SCAN);
}

static void ask_tail(void *st, struct slu_tail *t)
{
    ask(st, &t->req, SQL_OP_TAIL);
}

static void ask_state(void *st, struct slu_state *s)
{
    ask(st, &s->req, SQL_OP_STATE);
}

/* ---- life ---- */

/* What is there of it; whatever waits is told. */
static void stop(struct sql_store *st)
{
    sql_readers_stop(st);
    sql_keeper_stop(st);
    sql_writer_free(st);
    sql_kept_stop(st);
    sql_file_close(st->file);
    pthread_cond_destroy(&st->fed);
    pthread_mutex_destroy(&st->lock);
}

static enum slu_err start(struct sql_store *st, struct slu_buf *why)
{
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS,
                   0); /* a lock less in each of its allocations; refused if it already works */
    enum slu_err err = sql_file_open(st->env.path, why, &st->file);
    if (!err)
        err = sql_kept_start(st);
    if (!err)
        err = sql_writer_new(st, why);
    if (err)
        return err;
    st->fed_seq = st->started_seq = st->writer->totals.seq;
    err = sql_keeper_start(st);
    if (!err)
        err = sql_readers_start(st);
    return err ? err : sql_writer_start(st);
}

static enum slu_err sql_open(void **out, const struct slu_engine_env *env, struct slu_buf *why)
{
    if (!env->path) {
        if (why)
            slu_buf_add_str(why, "the SQLite engine needs a folder for its file: give one with --data");
        return SLU_EUNAVAILABLE;
    }
    struct sql_store *st = calloc(1, sizeof(*st) + env->workers * sizeof(struct sql_seat));
    if (!st)
        return SLU_ENOMEM;
    st->env = *env;
    pthread_mutex_init(&st->lock, NULL);
    pthread_cond_init(&st->fed, NULL);
    enum slu_err err = start(st, why);
    if (!err) {
        *out = st;
        return SLU_OK;
    }
    if (why && !why->len && err == SLU_EUNAVAILABLE)
        slu_buf_addf(why, "%s cannot be read or written (the log says why): look after the disk and its space",
                     sql_file_path(st->file));
    stop(st);
    free(st);
    return err;
}

static void sql_close_engine(void *arg)
{
    struct sql_store *st = arg;
    sql_writer_stop(st);
    stop(st);
    st->is_closed = true;
    if (!anything_pending(st))
        free(st);
}

static unsigned sql_homes(void *st)
{
    (void)st;
    return 1;
}

static unsigned sql_home_of(void *st, struct slu_bytes topic)
{
    (void)st, (void)topic;
    return 0;
}

static void sql_tick(void *st, unsigned worker)
{
    if (worker == 0)
        sql_writer_tick(st);
}

static const char *sql_trouble(void *arg)
{
    struct sql_store *st = arg;
    return atomic_load(&st->trouble);
}

static void sql_mirror(void *st, struct slu_bytes topic, struct slu_msg *m)
{
    sql_kept_add(st, topic, m);
}

static enum slu_err sql_mirrored(void *st, enum slu_err (*each)(void *arg, struct slu_msg *msg), void *arg)
{
    return sql_kept_each(st, each, arg);
}

const struct slu_engine slu_engine_sqlite = {
    .name = "sqlite",
    .durable = true,
    .shared = false,
    .open = sql_open,
    .homes = sql_homes,
    .home_of = sql_home_of,
    .append = ask_append,
    .locate = ask_locate,
    .scan = ask_scan,
    .tail = ask_tail,
    .state = ask_state,
    .tick = sql_tick,
    .close = sql_close_engine,
    .trouble = sql_trouble,
    .mirror = sql_mirror,
    .mirrored = sql_mirrored,
};
