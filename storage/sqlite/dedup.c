/* Dedup keys: what was answered to the first message with a key on a topic, for as long as the window, in a table. The
 * number of readers that wanted a message settles shortly after its commit, so the first few seconds keep the message
 * in memory, and then the number goes to its row. A process that dies in between forgets that number, never the key. */
#include "storage/sqlite/writer.h"

enum { SETTLE_MS = 5000 };

struct sql_first {
    struct slu_map_node node;
    struct slu_list link;  /* recent.order or recent.settling */
    struct slu_list added; /* recent.added, or in no list */
    struct slu_msg *msg;
    uint64_t topic, offset, at_ms;
};

struct key {
    uint64_t topic;
    struct slu_bytes key;
};

static uint64_t hash_of(const struct key *k)
{
    return slu_hash_below(k->topic, k->key);
}

static bool is_first_of(const struct slu_map_node *n, const void *arg)
{
    const struct sql_first *f = slu_container_of(n, const struct sql_first, node);
    const struct key *k = arg;
    return f->topic == k->topic && slu_bytes_eq(f->msg->dedup, k->key);
}

void sql_dedup_init(struct sql_writer *w)
{
    slu_map_init(&w->recent.map, NULL);
    slu_list_init(&w->recent.order);
    slu_list_init(&w->recent.settling);
    slu_list_init(&w->recent.added);
}

static void drop(struct sql_writer *w, struct sql_first *f)
{
    struct sql_recent *r = &w->recent;
    slu_map_del(&r->map, &f->node);
    slu_list_remove(&f->link);
    slu_list_remove(&f->added);
    r->n--;
    r->bytes -= f->msg->size;
    slu_msg_unref(f->msg);
    sql_free(w->st, f, sizeof(*f));
}

void sql_dedup_fini(struct sql_writer *w)
{
    struct slu_list *lists[] = { &w->recent.order, &w->recent.settling };
    for (int i = 0; i < 2; i++) {
        slu_list_each (it, lists[i])
            drop(w, slu_container_of(it, struct sql_first, link));
    }
    slu_map_fini(&w->recent.map);
}

static bool is_over(const struct sql_writer *w, uint64_t at_ms)
{
    return w->now >= at_ms && w->now - at_ms >= w->st->env.dedup_window_ms;
}

static bool find_row(struct sql_writer *w, const struct key *k, struct slu_append *a, bool *is_old)
{
    uint64_t offset, matched, at_ms;
    sqlite3_stmt *s = sql_get(&w->db, SQL_DEDUP_GET);
    sql_bind_u64(s, 1, k->topic);
    sql_bind_bytes(s, 2, k->key);
    if (!sql_row(&w->db, s))
        return false;
    bool ok = sql_column_u64(s, 0, INT64_MAX, &offset) && sql_column_u64(s, 1, UINT32_MAX, &matched) &&
              sql_column_u64(s, 2, INT64_MAX, &at_ms);
    sql_end(s);
    *is_old = !ok || is_over(w, at_ms);
    a->pos.offset = ok ? offset : 0;
    a->matched = ok ? (uint32_t)matched : 0;
    return true;
}

static struct sql_first *find_recent(const struct sql_writer *w, const struct key *k)
{
    struct slu_map_node *n = slu_map_find(&w->recent.map, hash_of(k), is_first_of, k);
    return n ? slu_container_of(n, struct sql_first, node) : NULL;
}

bool sql_dedup_find(struct sql_writer *w, const struct sql_topic *t, struct slu_append *a)
{
    w->recent.replaces = false;
    if (!t)
        return false;
    struct key k = { t->id, a->msg->dedup };
    const struct sql_first *f = find_recent(w, &k);
    bool is_old = false;
    if (f) {
        a->pos.offset = f->offset;
        a->matched = atomic_load_explicit(&f->msg->matched, memory_order_relaxed);
        is_old = is_over(w, f->at_ms);
    } else if (!find_row(w, &k, a, &is_old)) {
        return false;
    }
    a->pos.epoch = sql_log_of(t)->epoch;
    if (!is_old)
        return true;
    a->pos = (struct slu_pos){ 0, 0 };
    a->matched = 0;
    w->recent.replaces = true;
    return false;
}

/* The number goes to the row; the message goes when that is committed. */
static void settle(struct sql_writer *w, struct sql_first *f)
{
    uint32_t matched = atomic_load_explicit(&f->msg->matched, memory_order_relaxed);
    slu_list_remove(&f->link);
    slu_list_push_back(&w->recent.settling, &f->link);
    sqlite3_stmt *s = sql_get(&w->db, SQL_DEDUP_SETTLE);
    sql_bind_u64(s, 1, f->topic);
    sql_bind_bytes(s, 2, f->msg->dedup);
    sql_bind_u64(s, 3, matched == SLU_MATCHED_OPEN ? 0 : matched);
    sql_run(&w->db, s);
}

static struct sql_first *oldest(const struct sql_writer *w)
{
    struct slu_list *first = w->recent.order.next;
    return first == &w->recent.order ? NULL : slu_container_of(first, struct sql_first, link);
}

bool sql_dedup_reserve(struct sql_writer *w, const struct sql_topic *t, struct slu_msg *m)
{
    struct sql_recent *r = &w->recent;
    struct key k = { t->id, m->dedup };
    struct sql_first *former = find_recent(w, &k), *f = sql_alloc(w->st, sizeof(*f));
    if (!f)
        return false;
    if (!slu_map_add_hashed(&r->map, &f->node, hash_of(&k))) {
        sql_free(w->st, f, sizeof(*f));
        return false;
    }
    if (former)
        drop(w, former);
    f->msg = slu_msg_ref(m);
    f->topic = t->id;
    f->at_ms = w->now;
    slu_list_push_back(&r->order, &f->link);
    slu_list_push_back(&r->added, &f->added);
    r->n++;
    r->bytes += m->size;
    /* one for one: those that settle count until the commit */
    if ((r->n > SQL_RECENT_MAX || r->bytes > SQL_RECENT_BYTES) && oldest(w) != f)
        settle(w, oldest(w));
    return true;
}

/* Deletes the oldest, at most a slice, if they were added before or at that time. */
static size_t delete_oldest(struct sql_writer *w, uint64_t at_ms)
{
    sqlite3_stmt *s = sql_get(&w->db, SQL_DEDUP_SWEEP);
    sql_bind_u64(s, 1, at_ms);
    sql_bind_u64(s, 2, SQL_SLICE);
    if (!sql_run(&w->db, s))
        return 0;
    size_t n = (size_t)sqlite3_changes(w->db.db);
    w->totals.dedups -= n < w->totals.dedups ? n : w->totals.dedups;
    return n;
}

void sql_dedup_add(struct sql_writer *w, const struct sql_topic *t, const struct slu_msg *m)
{
    struct sql_first *f = slu_container_of(w->recent.added.prev, struct sql_first, added);
    f->offset = m->pos.offset;
    if (w->totals.dedups >= SQL_DEDUP_MAX)
        delete_oldest(w, UINT64_MAX);
    if (!w->recent.replaces)
        w->totals.dedups++;
    sqlite3_stmt *s = sql_get(&w->db, SQL_DEDUP_PUT);
    sql_bind_u64(s, 1, t->id);
    sql_bind_bytes(s, 2, m->dedup);
    sql_bind_u64(s, 3, m->pos.offset);
    sql_bind_u64(s, 4, w->now);
    sql_run(&w->db, s);
}

void sql_dedup_committed(struct sql_writer *w)
{
    slu_list_each (it, &w->recent.added)
        slu_list_remove(it);
    slu_list_each (it, &w->recent.settling)
        drop(w, slu_container_of(it, struct sql_first, link));
}

void sql_dedup_undo(struct sql_writer *w)
{
    slu_list_each (it, &w->recent.added)
        drop(w, slu_container_of(it, struct sql_first, added));
    while (!slu_list_empty(&w->recent.settling)) {
        struct slu_list *newest = w->recent.settling.prev;
        slu_list_remove(newest);
        slu_list_push_front(&w->recent.order, newest);
    }
}

bool sql_dedup_sweep(struct sql_writer *w)
{
    const struct sql_first *f;
    for (size_t i = 0; i < SQL_SLICE && (f = oldest(w)) && w->now >= f->at_ms && w->now - f->at_ms >= SETTLE_MS; i++)
        settle(w, oldest(w));
    uint64_t window = w->st->env.dedup_window_ms;
    return w->now < window || delete_oldest(w, w->now - window) < SQL_SLICE;
}
