/* What leaves a log: by count and bytes when something is appended, by age before anything is read from it and in the
 * sweep, which also frees what expired in the middle of a log and retained values whose time is over. */
#include "storage/memory/home.h"

enum { SWEEP_TRIMS = 16384, IDLE_MS = 24 * 3600 * 1000 };

void mem_trim_front(struct mem_home *h, struct mem_topic *t, enum mem_keep keep)
{
    struct mem_ring *r = &t->log;
    struct mem_slot *slot = mem_slot_at(t, 0);
    struct slu_msg *m = slot->msg;
    slot->msg = NULL;
    slu_topic_index_raise(&t->ordered, slot->seq);
    mem_commits_kill(h, slot->seq);
    r->first = (r->first + 1) & (r->cap - 1);
    r->n--;
    r->ghosts++;
    if (!m)
        return;
    r->bytes -= m->size;
    if (keep == MEM_KEEP_LAST && r->n == 0 && t->last_value && !t->last)
        t->last = m;
    else
        mem_release(h, &m);
}

bool mem_trim_aged(struct mem_home *h, struct mem_topic *t, uint64_t now, size_t max)
{
    size_t trimmed = 0;
    while (t->log.n && trimmed < max && mem_is_aged(t, mem_slot_at(t, 0)->ts_ms, now)) {
        mem_trim_front(h, t, MEM_KEEP_LAST);
        trimmed++;
    }
    if (trimmed)
        mem_ring_shrink(h, t);
    return !t->log.n || !mem_is_aged(t, mem_slot_at(t, 0)->ts_ms, now);
}

static void expire(struct mem_home *h, struct mem_topic *t, uint64_t seq)
{
    struct mem_slot *slot = mem_slot_at(t, mem_ring_upto(t, seq) - 1);
    t->log.bytes -= slot->msg->size;
    mem_release(h, &slot->msg);
    mem_commits_expire(h, seq);
}

/* Goes on where the last sweep ended, in commit order. */
static void sweep_entries(struct mem_home *h, uint64_t now)
{
    const struct mem_commits *c = &h->commits;
    size_t i = mem_commits_after(c, h->sweep_seq);
    for (size_t left = MEM_SWEEP_MAX; i < c->end && left; i++, left--) {
        const struct mem_entry *e = &c->entries[i];
        h->sweep_seq = e->seq;
        if (e->msg && slu_msg_expired(e->msg, now))
            expire(h, e->topic, e->seq);
    }
    if (i == c->end)
        h->sweep_seq = 0;
}

static void sweep_topics(struct mem_home *h, uint64_t now)
{
    size_t left = h->topics.n < MEM_SWEEP_MAX ? h->topics.n : MEM_SWEEP_MAX, trims = SWEEP_TRIMS;
    for (; left && trims && !slu_list_empty(&h->all); left--) {
        struct mem_topic *t = slu_container_of(h->all.next, struct mem_topic, all);
        size_t before = t->log.n;
        bool done = mem_trim_aged(h, t, now, trims);
        trims -= before - t->log.n;
        if (t->retained && slu_msg_expired(t->retained, now))
            mem_release(h, &t->retained);
        if (t->last && slu_msg_expired(t->last, now))
            mem_release(h, &t->last);
        if (!done)
            return;
        slu_list_remove(&t->all);
        slu_list_push_back(&h->all, &t->all);
        mem_topic_rest(h, t); /* the last use: it may be forgotten here */
    }
}

void mem_sweep(struct mem_home *h)
{
    uint64_t now = mem_now(h);
    sweep_entries(h, now);
    sweep_topics(h, now);
    mem_dedup_sweep(h, now);
    mem_state_sweep(h, now);
    for (size_t left = MEM_SWEEP_MAX; left && !slu_list_empty(&h->idle); left--) {
        struct mem_topic *t = slu_container_of(h->idle.next, struct mem_topic, resting);
        if (now < t->idle_ms || now - t->idle_ms < IDLE_MS)
            break;
        mem_topic_forget(h, t);
    }
}
