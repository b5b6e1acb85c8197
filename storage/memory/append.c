/* Commits one message: everything that can fail comes first and leaves no trace, then the commit, which cannot. The
 * feed runs last, when the home is in order again, since it may lead to the next append. */
#include "storage/memory/home.h"

enum { TRIMS = 64 }; /* old messages that one append takes along at most */

/* Epochs tell nothing about an empty topic: whoever expects one just wants to be the first. */
static bool is_as_expected(const struct mem_topic *t, struct slu_pos want)
{
    uint64_t head = t ? t->head : 0;
    return want.offset == head && (head == 0 || want.epoch == t->epoch);
}

static void adopt_rule(struct mem_topic *t, const struct slu_rule *rule)
{
    t->max_count = rule->max_count;
    t->max_bytes = rule->max_bytes;
    t->max_age_ms = rule->max_age_ms;
    t->last_value = rule->last_value;
}

static void keep_retained(struct mem_home *h, struct mem_topic *t, struct slu_msg *m)
{
    mem_release(h, &t->retained);
    t->retained = slu_msg_ref(m);
    t->retained_seq = m->seq ? m->seq : h->seq;
    mem_hold(h, m);
}

static void tell_retained(const struct mem_home *h, struct slu_bytes topic, struct slu_msg *m)
{
    if (h->env->retained)
        h->env->retained(h->env->retained_arg, topic, m);
}

/* Removing the retained value is no message: nothing is logged or fed. */
static void clear_retained(struct mem_home *h, struct mem_topic *t)
{
    if (!t || !t->retained)
        return;
    tell_retained(h, t->ordered.name, NULL);
    mem_release(h, &t->retained);
    mem_topic_rest(h, t);
}

enum slu_err mem_adopt(struct mem_home *h, struct slu_msg *m)
{
    if (!mem_make_room(h, NULL, m->size))
        return SLU_ENOMEM;
    struct mem_topic *t;
    enum slu_err rc = mem_topic_need(h, m->topic, &t);
    if (rc)
        return rc;
    keep_retained(h, t, m);
    mem_topic_rest(h, t);
    return SLU_OK;
}

/* Room for one more message where its bounds will not make it anyway. */
static bool reserve(struct mem_home *h, struct mem_topic *t, const struct slu_rule *rule)
{
    bool replaces = rule->max_count && t->log.n >= rule->max_count;
    return (replaces || mem_ring_reserve(h, t)) && mem_commits_reserve(h);
}

/* By count and bytes, so that one of `size` fits; the newest always stays, even where it alone is too large. */
static void trim_for(struct mem_home *h, struct mem_topic *t, uint64_t size)
{
    struct mem_ring *r = &t->log;
    while (r->n && ((t->max_count && r->n >= t->max_count) || (t->max_bytes && r->bytes + size > t->max_bytes)))
        mem_trim_front(h, t, MEM_DROP);
}

static void commit(struct mem_home *h, struct mem_topic *t, struct slu_append *a)
{
    struct slu_msg *m = a->msg;
    adopt_rule(t, a->rule);
    trim_for(h, t, m->size);
    m->pos = (struct slu_pos){ t->epoch, ++t->head };
    m->seq = ++h->seq;
    mem_ring_push(t, slu_msg_ref(m));
    mem_ring_shrink(h, t);
    mem_hold(h, m);
    mem_commits_add(h, t, m);
    mem_release(h, &t->last);
    if (m->retain)
        keep_retained(h, t, m);
    mem_topic_rest(h, t);
    a->pos = m->pos;
}

static enum slu_err log_message(struct mem_home *h, struct slu_append *a, uint64_t now)
{
    struct slu_msg *m = a->msg;
    size_t need = m->size + (m->retain ? m->size : 0);
    if (!mem_make_room(h, mem_topic_find(h, m->topic), need))
        return SLU_ENOMEM;
    struct mem_topic *t;
    enum slu_err rc = mem_topic_need(h, m->topic, &t);
    if (rc)
        return rc;
    mem_trim_aged(h, t, now, TRIMS);
    struct mem_first *first = m->dedup.len ? mem_dedup_new(h, m) : NULL;
    if ((m->dedup.len && !first) || !reserve(h, t, a->rule)) {
        mem_dedup_discard(h, first);
        mem_topic_rest(h, t);
        return SLU_ENOMEM;
    }
    commit(h, t, a);
    if (first)
        mem_dedup_add(h, first, m, now);
    h->env->feed(h->env->arg, h->index, m);
    return SLU_OK;
}

enum slu_err mem_append(struct mem_home *h, struct slu_append *a)
{
    struct slu_msg *m = a->msg;
    uint64_t now = mem_now(h);
    bool logged = a->rule->log != SLU_LOG_NONE;
    if (logged) /* without a log readers on other threads already have the message */
        m->home = (uint16_t)(h->env->home_base + h->index);
    if (logged && !m->clear && m->dedup.len && mem_dedup_find(h, m, now, &a->pos, &a->matched)) {
        a->duplicate = true;
        return SLU_OK;
    }
    struct mem_topic *t = mem_topic_find(h, m->topic);
    if (a->has_expect && !is_as_expected(t, a->expect))
        return SLU_EEXPECT_FAILED;
    if (m->clear) {
        clear_retained(h, t);
        return SLU_OK;
    }
    if (!logged && !m->retain)
        return SLU_OK;
    enum slu_err rc = logged ? log_message(h, a, now) : mem_adopt(h, m);
    if (!rc && m->retain)
        tell_retained(h, m->topic, m);
    return rc;
}
