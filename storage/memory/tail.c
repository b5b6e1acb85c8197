/* The newest values of each topic. A page holds whole topics; one that is too large for a page of its own loses its
 * oldest messages and says so. */
#include "storage/memory/home.h"

#include "broker/core/topic.h"

#include <stdlib.h>

struct walk {
    struct slu_tail *tail;
    struct slu_page page;
    uint64_t now;
};

static bool is_readable(const struct mem_topic *t, const struct mem_slot *slot, uint64_t now)
{
    return mem_is_live(slot->msg, now) && !mem_is_aged(t, slot->ts_ms, now);
}

/* Of the log, the last value and the retained one, the newest that may be read. An unlogged retained value never comes
 * by scan, so it counts whenever it was set. */
static struct slu_msg *latest_of(const struct mem_topic *t, const struct walk *w, bool *retained)
{
    uint64_t max_seq = w->tail->max_seq;
    struct slu_msg *m = NULL;
    for (size_t i = mem_ring_upto(t, max_seq); i > 0 && !m; i--) {
        const struct mem_slot *slot = mem_slot_at(t, i - 1);
        if (is_readable(t, slot, w->now))
            m = slot->msg;
    }
    /* In the log's place where trimming has been or will be. */
    const struct mem_slot *newest = t->log.n ? mem_slot_at(t, t->log.n - 1) : NULL;
    struct slu_msg *last = t->last;
    if (!last && newest && t->last_value && mem_is_aged(t, newest->ts_ms, w->now))
        last = newest->msg;
    if (!m && last && last->seq <= max_seq && mem_is_live(last, w->now))
        m = last;
    struct slu_msg *r = t->retained;
    if (r && mem_is_live(r, w->now) && r->seq <= max_seq && (!m || t->retained_seq >= m->seq))
        m = r;
    *retained = m && m == r;
    return m;
}

/* False: it does not fit into what is left of the page. */
static bool add_latest(const struct mem_topic *t, struct walk *w, enum slu_err *rc)
{
    bool retained;
    struct slu_msg *m = latest_of(t, w, &retained);
    if (!m)
        return true;
    if (!slu_page_fits(&w->page, 1, m->size))
        return false;
    if (!slu_page_add(&w->page, m, retained))
        *rc = SLU_ENOMEM;
    return true;
}

/* As add_latest, for the newest n of the log, oldest first. */
static bool add_last(const struct mem_topic *t, struct walk *w, enum slu_err *rc)
{
    struct slu_tail *s = w->tail;
    const size_t end = mem_ring_upto(t, s->max_seq);
    size_t fits_from = end; /* where an own page would begin */
    uint64_t wanted = 0, fitting = 0;
    size_t bytes = 0;
    for (size_t i = end; i > 0 && wanted < s->last; i--) {
        const struct mem_slot *slot = mem_slot_at(t, i - 1);
        if (!is_readable(t, slot, w->now))
            continue;
        bytes += slot->msg->size;
        wanted++;
        if (wanted == 1 || (wanted <= s->max_items && bytes <= s->max_bytes)) {
            fits_from = i - 1;
            fitting = wanted;
        }
    }
    if (wanted == 0)
        return true;
    if (w->page.n && !slu_page_fits(&w->page, (size_t)wanted, bytes))
        return false;
    s->cut += wanted - fitting;
    for (size_t i = fits_from; i < end; i++) {
        const struct mem_slot *slot = mem_slot_at(t, i);
        if (!is_readable(t, slot, w->now))
            continue;
        if (!slu_page_add(&w->page, slot->msg, slot->msg == t->retained)) {
            *rc = SLU_ENOMEM;
            break;
        }
    }
    return true;
}

static bool add_topic(const struct mem_topic *t, struct walk *w, enum slu_err *rc)
{
    return w->tail->latest ? add_latest(t, w, rc) : add_last(t, w, rc);
}

static enum slu_err set_next(struct slu_tail *s, struct slu_bytes name)
{
    uint8_t *copy = malloc(name.len);
    if (!copy)
        return SLU_ENOMEM;
    memcpy(copy, name.data, name.len);
    s->next_topic = slu_bytes(copy, name.len);
    return SLU_OK;
}

static enum slu_err tail_wild(struct mem_home *h, struct walk *w)
{
    struct slu_tail *s = w->tail;
    struct slu_bytes prefix = slu_filter_prefix(s->filter);
    bool goes_on = s->after_topic.len && slu_name_compare(s->after_topic, prefix) >= 0;
    const struct slu_topic_node *n = slu_topic_index_from(&h->ordered, goes_on ? s->after_topic : prefix, goes_on);
    const struct slu_topic_node *seen = NULL;
    enum slu_err rc = SLU_OK;
    size_t left = MEM_LOOK_MAX;
    for (; n && left && slu_bytes_starts(n->name, prefix); n = slu_topic_index_next(n), left--) {
        const struct mem_topic *t = slu_container_of(n, const struct mem_topic, ordered);
        if (slu_filter_matches(s->filter, n->name) && !add_topic(t, w, &rc))
            return set_next(s, seen->name);
        if (rc)
            return rc;
        seen = n;
    }
    bool more = n && slu_bytes_starts(n->name, prefix);
    return more ? set_next(s, seen->name) : SLU_OK;
}

static enum slu_err tail_exact(struct mem_home *h, struct walk *w)
{
    struct slu_tail *s = w->tail;
    enum slu_err rc = SLU_OK;
    const struct mem_topic *t = mem_topic_find(h, s->filter);
    bool is_past = s->after_topic.len && slu_name_compare(s->after_topic, s->filter) >= 0;
    if (t && !is_past)
        add_topic(t, w, &rc);
    return rc;
}

enum slu_err mem_tail(struct mem_home *h, struct slu_tail *s)
{
    struct walk w = { .tail = s, .now = mem_now(h) };
    w.page.with_retained = true;
    w.page.max_items = s->max_items;
    w.page.max_bytes = s->max_bytes;
    enum slu_err rc = slu_filter_is_wild(s->filter) ? tail_wild(h, &w) : tail_exact(h, &w);
    if (rc) {
        slu_page_fini(&w.page);
        return rc;
    }
    s->msgs = w.page.msgs;
    s->retained = w.page.retained;
    s->n = w.page.n;
    return SLU_OK;
}
