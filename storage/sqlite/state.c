/* Named states. Generations count for the whole store and only grow, so that one never comes back, whatever was deleted
 * or undone meanwhile; the counter goes to its row with the batch that used it. */
#include "storage/sqlite/writer.h"

#include <stdlib.h>

struct found {
    uint64_t generation, expires_ms;
    size_t size; /* of the value */
};

/* With `value`, its bytes go there, malloc'ed. SLU_EHISTORY_GONE: there is none. */
static enum slu_err look(struct sql_writer *w, struct slu_bytes key, struct found *out, struct slu_bytes *value)
{
    struct slu_bytes bytes;
    sqlite3_stmt *s = sql_get(&w->db, SQL_STATE_GET);
    sql_bind_bytes(s, 1, key);
    if (!sql_row(&w->db, s))
        return sql_is_broken(w) ? SLU_EUNAVAILABLE : SLU_EHISTORY_GONE;
    enum slu_err err = SLU_EINTERNAL;
    if (sql_column_u64(s, 0, INT64_MAX, &out->generation) && sql_column_u64(s, 1, INT64_MAX, &out->expires_ms) &&
        sql_column_bytes(s, 2, SLU_STATE_VALUE_MAX, &bytes)) {
        err = SLU_OK;
        out->size = bytes.len;
        bool is_over = out->expires_ms && out->expires_ms <= w->now;
        uint8_t *copy = value && bytes.len && !is_over ? malloc(bytes.len) : NULL;
        if (copy) {
            memcpy(copy, bytes.data, bytes.len);
            *value = slu_bytes(copy, bytes.len);
        } else if (value && bytes.len && !is_over) {
            err = SLU_ENOMEM;
        }
    }
    sql_end(s);
    return err;
}

static void run_with_key(struct sql_writer *w, enum sql_text which, struct slu_bytes key, uint64_t generation)
{
    sqlite3_stmt *s = sql_get(&w->db, which);
    sql_bind_bytes(s, 1, key);
    if (which != SQL_STATE_DELETE)
        sql_bind_u64(s, 2, generation);
    sql_run(&w->db, s);
}

static void delete_row(struct sql_writer *w, struct slu_bytes key, size_t value_size)
{
    uint64_t bytes = key.len + value_size;
    run_with_key(w, SQL_STATE_DELETE, key, 0);
    w->totals.states -= w->totals.states ? 1 : 0;
    w->totals.state_bytes -= bytes < w->totals.state_bytes ? bytes : w->totals.state_bytes;
}

/* Like look, but what has expired is deleted and counts as not there. */
static enum slu_err find(struct sql_writer *w, struct slu_bytes key, struct found *out, struct slu_bytes *value)
{
    enum slu_err err = look(w, key, out, value);
    if (err || !out->expires_ms || out->expires_ms > w->now)
        return err;
    delete_row(w, key, out->size);
    return SLU_EHISTORY_GONE;
}

static enum slu_err claim(struct sql_writer *w, struct slu_state *s)
{
    struct found f;
    enum slu_err err = find(w, s->key, &f, &s->found);
    if (err && err != SLU_EHISTORY_GONE)
        return err;
    if (err && (w->totals.states >= SQL_STATES_MAX || w->totals.state_bytes + s->key.len > SQL_STATE_BYTES))
        return SLU_ELIMIT_REACHED;
    s->generation = ++w->generation;
    run_with_key(w, err ? SQL_STATE_NEW : SQL_STATE_CLAIM, s->key, s->generation);
    if (err) {
        w->totals.states++;
        w->totals.state_bytes += s->key.len;
    }
    return SLU_OK;
}

static enum slu_err put(struct sql_writer *w, const struct slu_state *s, size_t former)
{
    uint64_t bytes = w->totals.state_bytes - (former < w->totals.state_bytes ? former : w->totals.state_bytes);
    if (s->value.len > former && bytes + s->value.len > SQL_STATE_BYTES)
        return SLU_ELIMIT_REACHED;
    w->totals.state_bytes = bytes + s->value.len;
    sqlite3_stmt *st = sql_get(&w->db, SQL_STATE_PUT);
    sql_bind_bytes(st, 1, s->key);
    sql_bind_bytes(st, 2, s->value);
    sql_bind_u64_or_null(st, 3, s->expires_ms);
    sql_run(&w->db, st);
    return SLU_OK;
}

enum slu_err sql_state(struct sql_writer *w, struct slu_state *s)
{
    if (s->op == SLU_STATE_CLAIM)
        return claim(w, s);
    struct found f;
    enum slu_err err = find(w, s->key, &f, NULL);
    if (err == SLU_EHISTORY_GONE)
        return s->op == SLU_STATE_DELETE ? SLU_OK : SLU_EEXPECT_FAILED;
    if (err)
        return err;
    if (f.generation != s->generation)
        return SLU_EEXPECT_FAILED;
    if (s->op == SLU_STATE_PUT)
        return put(w, s, f.size);
    delete_row(w, s->key, f.size);
    return SLU_OK;
}

/* One at a time: the row that names the key is read, copied and deleted. */
static bool delete_expired(struct sql_writer *w)
{
    uint8_t key[SLU_STATE_KEY_MAX];
    struct slu_bytes found;
    uint64_t size;
    sqlite3_stmt *s = sql_get(&w->db, SQL_STATE_EXPIRED);
    sql_bind_u64(s, 1, w->now);
    sql_bind_u64(s, 2, 1);
    if (!sql_row(&w->db, s))
        return false;
    bool ok = sql_column_bytes(s, 0, sizeof(key), &found) && sql_column_u64(s, 1, INT64_MAX, &size);
    size_t len = ok ? found.len : 0;
    if (ok)
        memcpy(key, found.data, len);
    sql_end(s);
    if (!ok)
        return false;
    delete_row(w, slu_bytes(key, len), size);
    return !sql_is_broken(w);
}

bool sql_state_sweep(struct sql_writer *w)
{
    for (int i = 0; i < SQL_SLICE; i++) {
        if (!delete_expired(w))
            return true;
    }
    return false;
}
