/* Scans: an exact topic by its own ring, in both directions; a wildcard by the home's commits. */
#include "storage/memory/home.h"

#include "broker/core/topic.h"

enum what { TAKE, SKIP, FULL };

struct walk {
    struct slu_scan *scan;
    struct slu_page page;
    uint64_t now;
};

/* ts_ms: of a message that may have expired and been freed already (m is NULL then). */
static enum what judge(struct walk *w, const struct mem_topic *t, const struct slu_msg *m, uint64_t ts_ms)
{
    struct slu_scan *s = w->scan;
    if (mem_is_aged(t, ts_ms, w->now)) {
        s->trimmed = true; /* it will be, as soon as trimming gets there */
        return SKIP;
    }
    if (s->min_ts_ms && ts_ms < s->min_ts_ms)
        return SKIP;
    if (!mem_is_live(m, w->now)) {
        s->expired++;
        return SKIP;
    }
    return slu_page_fits(&w->page, 1, m->size) ? TAKE : FULL;
}

static enum slu_err scan_forward(struct mem_home *h, const struct mem_topic *t, struct walk *w)
{
    struct slu_scan *s = w->scan;
    bool lost;
    s->lost = mem_ring_lost(t, s->after_seq, &lost);
    s->trimmed = lost;
    size_t i = mem_ring_upto(t, s->after_seq);
    for (size_t left = MEM_LOOK_MAX; i < t->log.n && left; i++, left--) {
        const struct mem_slot *slot = mem_slot_at(t, i);
        enum what what = judge(w, t, slot->msg, slot->ts_ms);
        if (what == FULL)
            return SLU_OK;
        if (what == TAKE && !slu_page_add(&w->page, slot->msg, false))
            return SLU_ENOMEM;
        s->next_seq = slot->seq;
    }
    if (i == t->log.n) {
        s->at_head = true;
        if (s->next_seq < h->seq)
            s->next_seq = h->seq;
    }
    return SLU_OK;
}

static enum slu_err scan_backward(const struct mem_topic *t, struct walk *w)
{
    struct slu_scan *s = w->scan;
    size_t i = s->after_seq ? mem_ring_upto(t, s->after_seq - 1) : 0;
    for (size_t left = MEM_LOOK_MAX; i > 0 && left; i--, left--) {
        const struct mem_slot *slot = mem_slot_at(t, i - 1);
        enum what what = judge(w, t, slot->msg, slot->ts_ms);
        if (what == FULL)
            return SLU_OK;
        if (what == TAKE && !slu_page_add(&w->page, slot->msg, false))
            return SLU_ENOMEM;
        s->next_seq = slot->seq;
    }
    if (i == 0) {
        s->at_head = true;
        s->next_seq = 0;
    }
    return SLU_OK;
}

static enum slu_err scan_exact(struct mem_home *h, struct walk *w)
{
    struct slu_scan *s = w->scan;
    struct mem_topic *t = mem_topic_find(h, s->filter);
    if (t) {
        mem_trim_aged(h, t, w->now, SIZE_MAX);
        mem_topic_rest(h, t);
        t = mem_topic_find(h, s->filter);
    }
    s->next_seq = s->after_seq;
    if (t)
        return s->reverse ? scan_backward(t, w) : scan_forward(h, t, w);
    s->at_head = true;
    if (s->reverse) {
        s->next_seq = 0;
        return SLU_OK;
    }
    s->trimmed = s->after_seq < mem_gone_seq(h, s->filter);
    if (s->next_seq < h->seq)
        s->next_seq = h->seq;
    return SLU_OK;
}

/* Something that matches was lost, the newest of it between the two: told by the page that passes that place. */
static bool any_lost(const struct mem_home *h, struct slu_bytes filter, uint64_t after, uint64_t upto)
{
    uint64_t gone = mem_gone_seq_wild(h, filter);
    return (after < gone && gone <= upto) || slu_topic_index_lost(&h->ordered, filter, after, upto, MEM_LOOK_MAX);
}

static uint64_t ts_of(const struct mem_entry *e)
{
    return e->msg ? e->msg->ts_ms : mem_slot_at(e->topic, mem_ring_upto(e->topic, e->seq) - 1)->ts_ms;
}

static enum slu_err scan_wild(struct mem_home *h, struct walk *w)
{
    struct slu_scan *s = w->scan;
    const struct mem_commits *c = &h->commits;
    s->next_seq = s->after_seq;
    size_t i = mem_commits_after(c, s->after_seq);
    for (size_t left = MEM_LOOK_MAX; i < c->end && left; i++, left--) {
        const struct mem_entry *e = &c->entries[i];
        if (e->topic && slu_filter_matches(s->filter, e->topic->ordered.name)) {
            enum what what = judge(w, e->topic, e->msg, ts_of(e));
            if (what == FULL)
                break;
            if (what == TAKE && !slu_page_add(&w->page, e->msg, false))
                return SLU_ENOMEM;
        }
        s->next_seq = e->seq;
    }
    if (i == c->end) {
        s->at_head = true;
        if (s->next_seq < h->seq)
            s->next_seq = h->seq;
    }
    s->trimmed = any_lost(h, s->filter, s->after_seq, s->next_seq) || s->trimmed;
    return SLU_OK;
}

enum slu_err mem_scan(struct mem_home *h, struct slu_scan *s)
{
    struct walk w = { .scan = s, .now = mem_now(h) };
    w.page.max_items = s->max_items;
    w.page.max_bytes = s->max_bytes;
    enum slu_err rc = slu_filter_is_wild(s->filter) ? scan_wild(h, &w) : scan_exact(h, &w);
    if (rc) {
        slu_page_fini(&w.page);
        return rc;
    }
    s->msgs = w.page.msgs;
    s->n = w.page.n;
    return SLU_OK;
}
