/* What failures mean, and the way back. A full disk undoes the batch and is tried again. After anything else that went
 * wrong with the file nobody can say what of it is on the disk: the engine closes all its connections, has the file
 * checked, loads it anew and only then stores again. What is found there beyond what was fed is fed now. */
#include "storage/sqlite/writer.h"

#include "broker/base/log.h"

static const char *const troubles[] = {
    [SQL_WELL] = NULL,
    [SQL_NO_ROOM] = "the disk is full",
    [SQL_FAILED] = "the last write to the disk failed; the file is being checked",
};

static void set_health(struct sql_writer *w, enum sql_health health, int rc)
{
    if (w->health == health)
        return;
    w->health = health;
    atomic_store(&w->st->trouble, troubles[health]);
    if (health == SQL_WELL)
        slu_log(SLU_LOG_INFO, "store", "stores_again", NULL);
    else
        slu_log(SLU_LOG_ERROR, "store", "stopped_storing", "why=\"%s\" cause=\"%s\" code=%d", troubles[health],
                sqlite3_errstr(rc), rc);
}

void sql_note_failure(struct sql_writer *w, bool at_commit)
{
    int rc = w->db.rc, plain = rc & 0xff;
    w->db.rc = SQLITE_OK;
    bool is_passing = plain == SQLITE_BUSY || plain == SQLITE_LOCKED || plain == SQLITE_NOMEM ||
                      rc == SQLITE_IOERR_NOMEM || plain == SQLITE_INTERRUPT || plain == SQLITE_TOOBIG;
    if (w->health == SQL_FAILED || rc == SQLITE_OK)
        return;
    if (plain == SQLITE_FULL) /* nothing of the batch counts: its last frame, which would say so, was not written */
        set_health(w, SQL_NO_ROOM, rc);
    else if (!is_passing || at_commit)
        set_health(w, SQL_FAILED, rc);
}

void sql_note_stored(struct sql_writer *w)
{
    if (w->health == SQL_NO_ROOM)
        set_health(w, SQL_WELL, SQLITE_OK);
}

/* Acknowledged messages are gone: positions that were given out must not fit others. */
static bool begin_new_epochs(struct sql_writer *w)
{
    slu_log(SLU_LOG_ERROR, "store", "messages_lost", "last_seq=%ju found_seq=%ju", (uintmax_t)w->st->fed_seq,
            (uintmax_t)w->totals.seq);
    sql_do(&w->db, SQL_BEGIN_WRITE);
    sql_do(&w->db, SQL_NEW_EPOCHS);
    sql_do(&w->db, SQL_NEW_CURSORS);
    return !sql_is_broken(w) && sql_do(&w->db, SQL_COMMIT);
}

/* Expired or not: readers count offsets. */
static bool feed_row(struct sql_writer *w, const struct sql_row *row)
{
    struct sql_store *st = w->st;
    const struct sql_topic *t = sql_topic_by_id(w, row->topic);
    if (!t)
        return true;
    struct slu_msg *m = sql_row_message(st, row, t->node.name, t->log.epoch);
    if (!m)
        return false;
    st->env.feed(st->env.arg, SLU_NO_WORKER, m);
    slu_msg_unref(m);
    return true;
}

/* Messages whose commit failed, and were in the file all the same. */
static bool feed_found(struct sql_writer *w)
{
    struct sql_store *st = w->st;
    bool ok = true;
    sqlite3_stmt *s = sql_get(&w->db, SQL_SCAN_ALL);
    sql_bind_u64(s, 1, st->fed_seq);
    sql_bind_u64(s, 2, INT64_MAX);
    while (ok && sql_row(&w->db, s)) {
        struct sql_row row;
        ok = sql_row_read(s, &row) && feed_row(w, &row);
        if (ok) {
            pthread_mutex_lock(&st->lock);
            st->fed_seq = row.seq;
            pthread_mutex_unlock(&st->lock);
        }
    }
    if (!ok)
        sql_end(s);
    return ok && !sql_is_broken(w);
}

/* What was written before a failed flush can be read and still never reach the disk: the system takes such pages for
 * clean. Nothing may be appended behind them. So all of the log of changes is carried over, which writes it once more, and
 * begins anew. */
static bool begin_new_log(struct sql_writer *w)
{
    return sqlite3_wal_checkpoint_v2(w->db.db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) == SQLITE_OK;
}

static bool reload(struct sql_writer *w)
{
    uint64_t before = w->st->fed_seq;
    sql_topics_free(w);
    if (!sql_writer_connect(w) || !begin_new_log(w) || sql_load(w, NULL) != SLU_OK)
        return false;
    if (w->totals.seq < before) {
        if (!begin_new_epochs(w))
            return false;
        sql_topics_free(w);
        if (sql_load(w, NULL) != SLU_OK)
            return false;
        w->totals.seq = before;
    }
    if (!feed_found(w))
        return false;
    pthread_mutex_lock(&w->st->lock);
    w->st->fed_seq = w->totals.seq;
    pthread_mutex_unlock(&w->st->lock);
    w->batch.before = w->totals;
    return true;
}

void sql_repair(struct sql_writer *w)
{
    struct sql_store *st = w->st;
    sql_readers_pause(st);
    sql_keeper_pause(st);
    sql_close(&w->db);
    if (sql_keeper_check(st) != SQL_CHECK_SOUND)
        return;
    bool ok = reload(w);
    w->db.rc = SQLITE_OK;
    if (!ok) {
        sql_close(&w->db);
        return;
    }
    sql_keeper_resume(st);
    sql_readers_resume(st);
    set_health(w, SQL_WELL, SQLITE_OK);
}
