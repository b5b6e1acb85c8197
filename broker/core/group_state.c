/* See group_home.h: what is remembered of a work queue under "group" NUL name NUL filter, so that it goes on where it was
 * after its home was freed or the process has ended.
 *
 * The value, all numbers in groups of seven bits, low ones first: 1, the number of homes, and for each of them its epoch;
 * its tasks by seq, each with the difference of its seq to the one before (or 0), the length of its topic and the topic (0: that of the task before), offset, epoch, tries,
 * not before (wall clock, 0 = at any time); 0; and how far it was read.
 *
 * A task is with a member before that is written: a crash between leaves its `try` one too small. Everything else errs
 * on the side of delivering again. */
#include "broker/base/log.h"
#include "broker/core/broker_state.h"
#include "broker/core/cursor.h"
#include "broker/core/group_home.h"
#include "broker/core/replay.h"
#include "broker/core/subscription.h"
#include "broker/core/topic.h"

#include <stdlib.h>

enum { EVERY_MS = 20, VERSION = 1, NUMBER_MAX = 10 /* bytes */ };

/* --- writing ------------------------------------------------------------------------------------------------------ */

static void add_number(struct slu_buf *out, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        slu_buf_add_byte(out, (uint8_t)(v | 0x80));
    slu_buf_add_byte(out, (uint8_t)v);
}

static uint64_t not_before(const struct slu_task *t)
{
    const struct slu_worker *w = t->group->worker;
    if (!t->msg)
        return t->not_before_ms;
    if (t->member || t->burial || t->timer.due_ms <= w->now_ms)
        return 0;
    return w->wall_ms + (t->timer.due_ms - w->now_ms);
}

/* How far the home has been read, as far as can be said: everything up to there is a task, or done. */
static uint64_t read_place(const struct slu_group *g, unsigned home)
{
    const struct slu_group_home *h = &g->homes[home];
    const struct slu_replay *r = g->sub ? g->sub->more->replay : NULL;
    uint64_t seq = r ? slu_replay_place(r, home).seq : g->sub && g->sub->started ? g->worker->seen[home] : 0;
    if (h->missed && seq >= h->missed)
        seq = h->missed - 1;
    return seq > h->read ? seq : h->read;
}

struct writing {
    struct slu_buf *out;
    size_t max;             /* what is left to the ends of the other homes */
    struct slu_bytes topic; /* of the task before */
};

/* False: no room. */
static bool add_task(struct writing *w, const struct slu_task *t, uint64_t seq_before)
{
    bool same = slu_bytes_eq(t->topic, w->topic);
    size_t needed = 6 * NUMBER_MAX + (same ? 0 : t->topic.len);
    if (w->out->len + needed > w->max)
        return false;
    add_number(w->out, t->seq - seq_before);
    add_number(w->out, same ? 0 : t->topic.len);
    if (!same)
        slu_buf_add_bytes(w->out, t->topic);
    w->topic = t->topic;
    add_number(w->out, t->pos.offset);
    add_number(w->out, t->pos.epoch);
    add_number(w->out, t->tries);
    add_number(w->out, not_before(t));
    return true;
}

/* What does not fit is left out from the newest on, and counts as not read: so it comes again. */
static void add_home(struct writing *w, const struct slu_group *g, unsigned home)
{
    uint64_t before = 0, read = read_place(g, home);
    uint64_t epoch = g->worker->home_epochs[home];
    add_number(w->out, epoch ? epoch : g->homes[home].epoch); /* one that is not read now may be again */
    for (const struct slu_list *it = g->homes[home].tasks.next; it != &g->homes[home].tasks; it = it->next) {
        const struct slu_task *t = slu_container_of(it, const struct slu_task, in_home);
        if (!add_task(w, t, before)) {
            read = t->seq - 1;
            break;
        }
        before = t->seq;
    }
    add_number(w->out, 0);
    add_number(w->out, read);
}

static void write_state(void *owner, struct slu_buf *out)
{
    const struct slu_group *g = owner;
    unsigned homes = g->worker->homes;
    struct writing w = { .out = out, .max = SLU_STATE_VALUE_MAX - homes * 3 * NUMBER_MAX };
    add_number(out, VERSION);
    add_number(out, homes);
    for (unsigned h = 0; h < homes; h++)
        add_home(&w, g, h);
}

void slu_group_changed(struct slu_group *g)
{
    if (g->keep)
        slu_keep_changed(g->keep);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static bool take_number(struct slu_bytes *in, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < in->len && i < NUMBER_MAX; i++) {
        v |= (uint64_t)(in->data[i] & 0x7f) << 7 * i;
        if (in->data[i] & 0x80)
            continue;
        *in = slu_bytes(in->data + i + 1, in->len - i - 1);
        *out = v;
        return true;
    }
    return false;
}

static bool take_bytes(struct slu_bytes *in, uint64_t n, struct slu_bytes *out)
{
    if (n > in->len)
        return false;
    *out = slu_bytes(in->data, (size_t)n);
    *in = slu_bytes(in->data + n, in->len - (size_t)n);
    return true;
}

struct reading {
    struct slu_bytes in, topic;
    bool is_kept; /* this home is one of ours */
};

/* The tasks of a home up to the 0 behind them. */
static bool take_tasks(struct reading *r, struct slu_group *g, unsigned home)
{
    uint64_t seq = 0, step, len, tries, not_before_ms;
    struct slu_pos pos;
    while (take_number(&r->in, &step)) {
        if (!step)
            return true;
        seq += step;
        if (!take_number(&r->in, &len) || len > SLU_TOPIC_MAX || (len && !take_bytes(&r->in, len, &r->topic)) ||
            !r->topic.len || !take_number(&r->in, &pos.offset) || !take_number(&r->in, &pos.epoch) ||
            !take_number(&r->in, &tries) || !take_number(&r->in, &not_before_ms))
            return false;
        struct slu_task *t = r->is_kept ? slu_task_new(g, r->topic, pos, home, seq) : NULL;
        if (r->is_kept && !t)
            return false;
        if (!t)
            continue;
        t->tries = tries < 1000000 ? (unsigned)tries : 1000000;
        t->not_before_ms = not_before_ms;
        g->homes[home].n_remembered++;
    }
    return false;
}

/* Homes beyond the durable ones are those of this process's workers: with another number of them they are others. */
static bool take_homes(struct reading *r, struct slu_group *g, uint64_t n)
{
    unsigned durable = slu_store_durable_homes(g->worker->broker->store);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t epoch, read;
        unsigned home = (unsigned)i;
        r->is_kept = i < g->worker->homes && (n == g->worker->homes || i < durable);
        if (!take_number(&r->in, &epoch) || !take_tasks(r, g, home) || !take_number(&r->in, &read))
            return false;
        if (!r->is_kept)
            continue;
        g->homes[home].epoch = epoch;
        g->homes[home].read = read;
    }
    return true;
}

static void forget_all(struct slu_group *g)
{
    struct slu_map_iter i = { 0 };
    struct slu_map_node *n;
    while ((n = slu_map_next(&g->tasks, &i)))
        slu_task_free(slu_container_of(n, struct slu_task, node));
    for (unsigned h = 0; h < g->worker->homes; h++)
        g->homes[h].epoch = g->homes[h].read = 0;
}

/* The store may have been tampered with, or be of a newer version: then nothing is remembered. */
static bool read_state(struct slu_group *g, struct slu_bytes found)
{
    struct reading r = { .in = found };
    uint64_t version, homes;
    if (take_number(&r.in, &version) && version == VERSION && take_number(&r.in, &homes) && take_homes(&r, g, homes) &&
        !r.in.len)
        return true;
    slu_log(SLU_LOG_WARN, "core", "queue_state_unreadable", "bytes=%zu", found.len);
    forget_all(g);
    return false;
}

/* --- the start ---------------------------------------------------------------------------------------------------- */

/* Before the oldest task, or where reading ended. */
static void write_cursor(const struct slu_group *g, struct slu_buf *out)
{
    for (unsigned i = 0; i < g->worker->homes; i++) {
        const struct slu_group_home *h = &g->homes[i];
        struct slu_cursor_place p = { h->epoch, h->read };
        if (!slu_list_empty(&h->tasks)) {
            uint64_t oldest = slu_container_of(h->tasks.next, const struct slu_task, in_home)->seq;
            p.seq = oldest <= p.seq ? oldest - 1 : p.seq;
        }
        slu_buf_add_str(out, i ? "-" : "");
        slu_cursor_write(out, &p, 1);
    }
}

static enum slu_err start_reading(struct slu_group *g)
{
    const struct slu_member_state *m = g->maker;
    enum slu_err err = slu_sub_new_for_group(g->worker, g, m->filter, &g->sub);
    if (err)
        return err;
    struct slu_subscribe q = {
        .filter = m->filter,
        .from = m->from,
        .from_n = m->from_n,
        .from_pos = m->from_pos,
        .from_cur = m->from_cur,
    };
    struct slu_buf cur;
    slu_buf_init(&cur, 0);
    if (g->is_taken_up) {
        write_cursor(g, &cur);
        q.from = SLU_FROM_CUR;
        q.from_cur = slu_buf_bytes(&cur);
    }
    err = SLU_ENOMEM;
    if (!cur.failed && slu_replay_start(g->sub, &q, NULL, &err))
        err = SLU_OK;
    slu_buf_fini(&cur);
    return err;
}

static void claimed(void *owner, enum slu_err err, struct slu_bytes found)
{
    struct slu_group *g = owner;
    if (!err && found.len)
        g->is_taken_up = read_state(g, found);
    if (!err)
        err = start_reading(g);
    slu_member_unref(g->maker);
    g->maker = NULL;
    if (err)
        slu_group_end(g, err);
}

static void lost(void *owner)
{
    slu_group_end(owner, SLU_EUNAVAILABLE);
}

static const struct slu_keep_ops ops = {
    .every_ms = EVERY_MS,
    .claimed = claimed,
    .write = write_state,
    .lost = lost,
};

bool slu_group_claim(struct slu_group *g)
{
    struct slu_buf key;
    slu_buf_init(&key, 0);
    slu_buf_add_str(&key, "group");
    slu_buf_add_byte(&key, 0);
    slu_buf_add_bytes(&key, g->key);
    if (!key.failed)
        g->keep = slu_keep_new(g->worker, slu_buf_bytes(&key), &ops, g);
    slu_buf_fini(&key);
    return g->keep;
}

static void begin(struct slu_keep_wait *wait, enum slu_err err)
{
    struct slu_group *g = slu_container_of(wait, struct slu_group, begin);
    if (err)
        slu_group_end(g, err);
    else
        slu_replay_begin(g->sub->more->replay);
}

void slu_group_located(struct slu_group *g)
{
    g->begin.done = begin;
    slu_keep_changed(g->keep);
    slu_keep_wait(g->keep, &g->begin);
}

/* --- reading again ------------------------------------------------------------------------------------------------ */

bool slu_group_is_taken_up(const struct slu_group *g)
{
    return g->is_taken_up;
}

bool slu_group_has_read(const struct slu_group *g, unsigned home, uint64_t seq)
{
    return seq <= g->homes[home].read;
}

void slu_group_starts_over(struct slu_group *g, unsigned home)
{
    g->homes[home].read = 0;
    g->homes[home].starts_over = true;
}

void slu_group_tell_lost(struct slu_group *g, unsigned home, enum slu_gap_reason reason)
{
    struct slu_buf topic;
    uint64_t n = 0;
    slu_buf_init(&topic, SLU_TOPIC_MAX);
    slu_list_each (it, &g->homes[home].tasks) {
        struct slu_task *t = slu_container_of(it, struct slu_task, in_home);
        if (t->msg)
            continue;
        if (n && !slu_bytes_eq(slu_buf_bytes(&topic), t->topic)) {
            slu_group_gap(g, slu_buf_bytes(&topic), n, reason);
            n = 0;
        }
        n++;
        slu_buf_clear(&topic);
        slu_buf_add_bytes(&topic, t->topic);
        slu_task_free(t);
    }
    if (n)
        slu_group_gap(g, slu_buf_bytes(&topic), n, reason);
    slu_buf_fini(&topic);
    slu_group_changed(g);
}

void slu_group_caught_up(struct slu_group *g)
{
    for (unsigned h = 0; h < g->worker->homes; h++)
        if (g->homes[h].n_remembered)
            slu_group_tell_lost(g, h, SLU_GAP_TRIMMED);
}
