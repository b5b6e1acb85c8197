/* Where a subscription stands, so that after a loss it goes on without hole or repeat.
 *  - Exact topic: the position of the newest message handed out.
 *  - Wildcard: the broker's cursor, and for each topic the newest position since the cursor before the last one: resuming
 *    by cursor may repeat a little, and what is older than that cannot come again.
 *  - What an `ok` says (position or cursor of the moment of subscribing) holds once no replay can be under way any more. */
#include "clients/c/src/client.h"

#include <stdlib.h>

enum { SEEN_MAX = 1 << 16, REPLAY_QUIET_S = 5 };

struct seen {
    struct slu_map_node node;
    uint32_t generation;
    struct slu_pos pos;
    size_t len;
    char topic[];
};

static struct seen *from_node(const struct slu_map_node *n)
{
    return slu_container_of((struct slu_map_node *)(uintptr_t)n, struct seen, node);
}

static struct slu_bytes key_of(const struct slu_map_node *n)
{
    const struct seen *e = from_node(n);
    return slu_bytes(e->topic, e->len);
}

bool slu_pos_set(struct slu_pos *p, struct sluice_span epoch, uint64_t offset)
{
    if (!epoch.data || epoch.len > SLU_EPOCH_MAX)
        return false;
    p->set = true;
    p->epoch_len = (uint8_t)epoch.len;
    memcpy(p->epoch, epoch.data, epoch.len);
    p->offset = offset;
    return true;
}

void slu_seen_init(sluice_client_sub *s)
{
    slu_map_init(&s->seen, key_of);
}

/* Removes entries whose generation is older than `oldest`. */
static void prune(sluice_client_sub *s, uint32_t oldest)
{
    struct slu_map_iter it = { 0 };
    struct slu_map_node *n;
    while ((n = slu_map_next(&s->seen, &it))) {
        struct seen *e = from_node(n);
        if (e->generation >= oldest)
            continue;
        slu_map_del(&s->seen, n);
        free(e);
    }
}

void slu_seen_clear(sluice_client_sub *s)
{
    prune(s, UINT32_MAX);
    free(s->cur);
    s->cur = NULL;
    s->pos.set = s->stage.set = false;
}

void slu_seen_fini(sluice_client_sub *s)
{
    slu_seen_clear(s);
    slu_map_fini(&s->seen);
    free(s->ok_cur);
    s->ok_cur = NULL;
}

static struct seen *find(sluice_client_sub *s, struct sluice_span topic)
{
    struct slu_map_node *n = slu_map_get(&s->seen, slu_span_bytes(topic));
    return n ? from_node(n) : NULL;
}

/* Out of memory or over the bound, repeats may get through: better than losing a message. */
static void note(sluice_client_sub *s, const struct sluice_message *m)
{
    if (s->seen.n >= SEEN_MAX)
        prune(s, s->generation);
    if (s->seen.n >= SEEN_MAX)
        prune(s, UINT32_MAX);
    struct seen *e = calloc(1, sizeof(*e) + m->topic.len);
    if (!e)
        return;
    e->len = m->topic.len;
    e->generation = s->generation;
    memcpy(e->topic, m->topic.data, m->topic.len);
    if (!slu_pos_set(&e->pos, m->epoch, m->offset) || !slu_map_add(&s->seen, &e->node))
        free(e);
}

/* Conflation by key hands out positions out of order: an older one may still be pending. So the position to go on from
 * lags by more than the time a value can be held back. */
static void advance_lagging(sluice_client_sub *s, const struct sluice_message *m)
{
    double now = ev_now(s->client->loop), hold_s = 2 / s->o.conflate_hz + 1;
    if (s->stage.set && now - s->staged_at < hold_s)
        return;
    if (s->stage.set)
        s->pos = s->stage;
    slu_pos_set(&s->stage, m->epoch, m->offset);
    s->staged_at = now;
}

bool slu_seen_first_time(sluice_client_sub *s, const struct sluice_message *m)
{
    if (!m->epoch.data)
        return true;
    if (!s->dedup) {
        if (!s->wild && s->o.conflate && s->o.conflate_by_key)
            advance_lagging(s, m);
        else if (!s->wild)
            slu_pos_set(&s->pos, m->epoch, m->offset);
        return true;
    }
    struct seen *e = s->wild ? find(s, m->topic) : NULL;
    struct slu_pos *pos = s->wild ? (e ? &e->pos : NULL) : &s->pos;
    if (!pos) {
        note(s, m);
        return true;
    }
    if (slu_pos_same_epoch(pos, m->epoch) && m->offset <= pos->offset)
        return false;
    slu_pos_set(pos, m->epoch, m->offset);
    if (e)
        e->generation = s->generation;
    return true;
}

enum slu_plain slu_seen_plain(sluice_client_sub *s, const struct sluice_message *m)
{
    if (!s->replaying || !m->epoch.data)
        return SLU_PLAIN_TAKE;
    if (ev_now(s->client->loop) - s->last_replay > REPLAY_QUIET_S) {
        s->replaying = false;
        return SLU_PLAIN_TAKE;
    }
    struct seen *e = s->wild ? find(s, m->topic) : NULL;
    const struct slu_pos *pos = s->wild ? (e ? &e->pos : NULL) : &s->pos;
    if (!pos || !pos->set)
        return SLU_PLAIN_UNNOTED;
    if (!slu_pos_same_epoch(pos, m->epoch))
        return SLU_PLAIN_SKIP;
    return m->offset <= pos->offset + 1 ? SLU_PLAIN_TAKE : SLU_PLAIN_SKIP;
}

void slu_seen_cursor(sluice_client_sub *s, struct slu_bytes cur)
{
    if (cur.len == 0 || cur.len > SLU_CURSOR_MAX)
        return;
    char *copy = strndup((const char *)cur.data, cur.len);
    if (!copy)
        return;
    free(s->cur);
    s->cur = copy;
    if (s->generation > 0)
        prune(s, s->generation);
    s->generation++;
}

void slu_seen_settle(sluice_client_sub *s, double now)
{
    bool quiet = s->o.from == SLUICE_FROM_NEW || !s->replaying || now - s->last_replay > REPLAY_QUIET_S;
    if (!quiet || s->resuming)
        return;
    if (!s->pos.set)
        s->pos = s->ok_pos;
    if (!s->cur) {
        s->cur = s->ok_cur;
        s->ok_cur = NULL;
    }
}
