/* See durable.h.
 *
 * 1. The place of a home that is written down is never behind a message that was not acknowledged and matches: it lies
 *    before the oldest of those that were given out, and where there is none, where delivery stands.
 * 2. Where delivery stands (`stand`) is looked up only while the session is open and nothing is held back: then all up
 *    to there was given out or was not wanted. An older look only repeats what nobody acknowledged.
 * 3. The ok to a sub or an ack comes when the store has what it promises. */
#include "broker/core/durable.h"

#include "broker/core/broker_state.h"
#include "broker/core/cursor.h"
#include "broker/core/delivery.h"
#include "broker/core/keep.h"
#include "broker/core/life.h"
#include "broker/core/output.h"
#include "broker/core/query.h"
#include "broker/core/replay.h"
#include "broker/core/subscription.h"
#include "broker/core/unacked.h"

#include <stdlib.h>

enum { EVERY_MS = 50 };

static const char taken_over[] = "another connection has subscribed under this durable name";

/* The request, until its replay has begun. */
struct start {
    struct slu_keep_wait wait; /* for the first write */
    struct slu_durable *durable;
    struct slu_subscribe q;
    struct slu_reqid id;
    uint8_t bytes[];
};

struct slu_durable {
    struct slu_map_node node; /* in worker->durables, once it holds the name */
    bool is_holder;
    struct slu_sub *sub;
    struct slu_worker *worker;
    struct slu_keep *keep;
    struct slu_list link; /* worker->durables, once it holds the name */
    struct start *start;  /* NULL: under way */
    struct slu_bytes filter;
    struct slu_unacked unacked;
    size_t charged;
    struct slu_cursor_place *stand, *written; /* for each home */
    uint8_t bytes[];
};

struct ack {
    struct slu_keep_wait wait;
    struct slu_query query;
};

static void charge(struct slu_durable *d)
{
    struct slu_account *a = &d->worker->broker->account;
    const struct slu_unacked *u = &d->unacked;
    size_t now = sizeof(*d) + d->filter.len + 2 * d->worker->homes * sizeof(d->stand[0]) + u->bytes +
                 slu_map_bytes(&u->entries) + slu_map_bytes(&u->topics);
    slu_account_add(a, now);
    slu_account_sub(a, d->charged);
    d->charged = now;
}

static struct slu_bytes key_of(const struct slu_map_node *n)
{
    return slu_keep_key(slu_container_of(n, const struct slu_durable, node)->keep);
}

void slu_durable_init(struct slu_worker *w)
{
    slu_map_init(&w->durables, key_of);
}

void slu_durable_fini(struct slu_worker *w)
{
    slu_map_fini(&w->durables);
}

static void durable_free(struct slu_durable *d)
{
    slu_unacked_fini(&d->unacked);
    slu_account_sub(&d->worker->broker->account, d->charged);
    free(d->start);
    free(d->stand);
    free(d);
}

/* --- the place ---------------------------------------------------------------------------------------------------- */

static bool holds_back(const struct slu_sub *sub)
{
    return sub->more->has_pending_map && sub->more->pending.n;
}

static void look_where_it_stands(struct slu_durable *d)
{
    const struct slu_worker *w = d->worker;
    const struct slu_replay *r = d->sub->more->replay;
    if (d->start || d->sub->session->state != SLU_SESSION_OPEN || holds_back(d->sub))
        return;
    for (unsigned h = 0; h < w->homes; h++)
        d->stand[h] = r ? slu_replay_place(r, h) : (struct slu_cursor_place){ w->home_epochs[h], w->seen[h] };
}

static struct slu_cursor_place place_of(const struct slu_durable *d, unsigned home)
{
    struct slu_cursor_place p = d->stand[home];
    uint64_t oldest = slu_unacked_oldest(&d->unacked, home);
    if (oldest && (oldest <= p.seq || !holds_back(d->sub)))
        p.seq = oldest - 1;
    return p;
}

/* "1", the cursor, NUL, the filter. */
static void write_place(void *owner, struct slu_buf *out)
{
    struct slu_durable *d = owner;
    look_where_it_stands(d);
    for (unsigned h = 0; h < d->worker->homes; h++)
        d->written[h] = place_of(d, h);
    slu_buf_add_byte(out, '1');
    slu_cursor_write(out, d->written, d->worker->homes);
    slu_buf_add_byte(out, 0);
    slu_buf_add_bytes(out, d->filter);
}

/* What the store returned, as the cursor to go on from; empty where it is none, or of another filter. */
static struct slu_bytes read_place(const struct slu_durable *d, struct slu_bytes found)
{
    const uint8_t *end = found.len ? memchr(found.data, 0, found.len) : NULL;
    bool fits;
    if (!end || found.data[0] != '1')
        return (struct slu_bytes){ 0 };
    struct slu_bytes cur = slu_bytes(found.data + 1, (size_t)(end - found.data) - 1);
    struct slu_bytes filter = slu_bytes(end + 1, found.len - cur.len - 2);
    if (!slu_bytes_eq(filter, d->filter) || !slu_cursor_read(cur, d->written, d->worker->homes, &fits))
        return (struct slu_bytes){ 0 };
    return cur;
}

static void note_drift(struct slu_durable *d)
{
    bool has_moved = false;
    look_where_it_stands(d);
    for (unsigned h = 0; h < d->worker->homes && !d->start; h++)
        has_moved |= place_of(d, h).seq != d->written[h].seq;
    if (has_moved)
        slu_keep_drifted(d->keep);
}

void slu_durable_tick(struct slu_worker *w)
{
    struct slu_map_iter i = { 0 };
    struct slu_map_node *n;
    while ((n = slu_map_next(&w->durables, &i)))
        note_drift(slu_container_of(n, struct slu_durable, node));
}

/* --- the name ----------------------------------------------------------------------------------------------------- */

static void let_go(struct slu_durable *d)
{
    if (d->is_holder)
        slu_map_del(&d->worker->durables, &d->node);
    d->is_holder = false;
}

/* Ends the subscription; who has its ok gets `end`, who has not gets err. */
static void end_with(struct slu_durable *d, enum slu_err err, const char *message)
{
    struct slu_sub *sub = d->sub;
    struct slu_session *s = sub->session;
    struct slu_reqid id = d->start ? d->start->id : (struct slu_reqid){ 0 };
    struct slu_event ev = { .type = SLU_EV_END };
    bool is_answered = sub->started;
    ev.end.sub = sub->number;
    ev.end.code = err;
    ev.end.message = message;
    if (d->start)
        slu_keep_unwait(d->keep, &d->start->wait);
    let_go(d);
    slu_keep_drop(d->keep);
    d->keep = NULL;
    slu_sub_end(sub);
    if (is_answered)
        slu_out_event(s, &ev);
    else
        slu_session_error(s, &id, err, message, NULL);
}

static void lost(void *owner)
{
    end_with(owner, SLU_ESUB_EXISTS, taken_over);
}

/* Tells the other workers at once who holds a name: the former holder would find out at its next write only. */
struct notice {
    struct slu_mail mail;
    uint64_t generation;
    struct slu_bytes key;
    uint8_t bytes[];
};

struct former {
    struct slu_bytes key;
    uint64_t generation;
};

static bool is_former(const struct slu_map_node *n, const void *arg)
{
    const struct former *f = arg;
    const struct slu_keep *k = slu_container_of(n, const struct slu_durable, node)->keep;
    return slu_keep_generation(k) < f->generation && slu_bytes_eq(slu_keep_key(k), f->key);
}

static void end_former(struct slu_worker *w, struct slu_bytes key, uint64_t generation)
{
    struct former f = { key, generation };
    struct slu_map_node *n = slu_map_find(&w->durables, slu_hash(key), is_former, &f);
    if (n)
        lost(slu_container_of(n, struct slu_durable, node));
}

static void notice_run(struct slu_mail *mail, void *owner)
{
    struct notice *n = slu_container_of(mail, struct notice, mail);
    end_former(owner, n->key, n->generation);
    free(n);
}

static void tell_others(const struct slu_durable *d)
{
    struct slu_broker *b = d->worker->broker;
    struct slu_bytes key = slu_keep_key(d->keep);
    for (unsigned i = 0; i < b->n_workers; i++) {
        struct notice *n = i != d->worker->index && b->workers[i] ? malloc(sizeof(*n) + key.len) : NULL;
        if (!n)
            continue;
        n->mail.run = notice_run;
        n->generation = slu_keep_generation(d->keep);
        memcpy(n->bytes, key.data, key.len);
        n->key = slu_bytes(n->bytes, key.len);
        slu_worker_post(b->workers[i], &n->mail);
    }
}

static void claimed(void *owner, enum slu_err err, struct slu_bytes found)
{
    struct slu_durable *d = owner;
    if (err) {
        end_with(d, err, NULL);
        return;
    }
    end_former(d->worker, slu_keep_key(d->keep), slu_keep_generation(d->keep));
    d->is_holder = slu_map_add(&d->worker->durables, &d->node);
    if (!d->is_holder) {
        end_with(d, SLU_ENOMEM, NULL);
        return;
    }
    tell_others(d);
    struct slu_subscribe *q = &d->start->q;
    struct slu_bytes cur = read_place(d, found);
    if (cur.len) {
        q->from = SLU_FROM_CUR;
        q->from_cur = cur;
    }
    err = slu_sub_read(d->sub, q, &d->start->id);
    if (err)
        end_with(d, err, NULL);
}

static const struct slu_keep_ops ops = {
    .every_ms = EVERY_MS,
    .claimed = claimed,
    .write = write_place,
    .lost = lost,
};

/* --- start and end ------------------------------------------------------------------------------------------------ */

static void begin(struct slu_keep_wait *wait, enum slu_err err)
{
    struct slu_durable *d = slu_container_of(wait, struct start, wait)->durable;
    if (err) {
        end_with(d, err, NULL);
        return;
    }
    free(d->start);
    d->start = NULL;
    slu_replay_begin(d->sub->more->replay);
}

void slu_durable_located(struct slu_durable *d)
{
    for (unsigned h = 0; h < d->worker->homes; h++)
        d->stand[h] = slu_replay_place(d->sub->more->replay, h);
    d->start->wait.done = begin;
    slu_keep_changed(d->keep);
    slu_keep_wait(d->keep, &d->start->wait);
}

static struct slu_bytes append(uint8_t **at, struct slu_bytes in)
{
    uint8_t *p = *at;
    if (in.len)
        memcpy(p, in.data, in.len);
    *at += in.len;
    return slu_bytes(p, in.len);
}

static struct start *start_new(struct slu_durable *d, const struct slu_subscribe *q, const struct slu_reqid *id)
{
    struct start *s = calloc(1, sizeof(*s) + q->from_cur.len);
    if (!s)
        return NULL;
    uint8_t *at = s->bytes;
    s->durable = d;
    s->q = *q;
    s->q.filter = d->filter;
    s->q.from_cur = append(&at, q->from_cur);
    if (id)
        s->id = *id;
    return s;
}

/* "durable" NUL user NUL name: a name holds no NUL, so no other user and name make the same key. */
static void write_key(struct slu_buf *out, const struct slu_session *s, struct slu_bytes name)
{
    slu_buf_add_str(out, "durable");
    slu_buf_add_byte(out, 0);
    slu_buf_add_bytes(out, s->identity.user);
    slu_buf_add_byte(out, 0);
    slu_buf_add_bytes(out, name);
}

static struct slu_durable *durable_new(struct slu_sub *sub, const struct slu_subscribe *q, const struct slu_reqid *id)
{
    struct slu_worker *w = sub->session->worker;
    struct slu_durable *d = calloc(1, sizeof(*d) + q->filter.len);
    if (!d)
        return NULL;
    uint8_t *at = d->bytes;
    d->sub = sub;
    d->worker = w;
    d->filter = append(&at, q->filter);
    d->stand = calloc(2 * w->homes, sizeof(d->stand[0]));
    d->written = d->stand ? d->stand + w->homes : NULL;
    d->start = start_new(d, q, id);
    if (!slu_unacked_init(&d->unacked, w->homes) || !d->stand || !d->start) {
        durable_free(d);
        return NULL;
    }
    charge(d);
    return d;
}

enum slu_err slu_durable_start(struct slu_sub *sub, const struct slu_subscribe *q, const struct slu_reqid *id)
{
    struct slu_durable *d = durable_new(sub, q, id);
    struct slu_buf key;
    slu_buf_init(&key, 0);
    write_key(&key, sub->session, q->durable);
    if (d && !key.failed)
        d->keep = slu_keep_new(d->worker, slu_buf_bytes(&key), &ops, d);
    slu_buf_fini(&key);
    if (!d)
        return SLU_ENOMEM;
    if (!d->keep) {
        durable_free(d);
        return SLU_ENOMEM;
    }
    sub->more->durable = d;
    return SLU_OK;
}

void slu_durable_end(struct slu_durable *d)
{
    if (!d)
        return;
    if (d->keep && d->start)
        slu_keep_unwait(d->keep, &d->start->wait);
    else if (d->keep)
        note_drift(d);
    let_go(d);
    slu_keep_end(d->keep);
    d->sub->more->durable = NULL;
    durable_free(d);
}

void slu_durable_answer_early(struct slu_durable *d)
{
    struct slu_event ev = { .type = SLU_EV_OK, .id = &d->start->id };
    d->sub->started = true;
    if (d->start->id.type == SLU_ID_NONE)
        return;
    ev.ok.what = SLU_OK_SUB;
    ev.ok.sub = d->sub->number;
    ev.ok.recovered = true;
    slu_out_event(d->sub->session, &ev);
}

struct slu_bytes slu_durable_filter(const struct slu_durable *d)
{
    return d->filter;
}

/* --- messages and acknowledgements -------------------------------------------------------------------------------- */

/* The newest values that a wildcard begins with are no part of the log's order: who had to come back behind the oldest
 * of them would be given all that followed it. They need no acknowledgement. */
static bool needs_ack(const struct slu_durable *d, const struct slu_msg *m)
{
    const struct slu_replay *r = d->sub->more->replay;
    return m->seq && (!d->sub->wild || !r || slu_replay_is_scanning(r));
}

bool slu_durable_note(struct slu_durable *d, const struct slu_msg *m)
{
    if (!needs_ack(d, m))
        return true;
    bool ok = slu_unacked_add(&d->unacked, m);
    charge(d);
    return ok;
}

bool slu_durable_has_room(const struct slu_durable *d)
{
    return d->unacked.n < slu_worker_settings(d->worker)->unacked_max;
}

static void ack_kept(struct slu_keep_wait *wait, enum slu_err err)
{
    struct ack *a = slu_container_of(wait, struct ack, wait);
    struct slu_reqid id = a->query.id;
    struct slu_session *s = slu_query_end(&a->query);
    free(a);
    if (!s)
        return;
    slu_life_op_ends(s);
    struct slu_event ev = { .type = SLU_EV_OK, .id = &id };
    if (err)
        slu_session_error(s, &id, err, slu_store_trouble(s->worker->broker->store), NULL);
    else
        slu_out_event(s, &ev);
}

static void answer_when_kept(struct slu_durable *d, const struct slu_reqid *id)
{
    struct slu_session *s = d->sub->session;
    struct ack *a = calloc(1, sizeof(*a));
    if (!a) {
        slu_session_error(s, id, SLU_ENOMEM, NULL, NULL);
        return;
    }
    slu_query_follow(&a->query, s, id);
    slu_life_op_begins(s);
    a->wait.done = ack_kept;
    slu_keep_wait(d->keep, &a->wait);
}

void slu_durable_ack(struct slu_durable *d, const struct slu_reqid *id, struct slu_bytes topic, struct slu_pos pos,
                     bool upto)
{
    struct slu_sub *sub = d->sub;
    size_t n = d->unacked.n;
    bool was_full = !slu_durable_has_room(d);
    slu_unacked_ack(&d->unacked, topic, pos, upto);
    if (d->unacked.n < n) {
        look_where_it_stands(d);
        charge(d);
        slu_keep_changed(d->keep);
    }
    if (id && id->type != SLU_ID_NONE)
        answer_when_kept(d, id);
    if (was_full && slu_durable_has_room(d))
        slu_sub_has_room_again(sub);
}
