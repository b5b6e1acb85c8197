/* Turns a start into a seq of the home. Where the place asked for is gone, the answer says why and points to the
 * head. */
#include "storage/memory/home.h"

#include "broker/core/topic.h"

static void not_recovered(struct slu_locate *l, enum slu_err why, uint64_t lost)
{
    l->recovered = false;
    l->gone = why;
    l->lost = lost;
    l->after_seq = l->head_seq;
}

static void describe(struct mem_home *h, struct slu_locate *l, const struct mem_topic *t)
{
    l->head.epoch = l->first.epoch = t ? t->epoch : mem_epoch_of(h, l->filter);
    l->head.offset = t ? t->head : 0;
    l->first.offset = t && t->log.n ? mem_first_offset(t) : 0;
}

static uint64_t before_first(const struct mem_home *h, const struct mem_topic *t, bool wild)
{
    if (wild)
        return h->commits.start < h->commits.end ? h->commits.entries[h->commits.start].seq - 1 : h->seq;
    return t && t->log.n ? mem_slot_at(t, 0)->seq - 1 : h->seq;
}

/* Before the newest n that are still to be read. */
static uint64_t before_last(const struct mem_home *h, const struct mem_topic *t, uint64_t n)
{
    uint64_t now = mem_now(h), at = h->seq;
    for (size_t i = t ? t->log.n : 0; i > 0 && n > 0; i--) {
        const struct mem_slot *slot = mem_slot_at(t, i - 1);
        if (!mem_is_live(slot->msg, now))
            continue;
        at = slot->seq - 1;
        n--;
    }
    return at;
}

static uint64_t before_time(const struct mem_home *h, uint64_t ts_ms)
{
    size_t i = mem_commits_since(&h->commits, ts_ms);
    return i < h->commits.end ? h->commits.entries[i].seq - 1 : h->seq;
}

static void locate_offset(struct slu_locate *l, const struct mem_topic *t)
{
    uint64_t offset = l->after.offset;
    if (l->after.epoch != l->head.epoch || offset > l->head.offset) {
        not_recovered(l, SLU_EEXPECT_FAILED, 0);
        return;
    }
    if (!t || t->head == 0)
        return;                         /* nothing yet: all that comes is after it */
    uint64_t gone = t->head - t->log.n; /* newest offset that is no longer held */
    if (offset < gone)
        not_recovered(l, SLU_EHISTORY_GONE, gone - offset);
    else if (offset > gone)
        l->after_seq = mem_slot_at(t, offset - gone - 1)->seq;
    else
        l->after_seq = gone ? t->ordered.trimmed_seq : t->born_seq;
}

static void locate_cursor(const struct mem_home *h, struct slu_locate *l, const struct mem_topic *t, bool wild)
{
    if (l->cur_epoch != h->epoch || l->cur_seq > h->seq) {
        not_recovered(l, SLU_EEXPECT_FAILED, 0);
        return;
    }
    bool lost;
    uint64_t n = 0;
    if (wild)
        lost = slu_topic_index_lost(&h->ordered, l->filter, l->cur_seq, UINT64_MAX, MEM_LOOK_MAX) ||
               l->cur_seq < mem_gone_seq_wild(h, l->filter);
    else if (t)
        n = mem_ring_lost(t, l->cur_seq, &lost);
    else
        lost = l->cur_seq < mem_gone_seq(h, l->filter);
    if (lost)
        not_recovered(l, SLU_EHISTORY_GONE, n);
    else
        l->after_seq = l->cur_seq;
}

enum slu_err mem_locate(struct mem_home *h, struct slu_locate *l)
{
    bool wild = slu_filter_is_wild(l->filter);
    struct mem_topic *t = wild ? NULL : mem_topic_find(h, l->filter);
    if (t) {
        mem_trim_aged(h, t, mem_now(h), SIZE_MAX);
        mem_topic_rest(h, t);
        t = mem_topic_find(h, l->filter);
    }
    if (!wild)
        describe(h, l, t);
    l->head_seq = l->after_seq = h->seq;
    l->epoch = h->epoch;
    l->recovered = true;
    switch (l->from) {
    case SLU_FROM_NEW:
    case SLU_FROM_LATEST:
        break;
    case SLU_FROM_FIRST:
        l->after_seq = before_first(h, t, wild);
        break;
    case SLU_FROM_LAST:
        if (!wild)
            l->after_seq = before_last(h, t, l->n);
        break;
    case SLU_FROM_SINCE:
        l->after_seq = before_time(h, l->n);
        break;
    case SLU_FROM_OFFSET:
        locate_offset(l, t);
        break;
    case SLU_FROM_CUR:
        locate_cursor(h, l, t, wild);
        break;
    }
    return SLU_OK;
}
