/* See replay.h. The steps: (interest) -> locate each home -> ok -> tail of each home (latest, last on wildcards) -> scan
 * each home to its head -> live. A pause starts at scan. */
#include "broker/core/replay.h"

#include "broker/core/broker_state.h"
#include "broker/core/cursor.h"
#include "broker/core/delivery.h"
#include "broker/core/durable.h"
#include "broker/core/group.h"
#include "broker/core/interest.h"
#include "broker/core/output.h"
#include "broker/core/subscription.h"
#include "broker/core/topic.h"

#include <stdlib.h>

enum {
    PAGE_ITEMS = 128,
    PAGE_BYTES = 128 * 1024,
    TAIL_ITEMS = 4096, /* last n under a wildcard */
    TAIL_BYTES = 1 << 20,
    KEPT_MAX = 256,
    RETRY_MS = 500,
};

struct home_place {
    uint64_t after;   /* read on behind this */
    uint64_t out;     /* all up to this has been delivered: for cursors */
    uint64_t skipped; /* newest that came live and was left to the log */
    uint64_t max;     /* tail: nothing newer */
    uint64_t epoch;
    bool live, first_page;
    bool foreign; /* the cursor knows no such home */
    bool tail;    /* its newest values come first */
};

struct slu_replay {
    struct slu_sub *sub; /* NULL: forgotten */
    struct slu_worker *w;
    enum { REPLAY_SETUP, REPLAY_LOCATE, REPLAY_TAIL, REPLAY_SCAN } phase;
    bool busy;     /* a store request is under way and owns `req` */
    bool is_start; /* of a new subscription, not of a pause */
    bool recovered;
    struct slu_reqid id;
    struct slu_bytes filter; /* own copy, behind homes */
    enum slu_from from;
    uint64_t n, lost;
    enum slu_err gone;
    struct slu_pos pos, start;
    unsigned first, end, home;
    unsigned page_home; /* of the page, or of the request for it */
    union {
        struct slu_store_req any;
        struct slu_locate locate;
        struct slu_scan scan;
        struct slu_tail tail;
    } req;
    struct slu_msg **msgs; /* the page being delivered */
    bool *retained;
    size_t n_msgs, at;
    bool page_at_head;    /* nothing was behind this page when it was read */
    uint64_t last_offset; /* exact topics: newest that was delivered or announced as lost; valid with has_last */
    bool has_last;
    struct slu_bytes next_topic; /* tail: where the next page starts, malloc'ed */
    /* Messages without a place in a log that came before the tail's values were out: they go behind those. */
    struct slu_msg **kept;
    size_t n_kept, kept_bytes;
    struct slu_timer retry;
    struct home_place homes[];
};

static void retry(struct slu_timer *t, uint64_t now_ms);

/* Where messages that match may come from, by the rules in force. */
static void place_homes(struct slu_replay *r)
{
    const struct slu_store *store = r->w->broker->store;
    const struct slu_rules *rules = slu_broker_rules(r->w->broker);
    if (r->sub->wild) {
        slu_store_homes_of(store, slu_rules_logs(rules, r->filter), &r->first, &r->end);
        return;
    }
    r->first = slu_store_home_of(store, r->filter, slu_rules_find(rules, r->filter)->log);
    r->end = r->first + 1;
}

/* A reload gave topics another log: m comes from a home where nothing was to be read. */
static void widen(struct slu_replay *r, const struct slu_msg *m)
{
    while (r->first > m->home)
        r->homes[--r->first].live = true;
    while (r->end <= m->home)
        r->homes[r->end++].live = true;
    struct home_place *p = &r->homes[m->home];
    p->live = false;
    p->after = p->out = p->max = m->seq - 1;
}

/* A home speaks only for the topics that belong to it: a topic that a reload or restart gave another log may have left
 * something behind in its former home. */
static bool is_at_home(const struct slu_replay *r, const struct slu_msg *m)
{
    const struct slu_broker *b = r->w->broker;
    enum slu_log_kind log = slu_rules_find(slu_broker_rules(b), m->topic)->log;
    return !r->sub->wild || slu_store_home_of(b->store, m->topic, log) == r->page_home;
}

static struct slu_replay *replay_new(struct slu_sub *sub, struct slu_worker *w)
{
    struct slu_bytes f = sub->route->filter;
    size_t homes = w->homes * sizeof(struct home_place);
    struct slu_replay *r = calloc(1, sizeof(*r) + homes + f.len);
    if (!r)
        return NULL;
    uint8_t *copy = (uint8_t *)(r->homes + w->homes);
    memcpy(copy, f.data, f.len);
    r->filter = slu_bytes(copy, f.len);
    r->sub = sub;
    r->w = w;
    slu_timer_init(&r->retry, retry);
    r->recovered = true;
    place_homes(r);
    for (unsigned h = 0; h < w->homes; h++)
        r->homes[h].first_page = true;
    return r;
}

static void page_free(struct slu_replay *r)
{
    for (size_t i = r->at; i < r->n_msgs; i++)
        slu_msg_unref(r->msgs[i]);
    free(r->msgs);
    free(r->retained);
    r->msgs = NULL;
    r->retained = NULL;
    r->n_msgs = r->at = 0;
}

static void drop_kept(struct slu_replay *r, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        r->kept_bytes -= r->kept[i]->size;
        slu_msg_unref(r->kept[i]);
    }
    r->n_kept -= n;
    if (r->n_kept)
        memmove(r->kept, r->kept + n, r->n_kept * sizeof(r->kept[0]));
}

static void replay_free(struct slu_replay *r)
{
    page_free(r);
    drop_kept(r, r->n_kept);
    free(r->kept);
    slu_wheel_cancel(&r->w->wheel, &r->retry);
    free((void *)(uintptr_t)r->next_topic.data);
    free(r);
}

void slu_replay_forget(struct slu_replay *r)
{
    if (!r)
        return;
    r->sub = NULL;
    if (!r->busy)
        replay_free(r);
}

bool slu_replay_holds(struct slu_replay *r, const struct slu_msg *m)
{
    if (!r || !m->seq)
        return false;
    if (m->home < r->first || m->home >= r->end)
        widen(r, m);
    struct home_place *p = &r->homes[m->home];
    if (p->live)
        return false;
    if (m->seq > p->skipped)
        p->skipped = m->seq;
    return true;
}

static void lose_kept(struct slu_replay *r)
{
    r->sub->more->lost++;
    slu_count(r->w->broker, SLU_COUNT_messages_dropped_overflow, 1);
}

bool slu_replay_keeps(struct slu_replay *r, struct slu_msg *m)
{
    if (!r || r->phase == REPLAY_SCAN)
        return false;
    if (!r->sub->started && (r->from == SLU_FROM_NEW || m->reply.len))
        return true; /* came before the ok */
    size_t max = slu_worker_settings(r->w)->queue_bytes;
    while (r->n_kept && (r->n_kept == KEPT_MAX || r->kept_bytes + m->size > max)) {
        drop_kept(r, 1);
        lose_kept(r);
    }
    if (!r->kept)
        r->kept = malloc(KEPT_MAX * sizeof(struct slu_msg *));
    if (!r->kept) {
        lose_kept(r);
        return true;
    }
    r->kept[r->n_kept++] = slu_msg_ref(m);
    r->kept_bytes += m->size;
    return true;
}

/* A retained value that a kept message of its topic follows, or is. */
static bool is_overtaken(const struct slu_replay *r, const struct slu_msg *m)
{
    for (size_t i = 0; !m->seq && i < r->n_kept; i++)
        if (slu_bytes_eq(r->kept[i]->topic, m->topic))
            return true;
    return false;
}

static void deliver_kept(struct slu_replay *r)
{
    for (size_t i = 0; i < r->n_kept; i++)
        if (r->sub->session->state == SLU_SESSION_OPEN)
            slu_deliver_live(r->sub, r->kept[i]);
    drop_kept(r, r->n_kept);
}

static void step(struct slu_replay *r);
static void locate_next(struct slu_replay *r);

/* Live on every home: the replay is over. */
static void finish(struct slu_replay *r)
{
    struct slu_sub *sub = r->sub;
    sub->more->replay = NULL;
    replay_free(r);
    slu_sub_refresh(sub);
    if (sub->group)
        slu_group_caught_up(sub->group);
    if (sub->session && (sub->more->has_pending_map || sub->more->lost))
        slu_deliver_held(sub);
    slu_sub_slim(sub);
}

static void *start_request(struct slu_replay *r, void (*done)(struct slu_store_req *req))
{
    memset(&r->req, 0, sizeof(r->req));
    r->req.any.worker = r->w->index;
    r->req.any.done = done;
    r->busy = true;
    return &r->req;
}

/* After a request came back: false when nobody wants the answer any more (r is freed then). */
static bool still_wanted(struct slu_replay *r)
{
    r->busy = false;
    if (r->sub)
        return true;
    replay_free(r);
    return false;
}

/* The store could not answer this time. */
static void retry_later(struct slu_replay *r)
{
    slu_wheel_set(&r->w->wheel, &r->retry, r->w->now_ms + RETRY_MS);
}

static void retry(struct slu_timer *t, uint64_t now_ms)
{
    (void)now_ms;
    step(slu_container_of(t, struct slu_replay, retry));
}

static struct slu_replay *replay_of(struct slu_store_req *req)
{
    return slu_container_of(req, struct slu_replay, req);
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void note_head(struct slu_replay *r, unsigned home, uint64_t seq)
{
    r->w->seen[home] = max_u64(r->w->seen[home], seq);
}

/* --- the start: place, ok ---------------------------------------------------------------------------------------- */

/* Of a cursor the places that still hold are read on from; of the others the newest values come. */
static bool reads_tail(const struct slu_replay *r, const struct home_place *p)
{
    return p->tail || r->from == SLU_FROM_LATEST || (r->from == SLU_FROM_LAST && r->sub->wild);
}

/* What an exact topic's reader may resume from if it hears nothing more: everything after it is still to come. */
static struct slu_pos start_position(const struct slu_replay *r, const struct slu_locate *l)
{
    struct slu_pos p = l->head;
    uint64_t before_first = l->first.offset ? l->first.offset - 1 : l->head.offset;
    if (!r->recovered)
        return p;
    switch (r->from) {
    case SLU_FROM_FIRST:
        p.offset = before_first;
        break;
    case SLU_FROM_LAST:
        p.offset = max_u64(before_first, l->head.offset > r->n ? l->head.offset - r->n : 0);
        break;
    case SLU_FROM_OFFSET:
        p = r->pos;
        break;
    case SLU_FROM_SINCE:
    case SLU_FROM_CUR:
        p.epoch = 0;
        break;
    case SLU_FROM_NEW:
    case SLU_FROM_LATEST:
        break;
    }
    return p;
}

static void send_ok(struct slu_replay *r)
{
    struct slu_sub *sub = r->sub;
    sub->started = true;
    if (sub->group)
        slu_group_started(sub->group);
    if (!sub->session || r->id.type == SLU_ID_NONE)
        return;
    struct slu_event ev = { .type = SLU_EV_OK, .id = &r->id };
    struct slu_buf cur;
    slu_buf_init(&cur, 0);
    struct slu_cursor_place *places = calloc(r->w->homes, sizeof(*places));
    if (places && (r->phase != REPLAY_SETUP)) {
        for (unsigned h = 0; h < r->w->homes; h++)
            places[h] = (struct slu_cursor_place){ r->homes[h].epoch, r->homes[h].after };
        slu_cursor_write(&cur, places, r->w->homes);
    }
    free(places);
    ev.ok.what = SLU_OK_SUB;
    ev.ok.sub = sub->number;
    ev.ok.recovered = r->recovered;
    ev.ok.pos = r->start;
    ev.ok.cur = cur.failed ? (struct slu_bytes){ 0 } : slu_buf_bytes(&cur);
    slu_out_event(sub->session, &ev);
    slu_buf_fini(&cur);
}

void slu_replay_answer_early(struct slu_replay *r)
{
    r->phase = REPLAY_SETUP; /* no cursor: the place is not known yet */
    send_ok(r);
}

/* Ends the subscription before its ok. */
static void refuse(struct slu_replay *r, enum slu_err err)
{
    struct slu_sub *sub = r->sub;
    struct slu_session *s = sub->session;
    struct slu_reqid id = r->id;
    if (sub->group) {
        slu_group_failed(sub->group, err);
        return;
    }
    slu_sub_end(sub);
    slu_session_error(s, &id, err, NULL, NULL);
}

static void announce_start(struct slu_replay *r)
{
    send_ok(r);
    if (r->recovered)
        return;
    bool trimmed = r->gone == SLU_EHISTORY_GONE;
    slu_deliver_gap(r->sub, r->sub->wild ? (struct slu_bytes){ 0 } : r->filter, trimmed ? r->lost : 0,
                    trimmed ? SLU_GAP_TRIMMED : SLU_GAP_EPOCH);
    r->from = SLU_FROM_LATEST;
}

static void skip_to_tail(struct slu_replay *r)
{
    while (r->phase == REPLAY_TAIL && r->home < r->end && !r->homes[r->home].tail)
        r->home++;
}

static void located(struct slu_replay *r)
{
    for (unsigned h = r->first; h < r->end; h++) {
        struct home_place *p = &r->homes[h];
        p->tail = reads_tail(r, p);
        if (p->tail)
            p->after = p->max;
        p->out = p->after;
    }
    if (r->sub->group)
        slu_group_located(r->sub->group);
    else if (r->sub->more->durable)
        slu_durable_located(r->sub->more->durable);
    else
        slu_replay_begin(r);
}

void slu_replay_begin(struct slu_replay *r)
{
    bool tail = false;
    for (unsigned h = r->first; h < r->end; h++) {
        struct home_place *p = &r->homes[h];
        tail |= p->tail;
        p->live = r->from == SLU_FROM_NEW && p->skipped <= p->after;
    }
    announce_start(r);
    if (!tail)
        drop_kept(r, r->n_kept);
    r->home = r->first;
    r->phase = tail ? REPLAY_TAIL : REPLAY_SCAN;
    skip_to_tail(r);
    r->has_last = !r->sub->wild && r->start.epoch;
    r->last_offset = r->start.offset;
    if (r->sub->session && r->sub->session->state != SLU_SESSION_OPEN)
        return;
    step(r);
}

/* The position has gone: as latest, so all from there to the one before the newest is lost. */
static uint64_t lost_for_good(const struct slu_replay *r, const struct slu_locate *l)
{
    if (r->from != SLU_FROM_OFFSET || l->gone != SLU_EHISTORY_GONE || l->head.offset <= r->pos.offset)
        return l->lost;
    return l->head.offset - r->pos.offset - 1;
}

/* A work queue that was remembered goes on with whatever there still is, and tells what is not. */
static bool takes_up(struct slu_replay *r, const struct slu_locate *l)
{
    struct home_place *p = &r->homes[r->home];
    bool is_there = !p->foreign && l->gone == SLU_EHISTORY_GONE;
    if (!r->sub->group || !slu_group_is_taken_up(r->sub->group))
        return false;
    p->after = is_there ? l->cur_seq : 0;
    if (!is_there)
        slu_group_starts_over(r->sub->group, r->home);
    return true;
}

static void located_home(struct slu_store_req *req)
{
    struct slu_replay *r = replay_of(req);
    struct slu_locate *l = &r->req.locate;
    if (!still_wanted(r))
        return;
    if (req->err) {
        refuse(r, req->err);
        return;
    }
    struct home_place *p = &r->homes[r->home];
    p->after = l->after_seq;
    p->max = l->head_seq;
    p->epoch = l->epoch;
    r->w->home_epochs[r->home] = l->epoch;
    note_head(r, r->home, l->head_seq);
    if ((!l->recovered || p->foreign) && !takes_up(r, l)) {
        r->recovered = false;
        r->gone = p->foreign ? SLU_EEXPECT_FAILED : l->gone;
        r->lost += lost_for_good(r, l);
        p->after = l->head_seq;
        p->tail = true;
    }
    if (!r->sub->wild)
        r->start = start_position(r, l);
    r->home++;
    locate_next(r);
}

static void locate_next(struct slu_replay *r)
{
    if (r->home == r->end) {
        located(r);
        return;
    }
    struct slu_locate *l = start_request(r, located_home);
    l->home = r->home;
    l->filter = r->filter;
    l->from = r->homes[r->home].foreign ? SLU_FROM_NEW : r->from;
    l->n = r->n;
    l->after = r->pos;
    l->cur_epoch = r->homes[r->home].epoch;
    l->cur_seq = r->homes[r->home].after;
    slu_store_locate(r->w->broker->store, l);
}

void slu_replay_ready(struct slu_replay *r)
{
    if (!still_wanted(r))
        return;
    bool exact_without_log =
        !r->sub->wild && slu_rules_find(slu_broker_rules(r->w->broker), r->filter)->log == SLU_LOG_NONE;
    if (exact_without_log && r->from != SLU_FROM_LATEST) {
        send_ok(r);
        finish(r);
        return;
    }
    r->phase = REPLAY_LOCATE;
    r->home = r->first;
    locate_next(r);
}

static bool read_cursor(struct slu_replay *r, struct slu_bytes text, enum slu_err *err)
{
    struct slu_cursor_place *places = calloc(r->w->homes, sizeof(*places));
    bool fits = false;
    bool ok = places && slu_cursor_read(text, places, r->w->homes, &fits);
    *err = places ? SLU_EBAD_FRAME : SLU_ENOMEM;
    unsigned durable = slu_store_durable_homes(r->w->broker->store);
    for (unsigned h = 0; ok && h < r->w->homes; h++) {
        r->homes[h].epoch = places[h].epoch;
        r->homes[h].after = places[h].seq;
        r->homes[h].foreign = !fits && h >= durable; /* made when there were more or fewer workers */
    }
    free(places);
    return ok;
}

bool slu_replay_start(struct slu_sub *sub, const struct slu_subscribe *q, const struct slu_reqid *id, enum slu_err *err)
{
    struct slu_worker *w = sub->session ? sub->session->worker : slu_group_worker(sub->group);
    struct slu_replay *r = replay_new(sub, w);
    if (!r) {
        *err = SLU_ENOMEM;
        return false;
    }
    r->is_start = true;
    r->from = q->from;
    r->n = q->from_n;
    r->pos = q->from_pos;
    if (id)
        r->id = *id;
    if (q->from == SLU_FROM_CUR && !read_cursor(r, q->from_cur, err)) {
        replay_free(r);
        return false;
    }
    sub->more->replay = r;
    r->busy = true; /* until the interest is in force */
    if (!slu_interest_announce(w, r->filter, sub->route->n == 1, r)) {
        r->busy = false;
        sub->more->replay = NULL;
        replay_free(r);
        *err = SLU_ENOMEM;
        return false;
    }
    return true;
}

/* This home was live already, others are still being read: it is read again from here. */
static void leave_home(struct slu_replay *r, const struct slu_msg *m)
{
    if (m->home < r->first || m->home >= r->end)
        widen(r, m);
    struct home_place *p = &r->homes[m->home];
    p->live = false;
    p->after = p->out = m->seq - 1;
    p->skipped = m->seq;
}

bool slu_replay_pause(struct slu_sub *sub, struct slu_msg *m)
{
    struct slu_worker *w = sub->session ? sub->session->worker : slu_group_worker(sub->group);
    if (sub->more->replay) {
        leave_home(sub->more->replay, m);
        slu_sub_block(sub);
        return true;
    }
    struct slu_replay *r = replay_new(sub, w);
    if (!r)
        return false;
    for (unsigned h = r->first; h < r->end; h++)
        r->homes[h].after = r->homes[h].out = w->seen[h];
    leave_home(r, m);
    r->last_offset = m->pos.offset - 1;
    r->has_last = !sub->wild;
    r->phase = REPLAY_SCAN;
    r->home = r->first;
    sub->more->replay = r;
    slu_sub_refresh(sub);
    slu_sub_block(sub);
    slu_count(w->broker, SLU_COUNT_readers_paused, 1);
    return true;
}

struct slu_cursor_place slu_replay_place(const struct slu_replay *r, unsigned h)
{
    bool is_read = h >= r->first && h < r->end && !r->homes[h].live;
    return (struct slu_cursor_place){ r->w->home_epochs[h], is_read ? r->homes[h].out : r->w->seen[h] };
}

bool slu_replay_is_scanning(const struct slu_replay *r)
{
    return r->phase == REPLAY_SCAN;
}

/* --- pages ------------------------------------------------------------------------------------------------------- */

/* What a new reader did not ask for is no loss to it: the part of "first", "last" or "since" that has gone. */
static bool is_loss(const struct slu_replay *r, bool first_page)
{
    bool by_window = r->from == SLU_FROM_FIRST || r->from == SLU_FROM_LAST || r->from == SLU_FROM_SINCE;
    return !(r->is_start && first_page && by_window);
}

/* A work queue reads this part again for what was not acknowledged; what else is missing is done. */
static bool is_done(const struct slu_replay *r, uint64_t seq)
{
    return r->sub->group && slu_group_has_read(r->sub->group, r->home, seq);
}

static void take_page(struct slu_replay *r, struct slu_msg **msgs, bool *retained, size_t n)
{
    r->msgs = msgs;
    r->retained = retained;
    r->n_msgs = n;
    r->at = 0;
}

/* What trimming took in front of this page. The store may not know; the offsets on both sides tell. */
static uint64_t lost_before(const struct slu_replay *r, const struct slu_scan *s)
{
    if (!r->has_last || !s->n || s->msgs[0]->pos.offset <= r->last_offset)
        return s->lost;
    return s->msgs[0]->pos.offset - r->last_offset - 1;
}

static void scanned(struct slu_store_req *req)
{
    struct slu_replay *r = replay_of(req);
    struct slu_scan *s = &r->req.scan;
    take_page(r, s->msgs, NULL, s->n);
    if (!still_wanted(r))
        return;
    struct home_place *p = &r->homes[r->home];
    if (req->err) {
        retry_later(r);
        return;
    }
    struct slu_bytes topic = r->sub->wild ? (struct slu_bytes){ 0 } : r->filter;
    /* A topic loses its oldest first: what is missing of one is missing before what is there. */
    bool tells = !is_done(r, s->n && !r->sub->wild ? s->msgs[0]->seq : s->next_seq);
    if (tells && s->trimmed && is_loss(r, p->first_page))
        slu_deliver_gap(r->sub, topic, lost_before(r, s), SLU_GAP_TRIMMED);
    if (s->n) {
        r->last_offset = s->msgs[s->n - 1]->pos.offset;
        r->has_last = !r->sub->wild;
    }
    if (tells && s->expired && is_loss(r, true))
        slu_deliver_gap(r->sub, topic, s->expired, SLU_GAP_EXPIRED);
    p->first_page = false;
    p->after = s->next_seq;
    r->page_at_head = s->at_head;
    step(r);
}

static void tailed(struct slu_store_req *req)
{
    struct slu_replay *r = replay_of(req);
    struct slu_tail *t = &r->req.tail;
    take_page(r, t->msgs, t->retained, t->n);
    if (!req->err) {
        free((void *)(uintptr_t)r->next_topic.data);
        r->next_topic = t->next_topic;
    }
    if (!still_wanted(r))
        return;
    if (req->err) {
        retry_later(r);
        return;
    }
    if (t->cut)
        slu_deliver_gap(r->sub, r->sub->wild ? (struct slu_bytes){ 0 } : r->filter, t->cut, SLU_GAP_OVERFLOW);
    if (!r->next_topic.len)
        r->home++;
    skip_to_tail(r);
    step(r);
}

static void read_more(struct slu_replay *r)
{
    r->page_home = r->home;
    if (r->phase == REPLAY_TAIL) {
        struct slu_bytes after = r->next_topic;
        struct slu_tail *t = start_request(r, tailed);
        t->home = r->home;
        t->filter = r->filter;
        t->after_topic = after;
        t->latest = r->from == SLU_FROM_LATEST;
        t->last = t->latest ? 1 : r->n;
        t->max_seq = r->homes[r->home].max;
        t->max_items = t->last < PAGE_ITEMS ? PAGE_ITEMS : t->last < TAIL_ITEMS ? (size_t)t->last : TAIL_ITEMS;
        t->max_bytes = t->latest ? PAGE_BYTES : TAIL_BYTES;
        slu_store_tail(r->w->broker->store, t);
        return;
    }
    struct slu_scan *s = start_request(r, scanned);
    s->home = r->home;
    s->filter = r->filter;
    s->after_seq = r->homes[r->home].after;
    s->min_ts_ms = r->is_start && r->from == SLU_FROM_SINCE ? r->n : 0;
    s->max_items = PAGE_ITEMS;
    s->max_bytes = PAGE_BYTES;
    slu_store_scan(r->w->broker->store, s);
}

/* Delivers the page as far as there is room. False: stopped, with messages left. */
static bool deliver_page(struct slu_replay *r)
{
    struct slu_sub *sub = r->sub;
    while (r->at < r->n_msgs) {
        if (sub->session && sub->session->state != SLU_SESSION_OPEN)
            return false;
        if (!slu_deliver_has_room(sub)) {
            slu_sub_block(sub);
            return false;
        }
        struct slu_msg *m = r->msgs[r->at];
        bool retained = r->retained && r->retained[r->at];
        r->at++;
        if (slu_deliver_wants(sub, m) && is_at_home(r, m) && !is_overtaken(r, m)) {
            if (!slu_msg_expired(m, r->w->wall_ms))
                slu_deliver_replayed(sub, m, retained);
            else if (r->phase == REPLAY_SCAN && is_loss(r, true) && !is_done(r, m->seq))
                slu_deliver_gap(sub, m->topic, 1, SLU_GAP_EXPIRED);
        }
        if (r->phase == REPLAY_SCAN)
            r->homes[r->home].out = m->seq;
        sub->cur_due |= sub->wild;
        slu_msg_unref(m);
    }
    page_free(r);
    return true;
}

/* The page that reached the head is out: the home is joined, unless something came live meanwhile and was left to the
 * log. Not before the page is out, or live messages would overtake it. */
static void join_home(struct slu_replay *r)
{
    if (r->home == r->end)
        return;
    struct home_place *p = &r->homes[r->home];
    p->out = p->after;
    if (r->page_at_head && p->skipped <= p->after) {
        note_head(r, r->home, p->after);
        p->live = true;
    }
    r->page_at_head = false;
}

/* In turns, a page of each: so a long past of one home does not outlast the short log of another. A home that was live
 * may have been left again. A single topic has two homes only while it moves: first all of the former. */
static bool find_behind(struct slu_replay *r)
{
    unsigned n = r->end - r->first, at = r->home - r->first;
    for (unsigned i = r->sub->wild ? 1 : 0; i <= n; i++) {
        r->home = r->first + (at + i) % n;
        if (!r->homes[r->home].live)
            return true;
    }
    return false;
}

static void step(struct slu_replay *r)
{
    if (r->busy || !deliver_page(r))
        return;
    if (r->phase == REPLAY_TAIL && r->home == r->end) {
        r->phase = REPLAY_SCAN;
        deliver_kept(r);
    }
    if (r->phase == REPLAY_SCAN) {
        join_home(r);
        if (!find_behind(r)) {
            finish(r);
            return;
        }
    }
    if (!slu_deliver_has_room(r->sub))
        slu_sub_block(r->sub);
    else
        read_more(r);
}

void slu_replay_go_on(struct slu_replay *r)
{
    if (r->phase == REPLAY_TAIL || r->phase == REPLAY_SCAN)
        step(r);
}
