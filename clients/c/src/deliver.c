/* Hands what the broker sends to the subscriptions it is for.
 *  - With `sub`: to that one.
 *  - Without: to every plain subscription that matches and whose replay is over. Where it may still be under way, the
 *    message is taken only if it follows what was handed out: its own copy comes later, in order. */
#include "clients/c/src/sub.h"

static void hand_out(sluice_client_sub *s, const struct sluice_message *m)
{
    if (s->o.on_message)
        s->o.on_message(s->o.arg, s, m);
}

static bool takes_plain(const sluice_client_sub *s)
{
    return !s->freed && s->state == SLU_SUB_LIVE;
}

struct matches {
    sluice_client *c;
    const struct sluice_message *m;
    struct slu_list *exact; /* NULL = none */
    size_t live, replaying;
};

static void count(struct matches *x, sluice_client_sub *s)
{
    if (!takes_plain(s))
        return;
    if (s->replaying)
        x->replaying++;
    else
        x->live++;
}

static void offer(struct matches *x, sluice_client_sub *s)
{
    if (slu_is_over(x->c) || !takes_plain(s))
        return;
    if (x->live == 0 && x->replaying == 1)
        s->replaying = false; /* it can only be meant for this one */
    enum slu_plain verdict = slu_seen_plain(s, x->m);
    if (verdict == SLU_PLAIN_UNNOTED || (verdict == SLU_PLAIN_TAKE && slu_seen_first_time(s, x->m)))
        hand_out(s, x->m);
}

static void each(struct matches *x, void (*fn)(struct matches *x, sluice_client_sub *s))
{
    struct slu_bytes topic = slu_span_bytes(x->m->topic);
    if (x->exact) {
        slu_list_each (it, x->exact)
            fn(x, slu_container_of(it, sluice_client_sub, link));
    }
    slu_list_each (it, &x->c->plain_wild) {
        sluice_client_sub *s = slu_container_of(it, sluice_client_sub, link);
        if (slu_filter_takes(slu_bytes(s->filter, s->filter_len), topic))
            fn(x, s);
    }
}

static void hand_out_plain(sluice_client *c, const struct sluice_message *m)
{
    struct slu_map_node *n = slu_map_get(&c->exact, slu_span_bytes(m->topic));
    struct matches x = { .c = c, .m = m };
    if (n)
        x.exact = &slu_container_of(n, struct slu_filter, node)->subs;
    each(&x, count);
    if (x.live + x.replaying > 0)
        each(&x, offer);
}

void slu_sub_message(sluice_client *c, struct sluice_message *m, uint64_t number, bool has_number)
{
    if (!m->topic.data)
        return;
    if (!has_number) {
        hand_out_plain(c, m);
        return;
    }
    sluice_client_sub *s = slu_sub_get(c, number);
    if (!s)
        return;
    s->last_replay = ev_now(c->loop);
    if (slu_seen_first_time(s, m))
        hand_out(s, m);
}

void slu_sub_gap(sluice_client *c, const struct sluice_gap *g, uint64_t number)
{
    sluice_client_sub *s = slu_sub_get(c, number);
    if (!s)
        return;
    /* What follows need not follow what was. Offsets only grow in an epoch, so repeats are still told from news. */
    if (s->replaying && s->plain)
        s->last_replay = ev_now(c->loop);
    if (s->o.on_gap)
        s->o.on_gap(s->o.arg, s, g);
}

void slu_sub_cur(sluice_client *c, uint64_t number, struct slu_bytes cur)
{
    sluice_client_sub *s = slu_sub_get(c, number);
    if (s && s->wild)
        slu_seen_cursor(s, cur);
}

void slu_sub_presence(sluice_client *c, const struct sluice_member *who)
{
    for (uint32_t slot = 0; slot < c->n_subs && !slu_is_over(c); slot++) {
        sluice_client_sub *s = slu_sub_get(c, (uint64_t)slot + 1);
        if (s && s->o.presence && s->o.on_presence &&
            slu_filter_takes(slu_bytes(s->filter, s->filter_len), slu_span_bytes(who->topic)))
            s->o.on_presence(s->o.arg, s, who);
    }
}
